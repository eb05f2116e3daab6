//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
)

// TestOwnCredentials sends credentials as people with a subscription have them,
// which rotate, beside a forward key: they reach the upstream byte for byte and
// are in nothing that the gateway writes or shows, the forward key reaches no
// upstream, and one key is counted.
func TestOwnCredentials(t *testing.T) {
	const (
		key       = "fk-canary-U3pE8lC5qZ0gA7hT2yR6"
		apiKey    = "sk-canary-V5xQ8mJ2rT7wL4nB9kD3"
		claudeKey = "sk-ant-canary-H6yN1cF8zP3sG5tR0vM2"
		geminiKey = "AIza-canary-K9bW4eX7uY2iO6aS1dJ5"
		oauth     = "sk-ant-oat01-canary-of-alice-%d-0123456789abcdefghij"
		jwt       = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJhbGljZSJ9.canary%dsignature0123456789"
		google    = "ya29.canary-of-alice-%d-0123456789"
	)
	up := startUpstream(t)
	dir := t.TempDir()
	env := []string{"OPENAI_BASE_URL=" + up.URL, "ANTHROPIC_BASE_URL=" + up.URL, "GEMINI_BASE_URL=" + up.URL, "OPENAI_API_KEY=" + apiKey, "ANTHROPIC_API_KEY=" + claudeKey,
		"GEMINI_API_KEY=" + geminiKey, "FORWARD_KEY=alice=" + key, "CLIENT_CREDENTIALS=/, /anthropic, /gemini", "LOG_CHAT=true", "CACHE_CHAT_COMPLETION=true", "LOG_LEVEL=debug", "RETRIES=0"}
	gw := startForward(t, dir, env...)
	type asked struct{ path, query, header, own string }
	var secrets []string // that are not to be written
	var all []asked
	hits := 0
	ask := func(script, caching string) {
		t.Helper()
		for _, form := range []string{"", stream} {
			gemini, suffix := "generateContent?", ""
			if form != "" {
				gemini, suffix = "streamGenerateContent?alt=sse&", form
			}
			for _, wire := range []struct{ path, body, header, own string }{
				{"/anthropic/v1/messages?beta=true", chatBody("claude-haiku-4-5", "hi", `,"max_tokens":100`+suffix+caching), "Authorization", "Bearer " + oauth},
				{"/v1/messages", chatBody("claude-haiku-4-5", "hi there", `,"max_tokens":100`+suffix+caching), "X-Api-Key", oauth},
				{"/v1/responses", `{"model":"gpt-4o-mini","input":"hi"` + suffix + caching + `}`, "Authorization", "Bearer " + jwt},
				{"/v1/chat/completions", chatBody("gpt-4o-mini", "hi", suffix+caching), "Authorization", "Bearer " + jwt},
				{"/gemini/v1beta/models/gemini-2.5-flash:" + gemini + "a=1", `{"contents":[{"parts":[{"text":"hi"}]}]}`, "X-Goog-Api-Key", google},
				{"/gemini/v1beta/models/gemini-2.5-flash:" + gemini + "k%65y=" + google, `{"contents":[{"parts":[{"text":"hi"}]}]}`, "", ""},
			} {
				n := len(all)
				path, own := wire.path, ""
				header := []string{"X-Forward-Key", key, "Chatgpt-Account-Id", "account-of-alice", "X-Script", script, "X-Number", strconv.Itoa(n)}
				if wire.header != "" {
					own = fmt.Sprintf(wire.own, n)
					header = append(header, wire.header, own)
				} else {
					own = fmt.Sprintf(google, n)
					path = strings.Replace(path, google, own, 1)
				}
				secrets = append(secrets, strings.TrimPrefix(own, "Bearer "))
				_, query, _ := strings.Cut(path, "?")
				all = append(all, asked{path, query, wire.header, own})
				a := send(t, "POST", gw.URL+path, wire.body, header...)
				searchAnswer(t, script+" "+path, a, []string{key, apiKey, claudeKey, geminiKey})
				if a.header.Get("X-Cache") == "HIT" {
					hits++
				}
				if a.header.Get("X-Forward-Request-Id") == "" || (script == "err-401" && a.status != 401) {
					t.Errorf("%s %s: status %d: %s", script, path, a.status, a.body)
				}
			}
		}
	}
	for _, script := range []string{"", "err-401", "err-403", "err-429", "err-500", "echo-auth-200", "echo-auth-400", "echo-auth-403", "echo-auth-500", "echo-headers",
		"cut-mid-stream", "error-in-stream", "cut-mid-body", "reset-before-headers", "malformed", "redirect", "gzip", "private-headers"} {
		ask(script, "")
	}
	ask("", `,"caching":true`)
	before := hits             // both forms share an answer
	ask("", `,"caching":true`) // by other tokens
	if hits-before != 8 {
		t.Errorf("%d hits of the 8 that can be cached, after the tokens rotated", hits-before)
	}
	own := fmt.Sprintf(jwt, len(all))
	secrets = append(secrets, own)
	conn, _, err := websocket.Dial(t.Context(), gw.URL+"/v1/responses", &websocket.DialOptions{HTTPHeader: http.Header{"X-Forward-Key": {key}, "Authorization": {"Bearer " + own}, "X-Number": {"socket"}}})
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"response.create","model":"gpt-4o-mini","input":"one two three"}`))
	for err == nil {
		var p []byte
		_, p, err = conn.Read(t.Context())
		if gjson.GetBytes(p, "type").Str == "response.completed" {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
	conn.CloseNow()
	seen := map[string]bool{}
	for _, r := range up.requests() {
		search(t, "a request to the upstream", []byte(fmt.Sprint(r.URI, r.Header, r.Body)), []string{key, apiKey, claudeKey, geminiKey, "X-Forward"})
		number := r.Header.Get("X-Number")
		seen[number] = true
		want := asked{"/v1/responses", "", "Authorization", "Bearer " + own}
		if number != "socket" && number != "" {
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			want = all[n]
		}
		if _, query, _ := strings.Cut(r.URI, "?"); query != want.query {
			t.Errorf("%s went upstream as %s", want.path, r.URI)
		}
		if got := r.Header.Get(want.header); want.header != "" && got != want.own {
			t.Errorf("%s: %s %q went upstream, not %q", want.path, want.header, got, want.own)
		}
		if number != "socket" && number != "" && r.Header.Get("Chatgpt-Account-Id") != "account-of-alice" {
			t.Errorf("%s: no account in %v", want.path, r.Header)
		}
	}
	if len(seen) < len(all)-hits || !seen["socket"] {
		t.Errorf("%d of %d requests reached the upstream", len(seen), len(all)-hits)
	}

	secrets = append(secrets, key, apiKey, claudeKey, geminiKey)
	for _, s := range secrets {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(s))[:24])
	}
	for _, path := range []string{"/health", "/metrics", "/readyz"} {
		searchAnswer(t, path, send(t, "GET", gw.URL+path, ""), secrets)
	}
	gw.Stop()
	search(t, "stdout", []byte(gw.Stdout.String()), secrets)
	search(t, "stderr", []byte(gw.Stderr.String()), secrets)
	searchFiles(t, dir, secrets)
	usage, _, _ := command(t, dir, env, "usage", "--by", "key", "-o", "json")
	groups := gjson.Get(usage, "groups").Array()
	if len(groups) != 1 || groups[0].Get("key_name").Str != "alice" || groups[0].Get("requests").Int() < int64(len(all)) ||
		groups[0].Get("cost_nano_usd").Int() != 0 || groups[0].Get("list_nano_usd").Int() == 0 {
		t.Errorf("%d requests, and the usage is %s", len(all), usage)
	}
	for _, args := range [][]string{{"check"}, {"usage", "--by", "key"}, {"usage", "-o", "csv"}, {"cache", "list"}} {
		out, errs, _ := command(t, dir, env, args...)
		search(t, fmt.Sprint(args), []byte(out+errs), secrets)
		if args[0] == "check" && strings.Count(out, "client credentials") != 3 {
			t.Errorf("check shows:\n%s", out)
		}
	}
}
