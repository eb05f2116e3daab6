package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/control"
	"forward/internal/database"
	"forward/internal/keys"
)

// cacheHome is a directory with settings, and a cache in which alice and bob
// have asked.
func cacheHome(t *testing.T, settings string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	env := "FORWARD_KEY=fk-alice-000000\nDATA_DIR=" + filepath.Join(dir, "data") + "\n" + settings
	if err := os.WriteFile(".env", []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Flags{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// MustRemember puts answers to four questions into c: two of alice's, one of
// bob's, one of all callers'.
func MustRemember(t *testing.T, cfg *config.Config, c *cache.Cache) {
	t.Helper()
	alice := "key:" + (&keys.Key{Secret: cfg.Access.Keys[0].Secret}).ID()
	for n, scope := range []string{alice, alice, "key:0123456789ab", "shared"} {
		q := cache.Question{Route: "openai", Dialect: "openai", Operation: "chat", Model: fmt.Sprint("gpt-", n%2), Method: "POST",
			Path: "/v1/chat/completions", Scope: scope, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
		if !c.Put(q.Key(scope, "https://host-CANARY"), &cache.Entry{Status: 200, Body: fmt.Appendf(nil, `{"answer":%d}`, n), Question: q}) {
			t.Fatal("refused")
		}
	}
}

// eachHolder runs a test with a running gateway's cache and with one that no
// process has open.
func eachHolder(t *testing.T, test func(t *testing.T)) {
	for _, backend := range []string{"BADGER", "MEMORY", "no gateway"} {
		t.Run(backend, func(t *testing.T) {
			cfg := cacheHome(t, "CACHE_BACKEND="+map[bool]string{true: "BADGER", false: backend}[backend == "no gateway"]+"\n")
			c, err := openCache(cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			MustRemember(t, cfg, c)
			if backend == "no gateway" {
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				t.Cleanup(func() { c.Close() })
				side, err := control.Listen(cfg.DataDir, control.Handler(control.Options{Cache: func() *cache.Cache { return c }}))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { side.Close() })
			}
			test(t)
		})
	}
}

// runs expects a command line to succeed, and returns what it wrote to stdout.
func runs(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := execute(append([]string{"cache"}, args...)...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs)
	}
	return out
}

func TestCacheCommands(t *testing.T) {
	eachHolder(t, func(t *testing.T) {
		var stats struct {
			cache.Stats
			Running bool
		}
		if err := json.Unmarshal([]byte(runs(t, "stats", "-o", "json")), &stats); err != nil || stats.Backend == "" || stats.Running != !strings.Contains(t.Name(), "no_gateway") {
			t.Errorf("%+v, %v", stats, err)
		}
		if out := runs(t, "stats"); !strings.Contains(out, "backend") || strings.Contains(out, "hits") != stats.Running {
			t.Error(out)
		}
		if out := runs(t, "list"); strings.Count(out, "\n") != 5 || !strings.Contains(out, "shared") {
			t.Error(out)
		}
		if out := runs(t, "list", "--key", "key-1", "-o", "json"); strings.Count(out, "\n") != 0 {
			t.Error(out)
		}
		lines := strings.Split(strings.TrimSpace(runs(t, "list", "--model", "*-1", "-o", "json")), "\n")
		var one cache.Info
		if err := json.Unmarshal([]byte(lines[0]), &one); err != nil || len(lines) != 2 || one.Model != "gpt-1" {
			t.Errorf("%q, %v", lines, err)
		}
		if out := runs(t, "show", one.Key.String()[:10]); !strings.Contains(out, `"answer": `) || !strings.Contains(out, `"n": `) {
			t.Error(out)
		}
		if _, _, err := execute("cache", "show", "ffffffffffffff"); err == nil || errors.As(err, new(*usageError)) {
			t.Error(err)
		}
		if out := runs(t, "verify"); !strings.Contains(out, "4 answers are whole") {
			t.Error(out)
		}
		if out := runs(t, "purge", "--key", "0123456789ab", "--yes"); out != "1 answers forgotten\n" {
			t.Error(out)
		}
		if out := runs(t, "purge", "--older-than", "1h", "--yes"); out != "0 answers forgotten\n" {
			t.Error(out)
		}
		if out := runs(t, "purge", "--key", aliceID(t), "--yes"); out != "2 answers forgotten\n" {
			t.Error(out)
		}
		if out := runs(t, "purge", "--yes"); out != "1 answers forgotten\n" {
			t.Error(out)
		}
	})
}

func aliceID(t *testing.T) string {
	t.Helper()
	cfg, _, err := config.Load(config.Flags{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return (&keys.Key{Secret: cfg.Access.Keys[0].Secret}).ID()
}

func TestCacheIsCarriedElsewhere(t *testing.T) {
	var files []string
	eachHolder(t, func(t *testing.T) {
		file := runs(t, "export", "-")
		if strings.Count(file, "\n") != 5 || strings.Contains(file, "CANARY") || strings.Contains(file, "0123456789ab") {
			t.Error(file)
		}
		if err := os.WriteFile("export.jsonl", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		runs(t, "purge", "--yes")
		if out := runs(t, "import", "export.jsonl", "--ttl", "365d"); out != "4 answers imported\n" {
			t.Error(out)
		}
		runs(t, "export", "again.jsonl")
		if again, err := os.ReadFile("again.jsonl"); err != nil || string(again) != file {
			t.Errorf("%v\n%s\n%s", err, file, again)
		}
		// But for the time at which they were remembered, all three backends
		// give one file.
		files = append(files, withoutTimes(t, file))
	})
	if len(files) != 3 || files[0] != files[1] || files[1] != files[2] {
		t.Errorf("%q", files)
	}
}

func withoutTimes(t *testing.T, file string) string {
	t.Helper()
	var out bytes.Buffer
	for line := range strings.Lines(file) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "stored")
		if err := json.NewEncoder(&out).Encode(fields); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestPurgeAsks(t *testing.T) {
	eachHolder(t, func(t *testing.T) {
		_, _, err := execute("cache", "purge")
		if !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), "4 answers") || !strings.Contains(err.Error(), "--yes") {
			t.Error(err)
		}
		if out := runs(t, "list"); strings.Count(out, "\n") != 5 {
			t.Error(out)
		}
	})
}

func TestCacheCommandsThatCannotWork(t *testing.T) {
	cfg := cacheHome(t, "")
	for name, test := range map[string]struct {
		args  []string
		want  string
		usage bool
	}{
		"nothing to do":     {[]string{}, "choose what", true},
		"unknown verb":      {[]string{"prune"}, "unknown command", true},
		"an empty filter":   {[]string{"purge", "--key", "", "--yes"}, "--key is empty", true},
		"no file":           {[]string{"export"}, "export FILE", true},
		"unknown output":    {[]string{"list", "-o", "xml"}, "json", true},
		"no duration":       {[]string{"purge", "--older-than", "yesterday"}, "yesterday", true},
		"nothing there yet": {[]string{"stats"}, "nothing has been remembered yet", false},
		"no such file":      {[]string{"import", "missing.jsonl"}, "missing.jsonl", false},
	} {
		if name == "an empty filter" || name == "no duration" || name == "unknown output" {
			if err := os.MkdirAll(cfg.Cache.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
		} else {
			os.RemoveAll(cfg.Cache.Dir)
		}
		_, _, err := execute(append([]string{"cache"}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.As(err, new(*usageError)) != test.usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("CACHE_BACKEND", "MEMORY")
	if _, _, err := execute("cache", "stats"); err == nil || !strings.Contains(err.Error(), "running gateway") {
		t.Error(err)
	}
	t.Setenv("CACHE_BACKEND", "BADGER")
	held, err := cache.Open(cache.Options{Dir: cfg.Cache.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, _, err := execute("cache", "stats"); err == nil || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Error(err)
	}
}

func TestAFailedExportLeavesWhatWasThere(t *testing.T) {
	cacheHome(t, "")
	os.WriteFile("export.jsonl", []byte("precious"), 0o600)
	if _, _, err := execute("cache", "export", "export.jsonl"); err == nil {
		t.Error("exported a cache that is not there")
	}
	if got, _ := os.ReadFile("export.jsonl"); string(got) != "precious" {
		t.Errorf("%q", got)
	}
}

func TestScopeOfAKey(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{DataDir: filepath.Join(dir, "none"), Access: config.Access{Keys: []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice")}, {Secret: keys.NewSecret("fk-nameless")}}}}
	for key, want := range map[string]string{
		"alice": "key:" + (&keys.Key{Secret: keys.NewSecret("fk-alice")}).ID(), "": "", "0123456789ab": "key:0123456789ab", "own:ff": "own:ff", "shared": "shared", "imported": cache.Imported,
	} {
		if got, err := scopeOf(t.Context(), cfg, key); got != want || err != nil {
			t.Errorf("%q is %q, want %q (%v)", key, got, want, err)
		}
	}
	if _, err := os.Stat(cfg.DataDir); err == nil {
		t.Error("a question made a DATA_DIR")
	}
	// Of two keys that had a name, the one that is good.
	cfg.DataDir = dir
	add := func() string {
		t.Helper()
		db, err := database.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		store, err := openKeys(t.Context(), cfg, db)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Update(t.Context(), "bob", func(m *keys.Managed) error { m.Revoked = true; return nil }); err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
			t.Fatal(err)
		}
		m, _, err := store.Add(t.Context(), keys.Settings{Name: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		return m.ID
	}
	first := add()
	for ref, want := range map[string]string{"bob": "key:" + add(), first: "key:" + first, "carol": "key:carol"} {
		if got, err := scopeOf(t.Context(), cfg, ref); got != want || err != nil {
			t.Errorf("%q is %q, want %q (%v)", ref, got, want, err)
		}
	}
}

// TestPurgeOfAManagedKey forgets what a managed key asked, by its name.
func TestPurgeOfAManagedKey(t *testing.T) {
	cfg := cacheHome(t, "")
	out, _, err := execute("keys", "add", "dave", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var dave struct{ ID string }
	if err := json.Unmarshal([]byte(out), &dave); err != nil || dave.ID == "" {
		t.Fatal(out, err)
	}
	c, err := openCache(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	MustRemember(t, cfg, c)
	q := cache.Question{Route: "openai", Dialect: "openai", Operation: "chat", Model: "m", Method: "POST", Path: "/v1/chat/completions", Scope: "key:" + dave.ID, Body: []byte(`{}`)}
	if !c.Put(q.Key(q.Scope, "https://host"), &cache.Entry{Status: 200, Body: []byte(`{}`), Question: q}) {
		t.Fatal("refused")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if out := runs(t, "purge", "--key", "dave", "--yes"); out != "1 answers forgotten\n" {
		t.Error(out)
	}
	if out := runs(t, "purge", "--yes"); out != "4 answers forgotten\n" {
		t.Errorf("of the others: %s", out)
	}
}
