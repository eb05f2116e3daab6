package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// passenger is one caller of a flight, as it was drawn.
type passenger struct {
	comes  time.Duration   // after the call has begun
	pauses []time.Duration // before each read, in turn
	sizes  []int           // of each read, in turn
	leaves int             // after so many bytes; -1: stays to the end
}

// journey is a call: what is written when, and who reads it.
type journey struct {
	most       int
	pieces     []int
	gaps       []time.Duration
	fails      bool
	passengers []passenger
}

func drawJourney(r *rapid.T) journey {
	wait := rapid.Custom(func(r *rapid.T) time.Duration {
		return rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 7 * time.Millisecond, time.Minute}).Draw(r, "wait")
	})
	j := journey{
		most:   rapid.IntRange(0, 64).Draw(r, "most"),
		pieces: rapid.SliceOfN(rapid.IntRange(0, 40), 0, 30).Draw(r, "pieces"),
		fails:  rapid.Bool().Draw(r, "fails"),
	}
	j.gaps = rapid.SliceOfN(wait, len(j.pieces), len(j.pieces)).Draw(r, "gaps")
	j.passengers = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) passenger {
		return passenger{
			comes:  wait.Draw(r, "comes"),
			pauses: rapid.SliceOfN(wait, 1, 5).Draw(r, "pauses"),
			sizes:  rapid.SliceOfN(rapid.IntRange(1, 50), 1, 5).Draw(r, "sizes"),
			leaves: rapid.SampledFrom([]int{-1, -1, -1, 0, 1, 30, 200}).Draw(r, "leaves"),
		}
	}), 1, 8).Draw(r, "passengers")
	j.passengers[0].comes = 0 // who begins the call
	return j
}

// whole is everything that is written.
func (j *journey) whole() []byte {
	var b []byte
	for i, n := range j.pieces {
		b = append(b, bytes.Repeat([]byte{byte('a' + i%26)}, n)...)
	}
	return b
}

// TestReadersOfACall: whoever stays gets every byte from the first one on, and how the call ended; whoever comes too late
// for that makes a call of his own; no more is kept than the bound says, and nobody waits for ever. The bubble of synctest
// ends the test when all are blocked, and its clock makes a stall of a minute cost nothing.
func TestReadersOfACall(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		j := drawJourney(r)
		synctest.Test(t, func(*testing.T) {
			for _, problem := range j.run() {
				r.Errorf("%s", problem)
			}
		})
	})
}

var errCrash = errors.New("the upstream has broken off")

func (j *journey) run() (problems []string) {
	var mu sync.Mutex
	problem := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	var g flights
	key, whole := flightKey{}, j.whole()
	call, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	first, f := g.join(key, true, int64(j.most))
	f.cancel = cancel
	var all sync.WaitGroup
	all.Go(func() { j.write(&g, key, f, call, problem) })
	for i, p := range j.passengers {
		all.Go(func() {
			time.Sleep(p.comes)
			r := first
			if i > 0 {
				var other *flight
				if r, other = g.join(key, true, int64(j.most)); other != nil || r.flight != f {
					r.Close() // too late: a call of his own, or of somebody who was too late as well
					return
				}
			}
			r.ctx = context.Background()
			defer r.Close()
			got, err := p.travel(r)
			if !bytes.HasPrefix(whole, got) {
				problem("passenger %d: %q is not the beginning of %q", i, got, whole)
			}
			if p.leaves >= 0 && len(got) >= p.leaves && err == nil {
				return // has left on his own
			}
			if want := map[bool]error{false: io.EOF, true: errCrash}[j.fails]; err != want || len(got) != len(whole) {
				problem("passenger %d: %d of %d bytes, %v", i, len(got), len(whole), err)
			}
		})
	}
	all.Wait()
	if len(g.byKey) > 0 && g.byKey[key] == f {
		problem("a call that is over can be joined")
	}
	return problems
}

// write is the call.
func (j *journey) write(g *flights, key flightKey, f *flight, call context.Context, problem func(string, ...any)) {
	var failure error
	if j.fails {
		failure = errCrash
	}
	defer func() { g.land(key, f, failure) }()
	f.WriteHeader(http.StatusOK)
	for i, n := range j.pieces {
		time.Sleep(j.gaps[i])
		piece := bytes.Repeat([]byte{byte('a' + i%26)}, n)
		if wrote, err := f.Write(piece); err != nil || wrote != n {
			problem("piece %d: wrote %d of %d: %v", i, wrote, n, err)
		}
		f.mu.Lock()
		if kept, readers := len(f.kept), len(f.readers); kept > max(j.most, n) {
			problem("%d bytes are kept for %d readers, the most is %d", kept, readers, j.most)
		} else if readers == 0 && context.Cause(call) != errNobodyLeft {
			problem("everybody has left, and the call goes on: %v", context.Cause(call))
		} else if readers > 0 && call.Err() != nil {
			problem("the call was ended although %d wait for it", readers)
		}
		f.mu.Unlock()
	}
}

// travel reads until the end or until it has enough; err is nil when it left.
func (p *passenger) travel(r *flightReader) (got []byte, err error) {
	if _, _, err := r.begin(); err != nil {
		return nil, err
	}
	for turn := 0; p.leaves < 0 || len(got) < p.leaves; turn++ {
		time.Sleep(p.pauses[turn%len(p.pauses)])
		piece := make([]byte, p.sizes[turn%len(p.sizes)])
		n, err := r.Read(piece)
		if got = append(got, piece[:n]...); err != nil {
			return got, err
		}
	}
	return got, nil
}

// TestACallWaitsOnlyForRoom: a reader who stands still holds up the others only when what he has not read fills the bound.
func TestACallWaitsOnlyForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g flights
		still, f := g.join(flightKey{}, true, 100)
		still.ctx, f.cancel = t.Context(), func(error) {}
		f.Write(make([]byte, 90))
		still.Read(make([]byte, 50)) // and no more
		wrote := 0
		go func() {
			for range 9 {
				n, _ := f.Write(make([]byte, 10))
				wrote += n
			}
		}()
		synctest.Wait()
		if wrote != 60 { // 40 are unread, and there is room for 60
			t.Errorf("%d bytes were written past a reader with 40 unread, the bound is 100", wrote)
		}
		still.Close()
	})
}

// TestNobodyJoinsAnAnswerThatIsOver: its accounts may take a while to be closed.
func TestNobodyJoinsAnAnswerThatIsOver(t *testing.T) {
	var g flights
	_, f := g.join(flightKey{}, false, 100)
	f.Header().Set("Content-Length", "4")
	f.WriteHeader(http.StatusInternalServerError)
	f.Write([]byte("no"))
	if _, begin := g.join(flightKey{}, false, 100); begin != nil {
		t.Error("half of the answer is left, and nobody may join")
	}
	f.Write([]byte("!!"))
	if _, begin := g.join(flightKey{}, false, 100); begin == nil {
		t.Error("who asks after the last byte gets the same error again")
	}
}
