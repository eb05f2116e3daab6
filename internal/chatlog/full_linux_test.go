package chatlog_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"forward/internal/chatlog"
)

// TestFullDisk fills a file system of 1 MiB. Every line in the log is whole,
// every other one is counted, and when there is space again the log goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			t.Fatalf("mounting a tmpfs: %v", err)
		}
		t.Skipf("mounting a tmpfs: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 512<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var warnings strings.Builder
	l := open(t, chatlog.Options{Dir: dir, KeepRepeats: true, Log: slog.New(slog.NewTextHandler(&warnings, nil))})
	long := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 1501) + `"}]}`
	logged := 0
	for ; logged < 1000; logged++ {
		exchange(t, l, "u", long, "")
	}
	eventually(t, func() bool { return accounted(l, dir, logged) })
	full := len(allLines(t, filepath.Join(dir, "openai/chat")))
	if full+int(l.Dropped()) != logged || full < 100 {
		t.Errorf("%d lines and %d dropped of %d", full, l.Dropped(), logged)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	lost := l.Dropped()
	for range 100 {
		exchange(t, l, "u", long, "")
	}
	l.Close()
	if n := len(allLines(t, filepath.Join(dir, "openai/chat"))); n != full+100 || l.Dropped() != lost {
		t.Errorf("%d lines after there was space for 100 more than %d", n, full)
	}
	if n := strings.Count(warnings.String(), "loses lines"); n != 1 {
		t.Errorf("warned %d times: %s", n, warnings.String())
	}

	// A log that is opened on a full disk works as well, once there is space.
	if err := os.WriteFile(filler, bytes.Repeat([]byte{1}, 2<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	l = open(t, chatlog.Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	os.Remove(filler)
	exchange(t, l, "again", long, hello)
	l.Close()
	if l.Dropped() != 0 {
		t.Errorf("dropped %d", l.Dropped())
	}
}

// accounted reports whether every line is in a file or counted as lost.
func accounted(l *chatlog.Log, dir string, logged int) bool {
	n := int(l.Dropped())
	paths, _ := filepath.Glob(filepath.Join(dir, "openai/chat/*.log"))
	for _, path := range paths {
		raw, _ := os.ReadFile(path)
		n += bytes.Count(raw, []byte{'\n'})
	}
	return n == logged
}
