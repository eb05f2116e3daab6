package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"forward/internal/cache"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	if disk := os.Getenv(fullDir); disk != "" {
		writeFillAndClose(disk)
		return
	}
	goleak.VerifyTestMain(m)
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// output is a log that tests read.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) logger() *slog.Logger { return slog.New(slog.NewTextHandler(o, nil)) }

// MustOpen opens a cache that is closed with the test.
func MustOpen(t testing.TB, o cache.Options) *cache.Cache {
	t.Helper()
	c, err := cache.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func MustClose(t testing.TB, c *cache.Cache) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// eachBackend runs a test with every kind of store; those of Redis are a fake
// and, where there is one, a real server.
func eachBackend(t *testing.T, test func(t *testing.T, o cache.Options)) {
	t.Run("badger", func(t *testing.T) { test(t, cache.Options{Dir: t.TempDir()}) })
	t.Run("memory", func(t *testing.T) { test(t, cache.Options{Backend: "MEMORY"}) })
	t.Run("redis fake", func(t *testing.T) {
		test(t, cache.Options{Backend: "redis://" + miniredis.RunT(t).Addr()})
	})
	t.Run("redis real", func(t *testing.T) { test(t, cache.Options{Backend: realRedis(t)}) })
}

// drain waits until everything put is in the store.
func drain(t testing.TB, c *cache.Cache) {
	t.Helper()
	await(t, "the queue to drain", func() bool { return c.Stats().Pending == 0 })
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func get(c *cache.Cache, k cache.Key) (*cache.Entry, bool) { return c.Get(context.Background(), k) }

func keyOf(n int) cache.Key { return cache.NewKey([]byte("question"), fmt.Append(nil, n)) }

// answerTo returns an answer that can only be the one to question n: its body
// starts with n and a sum over the rest. Of even n the rest does not compress.
func answerTo(n, size int) *cache.Entry {
	body := make([]byte, max(size, 48))
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := 40; i+8 <= len(body); i += 8 {
		if word := r.Uint64(); n%2 == 0 {
			binary.LittleEndian.PutUint64(body[i:], word)
		} else {
			copy(body[i:], fmt.Sprintf("%08x", word%16))
		}
	}
	binary.BigEndian.PutUint64(body, uint64(n))
	sum := sha256.Sum256(append([]byte("of"), append(body[:8:8], body[40:]...)...))
	copy(body[8:40], sum[:])
	return &cache.Entry{
		Status: http.StatusOK, Body: body, Stream: n%3 == 0, Question: cache.Question{Route: "openai", Operation: "chat", Model: "gpt-4o-mini"},
		Header: http.Header{"Content-Type": {"application/json"}, "X-Number": {fmt.Sprint(n), "second"}},
	}
}

// answers reports whether e is the whole answer to question n.
func answers(e *cache.Entry, n int) bool {
	if len(e.Body) < 48 || binary.BigEndian.Uint64(e.Body) != uint64(n) || e.Header.Get("X-Number") != fmt.Sprint(n) {
		return false
	}
	sum := sha256.Sum256(append([]byte("of"), append(e.Body[:8:8], e.Body[40:]...)...))
	return bytes.Equal(e.Body[8:40], sum[:])
}

// onDisk adds up what dir and everything in it takes on disk, as du does.
func onDisk(t testing.TB, dir string) int64 {
	t.Helper()
	var sum int64
	filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return sum
}
