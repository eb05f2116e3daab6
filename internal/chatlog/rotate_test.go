package chatlog_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

const ask = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

// TestRotation has four writers through many files: no line is lost or torn, no
// file too long, and the names sort by time.
func TestRotation(t *testing.T) {
	const writers, each, maxSize = 4, 500, 16 << 10
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, MaxSize: maxSize})
	b := body(t, ask)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				uid := fmt.Sprintf("%d-%d", w, i)
				l.Request(chatlog.Request{Route: "openai", UID: uid, Time: noon, Operation: dialect.Chat, Body: b})
				l.Result(chatlog.Result{Route: "openai", UID: uid, Operation: dialect.Chat, Status: 200})
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	chat := filepath.Join(dir, "openai/chat")
	entries, _ := os.ReadDir(chat)
	if len(entries) < 20 {
		t.Errorf("only %d files", len(entries))
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Size() > maxSize || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %v", e.Name(), info.Size(), info.Mode())
		}
	}
	if info, _ := os.Stat(chat); info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v", info.Mode())
	}
	next, seen := make(map[string]int), 0 // by writer: which line comes next
	for _, line := range allLines(t, chat) {
		writer, i, _ := strings.Cut(gjson.Get(line, "uid").Str, "-")
		if want := fmt.Sprint(next[writer] / 2); i != want {
			t.Fatalf("line %s of writer %s comes where %s should be", i, writer, want)
		}
		next[writer]++
		seen++
	}
	if seen != 2*writers*each {
		t.Errorf("%d lines, not %d", seen, 2*writers*each)
	}
	summary, err := chatlog.Convert(t.Context(), new(bytes.Buffer), chatlog.ConvertOptions{Dir: dir})
	if err != nil || summary.Exchanges != writers*each || summary.Unanswered+summary.Skipped+summary.Orphans != 0 {
		t.Errorf("converted %+v, %v", summary, err)
	}
}

// TestLongLine: a chat with images is longer than a file may be, and goes into
// one of its own.
func TestLongLine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, MaxSize: 2000})
	long := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 5000) + `"}]}`
	for _, body := range []string{ask, long, ask, ask} {
		exchange(t, l, "u", body, "")
	}
	l.Close()
	var sizes []int
	paths, _ := filepath.Glob(filepath.Join(dir, "openai/chat/*"))
	for _, path := range paths {
		sizes = append(sizes, len(linesOf(t, path)))
	}
	if diff := cmp.Diff([]int{1, 1, 2}, sizes); diff != "" {
		t.Error(diff)
	}
}

// TestClockGoesBack: the names of files set aside sort by time also then.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	chat := filepath.Join(dir, "openai/chat")
	future := filepath.Join(chat, "chat.2099-01-01_00-00-00_000000.log")
	write(t, future, "{}\n", time.Now())
	l := open(t, chatlog.Options{Dir: dir, MaxSize: 1})
	for range 3 {
		exchange(t, l, "u", ask, "")
	}
	l.Close()
	entries, _ := filepath.Glob(filepath.Join(chat, "*"))
	want := []string{future, filepath.Join(chat, "chat.2099-01-01_00-00-00_000001.log"), filepath.Join(chat, "chat.2099-01-01_00-00-00_000002.log"), filepath.Join(chat, "chat.log")}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Error(diff)
	}
}

// TestTornTail: what a killed process left is closed off, so that the next line
// stands alone.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "openai/chat/chat.log")
	write(t, path, `{"messages":[{"role":"user","con`, time.Now())
	l := open(t, chatlog.Options{Dir: dir})
	exchange(t, l, "u", ask, hello)
	l.Close()
	lines := linesOf(t, path)
	if len(lines) != 3 || gjson.Get(lines[1], "uid").Str != "u" || lines[0] != `{"messages":[{"role":"user","con` {
		t.Errorf("%q", lines)
	}
}

// TestFileTaken: after the file was moved or deleted, lines go to a new
// one.
func TestFileTaken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "openai/chat/chat.log")
	l := open(t, chatlog.Options{Dir: dir})
	exchange(t, l, "0", ask, "")
	eventually(t, func() bool { _, err := os.Stat(path); return err == nil })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		exchange(t, l, "1", ask, "")
		_, err := os.Stat(path)
		return err == nil
	})
}

