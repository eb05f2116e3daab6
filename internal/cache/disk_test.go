package cache_test

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/cache"
)

// TestDiskBoundHoldsAtAllTimes writes several times the bound while another
// goroutine adds up what is allocated.
func TestDiskBoundHoldsAtAllTimes(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]struct {
		bound, written int64
		size           func() int
	}{
		"large answers": {cache.MinBytes, 80 << 20, func() int { return 200_000 + rand.IntN(400_000) }},
		"small answers": {cache.MinBytes, 24 << 20, func() int { return 50 + rand.IntN(900) }},
		"all sizes":     {40 << 20, 120 << 20, func() int { return 50 << rand.IntN(14) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: o.bound})
			var peak atomic.Int64
			stop := make(chan struct{})
			var watch sync.WaitGroup
			watch.Go(func() {
				for {
					peak.Store(max(peak.Load(), onDisk(t, dir)))
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			})
			n, body := 0, answerTo(0, 1<<20).Body // which does not compress
			for written := int64(0); written < o.written; n++ {
				size := o.size()
				for !c.Put(keyOf(n), &cache.Entry{Status: 200, Body: body[:size]}) {
					drain(t, c)
				}
				written += int64(size)
				if n%200 == 0 {
					drain(t, c)
				}
			}
			c.Put(keyOf(n), answerTo(n, 3000))
			drain(t, c)
			if e, ok := get(c, keyOf(n)); !ok || !answers(e, n) {
				t.Error("what was written last is gone")
			}
			MustClose(t, c)
			close(stop)
			watch.Wait()
			if peak.Load() > o.bound {
				t.Errorf("%d bytes on disk, the bound is %d", peak.Load(), o.bound)
			}
			t.Logf("%d answers, peak %.1f MiB of %d MiB", n, float64(peak.Load())/(1<<20), o.bound>>20)
		})
	}
}

// TestAnswersInUseOutliveRotation gets one answer repeatedly while others evict
// all the rest.
func TestAnswersInUseOutliveRotation(t *testing.T) {
	t.Parallel()
	c := MustOpen(t, cache.Options{Dir: t.TempDir(), MaxBytes: cache.MinBytes})
	c.Put(keyOf(1), answerTo(1, 3000))
	other := answerTo(0, 50_000)
	for n := 2; n < 1000; n += 2 {
		for !c.Put(keyOf(n), other) {
			drain(t, c)
		}
		if n%20 == 0 {
			drain(t, c)
		}
		if e, ok := get(c, keyOf(1)); !ok || !answers(e, 1) {
			t.Fatalf("lost after %d others", n/2)
		}
	}
	if _, ok := get(c, keyOf(2)); ok {
		t.Error("nothing was pushed out")
	}
}

// TestReadersDuringRotation reads while generations are closed and deleted.
func TestReadersDuringRotation(t *testing.T) {
	t.Parallel()
	c := MustOpen(t, cache.Options{Dir: t.TempDir(), MaxBytes: cache.MinBytes})
	var newest atomic.Int64
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				n := int(newest.Load()) - 2*rand.IntN(200)
				if e, ok := get(c, keyOf(n)); ok && !answers(e, n) {
					t.Errorf("a wrong answer to %d", n)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := 0; n < 400; n += 2 {
		for !c.Put(keyOf(n), answerTo(n, 60_000)) {
			drain(t, c)
		}
		newest.Store(int64(n))
	}
	drain(t, c)
	close(stop)
	readers.Wait()
}

func TestLoweredBoundIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: 128 << 20})
	e := answerTo(0, 50_000)
	for n := range 800 {
		for !c.Put(keyOf(n), e) {
			drain(t, c)
		}
	}
	MustClose(t, c)
	if onDisk(t, dir) < 30<<20 {
		t.Fatal("too little was written for the test to mean anything")
	}
	c = MustOpen(t, cache.Options{Dir: dir, MaxBytes: cache.MinBytes})
	if got := onDisk(t, dir); got > cache.MinBytes {
		t.Errorf("%d bytes on disk", got)
	}
	c.Put(keyOf(1), answerTo(1, 3000))
	drain(t, c)
	if _, ok := get(c, keyOf(1)); !ok {
		t.Error("miss")
	}
}

