package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyring runs `forward keys` in a DATA_DIR of its own.
func keyring(t *testing.T, settings string) func(args ...string) (stdout, stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	env := filepath.Join(dir, ".env")
	if err := os.WriteFile(env, []byte("DATA_DIR="+filepath.Join(dir, "data")+"\nTZ=UTC\n"+settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (string, string, error) {
		if len(args) == 0 {
			return execute("keys")
		}
		return execute(append([]string{"keys"}, append(args, "--env-file", env)...)...)
	}
}

func TestKeysByCommand(t *testing.T) {
	run := keyring(t, "FORWARD_KEY={\"fk-declared-0123456789\": {\"name\": \"carol\", \"level\": 1, \"models\": [\"gpt-*\", \"!gpt-4*\"], \"budget\": \"5usd/day\"}}\n")
	must := func(args ...string) (stdout, stderr string) {
		t.Helper()
		stdout, stderr, err := run(args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return stdout, stderr
	}
	out, stderr := must("add", "alice", "--models", "gpt-*", "--rpm", "60", "--budget", "20usd/month", "--expires", "90d")
	secret := strings.TrimSpace(out)
	if len(secret) != 49 || out != secret+"\n" || strings.Contains(stderr, secret) || !strings.Contains(stderr, "alice") {
		t.Errorf("%q and %q", out, stderr)
	}
	var v keyView
	out, _ = must("show", "alice", "-o", "json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.State != "active" || v.Policy.RPM != 60 || v.Policy.Budgets[0].Amount != 20e9 || v.Expires == nil || strings.Contains(out, secret) {
		t.Errorf("%v %s", err, out)
	}
	must("set", "alice", "--rpm", "", "--level", "2", "--alias", "fast=gpt-4o-mini", "--alias", "best=o9")
	if out, _ := must("show", "alice"); !strings.Contains(out, "best=o9,fast=gpt-4o-mini") {
		t.Error(out)
	}
	must("disable", v.ID)
	if out, _ := must("show", "alice"); !strings.Contains(out, "disabled") || strings.Contains(out, "rpm") {
		t.Error(out)
	}
	must("enable", "alice")
	next, _ := must("rotate", "alice", "--grace", "1h")
	if out, stderr := must("whois", secret); !strings.Contains(out, "alice") || !strings.Contains(stderr, "replaced") {
		t.Errorf("%s%s", out, stderr)
	}
	if out, stderr := must("whois", strings.TrimSpace(next)); !strings.Contains(out, v.ID) || strings.Contains(stderr, "replaced") {
		t.Errorf("%s%s", out, stderr)
	}
	if out, _ := must("whois", "fk-declared-0123456789"); !strings.Contains(out, "carol") || !strings.Contains(out, "!gpt-4*") {
		t.Error(out)
	}
	link, stderr := must("handover", "alice", "--url", "https://llm.example.com/")
	code, ok := strings.CutPrefix(link, "https://llm.example.com/_/#/handover/")
	if !ok || len(strings.TrimSpace(code)) != 32 || !strings.Contains(stderr, "alice") || strings.Contains(stderr, strings.TrimSpace(code)) {
		t.Errorf("%q and %q", link, stderr)
	}
	if _, _, err := run("revoke", "alice"); !errors.As(err, new(*usageError)) || !strings.Contains(err.Error(), "--yes") {
		t.Errorf("revoked without being asked: %v", err)
	}
	must("revoke", "alice", "--yes")
	rows, err := csv.NewReader(strings.NewReader(first(must("list", "--all", "-o", "csv")))).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][2] != "carol" || rows[2][3] != "revoked" || len(rows[0]) != len(rows[2]) {
		t.Errorf("%q, %v", rows, err)
	}
	if out, _ := must("list"); !strings.Contains(out, "carol") || strings.Contains(out, "alice") || strings.Contains(out, "declared-0123") {
		t.Error(out)
	}
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"set", "carol", "--rpm", "1"}, "change it there", false},
		{[]string{"add", "carol"}, "change it there", false},
		{[]string{"revoke", "carol", "--yes"}, "change it there", false},
		{[]string{"enable", "alice"}, "for good", false},
		{[]string{"show", "nobody"}, "forward keys list", false},
		{[]string{"whois", secret[:48] + "!"}, "not a managed key", false},
		{[]string{"add"}, "forward keys add NAME", true},
		{[]string{"add", "bob", "--rpm", "x", "--budget", "1eur"}, "usd or tokens", true},
		{[]string{"set", "alice"}, "--rpm 60", true},
		{[]string{"add", "bob", "--alias", "a=b,b=c"}, "name the model", true},
		{[]string{"list", "-o", "xml"}, "table, json or csv", true},
		{[]string{"rotate", "alice", "--grace", "soon"}, "24h", true},
		{nil, "whois", true},
	} {
		out, _, err := run(c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, new(*usageError)) != c.usage || out != "" {
			t.Errorf("%v: %v, stdout %q", c.args, err, out)
		}
	}
}

func first(a, _ string) string { return a }

// TestKeysListHasEachSettingInItsColumn makes a key whose settings of one word
// all differ from their neighbours.
func TestKeysListHasEachSettingInItsColumn(t *testing.T) {
	run := keyring(t, "")
	want := map[string]string{"unknown_price": "deny", "unknown_operations": "allow", "overrun": "deny", "ephemeral": "allow", "objects": "own", "cache": "shared", "log": "meta"}
	args := []string{"add", "alice"}
	for name, word := range want {
		args = append(args, "--"+strings.ReplaceAll(name, "_", "-"), word)
	}
	if _, _, err := run(args...); err != nil {
		t.Fatal(err)
	}
	out, _, err := run("list", "-o", "csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%q, %v", rows, err)
	}
	shown, _, err := run("show", "alice")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range rows[0] {
		if word, ok := want[name]; ok && (rows[1][i] != word || !strings.Contains(strings.Join(strings.Fields(shown), " "), name+" "+word)) {
			t.Errorf("%s is %q in the list, want %q; keys show:\n%s", name, rows[1][i], word, shown)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("no columns for %v", want)
	}
}

// A gateway on a public address does not start without forward keys; the first
// one can be made by command all the same, and counts.
func TestAKeyByCommandLetsAPublicGatewayStart(t *testing.T) {
	dir := t.TempDir()
	env := filepath.Join(dir, ".env")
	os.WriteFile(env, []byte("HOST=0.0.0.0\nOPENAI_API_KEY=sk-one\nDATA_DIR="+filepath.Join(dir, "data")+"\n"), 0o600)
	if _, _, err := execute("check", "--env-file", env); err == nil || !strings.Contains(err.Error(), "forward keys add NAME") {
		t.Fatalf("without a key: %v", err)
	}
	if _, _, err := execute("keys", "add", "alice", "--env-file", env); err != nil {
		t.Fatal(err)
	}
	if _, _, err := execute("check", "--env-file", env); err != nil {
		t.Errorf("with a key: %v", err)
	}
}
