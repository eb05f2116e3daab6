package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"forward/internal/cache"
	"forward/internal/jsonscan"
)

func TestReturnsWhatWasPut(t *testing.T) {
	now := newClock()
	started := now.now()
	entries := map[string]*cache.Entry{
		"body":           {Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"a":1}`), Question: cache.Question{Route: "openai", Operation: "chat", Model: "gpt-4o"}},
		"stream":         {Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: []byte(strings.Repeat("data: {\"x\":1}\n\n", 500)), Stream: true},
		"empty body":     {Status: 204, Header: http.Header{"A": {"1", "2"}, "B": {""}}},
		"binary":         {Status: 599, Header: http.Header{"X": {"\x00\xff"}}, Body: []byte("\x00\xff\xfe")},
		"does not pack":  answerTo(2, 100_000),
		"packs":          answerTo(3, 100_000),
		"own expiry":     {Status: 200, Body: []byte("x"), Header: http.Header{}, Expires: started.Add(time.Hour).Round(0)},
		"own storage at": {Status: 200, Body: []byte("x"), Header: http.Header{}, Stored: started.Add(-time.Hour).Round(0)},
	}
	eachBackend(t, func(t *testing.T, o cache.Options) {
		o.Now, o.TTL = now.now, 24*time.Hour
		c := MustOpen(t, o)
		for name, e := range entries {
			if !c.Put(cache.NewKey([]byte(name)), e) {
				t.Fatalf("%s was refused", name)
			}
		}
		check := func(when string) {
			for name, e := range entries {
				want := *e
				if want.Stored.IsZero() {
					want.Stored = started
				}
				if want.Expires.IsZero() {
					want.Expires = want.Stored.Add(24 * time.Hour)
				}
				got, ok := get(c, cache.NewKey([]byte(name)))
				if !ok {
					t.Errorf("%s: miss %s", name, when)
				} else if diff := cmp.Diff(&want, got, cmp.Comparer(time.Time.Equal), cmpopts.IgnoreUnexported(cache.Question{}), cmpopts.IgnoreFields(cache.Entry{}, "Zstd"), cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })); diff != "" {
					t.Errorf("%s %s: %s", name, when, diff)
				}
			}
		}
		check("at once")
		drain(t, c)
		check("when written")
		if _, ok := get(c, cache.NewKey([]byte("never put"))); ok {
			t.Error("a hit for what was never put")
		}
		if s := c.Stats(); s.Hits != int64(2*len(entries)) || s.Misses != 1 || s.Dropped != 0 || s.Pending != 0 {
			t.Errorf("stats: %+v", s)
		}
		if ok, detail := c.Healthy(); !ok || detail != "" {
			t.Errorf("not healthy: %s", detail)
		}
	})
}

func TestExpiresExactly(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		now := newClock()
		o.Now, o.TTL = now.now, time.Minute
		c := MustOpen(t, o)
		k := keyOf(1)
		c.Put(k, answerTo(1, 2000))
		drain(t, c)
		now.advance(time.Minute - time.Nanosecond)
		if _, ok := get(c, k); !ok {
			t.Error("expired a nanosecond early")
		}
		now.advance(time.Nanosecond)
		if _, ok := get(c, k); ok {
			t.Error("an expired answer was served")
		}
		c.Put(k, answerTo(1, 2000))
		now.advance(2 * time.Minute)
		if _, ok := get(c, k); ok {
			t.Error("an answer that expired in the queue was served")
		}
		if c.Put(k, &cache.Entry{Status: 200, Expires: now.now()}) {
			t.Error("an expired answer was taken")
		}
	})
}

func TestLastPutWins(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		k := keyOf(0)
		for n := range 50 {
			c.Put(k, answerTo(n, 2000))
			if e, ok := get(c, k); !ok || !answers(e, n) {
				t.Fatalf("put %d is not what is there", n)
			}
		}
		drain(t, c)
		if e, ok := get(c, k); !ok || !answers(e, 49) {
			t.Error("the last put is not what was written")
		}
	})
}

func TestEntryIsTheCallersOwn(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		k := keyOf(4)
		c.Put(k, answerTo(4, 2000))
		for _, when := range []string{"queued", "written"} {
			for range 2 {
				e, ok := get(c, k)
				if !ok || !answers(e, 4) {
					t.Fatalf("%s: changes by another caller are in the answer", when)
				}
				clear(e.Body)
				e.Header.Set("X-Number", "changed")
			}
			drain(t, c)
		}
	})
}

func TestRefusesWhatIsTooLong(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		o.MaxEntryBytes = 10_000
		c := MustOpen(t, o)
		for size, want := range map[int]bool{10_000: true, 10_001: false} {
			if got := c.Put(keyOf(size), answerTo(size, size)); got != want {
				t.Errorf("%d bytes: queued %t", size, got)
			}
		}
		if s := c.Stats(); s.Dropped != 1 {
			t.Errorf("%d dropped", s.Dropped)
		}
	})
}

func TestClosedMissesAndRefuses(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		c.Put(keyOf(1), answerTo(1, 2000))
		MustClose(t, c)
		MustClose(t, c)
		if _, ok := get(c, keyOf(1)); ok {
			t.Error("a hit after Close")
		}
		if c.Put(keyOf(2), answerTo(2, 2000)) {
			t.Error("queued after Close")
		}
		c.Stats()
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		var all sync.WaitGroup
		for worker := range 8 {
			all.Go(func() {
				for i := range 200 {
					n := (worker*37 + i) % 300
					if e, ok := get(c, keyOf(n)); !ok {
						c.Put(keyOf(n), answerTo(n, 50+n*20))
					} else if !answers(e, n) {
						t.Errorf("a wrong answer to %d", n)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 20 { // enough for the index tables to be merged
		c := MustOpen(t, cache.Options{Dir: dir})
		for n := range round * 10 {
			if e, ok := get(c, keyOf(n)); !ok || !answers(e, n) {
				t.Fatalf("round %d: %d is lost", round, n)
			}
		}
		for n := round * 10; n < round*10+10; n++ {
			c.Put(keyOf(n), answerTo(n, 3000))
		}
		MustClose(t, c) // flushes the queue
		if s := c.Stats(); s.Stored != 10 {
			t.Fatalf("round %d: %d stored at Close", round, s.Stored)
		}
	}
}

// TestSurvivesRestartBesideChildren opens a directory again and again while
// children are forked, which have its lock until their exec. It fails where the
// lock is left to the close of its file.
func TestSurvivesRestartBesideChildren(t *testing.T) {
	stop := make(chan struct{})
	var forking sync.WaitGroup
	for range 4 {
		forking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					exec.Command("true").Run()
				}
			}
		})
	}
	defer forking.Wait()
	defer close(stop)
	dir := t.TempDir()
	for round := range 15 {
		c, err := cache.Open(cache.Options{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		MustClose(t, c)
	}
}

func TestRefusesOptions(t *testing.T) {
	for name, o := range map[string]cache.Options{
		"backend":         {Backend: "LMDB"},
		"scheme":          {Backend: "http://user:hunter2@x"},
		"redis URL":       {Backend: "redis://user:hunter2@x/database"},
		"bytes":           {MaxBytes: 1000},
		"entry bytes":     {MaxEntryBytes: 1 << 30},
		"negative entry":  {MaxEntryBytes: -1},
		"negative expiry": {TTL: -1},
	} {
		o.Dir = t.TempDir()
		if _, err := cache.Open(o); !errors.Is(err, cache.ErrOptions) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDirectoryIsOneProcesss(t *testing.T) {
	dir := t.TempDir()
	MustOpen(t, cache.Options{Dir: dir})
	_, err := cache.Open(cache.Options{Dir: dir})
	if !errors.Is(err, cache.ErrInUse) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

func TestDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(cache.Options{Dir: file}); err == nil || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	if os.Getuid() == 0 {
		t.Skip("SKIPPED: permissions mean nothing to root")
	}
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := cache.Open(cache.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), fmt.Sprint("user ", os.Getuid())) {
		t.Error(err)
	}
}

func TestOnlyOurUserCanRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	c := MustOpen(t, cache.Options{Dir: dir})
	c.Put(keyOf(1), answerTo(1, 2000))
	drain(t, c)
	filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o", path, got)
		}
		return nil
	})
}

func TestMemoryIsBounded(t *testing.T) {
	c := MustOpen(t, cache.Options{Backend: "MEMORY", MaxBytes: cache.MinBytes})
	e := answerTo(0, 50_000)
	for n := range 2000 {
		c.Put(keyOf(n), e)
		if s := c.Stats(); s.Bytes > cache.MinBytes {
			t.Fatalf("%d bytes held after %d answers", s.Bytes, n)
		}
	}
	if s := c.Stats(); s.Bytes < cache.MinBytes/2 {
		t.Errorf("only %d bytes held", s.Bytes)
	}
	if c.Put(keyOf(0), answerTo(0, 5<<20)) {
		t.Error("an answer of a third of the cache was taken")
	}
}

func ExampleCache() {
	c, err := cache.Open(cache.Options{Backend: "MEMORY", TTL: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	question := func(body string) cache.Key {
		canonical, err := jsonscan.Canonical([]byte(body), func(field string) bool { return field == "stream" })
		if err != nil {
			fmt.Println(err)
		}
		return cache.NewKey([]byte("alice"), []byte("/v1/chat/completions"), canonical)
	}
	c.Put(question(`{"model":"gpt-4o-mini","stream":false,"seed":1}`), &cache.Entry{Status: 200, Body: []byte("Hello!")})

	e, ok := c.Get(context.Background(), question(`{ "seed": 1, "model": "gpt-4o-mini" }`))
	fmt.Println(ok, string(e.Body))
	_, ok = c.Get(context.Background(), question(`{"model":"gpt-4o-mini","seed":2}`))
	fmt.Println(ok)
	// Output:
	// true Hello!
	// false
}