// TestDamagedFiles is the matrix of everything that can happen to a file. The
// cache must open, must not answer wrongly, and must take new answers, at once
// and after another start. What Badger cannot open must be set aside and
// logged.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	const answersWritten = 300
	writeMatrixCache(t, whole)
	files := matrixFiles(t, whole)
	damage := map[string]func(path string, data []byte) error{
		"flip first": func(path string, data []byte) error { return flip(path, data, 0) },
		"flip mid":   func(path string, data []byte) error { return flip(path, data, len(data)/2) },
		"flip end":   func(path string, data []byte) error { return flip(path, data, len(data)-16) },
		"cut half":   func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
		"cut tail":   func(path string, data []byte) error { return os.WriteFile(path, data[:max(len(data)-7, 0)], 0o600) },
		"empty":      func(path string, data []byte) error { return os.WriteFile(path, nil, 0o600) },
		"zeros":      func(path string, data []byte) error { return os.WriteFile(path, make([]byte, len(data)), 0o600) },
		"delete":     func(path string, _ []byte) error { return os.Remove(path) },
	}
	for _, file := range files {
		for kind, do := range damage {
			t.Run(filepath.Base(file)+" "+kind, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, file)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := do(path, data); err != nil {
					t.Fatal(err)
				}
				checkDamaged(t, dir, answersWritten)
			})
		}
	}
}

// writeMatrixCache leaves a cache that has a file of every kind, as a process
// that was killed leaves it.
func writeMatrixCache(t *testing.T, dir string) {
	t.Helper()
	o := cache.Options{Dir: dir, MaxBytes: cache.MinBytes} // files are small then, and copied fast
	c := MustOpen(t, o)
	for n := range 150 {
		c.Put(keyOf(n), answerTo(n, 50+n*50))
	}
	MustClose(t, c)
	live := t.TempDir()
	if err := os.CopyFS(live, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	o.Dir = live
	c = MustOpen(t, o)
	for n := 150; n < 300; n++ {
		c.Put(keyOf(n), answerTo(n, 50+n*50))
	}
	drain(t, c)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil { // without Close: what kill -9 leaves
		t.Fatal(err)
	}
}

func matrixFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	kinds := map[string]int{}
	matches, err := filepath.Glob(filepath.Join(dir, "gen-*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range matches {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
		kinds[filepath.Ext(name)]++
	}
	if kinds[".sst"] == 0 || kinds[".vlog"] < 2 || kinds[".mem"] == 0 || kinds[""] < 3 {
		t.Fatalf("files: %q", files)
	}
	return files
}

func flip(path string, data []byte, at int) error {
	for i := max(at, 0); i < min(at+16, len(data)); i++ {
		data[i] ^= 0xa5
	}
	return os.WriteFile(path, data, 0o600)
}

func checkDamaged(t *testing.T, dir string, written int) {
	t.Helper()
	for _, when := range []string{"first", "second"} {
		var log output
		// Copying has filled the holes of the files, so they would be too large
		// for the bound they were written under.
		c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: 8 * cache.MinBytes, Log: log.logger()})
		misses := 0
		for n := range written {
			if e, ok := get(c, keyOf(n)); !ok {
				misses++
			} else if !answers(e, n) {
				t.Fatalf("%s start: a wrong answer to %d", when, n)
			}
		}
		fresh := written + 1
		c.Put(keyOf(fresh), answerTo(fresh, 2000))
		drain(t, c)
		if e, ok := get(c, keyOf(fresh)); !ok || !answers(e, fresh) {
			t.Errorf("%s start: nothing is remembered any more", when)
		}
		MustClose(t, c)
		aside, _ := filepath.Glob(filepath.Join(dir, "*.corrupt-*"))
		if misses == written && when == "first" && (len(aside) != 1 || !strings.Contains(log.String(), "set aside")) {
			t.Errorf("everything is lost, and %d directories are set aside\n%s", len(aside), log.String())
		}
		if when == "second" && strings.Contains(log.String(), "set aside") {
			t.Errorf("set aside again: %s", log.String())
		}
	}
}

