package limits_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"forward/internal/limits"
	"forward/internal/redis/redistest"
)

func redisGate(t testing.TB, url string, s limits.Strategy, limit string) *limits.Gate {
	t.Helper()
	g := mustGate(t, limits.Options{Global: rates(t, limit), Strategy: s, Redis: redistest.Patient(t, url)})
	if g.Backend() != "redis" {
		t.Fatal("the backend is", g.Backend())
	}
	return g
}

func TestReplicasShareTheirLimits(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		for _, s := range strategies {
			for _, limit := range []string{"60/hour;1000/day", "60/hour;20000/day"} {
				replicas := []*limits.Gate{redisGate(t, url, s, limit), redisGate(t, url, s, limit)}
				var admitted atomic.Int64
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						for range 25 {
							if ask(t, replicas[i%2], limit) == 0 {
								admitted.Add(1)
							}
						}
					})
				}
				wg.Wait()
				if n := admitted.Load(); n != 60 {
					t.Errorf("%s %s: two replicas admitted %d of 200", s, limit, n)
				}
			}
		}
		c := redistest.Client(t, url)
		for _, key := range c.Keys(t.Context(), "*").Val() {
			if c.PTTL(t.Context(), key).Val() <= 0 {
				t.Errorf("%q never expires", key)
			}
			if !strings.HasPrefix(key, "forward:limits:{") {
				t.Errorf("%q has no hash tag", key)
			}
		}
	})
}

// TestTheRealClock waits on a real server for as long as the answers state.
func TestTheRealClock(t *testing.T) {
	for _, s := range strategies {
		t.Run(string(s), func(t *testing.T) {
			g := mustGate(t, limits.Options{
				Global: []limits.Rate{{Limit: 2, Period: 30 * time.Millisecond}}, Strategy: s, Redis: redistest.Patient(t, redistest.Start(t))})
			for range 4 {
				wait := ask(t, g, "a")
				if wait > 30*time.Millisecond {
					t.Errorf("a wait of %v", wait)
				}
				if time.Sleep(wait); wait > 0 && ask(t, g, "a") != 0 {
					t.Errorf("waited %v and was refused", wait)
				}
			}
		})
	}
}

func TestRedisThatForgets(t *testing.T) {
	redistest.Each(t, func(t *testing.T, url string) {
		c := redistest.Client(t, url)
		for _, s := range strategies {
			g := redisGate(t, url, s, "2/hour")
			if ask(t, g, "a") != 0 {
				t.Fatal("not admitted")
			}
			if err := c.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
				t.Errorf("%s: SCRIPT FLUSH changed what is counted", s)
			}
			if err := c.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if ask(t, g, "a") != 0 || ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
				t.Errorf("%s: after FLUSHALL it does not count from zero", s)
			}
			if ok, detail := g.Healthy(); !ok {
				t.Error(detail)
			}
			c.FlushAll(t.Context())
		}
	})
}

// TestRedisThatRefuses has a Redis that answers with errors, because it cannot
// be written to.
func TestRedisThatRefuses(t *testing.T) {
	url := redistest.Start(t)
	g := redisGate(t, url, limits.FixedWindow, "1/hour")
	if err := redistest.Client(t, url).ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
		t.Error("the local store does not hold the limit")
	}
	redistest.Eventually(t, "not healthy", func() bool { ok, _ := g.Healthy(); return !ok })
	redistest.Client(t, url).ConfigSet(t.Context(), "min-replicas-to-write", "0")
	redistest.Eventually(t, "healthy again", func() bool { ok, _ := g.Healthy(); return ok })
}

func TestAClientThatLeavesProvesNothingAboutRedis(t *testing.T) {
	g := redisGate(t, "redis://"+miniredis.RunT(t).Addr(), limits.FixedWindow, "100/hour")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		g.Admit(ctx, []string{"/x"}, "r", limits.Caller{ID: "a"})
	}
	if ok, detail := g.Healthy(); !ok {
		t.Error(detail)
	}
}

func BenchmarkRedis(b *testing.B) {
	url := os.Getenv("LIMITS_BENCH_REDIS")
	if url == "" {
		b.Skip("set LIMITS_BENCH_REDIS to the URL of a Redis")
	}
	for _, s := range strategies {
		b.Run(string(s), func(b *testing.B) {
			g := redisGate(b, url, s, "1000/minute;10000/hour")
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ask(b, g, "bench")
				}
			})
		})
	}
}
