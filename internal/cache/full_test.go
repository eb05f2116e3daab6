//go:build linux

package cache_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"forward/internal/cache"
)

// mountSmall mounts a file system of its own that is bytes large.
func mountSmall(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: a tmpfs cannot be mounted here (%v), so full disks are not tested", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills the disk from outside while answers are being written,
// several times. A Badger that writes on would be the end of this process.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := mountSmall(t, "200m")
	filler := filepath.Join(disk, "filler")
	var log output
	c := MustOpen(t, cache.Options{Dir: filepath.Join(disk, "cache"), Log: log.logger()})
	n := 0
	write := func(count int) {
		for range count {
			c.Put(keyOf(n), answerTo(n, 3000))
			n++
			time.Sleep(time.Millisecond)
		}
	}
	for round := range 3 {
		write(50)
		drain(t, c)
		kept := n
		filled := make(chan error)
		go func() { filled <- fillUp(filler) }()
		write(100)
		if err := <-filled; err != nil {
			t.Fatal(err)
		}
		write(50)
		if ok, detail := c.Healthy(); ok || !strings.Contains(detail, "full") {
			t.Errorf("round %d: healthy on a full disk (%q)", round, detail)
		}
		if c.Put(keyOf(n), answerTo(n, 3000)) {
			t.Errorf("round %d: queued although nothing is written", round)
		}
		for i := range kept {
			if e, ok := get(c, keyOf(i)); ok && !answers(e, i) {
				t.Fatalf("round %d: a wrong answer to %d", round, i)
			} else if !ok && i >= kept-50 {
				t.Errorf("round %d: %d is lost", round, i)
			}
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		await(t, "writing to go on", func() bool { ok, _ := c.Healthy(); return ok })
	}
	write(50)
	MustClose(t, c)
	if c := MustOpen(t, cache.Options{Dir: filepath.Join(disk, "cache")}); true {
		if e, ok := get(c, keyOf(n-1)); !ok || !answers(e, n-1) {
			t.Error("nothing was written after the disk had been full")
		}
	}
	if strings.Count(log.String(), "writing is off") != 3 || strings.Count(log.String(), "writing is on again") != 3 {
		t.Error(log.String())
	}
}

// TestFullDiskAtClose is a process of its own, because a cache that cannot be
// closed in order leaves goroutines behind.
func TestFullDiskAtClose(t *testing.T) {
	t.Parallel()
	disk := mountSmall(t, "64m")
	dir := filepath.Join(disk, "cache")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fullDir+"="+disk)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	c := MustOpen(t, cache.Options{Dir: dir})
	for n := range 300 {
		if e, ok := get(c, keyOf(n)); !ok || !answers(e, n) {
			t.Fatalf("%d is lost", n)
		}
	}
}

func TestFullDiskAtStart(t *testing.T) {
	t.Parallel()
	disk := mountSmall(t, "64m")
	dir, filler := filepath.Join(disk, "cache"), filepath.Join(disk, "filler")
	c := MustOpen(t, cache.Options{Dir: dir})
	c.Put(keyOf(1), answerTo(1, 3000))
	MustClose(t, c)
	if err := fillUp(filler); err != nil {
		t.Fatal(err)
	}
	var log output
	c = MustOpen(t, cache.Options{Dir: dir, Log: log.logger()})
	if ok, _ := c.Healthy(); ok || !strings.Contains(log.String(), "nearly full") {
		t.Errorf("a full disk is not logged: %s", log.String())
	}
	if _, ok := get(c, keyOf(1)); ok {
		t.Error("a hit from a store that is not open")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	await(t, "the cache to open", func() bool { ok, _ := c.Healthy(); return ok })
	if e, ok := get(c, keyOf(1)); !ok || !answers(e, 1) {
		t.Error("what was there before is lost")
	}
}

// TestDiskSmallerThanTheCache leaves the cache alone on a disk smaller than its
// bound.
func TestDiskSmallerThanTheCache(t *testing.T) {
	t.Parallel()
	c := MustOpen(t, cache.Options{Dir: filepath.Join(mountSmall(t, "64m"), "cache"), MaxBytes: 1 << 30})
	e := answerTo(0, 50_000)
	for n := range 2000 {
		for !c.Put(keyOf(n), e) {
			if ok, detail := c.Healthy(); !ok {
				t.Fatal(detail)
			}
			drain(t, c)
		}
	}
	drain(t, c)
	if _, ok := get(c, keyOf(1999)); !ok {
		t.Error("what was written last is gone")
	}
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := mountSmall(t, "64m")
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip("SKIPPED: ", err)
	}
	_, err := cache.Open(cache.Options{Dir: filepath.Join(disk, "cache")})
	if err == nil || !strings.Contains(err.Error(), "cannot be written by user") {
		t.Error(err)
	}
}
