package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"forward/internal/queue"
)

// TestClientsOfAQueue runs random clients in virtual time, each with a
// goroutine and a context of its own: some leave, some have deadlines, some
// requests fail, some use less than they reserved. In no window may more be
// executed than a bucket and its refill, each request must end by its deadline,
// and nothing may be left behind.
func TestClientsOfAQueue(t *testing.T) {
	defer goleak.VerifyNone(t)
	rapid.Check(t, func(r *rapid.T) {
		type client struct {
			pause, patience, work time.Duration
			used                  int64
			fails                 bool
			d                     queue.Demand
		}
		m := queue.Model{
			RPM: rapid.Int64Range(1, 60).Draw(r, "rpm"), TPM: rapid.Int64Range(100, 1000).Draw(r, "tpm"),
			MaxQueue: rapid.IntRange(0, 20).Draw(r, "queue"), MaxWait: time.Duration(rapid.IntRange(0, 90).Draw(r, "wait")) * time.Second,
			MaxParallel: rapid.IntRange(0, 5).Draw(r, "parallel"),
		}
		seconds := func(name string, most int) time.Duration {
			return time.Duration(rapid.IntRange(0, most*1000).Draw(r, name)) * time.Millisecond
		}
		clients := make([]client, rapid.IntRange(1, 30).Draw(r, "clients"))
		for i := range clients {
			c := &clients[i]
			c.pause, c.patience, c.work = seconds("pause", 5), seconds("patience", 100), seconds("work", 10)
			c.fails = rapid.IntRange(0, 3).Draw(r, "fails") == 0
			c.d = queue.Demand{Model: "m", Caller: fmt.Sprint(rapid.IntRange(0, 3).Draw(r, "caller")), Tokens: rapid.Int64Range(0, m.TPM).Draw(r, "tokens"), MaxWait: seconds("deadline", 60)}
			c.used = rapid.Int64Range(0, c.d.Tokens).Draw(r, "used")
		}
		synctest.Test(t, func(t *testing.T) {
			s := mustScheduler(t, queue.Rule{Models: "m", Model: m})
			type executed struct {
				at     time.Time
				tokens int64
			}
			var mu sync.Mutex
			var went []executed
			var inFlight atomic.Int64
			var wg sync.WaitGroup
			for _, c := range clients {
				time.Sleep(c.pause)
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), c.patience)
					defer cancel()
					started := time.Now()
					g, err := s.Acquire(ctx, c.d)
					waited := time.Since(started)
					for _, most := range []time.Duration{c.patience, c.d.MaxWait, m.MaxWait} {
						if most > 0 && waited > most {
							t.Errorf("waited %v, longer than %v", waited, most)
						}
					}
					if err != nil {
						if _, ok := errors.AsType[*queue.Error](err); !ok && err != context.DeadlineExceeded {
							t.Error(err)
						}
						return
					}
					if n := inFlight.Add(1); m.MaxParallel > 0 && int(n) > m.MaxParallel {
						t.Errorf("%d at a time", n)
					}
					if g.Waited() != waited {
						t.Errorf("waited %v, and Waited returns %v", waited, g.Waited())
					}
					at := time.Now()
					time.Sleep(c.work)
					inFlight.Add(-1)
					if c.fails {
						g.Cancel()
						return
					}
					g.Settle(c.used)
					mu.Lock()
					went = append(went, executed{at, c.used})
					mu.Unlock()
				})
			}
			wg.Wait()
			for _, from := range went {
				for _, to := range went {
					if to.at.Before(from.at) {
						continue // no window
					}
					requests, tokens := int64(0), int64(0)
					for _, x := range went {
						if !x.at.Before(from.at) && !x.at.After(to.at) {
							requests++
							tokens += x.tokens
						}
					}
					window := to.at.Sub(from.at).Minutes() + 1
					if float64(requests) > float64(m.RPM)*window+1e-6 || float64(tokens) > float64(m.TPM)*window+1e-3 {
						t.Errorf("%d requests and %d tokens in %v", requests, tokens, to.at.Sub(from.at))
					}
				}
			}
			time.Sleep(2 * time.Minute)
			if len(clients) > 0 {
				for _, st := range s.Report() {
					if st.Waiting != 0 || st.InFlight != 0 || st.Callers != 0 || st.Requests != m.RPM || st.Tokens != m.TPM {
						t.Errorf("left behind: %+v", st)
					}
				}
			}
		})
		if t.Failed() {
			r.FailNow()
		}
	})
}

