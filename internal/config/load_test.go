package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/config"
	"forward/internal/limits"
)

var update = flag.Bool("update", false, "write the golden files")

// dir makes a working directory of the given files and goes there.
func dir(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mustLoad loads what has to be right.
func mustLoad(t *testing.T, environ ...string) (*config.Config, []config.Warning) {
	t.Helper()
	c, warnings, err := config.Load(config.Flags{}, environ)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c, warnings
}

// problems loads what has to be wrong.
func problems(t *testing.T, environ ...string) []config.Problem {
	t.Helper()
	_, _, err := config.Load(config.Flags{}, environ)
	var all *config.Errors
	if !errors.As(err, &all) {
		t.Fatalf("Load: error %v, want *Errors", err)
	}
	return all.Problems
}

// describe writes a Config, masked keys included, one fact a line.
func describe(c *config.Config, warnings []config.Warning) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, r := range c.Routes {
		line("route %s %s → %s type=%s dialect=%s open=%v built-in=%v aliases=%v", r.Name, r.Prefix, r.BaseURL, r.Type, r.Dialect.Name, r.Open, r.BuiltIn, r.Aliases)
		for _, k := range r.APIKeys {
			line("    key %s levels=%v", k.Secret, k.Levels)
		}
	}
	for _, k := range c.Access.Keys {
		line("forward key %s (%d bytes) level=%d name=%q", k.Secret, len(k.Secret.Reveal()), k.Level, k.Name)
	}
	for _, r := range c.Limits.Rules {
		line("limit %s level=%d %s", r.Path, r.Level, ratesText(r.Rates))
	}
	for _, r := range c.Limits.Paces {
		line("pace %s level=%d %s", r.Path, r.Level, ratesText(r.Rates))
	}
	line("level models %v", c.Access.Levels)
	for _, m := range c.Models {
		line("model {Route:%s Model:%s RPM:%d TPM:%d MaxParallel:%d MaxQueueSize:%d MaxQueueWait:%s}", m.Route, m.Models, m.RPM, m.TPM, m.MaxParallel, m.MaxQueue, m.MaxWait)
	}
	for _, s := range c.Effective() {
		if s.Source != config.Default {
			line("%s=%s (%s %s)", s.Name, s.Value, s.Source, s.Where)
		}
	}
	for _, w := range warnings {
		line("! %s", w)
	}
	return b.String()
}

func ratesText(rates []limits.Rate) string {
	var texts []string
	for _, r := range rates {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ";")
}

// golden compares text with testdata/name, or writes it with -update. It must
// be called before the directory changes.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, path); got != want {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", filepath.Base(path), got, want)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestGenerations starts from one file of each generation of the tools that
// forward replaces, unchanged.
func TestGenerations(t *testing.T) {
	for _, c := range []struct{ name, file, as string }{
		{"openai-forward 0.6, comma lists", "lists.env", ".env"},
		{"openai-forward, empty values", "empty.env", ".env"},
		{"openai-forward 0.7, levels", "levels.env", ".env"},
		{"openai-forward 0.8, *_CONFIG", "configs.env", ".env"},
		{"openai-forward 0.8.2, YAML", "openai-forward-config.yaml", "openai-forward-config.yaml"},
		{"LLProxy, JSON", "llproxy.json", "forward.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := absolute(t, filepath.Join("testdata", "generations", c.file))
			dir(t, map[string]string{c.as: read(t, path), "server.key": "", "server.crt": ""})
			conf, warnings := mustLoad(t)
			golden(t, path+".golden", describe(conf, warnings))
		})
	}
}
