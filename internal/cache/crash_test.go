package cache_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"forward/internal/cache"
)

// childDir is the environment variable that turns the test binary into a
// process that writes to a cache until it is killed. killRounds overrides how
// often that is done.
const (
	childDir   = "FORWARD_CACHE_TEST_CHILD"
	childFrom  = "FORWARD_CACHE_TEST_FROM"
	fullDir    = "FORWARD_CACHE_TEST_FULL" // makes it the child of TestFullDiskAtClose
	killRounds = "FORWARD_CACHE_KILL_ROUNDS"
)

const childBytes = 32 << 20

// sizeOf spreads the answers of the child from 50 bytes to 40 kB.
func sizeOf(n int) int { return 50 + n*7919%40_000 }

// writeUntilKilled puts answers in order and prints the number of the first
// that is not yet known to be written.
func writeUntilKilled(dir string) {
	n, err := strconv.Atoi(os.Getenv(childFrom))
	if err != nil {
		panic(err)
	}
	c, err := cache.Open(cache.Options{Dir: dir, MaxBytes: childBytes})
	if err != nil {
		panic(err)
	}
	fmt.Println(n)
	for {
		for range 1 + n%20 {
			c.Put(keyOf(n), answerTo(n, sizeOf(n)))
			n++
		}
		for c.Stats().Pending > 0 {
			time.Sleep(50 * time.Microsecond)
		}
		fmt.Println(n)
	}
}

// TestKill9 kills a process that writes, at random moments, and then reads
// everything it may have written. An answer is whole and right or is not there;
// of those acknowledged as written only what rotation dropped may be missing,
// and what was written last has not been rotated out.
func TestKill9(t *testing.T) {
	t.Parallel()
	rounds := 3
	if s := os.Getenv(killRounds); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	from, hits := 0, 0
	var slowest time.Duration
	for round := range rounds {
		acknowledged := runAndKill(t, dir, from)
		start := time.Now()
		var log output
		c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: childBytes, Log: log.logger()})
		if slowest = max(slowest, time.Since(start)); slowest > 2*time.Second {
			t.Errorf("round %d: start took %s", round, slowest)
		}
		const unacknowledged = 100
		// The last first: what is read of the older generation is written
		// again, and so may push out what was not read yet.
		for n := acknowledged + unacknowledged - 1; n >= 0; n-- {
			e, ok := get(c, keyOf(n))
			if ok && !answers(e, n) {
				t.Fatalf("round %d: a wrong answer to %d", round, n)
			}
			if ok {
				hits++
			} else if n < acknowledged && n >= max(from, acknowledged-100) {
				t.Errorf("round %d: %d of %d was acknowledged and is lost\n%s", round, n, acknowledged, log.String())
			}
		}
		if got := onDisk(t, dir); got > childBytes {
			t.Errorf("round %d: %d bytes on disk", round, got)
		}
		MustClose(t, c)
		if s := log.String(); s != "" {
			t.Errorf("round %d: %s", round, s)
		}
		from = acknowledged + unacknowledged
	}
	t.Logf("%d rounds, %d answers written, %d hits, slowest start %s", rounds, from, hits, slowest)
}

// runAndKill runs the child for some milliseconds after its first write, and
// returns what it has acknowledged.
func runAndKill(t *testing.T, dir string, from int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childFrom+"="+strconv.Itoa(from))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the child did not start")
	}
	killer := time.AfterFunc(time.Duration(rand.IntN(400))*time.Millisecond, func() { child.Process.Kill() })
	defer killer.Stop()
	acknowledged := from
	for lines.Scan() {
		if n, err := strconv.Atoi(lines.Text()); err == nil && n > acknowledged {
			acknowledged = n
		}
	}
	child.Wait()
	return acknowledged
}

// writeFillAndClose is the child of TestFullDiskAtClose.
func writeFillAndClose(disk string) {
	c, err := cache.Open(cache.Options{Dir: filepath.Join(disk, "cache")})
	if err != nil {
		panic(err)
	}
	for n := range 300 {
		c.Put(keyOf(n), answerTo(n, 3000))
	}
	for c.Stats().Pending > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := fillUp(filepath.Join(disk, "filler")); err != nil {
		panic(err)
	}
	if err := c.Close(); err != nil {
		panic(err)
	}
}

// fillUp writes until the disk has no byte left.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := bytes.Repeat([]byte("x"), 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}