// TestNotRotatable: a log that cannot be set aside grows on.
func TestNotRotatable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may rename in any directory")
	}
	dir := t.TempDir()
	chat := filepath.Join(dir, "openai/chat")
	write(t, filepath.Join(chat, "chat.log"), "{}\n", time.Now())
	if err := os.Chmod(chat, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(chat, 0o700)
	var logged strings.Builder
	l := open(t, chatlog.Options{Dir: dir, MaxSize: 1, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 3 {
		exchange(t, l, "u", ask, "")
	}
	l.Close()
	if n := len(allLines(t, chat)); n != 4 || l.Dropped() != 0 || strings.Count(logged.String(), "\n") != 1 {
		t.Errorf("%d lines, %d dropped, logged %q", n, l.Dropped(), logged.String())
	}
}

// TestRetention removes what is old, by name and by last change, of every
// route, and nothing else.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	old, fresh := now.AddDate(0, 0, -40), now.AddDate(0, 0, -1)
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02_15-04-05") + "_000000" }
	files := []struct {
		path    string
		changed time.Time
		kept    bool
	}{
		{"a/chat/chat." + stamp(old) + ".log", old, false},
		{"a/chat/chat." + stamp(old) + ".log.gz", old, false},
		{"a/chat/chat." + stamp(old) + ".log.bak", old, true}, // not ours
		{"a/chat/chat." + stamp(old) + "1.log", fresh, true},  // openai-forward names files by their first line
		{"a/chat/chat." + stamp(fresh) + ".log", old, true},   // its name has a new time
		{"a/chat/chat.log", old, false},                       // of a route that is gone
		{"b/chat/chat.log", fresh, true},                      // of a route that is quiet
		{"b/embedding/embedding." + stamp(old) + ".log", old, false},
		{"b/embedding/chat." + stamp(old) + ".log", old, true},
		{"b/notes/todo.txt", old, true},
		{"chat.log", old, true},
	}
	for _, f := range files {
		write(t, filepath.Join(dir, f.path), "{}\n", f.changed)
	}
	l := open(t, chatlog.Options{Dir: dir, Retention: 30 * 24 * time.Hour})
	exchange(t, l, "u", ask, "")
	l.Close()
	for _, f := range files {
		_, err := os.Stat(filepath.Join(dir, f.path))
		_, packed := os.Stat(filepath.Join(dir, f.path+".zst")) // as it soon is
		if kept := err == nil || packed == nil; kept != f.kept {
			t.Errorf("%s: kept %v", f.path, kept)
		}
	}
}

// TestRetentionOfSlowLogs: a file that never gets full is set aside when it was
// written to for a tenth of the retention, or its first lines would stay
// forever.
func TestRetentionOfSlowLogs(t *testing.T) {
	for name, tt := range map[string]struct {
		first string
		files int
	}{
		"young":        {`{"messages":[],"uid":"0","datetime":"` + time.Now().UTC().Add(-2*24*time.Hour).Format(time.DateTime) + `"}`, 1},
		"old":          {`{"messages":[],"uid":"0","datetime":"` + time.Now().UTC().Add(-4*24*time.Hour).Format(time.DateTime) + `"}`, 2},
		"old Python":   {`{'messages': [], 'uid': '0', 'datetime': '` + time.Now().UTC().Add(-4*24*time.Hour).Format(time.DateTime) + `'}`, 2},
		"without time": {`{}`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "openai/chat/chat.log"), tt.first+"\n", time.Now())
			l := open(t, chatlog.Options{Dir: dir, Retention: 30 * 24 * time.Hour})
			exchange(t, l, "u", ask, "")
			l.Close()
			if paths, _ := filepath.Glob(filepath.Join(dir, "openai/chat/*")); len(paths) != tt.files {
				t.Errorf("%d files: %v", len(paths), paths)
			}
		})
	}
}

// TestUnwritable: lines that cannot be written are counted, logged once, and
// delay no caller.
func TestUnwritable(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "openai/chat/chat.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	l := open(t, chatlog.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 100 {
		exchange(t, l, "u", ask, hello)
	}
	l.Close()
	want := []string{`level=WARN msg="chat log loses lines"`, `level=WARN msg="chat log lost lines" lost=200`}
	got := strings.Split(strings.TrimSpace(logged.String()), "\n")
	if l.Dropped() != 200 || len(got) != 2 || !strings.Contains(got[0], want[0]) || !strings.Contains(got[1], want[1]) {
		t.Errorf("dropped %d, logged %q", l.Dropped(), got)
	}
}

// TestStuckTerminal: a terminal that does not read what is printed holds up
// neither the log nor the end.
func TestStuckTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, Print: w, KeepRepeats: true})
	long := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("x", 200_000) + `"}]}`
	for range 50 {
		exchange(t, l, "u", long, "")
	}
	path := filepath.Join(dir, "openai/chat/chat.log")
	eventually(t, func() bool { info, err := os.Stat(path); return err == nil && info.Size() > 50*200_000 })
	r.Close() // lets the printer go
	l.Close()
	w.Close()
	if n := len(linesOf(t, path)); n != 50 {
		t.Errorf("%d lines", n)
	}
}

// write makes a file that was last changed at a time.
func write(t testing.TB, path, text string, changed time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// uidOf names exchanges of a process.
func uidOf(i int) string { return fmt.Sprintf("%d-%d", os.Getpid(), i) }

// tailHas reports whether the newest two logs in a directory have a text.
func tailHas(dir, text string) bool {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	slices.Reverse(paths)
	for _, path := range paths[:min(2, len(paths))] {
		if raw, _ := os.ReadFile(path); bytes.Contains(raw, []byte(text)) {
			return true
		}
	}
	return false
}
