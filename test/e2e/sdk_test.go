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
)

// TestSDK runs test/sdk: the official openai package of npm against the binary.
func TestSDK(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node")
	}
	sdk, err := filepath.Abs(filepath.Join("..", "sdk"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(sdk, "node_modules", "openai")); err != nil {
		missing(t, "test/sdk/node_modules (run `npm ci` in test/sdk)")
	}
	const (
		apiKey  = "sk-canary-SDK7Qm2hVx9LrT4bNs8"
		key     = "fk-sdk-Zk3Wp8Yd5Rj1Hc6Gv0Xe"
		limited = "fk-limited-Tq7Mb2Ns9Lf4Kx8"
	)
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(),
		"OPENAI_BASE_URL="+up.URL,
		"OPENAI_API_KEY="+apiKey,
		`FORWARD_KEY={"`+key+`":0,"`+limited+`":1}`,
		`LEVEL_MODELS={"1":["*"]}`,
		`REQ_RATE_LIMIT={"/v1/embeddings":[{"level":1,"limit":"1/2seconds"}]}`,
		"CACHE_CHAT_COMPLETION=true", "CACHE_EMBEDDING=true", "LOG_CHAT=true",
	)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", "--test-concurrency=1")
	c.Dir = sdk
	c.Env = append(os.Environ(), "FORWARD_URL="+gw.URL, "UPSTREAM_URL="+up.URL,
		"FORWARD_TEST_KEY="+key, "FORWARD_TEST_LIMITED_KEY="+limited, "FORWARD_TEST_API_KEY="+apiKey)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
	t.Log(summary(string(out)))
	for name, text := range map[string]string{"stdout": gw.stdout.String(), "stderr": gw.stderr.String()} {
		for _, secret := range []string{apiKey, key, limited} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the key %s", name, secret)
			}
		}
	}
}

// summary is the closing lines of node's test runner.
func summary(out string) string {
	if i := strings.LastIndex(out, "ℹ tests"); i >= 0 {
		return out[i:]
	}
	return tail(out)
}
