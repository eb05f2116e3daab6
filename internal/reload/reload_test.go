package reload

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"forward/internal/config"
)

func TestAFileCountsOnceItIsWholeAndThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("A=1\n")
	seen := readContents([]string{path})
	var w fileWatch
	look := func(wantChanged bool, wantLost string) {
		t.Helper()
		if changed, lost := w.look(readContents([]string{path}), seen); changed != wantChanged || lost != wantLost {
			t.Errorf("changed %v and lost %q, want %v and %q", changed, lost, wantChanged, wantLost)
		}
	}
	look(false, "")
	look(false, "")
	write("A=") // in the middle of being written
	look(false, "")
	write("A=2\n")
	look(false, "")
	look(true, "")
	seen = readContents([]string{path})
	look(false, "")
	write("")
	look(false, "")
	look(false, path) // empty, and stays so: reported once
	look(false, "")
	if err := os.Rename(path, path+"~"); err != nil { // as editors do
		t.Fatal(err)
	}
	look(false, "")
	look(false, "")
	write("A=2\n") // the same again
	look(false, "")
	look(false, "")
	// As Kubernetes does: files are links into a directory that is a link,
	// which is put in another's place.
	for version, text := range map[string]string{"v1": "A=2\n", "v2": "A=3\n"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, ".env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "data-"+version)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(version string) {
		if err := os.Rename(filepath.Join(dir, "data-"+version), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("v1")
	os.Remove(path)
	if err := os.Symlink(filepath.Join("data", ".env"), path); err != nil {
		t.Fatal(err)
	}
	look(false, "")
	look(false, "")
	link("v2")
	look(false, "")
	look(true, "")
}

// A change of the file is applied within a second of the watch's clock, and a
// wrong change is reported once.
func TestAChangedFileIsReadWithinASecond(t *testing.T) {
	t.Chdir(t.TempDir())
	writeEnv(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-1\n")
	synctest.Test(t, func(t *testing.T) {
		var reads, refused atomic.Int64
		cfg, _, err := config.Load(config.Flags{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := New(Options{Config: cfg, Log: slog.New(counting{slog.DiscardHandler, &refused}), Read: func(*config.Config) (*config.Config, []config.Warning, error) {
			reads.Add(1)
			return nil, nil, context.DeadlineExceeded // what is read does not matter here
		}})
		l.Watch(nil)
		defer l.Stop()
		time.Sleep(time.Second)
		if n := reads.Load(); n != 0 {
			t.Errorf("read %d times although nothing changed", n)
		}
		writeEnv(t, "OPENAI_API_KEY=sk-1\nFORWARD_KEY=fk-2\n")
		time.Sleep(time.Second)
		if n := reads.Load(); n != 1 {
			t.Errorf("read %d times within a second of a change", n)
		}
		time.Sleep(time.Minute)
		if reads.Load() != 1 || refused.Load() != 1 {
			t.Errorf("read %d times and reported %d times what is wrong, want once", reads.Load(), refused.Load())
		}
	})
}

// counting counts what is logged.
type counting struct {
	slog.Handler
	n *atomic.Int64
}

func (c counting) Enabled(context.Context, slog.Level) bool  { return true }
func (c counting) Handle(context.Context, slog.Record) error { c.n.Add(1); return nil }
func (c counting) WithAttrs([]slog.Attr) slog.Handler        { return c }

func writeEnv(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(".env", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
