package limits_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"forward/internal/limits"
)

// backends are what the Redis tests run against: miniredis always, the real server where it is installed.
func backends(t *testing.T, test func(t *testing.T, url string, stop func())) {
	t.Run("miniredis", func(t *testing.T) {
		m := miniredis.RunT(t)
		test(t, "redis://"+m.Addr(), m.Close)
	})
	t.Run("redis-server", func(t *testing.T) {
		path, err := exec.LookPath("redis-server")
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("redis-server is not installed")
			}
			t.Skip("SKIPPED: redis-server is not installed; install Debian's redis-server to run this")
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := sync.OnceFunc(func() { cmd.Process.Kill(); cmd.Wait() })
		t.Cleanup(stop)
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if conn, err := net.Dial("tcp", addr); err == nil {
				conn.Close()
				break
			}
			if time.Now().After(end) {
				t.Fatal("redis-server does not come up")
			}
		}
		test(t, "redis://"+addr, stop)
	})
}

func redisGate(t *testing.T, url string, s limits.Strategy, limit string) *limits.Gate {
	t.Helper()
	g, err := limits.NewGate(limits.Options{Global: rates(t, limit), Strategy: s, Redis: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func TestReplicasShareTheirLimits(t *testing.T) {
	for _, s := range []limits.Strategy{limits.FixedWindow, limits.ElasticWindow, limits.MovingWindow} {
		t.Run(string(s), func(t *testing.T) {
			backends(t, func(t *testing.T, url string, _ func()) {
				replicas := []*limits.Gate{redisGate(t, url, s, "60/minute;1000/day"), redisGate(t, url, s, "60/minute;1000/day")}
				var admitted atomic.Int64
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						for range 25 {
							if ask(t, replicas[i%2]) == 0 {
								admitted.Add(1)
							}
						}
					})
				}
				wg.Wait()
				if n := admitted.Load(); n != 60 {
					t.Errorf("two replicas admitted %d of 200 against 60/minute", n)
				}
			})
		})
	}
}

func TestARefusedRequestConsumesNothingInRedis(t *testing.T) {
	for _, s := range []limits.Strategy{limits.FixedWindow, limits.MovingWindow} {
		t.Run(string(s), func(t *testing.T) {
			backends(t, func(t *testing.T, url string, _ func()) {
				g := redisGate(t, url, s, "1/minute;3/day")
				for range 5 {
					ask(t, g)
				}
				o, _ := redis.ParseURL(url)
				c := redis.NewClient(o)
				defer c.Close()
				for _, key := range c.Keys(t.Context(), "*/day").Val() {
					n := c.ZCard(t.Context(), key).Val()
					if s == limits.FixedWindow {
						n, _ = c.Get(t.Context(), key).Int64()
					}
					if n != 1 {
						t.Errorf("the day's window counts %d after one admitted request", n)
					}
				}
				for _, key := range c.Keys(t.Context(), "*").Val() {
					if c.PTTL(t.Context(), key).Val() <= 0 {
						t.Errorf("%s never expires", key)
					}
				}
			})
		})
	}
}

func TestRedisThatGoesAndComes(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	g, err := limits.NewGate(limits.Options{Global: rates(t, "3/hour"), Redis: "redis://" + m.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if ask(t, g) != 0 || g.Backend() != "redis" {
		t.Fatal("not admitted")
	}
	m.FlushAll() // data that is lost loses counts, and nothing else
	if ask(t, g) != 0 {
		t.Fatal("not admitted after FLUSHALL")
	}
	addr := m.Addr()
	m.Close()
	begun := time.Now()
	admitted := 0
	for range 20 {
		if ask(t, g) == 0 {
			admitted++
		}
	}
	if took := time.Since(begun); admitted != 3 || took > 200*time.Millisecond {
		t.Errorf("without Redis %d of 20 were admitted in %v; the local store allows 3", admitted, took)
	}
	if ok, detail := g.Healthy(); ok || detail == "" {
		t.Errorf("healthy without Redis: %v %q", ok, detail)
	}
	back := miniredis.NewMiniRedis()
	if err := back.StartAddr(addr); err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if ok, _ := g.Healthy(); ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("does not come back")
		}
	}
	if ask(t, g) != 0 {
		t.Error("not admitted after Redis came back")
	}
}

func TestARedisThatHangsCostsLittle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts by the backlog, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g := redisGate(t, fmt.Sprint("redis://", l.Addr()), limits.FixedWindow, "1000/hour")
	begun := time.Now()
	for range 100 {
		ask(t, g)
	}
	if took := time.Since(begun); took > 500*time.Millisecond {
		t.Errorf("100 requests took %v", took)
	}
}
