//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/test/harness"
)

// TestOfflineExample runs examples/offline as its README describes: an
// application's tests pass with no provider key and no provider, on the answers
// that lie beside them.
func TestOfflineExample(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		harness.Missing(t, "node")
	}
	modules, err := filepath.Abs(filepath.Join("..", "sdk", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "openai")); err != nil {
		harness.Missing(t, "test/sdk/node_modules (run `npm ci` in test/sdk)")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "examples", "offline"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "node_modules")); err != nil { // left by a trial of the example
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}

	if out, errs, status := command(t, dir, nil, "cache", "import", "answers.jsonl", "--env-file", "forward.env"); status != 0 || out != "5 answers imported\n" {
		t.Fatalf("exit status %d: %s%s", status, out, errs)
	}
	settings, err := os.ReadFile(filepath.Join(dir, "forward.env"))
	if err != nil {
		t.Fatal(err)
	}
	// startForward takes no flags, and reads .env where it starts. Nothing
	// listens on the port of the upstream.
	if err := os.WriteFile(filepath.Join(dir, ".env"), settings, 0o600); err != nil {
		t.Fatal(err)
	}
	gw := startForward(t, dir, "CACHE_MODE=offline", "OPENAI_BASE_URL=http://127.0.0.1:1")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec")
	c.Dir = dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "OPENAI_BASE_URL=" + gw.URL + "/v1"}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ℹ pass 5") {
		t.Errorf("node --test: %v\n%s", err, out)
	}

	// The commands ask the running gateway, and the export of what was imported
	// is the file itself.
	if out, errs, status := command(t, dir, nil, "cache", "stats"); status != 0 || !strings.Contains(out, "hits") {
		t.Errorf("exit status %d: %s%s", status, out, errs)
	}
	committed, err := os.ReadFile(filepath.Join(dir, "answers.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if out, errs, status := command(t, dir, nil, "cache", "export", "-"); status != 0 || out != string(committed) {
		t.Errorf("exit status %d, exported\n%s\nwant\n%s\n%s", status, out, committed, errs)
	}
	gw.Stop()
	if _, err := os.Stat(filepath.Join(dir, "data", "control.sock")); err == nil {
		t.Error("the control socket is left behind")
	}
}