// TestManyGoroutines is for the race detector: real time, real timers,
// everything at once.
func TestManyGoroutines(t *testing.T) {
	defer goleak.VerifyNone(t)
	s := mustScheduler(t, queue.Rule{Models: "*", Model: queue.Model{RPM: 600_000, TPM: 6_000_000, MaxParallel: 7, MaxQueue: 50, MaxWait: 20 * time.Millisecond}})
	var wg sync.WaitGroup
	var served, refused, gone atomic.Int64
	for i := range 16 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(int(2*time.Millisecond))))
				g, err := s.Acquire(ctx, queue.Demand{Model: fmt.Sprint(rnd.IntN(3)), Caller: fmt.Sprint(rnd.IntN(4)), Tokens: rnd.Int64N(1000)})
				switch {
				case err == nil:
					served.Add(1)
					g.Learn(queue.Feedback{Tokens: queue.Left{Known: true, Remaining: rnd.Int64N(6_000_000)}})
					if rnd.IntN(2) == 0 {
						g.Cancel()
					}
					g.Settle(rnd.Int64N(1000))
				case errors.Is(err, context.DeadlineExceeded):
					gone.Add(1)
				default:
					refused.Add(1)
				}
				cancel()
				if rnd.IntN(50) == 0 {
					s.Report()
				}
			}
		})
	}
	wg.Wait()
	if n := served.Load() + refused.Load() + gone.Load(); n != 16*300 || served.Load() == 0 {
		t.Errorf("%d served, %d refused, %d gone", served.Load(), refused.Load(), gone.Load())
	}
	for _, st := range s.Report() {
		if st.Waiting != 0 || st.InFlight != 0 {
			t.Errorf("left behind: %+v", st)
		}
	}
}

// common is an exact allowance that replicas share.
type common struct {
	mu      sync.Mutex
	started time.Time
	limit   int64
	taken   int64
	broken  bool
	asked   int
	key     string
}

func (c *common) Take(_ context.Context, key string, m queue.Model, tokens int64) (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	c.key = key
	if c.broken {
		return time.Hour, errors.New("out of order")
	}
	if wait := time.Duration(c.taken+tokens-c.limit)*time.Minute/time.Duration(c.limit) - time.Since(c.started); wait > 0 {
		return wait, nil
	}
	c.taken += tokens
	return 0, nil
}

func (c *common) Give(_ string, _ queue.Model, requests, tokens int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken -= tokens
}

func TestReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &common{started: time.Now(), limit: 6000}
		var replicas []*queue.Scheduler
		for range 2 {
			s, err := queue.New(queue.Options{Shared: shared, Rules: []queue.Rule{
				{Route: "r", Models: "m", Model: queue.Model{TPM: 6000, MaxQueue: 100, MaxWait: 30 * time.Second}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			replicas = append(replicas, s)
		}
		d := queue.Demand{Route: "r", Model: "m", Caller: "a", Tokens: 1000}
		ends := []<-chan outcome{send(t, replicas[0], repeat(d, 5)...), send(t, replicas[1], repeat(d, 5)...)}
		var last time.Duration
		atOnce := 0
		for i, ends := range ends {
			previous := ""
			for _, o := range all(ends) {
				if o.reason() != "served" && o.reason() != queue.Timeout {
					t.Errorf("replica %d: %v", i, o.err)
				}
				if o.err == nil {
					if o.name < previous {
						t.Errorf("replica %d: %s went after %s", i, o.name, previous)
					}
					previous = o.name
					last = max(last, o.after)
				}
				if o.after == 0 {
					atOnce++
				}
			}
		}
		if atOnce != 6 || last > 30*time.Second || shared.taken < 8000 {
			t.Errorf("%d went at once, %d tokens until %v", atOnce, shared.taken, last)
		}
		if shared.key != "r\x00m" {
			t.Errorf("key %q", shared.key)
		}
		if n := shared.asked; n > 60 {
			t.Errorf("the shared allowance was asked %d times", n)
		}

		// What is given back comes back to all replicas.
		time.Sleep(time.Minute)
		before := shared.taken
		g, err := replicas[0].Acquire(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		g.Settle(400)
		g.Settle(100)
		if shared.taken != before+400 {
			t.Errorf("%d of 400 are taken", shared.taken-before)
		}
		if g, err = replicas[0].Acquire(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		g.Cancel()
		g.Cancel()
		if shared.taken != before+400 {
			t.Errorf("%d of 400 are taken", shared.taken-before)
		}

		// Without it each replica counts for itself.
		shared.broken = true
		time.Sleep(time.Minute)
		for _, s := range replicas {
			for i, o := range all(send(t, s, repeat(d, 7)...)) {
				if want := time.Duration(max(i-5, 0)) * 10 * time.Second; o.after != want {
					t.Errorf("alone: number %d after %v, want %v", i, o.after, want)
				}
			}
		}
	})
}

// TestAReplicaWithoutAQueue has two replicas in which no request may wait.
func TestAReplicaWithoutAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &common{started: time.Now(), limit: 100}
		for i := range 2 {
			s, _ := queue.New(queue.Options{Shared: shared, Rules: []queue.Rule{{Models: "*", Model: queue.Model{TPM: 100}}}})
			o := <-send(t, s, queue.Demand{Tokens: 100})
			if o.after != 0 || (o.err == nil) != (i == 0) {
				t.Errorf("%d: %s after %v", i, o.reason(), o.after)
			}
			if i == 1 && (o.err.Reason != queue.Full || o.err.RetryAfter != time.Minute) {
				t.Errorf("%+v", o.err)
			}
		}
	})
}

func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustScheduler(t, queue.Rule{Models: "*", Model: queue.Model{RPM: 1, MaxQueue: 1}})
		keepalives := 0
		d := queue.Demand{Keepalive: 15 * time.Second, OnKeepalive: func() { keepalives++ }}
		for _, want := range []int{0, 3} {
			if _, err := s.Acquire(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			// At 60 s both the turn and the fourth keepalive come.
			if keepalives != want && keepalives != want+want/3 {
				t.Errorf("%d keepalives, want %d", keepalives, want)
			}
		}
	})
}
