package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// drawnReader is one caller of a call, as it was drawn. The first one leads.
type drawnReader struct {
	comes  time.Duration   // after the call has started
	pauses []time.Duration // before each read, in turn
	sizes  []int           // of each read, in turn
	leaves int             // after so many bytes; -1: stays to the end
}

// drawnCall is what the upstream sends when, and which callers read it.
type drawnCall struct {
	most    int
	pieces  []int
	gaps    []time.Duration
	fails   bool
	readers []drawnReader
}

func drawCall(r *rapid.T) drawnCall {
	wait := rapid.Custom(func(r *rapid.T) time.Duration {
		return rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 7 * time.Millisecond, time.Minute}).Draw(r, "wait")
	})
	d := drawnCall{
		most:   rapid.IntRange(0, 64).Draw(r, "most"),
		pieces: rapid.SliceOfN(rapid.IntRange(0, 40), 0, 30).Draw(r, "pieces"),
		fails:  rapid.Bool().Draw(r, "fails"),
	}
	d.gaps = rapid.SliceOfN(wait, len(d.pieces), len(d.pieces)).Draw(r, "gaps")
	d.readers = rapid.SliceOfN(rapid.Custom(func(r *rapid.T) drawnReader {
		return drawnReader{
			comes:  wait.Draw(r, "comes"),
			pauses: rapid.SliceOfN(wait, 1, 5).Draw(r, "pauses"),
			sizes:  rapid.SliceOfN(rapid.IntRange(1, 50), 1, 5).Draw(r, "sizes"),
			leaves: rapid.SampledFrom([]int{-1, -1, -1, 0, 1, 30, 200}).Draw(r, "leaves"),
		}
	}), 1, 8).Draw(r, "readers")
	d.readers[0].comes = 0
	return d
}

// whole is everything that the upstream sends.
func (d *drawnCall) whole() []byte {
	var b []byte
	for i, n := range d.pieces {
		b = append(b, bytes.Repeat([]byte{byte('a' + i%26)}, n)...)
	}
	return b
}

var errCrash = errors.New("the upstream has broken off")

// drawnBody is the body that the upstream sends. One reader reads it at a time,
// or the test fails.
type drawnBody struct {
	*drawnCall
	call    *call
	next    int
	rest    []byte
	reading sync.Mutex
	problem func(format string, args ...any)
}

func (b *drawnBody) Read(p []byte) (int, error) {
	if !b.reading.TryLock() {
		b.problem("two readers read the upstream at once")
		return 0, io.ErrNoProgress
	}
	defer b.reading.Unlock()
	for len(b.rest) == 0 {
		if b.next == len(b.pieces) {
			if b.fails {
				return 0, errCrash
			}
			return 0, io.EOF
		}
		select {
		case <-time.After(b.gaps[b.next]):
		case <-b.call.Done():
			return 0, b.call.Err()
		}
		b.rest = bytes.Repeat([]byte{byte('a' + b.next%26)}, b.pieces[b.next])
		b.next++
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *drawnBody) Close() error { return nil }

// TestReadersOfACall: every caller that stays gets each byte from the first one
// on, and how the call ended; a caller that comes too late for that leads a
// call of its own; no more is kept than the bound allows; the call goes on as
// long as a caller is left, and no longer; and none waits without end. The
// bubble of synctest ends the test when all are blocked, and its clock makes a
// stall of a minute cost nothing.
func TestReadersOfACall(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := drawCall(r)
		synctest.Test(t, func(*testing.T) {
			for _, problem := range d.run() {
				r.Errorf("%s", problem)
			}
		})
	})
}

func (d *drawnCall) run() (problems []string) {
	var mu sync.Mutex
	problem := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		problems = append(problems, fmt.Sprintf(format, args...))
	}
	var cs calls
	key := callKey{}
	c, _ := cs.join(key, &ask{}, int64(d.most))
	client, leave := context.WithCancelCause(context.Background())
	c.start(&inbound{life: life{Context: client, end: leave}}, func() {})
	var all sync.WaitGroup
	for i, drawn := range d.readers[1:] {
		all.Go(func() {
			time.Sleep(drawn.comes)
			other, r := cs.join(key, &ask{}, int64(d.most))
			if r == nil || other != c {
				if r != nil {
					r.Close() // of the call of a caller that was too late as well
				} else {
					other.finish(nil)
				}
				return
			}
			r.ctx = context.Background()
			defer r.Close()
			if _, err := r.await(); err != nil {
				problem("reader %d: no head: %v", i, err)
				return
			}
			got, left, err := drawn.read(r)
			d.check(problem, got, left, err)
		})
	}
	r := c.carry(&drawnBody{drawnCall: d, call: c, problem: problem}, -1)
	c.publish(&callHead{status: http.StatusOK})
	got, left, err := d.readers[0].read(r)
	if left {
		leave(context.Canceled)
		synctest.Wait()
		rest, failed := io.ReadAll(r) // as the tap does, to settle the request
		switch cause := context.Cause(c); {
		case cause == nil:
			d.check(problem, append(got, rest...), false, cmpEOF(failed))
		case cause != errAllLeft:
			problem("the call was ended by %v", cause)
		}
	} else {
		d.check(problem, got, false, err)
	}
	if len(c.kept) > d.most+1 {
		problem("%d bytes are kept, the most is %d", len(c.kept), d.most)
	}
	c.finish(nil)
	all.Wait()
	if cs.byKey[key] == c {
		problem("a call that is over can be joined")
	}
	leave(nil)
	return problems
}

