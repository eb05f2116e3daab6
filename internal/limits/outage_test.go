package limits_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"forward/internal/limits"
	"forward/internal/redis"
	"forward/internal/redis/redistest"
)

// journal collects log lines.
type journal struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) count(s string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.buf.String(), s)
}

// TestRedisThatGoesAndComes loses Redis in two ways. Requests must go on by the
// local store, the loss must be logged once, and Redis must be used again when
// it is back.
func TestRedisThatGoesAndComes(t *testing.T) {
	for _, way := range []string{"dies", "hangs"} {
		t.Run(way, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			t.Run("", func(t *testing.T) { goAndCome(t, way) })
		})
	}
}

func goAndCome(t *testing.T, way string) {
	m := miniredis.RunT(t)
	l, log := redistest.NewProxy(t, m.Addr()), &journal{}
	c := redistest.Open(t, redis.Options{URL: "redis://" + l.Addr().String(), Log: slog.New(slog.NewTextHandler(log, nil))})
	g := mustGate(t, limits.Options{Global: rates(t, "3/hour"), Redis: c})
	redistest.Eventually(t, "healthy", func() bool { ok, _ := g.Healthy(); return ok })
	if way == "dies" {
		l.Cut()
	} else {
		l.Swallows.Store(true)
	}
	admitted := 0
	started := time.Now()
	for range 100 {
		if ask(t, g, "a") == 0 {
			admitted++
		}
	}
	// 100 requests that each waited as long as one may would take 4 s, and
	// minutes with the defaults of go-redis. 100 requests that each waited as
	// long as one may would take 4 s, and with go-redis's defaults minutes.
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("100 requests took %v", took)
	}
	if admitted != 3 {
		t.Errorf("without Redis %d of 100 were admitted, the local store allows 3", admitted)
	}
	redistest.Eventually(t, "not healthy", func() bool { ok, detail := g.Healthy(); return !ok && detail != "" })
	if way == "dies" {
		l.Reopen(t)
	} else {
		l.Swallows.Store(false)
	}
	redistest.Eventually(t, "healthy again", func() bool { ok, _ := g.Healthy(); return ok })
	redistest.Eventually(t, "counts in Redis again", func() bool { ask(t, g, "b"); return len(m.Keys()) > 0 && hasKey(m, "\x00b}") })
	if down, up := log.count("does not answer"), log.count("answers again"); down != 1 || up != 1 {
		t.Errorf("logged %d times that Redis is down and %d times that it is back", down, up)
	}
	c.Close() // before the leak check
}

func hasKey(m *miniredis.Miniredis, part string) bool {
	for _, key := range m.Keys() {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// TestRedisThatWasNeverThere starts without Redis: that is logged, and is no
// error.
func TestRedisThatWasNeverThere(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	log := &journal{}
	c, err := redis.Open(redis.Options{URL: "redis://:s3cret@" + l.Addr().String(), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	g := mustGate(t, limits.Options{Global: rates(t, "1/hour"), Redis: c})
	if ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
		t.Error("the local store does not hold the limit")
	}
	redistest.Eventually(t, "logged", func() bool { return log.count("does not answer") == 1 })
	if log.count("s3cret") > 0 {
		t.Error("the password is in the log")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestOnlyTheProbeWaits makes many requests that need a hanging Redis. Only
// those that came before it was noticed wait for it.
func TestOnlyTheProbeWaits(t *testing.T) {
	m := miniredis.RunT(t)
	l := redistest.NewProxy(t, m.Addr())
	c, err := redis.Open(redis.Options{URL: "redis://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g := mustGate(t, limits.Options{Global: rates(t, "1000/hour"), Redis: c})
	redistest.Eventually(t, "healthy", c.Healthy)
	l.Swallows.Store(true)
	ask(t, g, "a") // finds out
	before := l.Received.Load()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { ask(t, g, "a") })
	}
	wg.Wait()
	redistest.Eventually(t, "not healthy", func() bool { ok, _ := g.Healthy(); return !ok })
	if n := l.Received.Load() - before; n > 3 { // the probe, and perhaps its next
		t.Errorf("Redis was asked %d times by 200 requests", n)
	}
}
