package main

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/clients"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestConnectPrintsEveryRecipe holds what is printed of each client, and the
// list of all, to a golden file. After a change of docs/clients.md:
//
//	go test ./cmd/forward -run TestConnectPrintsEveryRecipe -update
func TestConnectPrintsEveryRecipe(t *testing.T) {
	golden, err := filepath.Abs("testdata/connect.golden")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var all strings.Builder
	print := func(args ...string) {
		out, errs, err := execute(append([]string{"connect"}, args...)...)
		if err != nil || errs != "" {
			t.Errorf("connect %q: %v %s", args, err, errs)
		}
		all.WriteString("$ forward connect " + strings.Join(args, " ") + "\n" + out + "\n")
	}
	print()
	guide, err := clients.New(clients.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range guide.Names() {
		print(name, "--url", "https://llm.example.com", "--key", "fk-alice")
	}
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("the output is another one; look at it, and write it with -update:\n%s", all.String())
	}
}

// TestConnectTakesTheAddressOfTheSettings, and no key from anywhere but --key.
func TestConnectTakesTheAddressOfTheSettings(t *testing.T) {
	for name, test := range map[string]struct{ env, want string }{
		"default":     {"", "http://127.0.0.1:8000/v1"},
		"port":        {"PORT=8080\n", "http://127.0.0.1:8080/v1"},
		"any address": {"HOST=0.0.0.0\nFORWARD_KEY=fk-canary-0123456789\n", "http://localhost:8000/v1"},
		"named":       {"HOST=10.0.0.7\n", "http://10.0.0.7:8000/v1"},
		"IPv6":        {"HOST=::1\n", "http://[::1]:8000/v1"},
		"TLS":         {"HOST=::\nTLS_CERT=c.pem\nTLS_KEY=k.pem\nFORWARD_KEY=fk-canary-0123456789\n", "https://localhost:8000/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			inDir(t, map[string]string{".env": "OPENAI_API_KEY=sk-canary-0123456789\n" + test.env, "c.pem": "", "k.pem": ""})
			out, errs, err := execute("connect", "codex")
			if err != nil || !strings.Contains(out, `base_url = "`+test.want+`"`) || !strings.Contains(out, clients.Key) {
				t.Errorf("%v\n%s", err, out)
			}
			if !strings.Contains(errs, "--url") || !strings.Contains(errs, "--key") || strings.Contains(out+errs, "canary") {
				t.Errorf("%s\n%s", errs, out)
			}
		})
	}
	inDir(t, map[string]string{".env": "PORT=0\n"})
	if _, _, err := execute("connect", "codex"); err == nil || !strings.Contains(err.Error(), "--url") {
		t.Errorf("PORT=0: %v", err)
	}
}

func TestConnectAsJSON(t *testing.T) {
	inDir(t, nil)
	out, errs, err := execute("connect", "Claude Code", "--key", "fk-alice", "-o", "json")
	var c clients.Client
	if err != nil || errs != "" || json.Unmarshal([]byte(out), &c) != nil || c.Env()["ANTHROPIC_AUTH_TOKEN"] != "fk-alice" {
		t.Errorf("%v %s %s", err, errs, out)
	}
	out, _, err = execute("connect", "-o", "json")
	var list []clients.Client
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) < 20 {
		t.Errorf("%v %s", err, out)
	}
}

func TestConnectToAnUnknownClient(t *testing.T) {
	inDir(t, nil)
	for name, want := range map[string]string{"claude": `did you mean "claude-code"?`, "codx": `did you mean "codex"?`, "lobe-chat": `did you mean "lobechat"?`, "xyz": "The clients are: claude-code, claude-code-subscription, codex,"} {
		_, _, err := execute("connect", name)
		if !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "open-webui") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, args := range [][]string{{"codex", "pi"}, {"codex", "--url", "gw"}, {"codex", "--key", "fk $(x)"}, {"codex", "-o", "table"}} {
		if _, _, err := execute(append([]string{"connect"}, args...)...); !errors.As(err, new(*usageError)) || strings.Contains(err.Error(), "$(x)") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
