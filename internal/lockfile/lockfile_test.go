package lockfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"forward/internal/lockfile"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("LOCKFILE_TEST"); path != "" {
		if _, err := lockfile.Take(path); err != nil {
			panic(err)
		}
		fmt.Println("locked")
		time.Sleep(time.Minute) // until it is killed
		return
	}
	os.Exit(m.Run())
}

func Example() {
	dir, err := os.MkdirTemp("", "lockfile")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "lock")
	first, err := lockfile.Take(path)
	fmt.Println(err)
	_, err = lockfile.Take(path)
	fmt.Println(err)
	fmt.Println(first.Close())
	second, err := lockfile.Take(path)
	fmt.Println(err)
	second.Close()
	// Output:
	// <nil>
	// another process has the lock
	// <nil>
	// <nil>
}

// TestWait takes a lock that a process has: in vain while it lives, and as soon
// as it was killed.
func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	holder := exec.CommandContext(t.Context(), os.Args[0])
	holder.Env = append(os.Environ(), "LOCKFILE_TEST="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer holder.Process.Kill()
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	waits := 0
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := lockfile.Wait(ctx, path, func() { waits++ }); !errors.Is(err, lockfile.ErrHeld) || waits != 1 {
		t.Errorf("%v after %d waits", err, waits)
	}
	l, err := lockfile.Wait(t.Context(), path, func() { holder.Process.Kill() })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	holder.Wait() // was killed
	if _, err := lockfile.Take(filepath.Join(path, "no directory")); err == nil || errors.Is(err, lockfile.ErrHeld) {
		t.Errorf("a file that cannot be made: %v", err)
	}
}

// TestForkedChildrenHoldNothing takes and releases a lock while children are
// forked. It fails where Close only closes the file.
func TestForkedChildrenHoldNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	stop := make(chan struct{})
	var forking sync.WaitGroup
	for range 2 {
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
	for i := range 3000 {
		l, err := lockfile.Take(path)
		if err != nil {
			t.Errorf("round %d: %v", i, err)
			break
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	forking.Wait()
}
