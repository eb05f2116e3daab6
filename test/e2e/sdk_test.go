//go:build e2e

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/test/harness"
)

// secretsOfSDK are the keys in TestSDK: what the suites have to know, and what
// must be in no log.
var secretsOfSDK = map[string]string{
	"FORWARD_TEST_API_KEY":       "sk-canary-SDK7Qm2hVx9LrT4bNs8",
	"FORWARD_TEST_ANTHROPIC_KEY": "sk-ant-canary-SDK3Fw8Jd5Pz1Ky6",
	"FORWARD_TEST_GEMINI_KEY":    "AIza-canary-SDK9Bn4Xt7Mc2Rv5",
	"FORWARD_TEST_KEY":           "fk-sdk-Zk3Wp8Yd5Rj1Hc6Gv0Xe",
	"FORWARD_TEST_LIMITED_KEY":   "fk-limited-Tq7Mb2Ns9Lf4Kx8",
	"FORWARD_TEST_NARROW_KEY":    "fk-narrow-Wd6Ej3Zs8Pu1Vq5",
}

// TestSDK runs test/sdk: the official SDKs of npm against the binary. Each
// provider has a path and an API key of its own at the scripted upstream, so
// that a request shows where it was led.
func TestSDK(t *testing.T) {
	node, sdk := nodeAndSuites(t)
	key := func(name string) string { return secretsOfSDK["FORWARD_TEST_"+name+"KEY"] }
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(),
		"OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY="+key("API_"),
		"ANTHROPIC_BASE_URL="+up.URL+"/at-anthropic", "ANTHROPIC_API_KEY="+key("ANTHROPIC_"),
		"GEMINI_BASE_URL="+up.URL+"/at-google", "GEMINI_API_KEY="+key("GEMINI_"),
		`FORWARD_CONFIG=[{"base_url":"`+up.URL+`/at-deepseek/anthropic","route":"/deepseek-anthropic","type":"anthropic"},{"base_url":"`+up.URL+`/at-local","route":"/local","type":"openai"}]`,
		`MODEL_ROUTES={"local-*":"/local","anthropic":{"deepseek-*":"/deepseek-anthropic"}}`,
		`MODEL_ALIASES={"fast":"gpt-4o-mini","claude-best":"claude-sonnet-5","flash":"gemini-2.5-flash"}`,
		`FORWARD_KEY={"`+key("")+`":0,"`+key("LIMITED_")+`":1,"`+key("NARROW_")+`":2}`,
		`LEVEL_MODELS={"1":["*"],"2":["gpt-4o-mini"]}`,
		`REQ_RATE_LIMIT={"/v1/embeddings":[{"level":1,"limit":"1/2seconds"}],"/anthropic":[{"level":1,"limit":"1/2seconds"}],"/gemini":[{"level":1,"limit":"1/2seconds"}]}`,
		"CACHE_CHAT_COMPLETION=true", "CACHE_EMBEDDING=true", "LOG_CHAT=true", "MAX_BODY_BYTES=1MiB",
	)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", "--test-concurrency=1")
	c.Dir = sdk
	// What the SDKs read from the environment of this test (keys,
	// organizations, base URLs) would change their requests.
	ofSDK := regexp.MustCompile(`^(OPENAI|ANTHROPIC|GOOGLE|GEMINI|AI)_`)
	c.Env = append(slices.DeleteFunc(os.Environ(), ofSDK.MatchString), "FORWARD_URL="+gw.URL, "UPSTREAM_URL="+up.URL)
	for name, secret := range secretsOfSDK {
		c.Env = append(c.Env, name+"="+secret)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
	t.Log(summary(string(out)))
	for name, text := range map[string]string{"stdout": gw.Stdout.String(), "stderr": gw.Stderr.String()} {
		for _, secret := range secretsOfSDK {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the key %s", name, secret)
			}
		}
	}
}

// nodeAndSuites finds a node that is new enough and the installed suites.
func nodeAndSuites(t *testing.T) (node, dir string) {
	t.Helper()
	node = harness.Node(t)
	dir, err := filepath.Abs(filepath.Join("..", "sdk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"openai", "@anthropic-ai/sdk", "@google/genai", "ai", "@ai-sdk/openai", "@ai-sdk/anthropic", "@ai-sdk/google"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
			harness.Missing(t, "test/sdk/node_modules/"+name+" (run `npm ci` in test/sdk)")
		}
	}
	return node, dir
}

// summary is the closing lines of node's test runner.
func summary(out string) string {
	if i := strings.LastIndex(out, "ℹ tests"); i >= 0 {
		return out[i:]
	}
	return harness.Tail(out)
}
