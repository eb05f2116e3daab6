package chatlog_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
)

// setAside puts a file into a log's directory as if it had been set aside some
// hours ago, with n exchanges, and returns its path.
func setAside(t testing.TB, dir string, hours, n int) string {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"messages":[{"role":"user","content":"%s"}],"uid":"%d-%d","key":"aside"}`+"\n", strings.Repeat("hello ", rand.IntN(50)), hours, i)
		fmt.Fprintf(&text, `{"assistant":"hi","uid":"%d-%d"}`+"\n", hours, i)
	}
	at := time.Now().UTC().Add(-time.Duration(hours) * time.Hour)
	path := filepath.Join(dir, "openai", "chat", "chat."+at.Format("2006-01-02_15-04-05")+"_000000.log")
	write(t, path, text.String(), at)
	return path
}

// asideExchanges counts those of setAside that a conversion finds.
func asideExchanges(t testing.TB, dir string) int {
	t.Helper()
	summary, err := chatlog.Convert(t.Context(), new(bytes.Buffer), chatlog.ConvertOptions{Dir: dir, Filter: chatlog.Filter{Key: "aside"}})
	if err != nil || summary.Unanswered > 0 && summary.Exchanges == 0 {
		t.Fatalf("%+v, %v", summary, err)
	}
	return summary.Exchanges
}

func plainLogs(t testing.TB, dir string) (plain, packed []string) {
	t.Helper()
	plain, err := filepath.Glob(filepath.Join(dir, "openai", "chat", "chat.*.log"))
	if err != nil {
		t.Fatal(err)
	}
	packed, _ = filepath.Glob(filepath.Join(dir, "openai", "chat", "chat.*.log.zst"))
	return plain, packed
}

// TestCompression: what was set aside is compressed, is as old as before and is
// converted as before.
func TestCompression(t *testing.T) {
	dir := t.TempDir()
	path := setAside(t, dir, 2, 100)
	before, _ := os.Stat(path)
	open(t, chatlog.Options{Dir: dir})
	eventually(t, func() bool { plain, _ := plainLogs(t, dir); return len(plain) == 0 })
	after, err := os.Stat(path + ".zst")
	if err != nil {
		t.Fatal(err)
	}
	if after.Size() >= before.Size() || !after.ModTime().Equal(before.ModTime()) || after.Mode().Perm() != 0o600 {
		t.Errorf("%d of %d bytes, %v instead of %v, mode %v", after.Size(), before.Size(), after.ModTime(), before.ModTime(), after.Mode())
	}
	if n := asideExchanges(t, dir); n != 100 {
		t.Errorf("%d exchanges", n)
	}
}

// TestCompressionInTheMiddle: whatever a killed process left, each exchange is
// there once, before the next process and after it.
func TestCompressionInTheMiddle(t *testing.T) {
	whole := func() []byte { // path compressed
		dir := t.TempDir()
		path := setAside(t, dir, 2, 100)
		l := open(t, chatlog.Options{Dir: dir})
		eventually(t, func() bool { plain, _ := plainLogs(t, dir); return len(plain) == 0 })
		l.Close()
		raw, err := os.ReadFile(path + ".zst")
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}()
	for name, leave := range map[string]func(path string){
		"half a file": func(path string) {
			write(t, filepath.Join(filepath.Dir(path), ".pack-1"), string(whole[:len(whole)/2]), time.Now())
		},
		"a whole file without its name": func(path string) { write(t, filepath.Join(filepath.Dir(path), ".pack-1"), string(whole), time.Now()) },
		"both files":                    func(path string) { write(t, path+".zst", string(whole), time.Now()) },
		"a compressed file of no use":   func(path string) { write(t, path+".zst", string(whole[:len(whole)/2]), time.Now()) },
		"half a file, long ago": func(path string) {
			write(t, filepath.Join(filepath.Dir(path), ".pack-1"), "x", time.Now().Add(-2*time.Hour))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			leave(setAside(t, dir, 2, 100))
			if n := asideExchanges(t, dir); n != 100 {
				t.Errorf("%d exchanges before", n)
			}
			l := open(t, chatlog.Options{Dir: dir})
			eventually(t, func() bool { plain, _ := plainLogs(t, dir); return len(plain) == 0 })
			l.Close()
			if n := asideExchanges(t, dir); n != 100 {
				t.Errorf("%d exchanges after", n)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "openai", "chat", ".pack-*")); len(left) > 0 && strings.HasSuffix(name, "ago") {
				t.Errorf("%q is still there", left)
			}
		})
	}
}

// TestKillWhileCompressing kills processes that compress until there is nothing
// left to do: no exchange is lost or there twice.
func TestKillWhileCompressing(t *testing.T) {
	const files, each = 6, 300
	dir := t.TempDir()
	var set []string
	for i := range files {
		set = append(set, setAside(t, dir, i+1, each))
	}
	for round := 0; ; round++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		bufio.NewScanner(out).Scan()
		time.Sleep(time.Duration(rand.IntN(2000*(1+round))) * time.Microsecond) // longer each time, so that a slow machine comes to an end
		child.Process.Kill()
		child.Wait()
		if n := asideExchanges(t, dir); n != files*each {
			t.Fatalf("round %d: %d exchanges", round, n)
		}
		plain := slices.DeleteFunc(slices.Clone(set), func(path string) bool { _, err := os.Stat(path); return err != nil })
		if len(plain) == 0 {
			t.Logf("%d rounds", round+1)
			return
		}
		if round == 100 {
			t.Fatalf("%d files are not compressed after %d rounds", len(plain), round)
		}
	}
}

// TestBoundOfAll: the oldest files go until all together are small enough,
// never the one that is written to.
func TestBoundOfAll(t *testing.T) {
	dir := t.TempDir()
	for i := range 8 {
		setAside(t, dir, i+1, 300)
	}
	write(t, filepath.Join(dir, "other", "notes", "notes.txt"), strings.Repeat("x", 1<<20), time.Now())
	l := open(t, chatlog.Options{Dir: dir})
	exchange(t, l, "u", `{"messages":[]}`, "")
	eventually(t, func() bool { plain, packed := plainLogs(t, dir); return len(plain) == 0 && len(packed) == 8 })
	l.Close()
	_, packed := plainLogs(t, dir)
	var sizes int64
	for _, path := range packed[5:] { // names sort by time: the three newest
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes += info.Size()
	}
	current := filepath.Join(dir, "openai", "chat", "chat.log")
	info, err := os.Stat(current)
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, chatlog.Options{Dir: dir, MaxTotal: sizes + info.Size()})
	eventually(t, func() bool { _, left := plainLogs(t, dir); return len(left) == 3 })
	l.Close()
	if _, left := plainLogs(t, dir); left[0] != packed[5] {
		t.Errorf("%q are left of %q", left, packed)
	}
	l = open(t, chatlog.Options{Dir: dir, MaxTotal: 1})
	eventually(t, func() bool { _, left := plainLogs(t, dir); return len(left) == 0 })
	l.Close()
	if _, err := os.Stat(current); err != nil {
		t.Error(err)
	}
}
