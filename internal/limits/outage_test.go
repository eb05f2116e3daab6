package limits_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"forward/internal/limits"
)

// line is what a gate reaches Redis by. It can be cut, or swallow everything.
type line struct {
	net.Listener
	to       string
	swallows atomic.Bool
	got      atomic.Int64 // messages to Redis
	mu       sync.Mutex   // guards conns
	conns    []net.Conn
	wg       sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	l := &line{to: to}
	var err error
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.wg.Go(l.serve)
	t.Cleanup(func() { l.cut(); l.wg.Wait() })
	return l
}

func (l *line) serve() {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", l.to)
		if err != nil {
			in.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, in, out)
		l.mu.Unlock()
		l.wg.Go(func() { io.Copy(in, out); in.Close() })
		l.wg.Go(func() { l.pump(out, in) })
	}
}

func (l *line) pump(out, in net.Conn) {
	defer out.Close()
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		l.got.Add(1)
		if !l.swallows.Load() {
			out.Write(buf[:n])
		}
	}
}

// cut ends the line as a Redis that dies does.
func (l *line) cut() {
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
}

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

// TestRedisThatGoesAndComes loses Redis in two ways. Requests must go on by the local store, it must be told once, and
// Redis must be used again when it is back.
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
	l, told := newLine(t, m.Addr()), &journal{}
	g := mustGate(t, limits.Eager(limits.Options{
		Global: rates(t, "3/hour"), Redis: "redis://" + l.Addr().String(), Log: slog.New(slog.NewTextHandler(told, nil)),
	}))
	eventually(t, "healthy", func() bool { ok, _ := g.Healthy(); return ok })
	if way == "dies" {
		l.cut()
	} else {
		l.swallows.Store(true)
	}
	admitted := 0
	begun := time.Now()
	for range 100 {
		if ask(t, g, "a") == 0 {
			admitted++
		}
	}
	// 100 requests that each waited as long as one may would take 4 s, and with go-redis's defaults minutes.
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("100 requests took %v", took)
	}
	if admitted != 3 {
		t.Errorf("without Redis %d of 100 were admitted, the local store allows 3", admitted)
	}
	eventually(t, "not healthy", func() bool { ok, detail := g.Healthy(); return !ok && detail != "" })
	if way == "dies" {
		again := &line{to: m.Addr()}
		var err error
		if again.Listener, err = net.Listen("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		again.wg.Go(again.serve)
		t.Cleanup(func() { again.cut(); again.wg.Wait() })
	} else {
		l.swallows.Store(false)
	}
	eventually(t, "healthy again", func() bool { ok, _ := g.Healthy(); return ok })
	eventually(t, "counts in Redis again", func() bool { ask(t, g, "b"); return len(m.Keys()) > 0 && hasKey(m, "\x00b}") })
	if down, up := told.count("does not answer"), told.count("answers again"); down != 1 || up != 1 {
		t.Errorf("told %d times that Redis is down and %d times that it is back", down, up)
	}
	g.Close() // before the leak check
}

func hasKey(m *miniredis.Miniredis, part string) bool {
	for _, key := range m.Keys() {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// TestRedisThatWasNeverThere starts without Redis: that is told, and no error.
func TestRedisThatWasNeverThere(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	told := &journal{}
	g, err := limits.NewGate(limits.Options{Global: rates(t, "1/hour"), Redis: "redis://:s3cret@" + l.Addr().String(), Log: slog.New(slog.NewTextHandler(told, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if ask(t, g, "a") != 0 || ask(t, g, "a") == 0 {
		t.Error("the local store does not hold the limit")
	}
	eventually(t, "told", func() bool { return told.count("does not answer") == 1 })
	if told.count("s3cret") > 0 {
		t.Error("the password is in the log")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
