//go:build ui

package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/test/harness"
)

// TestPages runs the steps of the browser. All scenes run beside each other.
func TestPages(t *testing.T) {
	node := nodeWithBrowser(t)
	scenes := map[string]*scene{
		"team":    team(t),
		"empty":   newScene(t, "ADMIN_KEY=", "FORWARD_KEY=fk-canary-empty-Jd83Kq02").start(),
		"off":     newScene(t, "LEDGER=false").start(),
		"hostile": hostile(t),
		"large":   large(t),
	}
	scenes["empty"].Admin = ""
	if os.Getenv("FORWARD_UI_SCREENSHOTS") != "" {
		scenes["example"] = example(t)
	}
	scenes["team"].Below = below(t, scenes["team"])
	text, err := json.Marshal(scenes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	files, err := filepath.Glob("*.test.mjs")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, node, append([]string{"--test", "--test-reporter=spec", "--test-concurrency=2", "--test-timeout=400000"}, files...)...)
	c.Env = append(os.Environ(), "FORWARD_UI_SCENES="+string(text))
	out, err := c.CombinedOutput()
	t.Log(string(out))
	if err != nil {
		t.Errorf("node --test: %v", err)
	}
}

// browser is where Debian has Chromium; FORWARD_UI_BROWSER names another place.
const browser = "/usr/bin/chromium"

// nodeWithBrowser finds what the tests need beside Go.
func nodeWithBrowser(t *testing.T) string {
	t.Helper()
	node := harness.Node(t)
	if _, err := os.Stat(filepath.Join("node_modules", "playwright-core")); err != nil {
		harness.Missing(t, "test/ui/node_modules (run `npm ci` in test/ui)")
	}
	place := browser
	if other := os.Getenv("FORWARD_UI_BROWSER"); other != "" {
		place = other
	}
	if _, err := os.Stat(place); err != nil {
		harness.Missing(t, "the browser "+place+" (install chromium, or name another one by FORWARD_UI_BROWSER)")
	}
	return node
}

// team is a gateway that a few people have used: several keys, models, answers
// of the cache, errors and refusals.
func team(t testing.TB) *scene {
	s := newScene(t, "LOG_CHAT=true", "CACHE_CHAT_COMPLETION=true", "RATE_LIMIT_STRATEGY=fixed-window", "KEY_ROTATE_OWN=true", "TRUSTED_PROXIES=127.0.0.1")
	s.key("alice", "--budget", "20usd/month", "--tags", "team=search", "--expires", "90d")
	s.key("bob", "--models", "gpt-4o-mini", "--rpm", "2", "--tags", "team=ads")
	s.key("carol", "--budget", "0.000001usd/month", "--log", "off", "--tags", "team=ads")
	s.key("dave", "--log", "meta")
	s.start()
	for i := range 12 {
		prompt := fmt.Sprint("What is the capital of country number ", i, "?")
		model := []string{"gpt-4o", "gpt-4o-mini", "gpt-4.1"}[i%3]
		s.ask(call{key: "alice", path: "/v1/chat/completions", body: chat(model, prompt), status: 200})
		s.ask(call{key: "alice", path: "/v1/chat/completions", body: chat(model, prompt, `"stream":true`), status: 200, header: map[string]string{"X-Forward-Tags": "project=atlas", "X-Forward-Session": fmt.Sprint("session-", i%4)}})
	}
	for range 3 {
		s.ask(call{key: "alice", path: "/v1/chat/completions", body: chat("gpt-4o", "The same question.", `"caching":true`), status: 200})
	}
	s.ask(call{key: "alice", path: "/anthropic/v1/messages", body: `{"model":"claude-sonnet-5","max_tokens":50,"messages":[{"role":"user","content":"Hello from the other protocol."}]}`, status: 200, header: map[string]string{"Anthropic-Version": "2023-06-01"}})
	s.ask(call{key: "alice", path: "/v1/chat/completions", body: chat("gpt-4o", "This fails."), script: "err-500", status: 500})
	s.ask(call{key: "dave", path: "/v1/chat/completions", body: chat("gpt-4o-mini", "canary-prompt-of-dave"), status: 200})
	s.ask(call{key: "dave", path: "/v1/chat/completions", body: chat("no-such-price", "A model without a price."), status: 200})
	for range 3 {
		s.ask(call{key: "bob", path: "/v1/chat/completions", body: chat("gpt-4o-mini", "Too often.")})
	}
	s.ask(call{key: "bob", path: "/v1/chat/completions", body: chat("gpt-4o", "A model that bob may not use."), status: 403})
	s.ask(call{key: "carol", path: "/v1/chat/completions", body: chat("gpt-4o", "canary-prompt-of-carol")})
	return s
}

// hostileText is what names, models, users, prompts and answers contain in the
// scene of hostile strings.
const hostileText = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>` + "\u202Egpj.exe"

// hostile is a gateway whose callers and upstream send markup.
func hostile(t testing.TB) *scene {
	s := newScene(t, "LOG_CHAT=true", "EXTRA_BASE_URL="+pages(t), "EXTRA_ROUTE_PREFIX=/pages")
	s.key(`<b onclick=alert(1)>=mallory`, "--set-user", "true", "--tags", "<i>=team")
	s.start()
	key := `<b onclick=alert(1)>=mallory`
	s.ask(call{key: key, path: "/v1/chat/completions", body: chat(`gpt-4o<svg onload=alert(1)>`, hostileText), header: map[string]string{"X-Forward-User": `<u>user</u>`, "X-Forward-Session": `<s>session</s>`}})
	s.ask(call{key: key, path: "/v1/chat/completions", body: chat("gpt-4o", hostileText+" [click](javascript:alert(1)) ![image](https://elsewhere.invalid/x.png) [fine](https://example.com/) `"+strings.Repeat("long ", 200_000)+"`"), status: 200})
	picture := "data:image/png;base64," + strings.Repeat("iVBORw0KGgoAAAANSUhEUg", 50_000)
	s.ask(call{key: key, path: "/v1/chat/completions", body: fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"Look."},{"type":"image_url","image_url":{"url":%q}}]}]}`, picture), status: 200})
	return s
}