// cmpEOF is the end that ReadAll hides.
func cmpEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// check judges what a reader got.
func (d *drawnCall) check(problem func(string, ...any), got []byte, left bool, err error) {
	whole := d.whole()
	want := io.EOF
	if d.fails {
		want = errCrash
	}
	switch {
	case !bytes.HasPrefix(whole, got):
		problem("%q is not the start of %q", got, whole)
	case left:
	case err != want || len(got) != len(whole):
		problem("%d of %d bytes, %v", len(got), len(whole), err)
	}
}

// read reads until the end or until the caller has enough.
func (d *drawnReader) read(r *callReader) (got []byte, left bool, err error) {
	for i := 0; d.leaves < 0 || len(got) < d.leaves; i++ {
		time.Sleep(d.pauses[i%len(d.pauses)])
		piece := make([]byte, d.sizes[i%len(d.sizes)])
		n, err := r.Read(piece)
		got = append(got, piece[:n]...)
		if err != nil {
			return got, false, err
		}
	}
	return got, true, nil
}

// TestACallWaitsOnlyWhenFull: a reader that stands still delays the others only
// when what it has not read fills the bound.
func TestACallWaitsOnlyWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cs calls
		c, _ := cs.join(callKey{}, &ask{}, 100)
		client, leave := context.WithCancelCause(t.Context())
		defer leave(nil)
		c.start(&inbound{life: life{Context: client, end: leave}}, func() {})
		_, still := cs.join(callKey{}, &ask{}, 100)
		still.ctx = t.Context()
		leader := c.carry(io.NopCloser(bytes.NewReader(make([]byte, 1000))), -1)
		c.publish(&callHead{status: http.StatusOK})
		io.ReadFull(leader, make([]byte, 90))
		io.ReadFull(still, make([]byte, 50)) // and no more
		read := 90
		go func() {
			for {
				n, err := leader.Read(make([]byte, 10))
				read += n
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if read < 100 || read > 151 {
			t.Errorf("the leader has read %d bytes beside a reader that stands at 50, the bound is 100", read)
		}
		still.Close()
		synctest.Wait()
		if read != 1000 {
			t.Errorf("%d of 1000 bytes once the other has left", read)
		}
		c.finish(nil)
	})
}

// TestNoCallerJoinsAnAnswerThatIsOver: its accounts may take a while to be
// settled, and a caller that asks again must not get the same error again.
func TestNoCallerJoinsAnAnswerThatIsOver(t *testing.T) {
	var cs calls
	c, _ := cs.join(callKey{}, &ask{}, 100)
	client, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	c.start(&inbound{life: life{Context: client, end: leave}}, func() {})
	leader := c.carry(io.NopCloser(bytes.NewReader([]byte("no!!"))), 4)
	c.publish(&callHead{status: http.StatusInternalServerError})
	leader.Read(make([]byte, 2))
	if _, r := cs.join(callKey{}, &ask{}, 100); r == nil {
		t.Error("half of the answer is left, and no caller may join")
	}
	leader.Read(make([]byte, 2))
	if other, r := cs.join(callKey{}, &ask{}, 100); r != nil || other == c {
		t.Error("a caller that asks after the last byte gets the same error again")
	}
}

// TestACallFeedsItsFollowersAtEveryByte lets a caller join after each byte that
// the leader has read, and the leader leave there.
func TestACallFeedsItsFollowersAtEveryByte(t *testing.T) {
	const whole = "0123456789"
	for at := range len(whole) + 1 {
		for _, leaves := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var cs calls
				c, _ := cs.join(callKey{}, &ask{}, 100)
				client, leave := context.WithCancelCause(t.Context())
				defer leave(nil)
				c.start(&inbound{life: life{Context: client, end: leave}}, func() {})
				leader := c.carry(io.NopCloser(bytes.NewReader([]byte(whole))), -1)
				c.publish(&callHead{status: http.StatusOK})
				io.ReadFull(leader, make([]byte, at))
				_, follower := cs.join(callKey{}, &ask{}, 100)
				if follower == nil {
					t.Fatalf("after %d bytes no caller may join", at)
				}
				follower.ctx = t.Context()
				if leaves {
					leave(context.Canceled)
					synctest.Wait()
				}
				got, err := io.ReadAll(follower)
				if err != nil || string(got) != whole {
					t.Errorf("joined after %d bytes: %q, %v", at, got, err)
				}
				rest, err := io.ReadAll(leader)
				if err != nil || string(rest) != whole[at:] {
					t.Errorf("the leader after %d bytes: %q, %v", at, rest, err)
				}
				recorded, ok := c.recorded(len(whole))
				if !ok || !slices.Equal(recorded, []byte(whole)) {
					t.Errorf("recorded %q, %v", recorded, ok)
				}
				c.finish(nil)
			})
		}
	}
}

// TestACallKeepsNothingThatNoCallerNeeds: an answer beyond the bound cannot be
// joined or stored, so a leader that is alone keeps none of it.
func TestACallKeepsNothingThatNoCallerNeeds(t *testing.T) {
	var cs calls
	c, _ := cs.join(callKey{}, &ask{}, 100)
	client, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	c.start(&inbound{life: life{Context: client, end: leave}}, func() {})
	leader := c.carry(io.NopCloser(bytes.NewReader(make([]byte, 1000))), -1)
	c.publish(&callHead{status: http.StatusOK})
	io.ReadFull(leader, make([]byte, 150))
	if _, ok := c.recorded(150); ok || len(c.kept) > 0 {
		t.Errorf("%d bytes are kept of an answer that is too long", len(c.kept))
	}
	rest, err := io.ReadAll(leader)
	if err != nil || len(rest) != 850 {
		t.Errorf("%d of 850 bytes, %v", len(rest), err)
	}
	if c.closeUnlessFollowed() {
		t.Error("a call without followers is followed")
	}
	if other, r := cs.join(callKey{}, &ask{}, 100); r != nil || other == c {
		t.Error("a call whose leader stops can be joined")
	}
}
