package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/config"
)

// load reads settings from a .env in a directory of its own.
func load(t *testing.T, env string) *config.Config {
	t.Helper()
	t.Chdir(t.TempDir()) // where what the gateway keeps goes, too
	file := ".env"
	if err := os.WriteFile(file, []byte(env), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Flags{EnvFile: file, EnvFileSet: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// execute runs a command line.
func execute(args ...string) (stdout, stderr string, err error) {
	return executeIn(context.Background(), args...)
}

// executeIn runs a command line until the context ends.
func executeIn(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	root := newCommand()
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

func TestTheBannerShowsTheSettingsAndNoKey(t *testing.T) {
	const api, own = "sk-CANARY0123456789abcdefghijkl", "fk-CANARY0123456789abcdefghijkl"
	cfg := load(t, `OPENAI_API_KEY=`+api+`
FORWARD_KEY=`+own+`
OPENAI_BASE_URL=https://one.example, http://localhost:8080
OPENAI_ROUTE_PREFIX=/, /localai
EXTRA_BASE_URL=http://localhost:9
EXTRA_ROUTE_PREFIX=/tts
REQ_RATE_LIMIT={"/v1/chat/completions":"100/2minutes"}
TOKEN_RATE_LIMIT={"/v1/chat/completions":[{"level":1,"limit":"60/second"}]}
RATE_LIMIT_STRATEGY=moving-window
`)
	logger, _ := newLogger(cfg)
	app, err := open(cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	for name, show := range map[string]func(*bytes.Buffer, string, [][2]string){
		"plain": func(b *bytes.Buffer, s string, rows [][2]string) { plain(b, s, rows) },
		"boxed": func(b *bytes.Buffer, s string, rows [][2]string) { boxed(b, s, rows) },
	} {
		var b bytes.Buffer
		for _, route := range cfg.Routes {
			show(&b, route.Name, routeRows(cfg, app, route))
		}
		show(&b, "Rate limits", limitRows(cfg, app))
		text := b.String()
		for _, want := range []string{"https://one.example", "/, /openai", "/localai", "/tts", "open: no key is asked", "1 (sk-", "1 (fk-",
			"moving-window", "100/2minutes (req)", "level 1", "60/second (token)", "memory"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "CANARY0123456789") {
			t.Errorf("%s: a key is in\n%s", name, text)
		}
	}
}

// TestTheBannerCountsManagedKeys: "none" would read as if any client were let
// in.
func TestTheBannerCountsManagedKeys(t *testing.T) {
	for env, want := range map[string]string{"": "2 of the command forward keys", "FORWARD_KEY=fk-0123456789abcdef\n": "1 (fk-01…ef), and 2 of the command forward keys"} {
		cfg := load(t, "OPENAI_API_KEY=sk-1\n"+env)
		for _, name := range []string{"alice", "bob", "carol"} {
			if _, _, err := execute("keys", "add", name); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := execute("keys", "revoke", "carol", "--yes"); err != nil {
			t.Fatal(err)
		}
		logger, _ := newLogger(cfg)
		app, err := open(cfg, logger)
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		var b bytes.Buffer
		plain(&b, "", routeRows(cfg, app, cfg.Routes[0]))
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"runn"}, {"--no-such-flag"}, {"check", "stray"}, {"--port", "x"}, {"convert", "--format", "xml"}} {
		if _, _, err := execute(args...); !errors.As(err, new(*usageError)) {
			t.Errorf("%v: %v is no usage error", args, err)
		}
	}
	if _, _, err := execute("ceck"); err == nil || !strings.Contains(err.Error(), `did you mean "check"?`) {
		t.Errorf("no suggestion in %v", err)
	}
}

func TestConvertLeavesWhatWasThereWhenItFails(t *testing.T) {
	out := filepath.Join(t.TempDir(), "chats.json")
	os.WriteFile(out, []byte("precious"), 0o600)
	if _, _, err := execute("convert", "-o", out, filepath.Join(t.TempDir(), "missing.log")); err == nil {
		t.Error("a missing file was converted")
	}
	if got, _ := os.ReadFile(out); string(got) != "precious" {
		t.Errorf("%q", got)
	}
}

func TestVersionNamesTheGo(t *testing.T) {
	out, _, err := execute("version")
	if err != nil || !strings.HasPrefix(out, "forward ") || !strings.Contains(out, " go1.") {
		t.Errorf("%q, %v", out, err)
	}
}
