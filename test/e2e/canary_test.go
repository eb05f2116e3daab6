//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/test/harness"
)

// TestCanary provokes every failure that is known with an upstream that repeats
// what it was sent, and then looks for the keys in everything that left the
// gateway: answers, headers, banner, log lines, chat logs, cache, settings
// report.
func TestCanary(t *testing.T) {
	const (
		apiKey    = "sk-canary-V5xQ8mJ2rT7wL4nB9kD3"
		claudeKey = "sk-ant-canary-H6yN1cF8zP3sG5tR0vM2"
		geminiKey = "AIza-canary-K9bW4eX7uY2iO6aS1dJ5"
		key       = "fk-canary-U3pE8lC5qZ0gA7hT2yR6"
		proxyPass = "canary-I4oV9jM6"
	)
	secrets := []string{apiKey, claudeKey, geminiKey, key, proxyPass}
	for _, s := range secrets[:4] {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(s))[:16])
	}
	up := startUpstream(t)
	dead := listen(t)
	dead.Close()
	keys := []string{"OPENAI_API_KEY=" + apiKey, "ANTHROPIC_API_KEY=" + claudeKey, "GEMINI_API_KEY=" + geminiKey, "FORWARD_KEY=" + key}
	at := func(url string) []string {
		return append([]string{"OPENAI_BASE_URL=" + url, "ANTHROPIC_BASE_URL=" + url, "GEMINI_BASE_URL=" + url, "LOG_CHAT=true",
			"CACHE_CHAT_COMPLETION=true", "DEFAULT_REQUEST_CACHING_VALUE=true", "LOG_LEVEL=debug", "RETRIES=0", "REQ_RATE_LIMIT={\"/v1/moderations\":\"1/hour\"}"}, keys...)
	}
	environments := map[string][]string{
		"an upstream that misbehaves": at(up.URL),
		"no upstream":                 at("http://" + dead.Addr().String()),
		"no such host":                at("http://no-such-host.invalid"),
		"no TLS":                      at(strings.Replace(up.URL, "http:", "https:", 1)),
		"a proxy that is not there":   append(at("http://upstream.invalid"), "PROXY=http://someone:"+proxyPass+"@"+dead.Addr().String()),
	}
	for name, env := range environments {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gw := startForward(t, dir, env...)
			scripts := []string{"", "err-500"}
			if name == "an upstream that misbehaves" {
				scripts = []string{"", "err-400", "err-403", "err-429", "err-500", "err-503", "echo-auth-200", "echo-auth-400", "echo-auth-403",
					"echo-auth-500", "echo-headers", "redirect", "redirect-307", "html", "malformed-json", "private-headers", "gzip", "cut-mid-stream",
					"cut-mid-body", "error-in-stream", "reset-before-headers", "close-before-headers", "malformed", "malformed-chunks",
					"headers-512-kb", "echo-auth", "err-401"} // a 401 sets the key aside, so it comes last
			}
			for _, script := range scripts {
				for _, a := range provoke(t, gw, script, key) {
					searchAnswer(t, "script "+script, a, secrets)
				}
			}
			for _, path := range []string{"/health", "/healthz", "/readyz", "/nothing", "/v1/../x", "/metrics", "/debug/pprof/"} {
				searchAnswer(t, path, send(t, "GET", gw.URL+path, "", bearer(key)...), secrets)
			}
			gw.Stop()
			search(t, "stdout", []byte(gw.Stdout.String()), secrets)
			search(t, "stderr", []byte(gw.Stderr.String()), secrets)
			searchFiles(t, dir, secrets)
		})
	}
	seen := map[string]bool{}
	for _, r := range up.requests() {
		for _, header := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} {
			seen[strings.TrimPrefix(r.Header.Get(header), "Bearer ")] = true
		}
		search(t, "a request to the upstream", []byte(fmt.Sprint(r.URI, r.Header)), []string{key})
	}
	for _, s := range secrets[:3] {
		if !seen[s] {
			t.Errorf("%s never reached the upstream, so that nothing could come back", s)
		}
	}
	for _, args := range [][]string{{"check"}, {"run", "--port", "-7"}} {
		p := harness.Start(t, t.TempDir(), append(at(up.URL), "REQ_RATE_LIMT=x", "TIMEOUT=soon"), forwardBinary, args...)
		p.Ended(10e9)
		search(t, fmt.Sprint(args), []byte(p.Stdout.String()+p.Stderr.String()), secrets)
	}
}

// provoke makes one request for each dialect, body form and place in which a
// key can come.
func provoke(t *testing.T, gw *gateway, script, key string) []answer {
	t.Helper()
	var out []answer
	ask := func(path, body string, header ...string) {
		url := gw.URL + path
		if script != "" {
			header = append(header, "X-Script", script)
		}
		out = append(out, send(t, "POST", url, body, header...))
	}
	prompt := "prompt for " + script
	for _, extra := range []string{"", `,"stream":true`} {
		ask("/v1/chat/completions", chatBody("gpt-4o-mini", prompt, extra), bearer(key)...)
		ask("/anthropic/v1/messages", chatBody("claude-sonnet-4-5", prompt, extra), "X-Api-Key", key, "Anthropic-Version", "2023-06-01")
		ask("/v1/responses", `{"model":"gpt-4o-mini","input":"`+prompt+`"`+extra+`}`, "Api-Key", key)
	}
	gemini := `{"contents":[{"parts":[{"text":"` + prompt + `"}]}]}`
	ask("/gemini/v1beta/models/gemini-2.5-pro:generateContent?key="+key, gemini)
	ask("/gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&k%65y="+key, gemini)
	ask("/v1/files", "--b\r\n\r\n--b--", "Content-Type", "multipart/form-data; boundary=b", "X-Goog-Api-Key", key)
	ask("/v1/moderations", `{"input":"x"}`, bearer(key)...)
	ask("/v1/chat/completions", `{"broken`, bearer(key)...)
	ask("/v1/chat/completions", chatBody("m", prompt, ""), bearer(key+"x")...)
	ask("/v1/chat/completions?key="+key+"x", chatBody("m", prompt, ""), bearer(key)...)
	ask("/v1/chat/completions", chatBody("m", prompt, ""), "Authorization", "Basic "+key)
	return out
}

func searchAnswer(t *testing.T, what string, a answer, secrets []string) {
	t.Helper()
	var header bytes.Buffer
	if err := a.header.Write(&header); err != nil {
		t.Fatal(err)
	}
	search(t, what+": headers", header.Bytes(), secrets)
	search(t, what+": body", a.body, secrets)
}

func searchFiles(t *testing.T, dir string, secrets []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		search(t, path, data, secrets)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func search(t *testing.T, what string, data []byte, secrets []string) {
	t.Helper()
	for _, s := range secrets {
		if i := bytes.Index(data, []byte(s)); i >= 0 {
			t.Errorf("%s shows %s: …%s…", what, s, data[max(0, i-200):min(len(data), i+len(s)+50)])
		}
	}
}