// TestCrashWhileOpening leaves the files of a process that ended while it
// opened the cache.
func TestCrashWhileOpening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 3 {
		var log output
		c := MustOpen(t, cache.Options{Dir: dir, Log: log.logger()})
		if _, ok := get(c, keyOf(1)); ok {
			t.Errorf("round %d: the directory of the crash was opened again", round)
		}
		if logged := strings.Contains(log.String(), "set aside"); logged != (round > 0) {
			t.Errorf("round %d: log: %s", round, log.String())
		}
		aside, _ := filepath.Glob(filepath.Join(dir, "*.corrupt-*"))
		if len(aside) != min(round, 1) {
			t.Errorf("round %d: %q set aside", round, aside)
		}
		c.Put(keyOf(1), answerTo(1, 2000))
		MustClose(t, c)
		generations, _ := filepath.Glob(filepath.Join(dir, "gen-????????"))
		for _, g := range generations {
			if err := os.WriteFile(filepath.Join(g, "OPENING"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatWasSetAsideCountsAgainstTheBound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: cache.MinBytes})
	fill := func(from int) {
		for n := from; n < from+150; n += 2 {
			c.Put(keyOf(n), answerTo(n, 50_000))
			drain(t, c)
			if got := onDisk(t, dir); got > cache.MinBytes {
				t.Fatalf("%d bytes on disk", got)
			}
		}
	}
	fill(0)
	MustClose(t, c)
	manifests, _ := filepath.Glob(filepath.Join(dir, "gen-*", "MANIFEST"))
	if err := os.Remove(manifests[0]); err != nil {
		t.Fatal(err)
	}
	c = MustOpen(t, cache.Options{Dir: dir, MaxBytes: cache.MinBytes})
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.corrupt-*")); len(aside) != 1 {
		t.Fatalf("%q set aside", aside)
	}
	for round := range 4 {
		fill(1000 * (round + 1))
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.corrupt-*")); len(aside) != 0 {
		t.Errorf("%q still there", aside)
	}
}

func TestFilesOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", "gen-notes", "generation"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	MustClose(t, MustOpen(t, cache.Options{Dir: dir}))
	MustClose(t, MustOpen(t, cache.Options{Dir: dir}))
	for _, name := range []string{"notes.txt", "gen-notes", "generation"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestPutDoesNotWaitForTheDisk(t *testing.T) {
	c := MustOpen(t, cache.Options{Dir: t.TempDir()})
	var slowest time.Duration
	refused := 0
	e := answerTo(2, 20_000)
	for n := range 20_000 { // 400 MB, far more than the queue takes
		start := time.Now()
		if !c.Put(keyOf(n), e) {
			refused++
		}
		slowest = max(slowest, time.Since(start))
	}
	if s := c.Stats(); s.Dropped != int64(refused) || refused == 0 {
		t.Errorf("%d refused, %d counted", refused, s.Dropped)
	}
	if slowest > time.Second {
		t.Errorf("a Put took %s", slowest)
	}
}

// damageMiddle flips some bytes of a value in the file.
func damageMiddle(t *testing.T, dir, file string) {
	t.Helper()
	path := filepath.Join(dir, file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(data, "\x00"))
	if err := flip(path, data, end/2); err != nil {
		t.Fatal(err)
	}
}

// inFiles reports whether any file in dir contains the text.
func inFiles(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var data []byte
			data, err = os.ReadFile(path)
			found = found || bytes.Contains(data, []byte(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
