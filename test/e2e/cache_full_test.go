//go:build e2e && linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"forward/test/harness"
)

// TestFullDiskUnderLoad fills the disk of the cache from outside while 50
// requests a second come, twice: every request is answered, the process lives,
// and it remembers answers again when there is space.
func TestFullDiskUnderLoad(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=200m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a tmpfs cannot be mounted here (%v), so full disks are not tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-full-disk-1", "FORWARD_KEY=fk-full-disk-1",
		"CACHE_CHAT_COMPLETION=true", "CACHE_ROOT_PATH_OR_URL="+filepath.Join(disk, "cache"))
	ask := func(prompt string) answer {
		return send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("gpt-4o-mini", prompt, `,"caching":true`), bearer("fk-full-disk-1")...)
	}
	// Some seconds of requests, each with 8 KiB that come back, so that the
	// cache has something to write.
	n := 0
	load := func(seconds int) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		var all sync.WaitGroup
		for range 50 * seconds {
			<-tick.C
			prompt := fmt.Sprintf("%d %s", n, strings.Repeat("lorem ipsum ", 700))
			n++
			all.Go(func() {
				if a := ask(prompt); a.err != nil || a.status != 200 || !strings.Contains(string(a.body), prompt[:60]) {
					t.Errorf("status %d, %v: %s", a.status, a.err, harness.Tail(string(a.body)))
				}
			})
		}
		all.Wait()
	}
	filler := filepath.Join(disk, "filler")
	for round := range 2 {
		load(1)
		filled := make(chan error)
		go func() { filled <- fill(filler) }()
		load(3)
		if err := <-filled; err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, 10*time.Second, "the gateway says that it writes no more", func() bool {
			return strings.Count(gw.Stderr.String(), "writing is off") == round+1
		})
		load(1) // on a disk that is full all the time
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, 10*time.Second, "an answer is remembered again", func() bool {
			prompt := fmt.Sprint("after the disk had been full ", round, " ", n)
			n++
			return ask(prompt).status == 200 && ask(prompt).header.Get("X-Cache") == "HIT"
		})
	}
	select {
	case <-gw.Done:
		t.Fatal("the gateway has ended")
	default:
	}
	gw.Stop()
}

// fill writes a file until there is no byte left.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}
