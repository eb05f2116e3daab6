package queue

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"forward/internal/redis"
	"forward/internal/redis/redistest"
)

// sent waits until all refunds of b were sent.
func sent(t testing.TB, b *SharedBuckets) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		sends := b.sends
		b.mu.Unlock()
		if !sends {
			return
		}
		if time.Now().After(end) {
			t.Fatal("refunds are not sent")
		}
	}
}

func demand(name string, limit, n int64) amount {
	return amount{name: name, capacity: limit, perMinute: limit, n: n}
}

// TestReplicasShareTheirBuckets takes 400 times on two replicas from a bucket
// that holds 60 and gains 60 an hour.
func TestReplicasShareTheirBuckets(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		replicas := []*SharedBuckets{NewSharedBuckets(redistest.Patient(t, url)), NewSharedBuckets(redistest.Patient(t, url))}
		requests := amount{name: "{m}:requests", capacity: 60, perMinute: 1, n: 1}
		var taken atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 50 {
					ok, wait, err := replicas[i%2].take(t.Context(), []amount{requests, demand("{m}:tokens", 1000, 0)})
					if err != nil || ok != (wait == 0) {
						t.Errorf("%v %v %v", ok, wait, err)
					}
					if ok {
						taken.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if n := taken.Load(); n != 60 {
			t.Errorf("%d of 400 taken", n)
		}
		c := redistest.Client(t, url)
		c.ScriptFlush(t.Context())
		if ok, wait, err := replicas[0].take(t.Context(), []amount{requests}); ok || err != nil || wait > time.Minute {
			t.Errorf("after SCRIPT FLUSH: %v %v %v", ok, wait, err)
		}
		if ttl := c.PTTL(t.Context(), "forward:limits:bucket:{m}:requests").Val(); ttl < 59*time.Minute || ttl > 61*time.Minute {
			t.Errorf("the bucket is forgotten in %v", ttl)
		}
		c.FlushAll(t.Context())
		if ok, _, err := replicas[1].take(t.Context(), []amount{requests}); !ok || err != nil {
			t.Errorf("after FLUSHALL: %v %v", ok, err)
		}
	})
}

// TestBucketsInAnyWindow: what is taken together is within all buckets, no
// window has more than capacity and refill, and a request that waits as long as
// the answer states gets what it wants.
func TestBucketsInAnyWindow(t *testing.T) {
	server := miniredis.RunT(t)
	b := NewSharedBuckets(redistest.Patient(t, "redis://"+server.Addr()))
	rapid.Check(t, func(t *rapid.T) {
		server.FlushAll()
		now := time.Unix(1e9, 0)
		limit := []int64{rapid.Int64Range(1, 100).Draw(t, "requests"), rapid.Int64Range(100, 1e7).Draw(t, "tokens")}
		type take struct {
			at time.Time
			n  [2]int64
		}
		var takes []take
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 20e6).Draw(t, "µs")) * time.Microsecond)
			server.SetTime(now)
			n := [2]int64{1, rapid.Int64Range(0, limit[1]).Draw(t, "n")}
			demands := []amount{demand("r", limit[0], n[0]), demand("t", limit[1], n[1])}
			ok, wait, err := b.take(t.Context(), demands)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				server.SetTime(now.Add(wait - 2*time.Microsecond))
				if early, _, _ := b.take(t.Context(), demands); early {
					t.Fatalf("a wait of %v, and available before", wait)
				}
				now = now.Add(wait)
				server.SetTime(now)
				if ok, again, err := b.take(t.Context(), demands); !ok {
					t.Fatalf("waited %v, and then %v %v", wait, again, err)
				}
			}
			takes = append(takes, take{now, n})
			for i := range limit {
				sum := int64(0)
				for j := len(takes) - 1; j >= 0; j-- {
					sum += takes[j].n[i]
					if most := float64(limit[i]) * (1 + now.Sub(takes[j].at).Minutes()); float64(sum) > most*(1+1e-9) {
						t.Fatalf("%d in %v, limit %d a minute", sum, now.Sub(takes[j].at), limit[i])
					}
				}
			}
		}
	})
}

func TestGive(t *testing.T) {
	server := miniredis.RunT(t)
	b := NewSharedBuckets(redistest.Patient(t, "redis://"+server.Addr()))
	now := time.Unix(1e9, 0)
	server.SetTime(now)
	left := func() (n int64) {
		t.Helper()
		for n = 100; n > 0; n-- {
			if ok, _, err := b.take(t.Context(), []amount{demand("b", 100, n)}); ok && err == nil {
				b.give([]amount{demand("b", 100, n)})
				sent(t, b)
				return n
			}
		}
		return 0
	}
	step := func(what string, want int64) {
		t.Helper()
		sent(t, b)
		if got := left(); got != want {
			t.Errorf("%s: %d left, want %d", what, got, want)
		}
	}
	step("at first", 100)
	b.give([]amount{demand("b", 100, 50)})
	step("more than it holds", 100)
	b.give([]amount{demand("b", 100, -30)})
	b.give([]amount{demand("b", 100, -30)})
	step("charged", 40)
	b.give([]amount{demand("b", 100, -30)})
	step("charged again", 10)
	b.give([]amount{demand("b", 100, -60)})
	step("in debt", 0)
	server.SetTime(now.Add(time.Minute))
	step("a minute later", 50)
	server.SetTime(now)
	step("the clock set back", 50)
	server.SetTime(now.Add(15 * time.Second))
	step("and on from there", 75)
	for _, d := range []amount{demand("b", 100, 101), demand("b", 100, -1), demand("b", 0, 0)} {
		if _, _, err := b.take(t.Context(), []amount{d}); err == nil || errors.Is(err, errAlone) || !strings.Contains(err.Error(), "never") {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// TestBucketsWithoutRedis loses Redis: a scheduler then counts for itself.
func TestBucketsWithoutRedis(t *testing.T) {
	m := miniredis.RunT(t)
	l := redistest.NewProxy(t, m.Addr())
	c := redistest.Open(t, redis.Options{URL: "redis://" + l.Addr().String()})
	b := NewSharedBuckets(c)
	model := Model{RPM: 2, TPM: 100}
	redistest.Eventually(t, "there", func() bool { _, err := b.Take(t.Context(), "other", Model{RPM: 1 << 20}, 0); return err == nil })
	if wait, err := b.Take(t.Context(), "r\x00m", model, 100); wait != 0 || err != nil {
		t.Fatal(wait, err)
	}
	if wait, err := b.Take(t.Context(), "r\x00m", model, 50); wait <= 0 || wait > 30*time.Second || err != nil {
		t.Errorf("wait %v, %v", wait, err)
	}
	b.Give("r\x00m", model, 0, 50)
	sent(t, b)
	if wait, err := b.Take(t.Context(), "r\x00m", model, 50); wait != 0 || err != nil {
		t.Error("what was given back is not there:", wait, err)
	}
	l.Swallows.Store(true)
	for range 20 {
		if _, err := b.Take(t.Context(), "r\x00m", model, 1); !errors.Is(err, errAlone) {
			t.Fatal(err)
		}
		b.Give("r\x00m", model, 0, 1)
	}
	redistest.Eventually(t, "not healthy", func() bool { return !c.Healthy() })
	l.Swallows.Store(false)
	redistest.Eventually(t, "there again", func() bool { _, err := b.Take(t.Context(), "r\x00m", model, 0); return err == nil })
}
