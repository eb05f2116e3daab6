package forward_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/openai"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/metrics"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// Credentials of people with a subscription: Anthropic's OAuth token, and the
// JWT of a ChatGPT login.
const (
	oauthToken = "sk-ant-oat01-CANARYofAlice-0123456789abcdefghijklmnopqrstuvwxyz"
	jwtToken   = "eyJhbGciOiJSUzI1NiJ9.eyJDQU5BUlkiOiJhbGljZSJ9.c2lnbmF0dXJlLW9mLUNBTkFSWQ"
	ownKey     = "sk-proj-CANARYofTheClient0123456789"
)

// wires are requests of the three dialects with the credential of their
// clients.
var wires = []struct {
	name, path, body string
	header           []string // the client's own credential
	answer           string
}{
	{"a Claude subscription", "/anthropic/v1/messages?beta=true", `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`,
		[]string{"Authorization", "Bearer " + oauthToken, "Anthropic-Beta", "oauth-2025-04-20", "Anthropic-Version", "2023-06-01"}, claudeBody},
	{"a ChatGPT login", "/v1/responses", `{"model":"gpt-5.2","input":"hi"}`,
		[]string{"Authorization", "Bearer " + jwtToken, "Chatgpt-Account-Id", "account-of-alice", "Openai-Organization", "org-of-alice"}, responseBody},
	{"a key of OpenAI's", "/v1/chat/completions", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`,
		[]string{"Authorization", "Bearer " + ownKey, "Openai-Project", "proj-of-alice"}, chatBody},
	{"a key of Anthropic's", "/anthropic/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`,
		[]string{"Authorization", "", "X-Api-Key", ownKey}, claudeBody},
	{"a key of Google's", "/gemini/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`,
		[]string{"Authorization", "", "X-Goog-Api-Key", ownKey}, geminiBody},
	{"a key of Google's in the query", "/gemini/v1beta/models/gemini-2.5-flash:generateContent?k%65y=" + ownKey + "&a=1", `{"contents":[{"parts":[{"text":"hi"}]}]}`,
		[]string{"Authorization", ""}, geminiBody},
}

const (
	claudeBody   = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":3}}`
	responseBody = `{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.2","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}`
	geminiBody   = `{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP","index":0}],"modelVersion":"gemini-2.5-flash","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12}}`
)

// vendors answers in the wire of the path, streams included.
func vendors(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	stream := strings.Contains(string(body), `"stream":true`) || strings.Contains(r.URL.Path, ":stream")
	answer := chatBody
	switch {
	case strings.HasSuffix(r.URL.Path, "/messages"):
		answer = claudeBody
		if stream {
			answer = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n" +
				"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
				"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n" +
				"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
				"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n" +
				"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
		}
	case strings.HasSuffix(r.URL.Path, "/responses"):
		answer = responseBody
		if stream {
			answer = "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":1,\"response\":" + responseBody + "}\n\n"
		}
	case strings.Contains(r.URL.Path, "enerateContent"):
		answer = geminiBody
		if stream {
			answer = "data: " + geminiBody + "\r\n\r\n"
		}
	case stream:
		answer = events(true)
	}
	w.Header().Set("Content-Type", "application/json")
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	io.WriteString(w, answer)
}

// asStream is a request of wires in the form that asks for a stream.
func asStream(path, body string) (string, string) {
	if strings.Contains(path, ":generateContent") {
		return strings.Replace(path, ":generateContent", ":streamGenerateContent", 1), body
	}
	return path, strings.TrimSuffix(body, "}") + `,"stream":true}`
}

// TestOwnCredentialsGoOnUntouched sends the credentials of the clients' own
// beside a forward key: the route or the key lets them through, byte for byte,
// and the forward key stays.
func TestOwnCredentialsGoOnUntouched(t *testing.T) {
	for by, change := range map[string]func(*setup){
		"the route": func(s *setup) { s.all = true; s.client = true },
		"the key":   func(s *setup) { s.all = true; s.keys[0].Policy.Credentials = "client" },
		"both":      func(s *setup) { s.all = true; s.client = true; s.keys[0].Policy.Credentials = "client" },
	} {
		for _, wire := range wires {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/stream %v", by, wire.name, stream), func(t *testing.T) {
					accounts, rows := accounting(t)
					dir := t.TempDir()
					log := must(chatlog.Open(chatlog.Options{Dir: dir}))(t)
					b := start(t, vendors, func(s *setup) { accounts(s); s.ChatLog = log; change(s) })
					secret := oauthToken + " " + jwtToken + " " + ownKey // in a text too
					path, body := wire.path, strings.Replace(wire.body, `"hi"`, `"hi `+secret+`"`, 1)
					if stream {
						path, body = asStream(path, body)
					}
					a := b.do("POST", path, body, append([]string{"X-Forward-Key", "fk-alice"}, wire.header...)...)
					a.want(t, 200, "Hello")
					r, sent := b.last()
					for i := 0; i < len(wire.header); i += 2 {
						if got := r.Header.Get(wire.header[i]); got != wire.header[i+1] {
							t.Errorf("%s: %q went upstream, want %q", wire.header[i], got, wire.header[i+1])
						}
					}
					if all := fmt.Sprint(r.RequestURI, r.Header, r.Trailer, string(sent)); strings.Contains(all, "fk-alice") || strings.Contains(all, "X-Forward") || strings.Contains(all, canary) {
						t.Errorf("went upstream: %s", all)
					}
					if _, query, _ := strings.Cut(path, "?"); r.URL.RawQuery != query || string(sent) != body {
						t.Errorf("query %q and body %s", r.URL.RawQuery, sent)
					}
					got := rows(b)
					if len(got) != 1 || got[0].KeyName != "alice" || got[0].Usage.Input != 9 || got[0].Usage.Output != 3 ||
						!got[0].Priced || !got[0].Listed || got[0].Cost != 0 || got[0].List == 0 || got[0].Slot != "" {
						t.Errorf("rows %+v", got)
					}
					written := fmt.Sprint(got, b.logged(), a.Header)
					log.Close()
					logged := files(t, dir)
					if !strings.Contains(logged, `"Hello`) || !strings.Contains(logged, `"alice"`) || !strings.Contains(logged, `"cost":"0.00","list_price":"0.0`) {
						t.Errorf("logged: %s", logged)
					}
					written += logged
					for _, secret := range []string{oauthToken, jwtToken, ownKey, "fk-alice"} {
						its := secret == "fk-alice" || strings.Contains(fmt.Sprint(wire.header, path), secret)
						if its && strings.Contains(written, secret) {
							t.Errorf("%s is written in %s", secret, written)
						}
					}
				})
			}
		}
	}
}

// files returns the text of all files of a directory.
func files(t *testing.T, dir string) (text string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			text += string(must(os.ReadFile(path))(t))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return text
}

func TestXForwardKeyIsOneMorePlaceForAKey(t *testing.T) {
	for name, test := range map[string]struct {
		headers []string
		status  int
		text    string
	}{
		"alone":                    {[]string{"Authorization", "", "X-Forward-Key", "fk-bob"}, 200, ""},
		"with the word Bearer":     {[]string{"Authorization", "", "X-Forward-Key", "Bearer fk-bob"}, 200, ""},
		"the same in both":         {[]string{"X-Forward-Key", "fk-alice"}, 200, ""},
		"another in Authorization": {[]string{"X-Forward-Key", "fk-bob"}, 401, "Two different keys came with this request, one of them in X-Forward-Key."},
		"beside a provider's key":  {[]string{"Authorization", "Bearer " + ownKey, "X-Forward-Key", "fk-bob"}, 401, "credentials: client"},
		"beside another x-api-key": {[]string{"Authorization", "", "X-Api-Key", ownKey, "X-Forward-Key", "fk-bob"}, 401, "credentials: client"},
		"a wrong one":              {[]string{"Authorization", "", "X-Forward-Key", "fk-mallory-0123456789abc"}, 401, "Incorrect API key provided in X-Forward-Key: fk-"},
		"a wrong one and a right":  {[]string{"X-Forward-Key", "fk-mallory-0123456789abc"}, 401, "Incorrect API key provided in X-Forward-Key: fk-"},
		"empty":                    {[]string{"Authorization", "", "X-Forward-Key", " "}, 401, "You didn't provide an API key."},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, nil)
			a := b.chat("", test.headers...)
			a.want(t, test.status, test.text)
			if strings.Contains(a.body, "mallory-0123456789abc") || strings.Contains(b.logged(), "mallory-0123456789abc") {
				t.Errorf("the key is not masked: %s", a.body)
			}
			if test.status != 200 {
				if b.calls() != 0 {
					t.Error("the upstream was called")
				}
				return
			}
			r, _ := b.last()
			if r.Header.Get("Authorization") != "Bearer "+canary || r.Header.Get("X-Forward-Key") != "" {
				t.Errorf("sent %v", r.Header)
			}
		})
	}
}

// TestOwnCredentialsThatAreMissing reads the refusals of clients that send too
// little on a route for credentials of the clients' own.
func TestOwnCredentialsThatAreMissing(t *testing.T) {
	const noKey = "Send your forward key beside yours: X-Forward-Key: fk-…"
	const noneOfItsOwn = "and this request has none. Send your forward key in X-Forward-Key only"
	for name, test := range map[string]struct {
		headers []string
		text    string
	}{
		"no X-Forward-Key":                   {[]string{"Authorization", "Bearer " + oauthToken}, noKey},
		"nothing":                            {[]string{"Authorization", ""}, noKey},
		"X-Forward-Key alone":                {[]string{"Authorization", "", "X-Forward-Key", "fk-alice"}, noneOfItsOwn},
		"a forward key in Authorization":     {nil, noneOfItsOwn},
		"the same forward key in both":       {[]string{"X-Forward-Key", "fk-alice"}, noneOfItsOwn},
		"another forward key beside":         {[]string{"X-Forward-Key", "fk-bob"}, noneOfItsOwn},
		"a forward key without its scheme":   {[]string{"Authorization", "fk-bob", "X-Forward-Key", "fk-alice"}, noneOfItsOwn},
		"what looks like one":                {[]string{"Authorization", "Bearer fk-eve", "X-Forward-Key", "fk-alice"}, noneOfItsOwn},
		"a wrong X-Forward-Key":              {[]string{"Authorization", "Bearer " + oauthToken, "X-Forward-Key", "fk-eve"}, "Incorrect API key provided in X-Forward-Key"},
		"a forward key beside an own of two": {[]string{"Authorization", "Bearer " + oauthToken, "X-Api-Key", "fk-bob", "X-Forward-Key", "fk-alice"}, noneOfItsOwn},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, func(s *setup) { s.client = true; s.all = true })
			for _, path := range []string{"/v1/chat/completions", "/anthropic/v1/messages", "/gemini/v1beta/models/gemini-2.5-flash:generateContent"} {
				a := b.do("POST", path, `{"model":"m"}`, test.headers...)
				a.want(t, 401, test.text)
				if strings.Contains(a.body, oauthToken) {
					t.Errorf("the token is in %s", a.body)
				}
			}
			if b.calls() != 0 {
				t.Error("the upstream was called")
			}
		})
	}
}

// TestXForwardKeyNeverGoesUpstream looks for the header behind every kind of
// route, right and wrong, also in trailers and in a handshake.
func TestXForwardKeyNeverGoesUpstream(t *testing.T) {
	for name, change := range map[string]func(*setup){
		"API keys":            nil,
		"own credentials":     func(s *setup) { s.client = true },
		"no keys at all":      func(s *setup) { s.open = true },
		"no forward keys":     func(s *setup) { s.keys = nil },
		"passed-through keys": func(s *setup) { s.Passthrough = true },
	} {
		for _, value := range []string{"fk-alice", "fk-CANARY-that-is-wrong", "Bearer fk-alice"} {
			for _, own := range []string{"", "Bearer " + oauthToken} {
				b := start(t, provider, change)
				b.chat("", "Authorization", own, "X-Forward-Key", value)
				b.do("GET", "/v1/realtime?model=m", "", "Authorization", own, "X-Forward-Key", value, "Connection", "Upgrade, X-Forward-Key", "Upgrade", "websocket")
				for _, r := range b.seen {
					if all := fmt.Sprint(r.Header, r.Trailer, r.RequestURI); strings.Contains(all, "fk-") || strings.Contains(all, "X-Forward") {
						t.Errorf("%s, %s: %s", name, value, all)
					}
				}
			}
		}
	}
	target := start(t, func(w http.ResponseWriter, r *http.Request) {
		if text := fmt.Sprint(r.Trailer); strings.Contains(text, "X-Forward") || r.Trailer.Get("X-Sum") != "1" {
			t.Errorf("trailers %s", text)
		}
	}, nil)
	b := start(t, provider, func(s *setup) {
		u, _ := url.Parse(target.upstream.URL)
		s.routes = []*upstream.Route{{Name: "tts", Prefix: "/tts", Base: u, Dialect: openai.Dialect, Open: true}}
	})
	for _, key := range []string{"fk-alice", "fk-wrong"} {
		r, _ := http.NewRequest("POST", b.url+"/tts/x", io.NopCloser(strings.NewReader("body")))
		r.ContentLength = -1
		r.Header.Set("X-Forward-Key", key)
		r.Header.Set("Authorization", "Bearer theirs")
		r.Trailer = http.Header{"X-Forward-Key": {"fk-alice"}, "X-Sum": {"1"}}
		res := must(http.DefaultTransport.RoundTrip(r))(t)
		res.Body.Close()
		sent, _ := target.last()
		if res.StatusCode != 200 || sent.Header.Get("Authorization") != "Bearer theirs" || sent.Header.Get("X-Forward-Key") != "" {
			t.Errorf("%s: status %d, sent %v", key, res.StatusCode, sent.Header)
		}
	}
}

// TestAKeyIsLimitedWhateverItsToken lets the token rotate with each request:
// what a key may do and has used goes by the forward key alone.
func TestAKeyIsLimitedWhateverItsToken(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, vendors, func(s *setup) {
		accounts(s)
		caching(memoryCache(t))(s)
		s.client = true
		s.all = true
		s.CacheShared = true
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-4o*", "claude-*"}, RPM: 4, Budgets: []keys.Budget{{Unit: "tokens", Amount: 3_000, Period: "month"}}}
	})
	n := 0
	ask := func(key, model string) answer {
		n++
		return b.do("POST", "/v1/chat/completions", `{"model":"`+model+`","caching":true,"max_tokens":500,"messages":[{"role":"user","content":"hi"}]}`,
			"Authorization", fmt.Sprintf("Bearer sk-ant-oat01-rotated-%d", n), "X-Forward-Key", key)
	}
	ask("fk-alice", "o1-pro").want(t, 403, "may not use model")
	if a := ask("fk-alice", "gpt-4o-mini"); a.Header.Get("X-Cache") != "MISS" {
		t.Errorf("X-Cache %q", a.Header.Get("X-Cache"))
	}
	if a := ask("fk-alice", "gpt-4o-mini"); a.Header.Get("X-Cache") != "HIT" {
		t.Errorf("X-Cache %q after the token rotated", a.Header.Get("X-Cache"))
	}
	if a := ask("fk-bob", "gpt-4o-mini"); a.Header.Get("X-Cache") != "MISS" {
		t.Errorf("X-Cache %q: an account of another's", a.Header.Get("X-Cache"))
	}
	for i, want := range []int{200, 200, 200, 429} {
		if a := ask("fk-alice", "gpt-4o-"+strings.Repeat("x", i)); a.StatusCode != want {
			t.Errorf("request %d: %d %s", i, a.StatusCode, a.body)
		}
	}
	seen := map[string]bool{}
	for _, r := range rows(b) {
		seen[r.Key] = true
	}
	if len(seen) != 2 {
		t.Errorf("rows of %v", seen)
	}
}

// TestOwnCredentialsOnOneAddress sends them to /, where the path shows the
// protocol: they go to the provider of that one, and nowhere that only a model
// leads to.
func TestOwnCredentialsOnOneAddress(t *testing.T) {
	target := start(t, vendors, nil)
	home := func() *upstream.Route { // as in use, where it does not speak Messages
		r := target.route("openai", "/", []string{canary})
		r.Base = mustParse("https://api.openai.com")
		r.Transport = towards(target.upstream.URL)
		return r
	}
	for name, test := range map[string]struct {
		path, model string
		byKey       bool
		status      int
		upstream    string
	}{
		"Messages to the route of clients": {"/v1/messages", "claude-haiku-4-5", false, 200, "anthropic"},
		"Messages by the key":              {"/v1/messages", "claude-haiku-4-5", true, 200, "anthropic"},
		"chats are not for clients here":   {"/v1/chat/completions", "gpt-4o-mini", false, 401, ""},
		"chats by the key":                 {"/v1/chat/completions", "gpt-4o-mini", true, 200, "openai"},
		"a chat that its model leads away": {"/v1/chat/completions", "deep-1", true, 403, ""},
		"a message that is led away":       {"/v1/messages", "deep-1", true, 403, ""},
		"led away from a route of clients": {"/v1/messages", "deep-1", false, 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, vendors, func(s *setup) {
				claude := target.route("anthropic", "/anthropic", []string{canary})
				claude.Dialect = anthropic.Dialect
				claude.Client = !test.byKey
				deep := target.route("deep", "/deep", []string{canary})
				deepClaude := target.route("deep-claude", "/deep-claude", []string{canary})
				deepClaude.Dialect = anthropic.Dialect
				s.routes = []*upstream.Route{home(), claude, deep, deepClaude}
				s.Models = []forward.ModelRoute{{Models: "deep-*", Dialect: anthropic.Dialect, Route: deepClaude}, {Models: "deep-*", Route: deep}}
				if test.byKey {
					s.keys[0].Policy.Credentials = "client"
				}
			})
			before := target.calls()
			a := b.do("POST", test.path, `{"model":"`+test.model+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`,
				"Authorization", "Bearer "+oauthToken, "X-Forward-Key", "fk-alice")
			a.want(t, test.status)
			if test.status != 200 {
				if target.calls() != before {
					t.Error("the upstream was called")
				}
				return
			}
			if r, _ := target.last(); r.Header.Get("Authorization") != "Bearer "+oauthToken || a.Header.Get("X-Forward-Upstream") != test.upstream {
				t.Errorf("%s got %v", a.Header.Get("X-Forward-Upstream"), r.Header)
			}
		})
	}
	b := start(t, vendors, func(s *setup) {
		claude := target.route("anthropic", "/anthropic", nil)
		claude.Dialect = anthropic.Dialect
		claude.Client = true
		s.routes = []*upstream.Route{home(), claude}
	})
	b.do("POST", "/v1/messages", `{"model":"claude-haiku-4-5"}`, "Authorization", "Bearer "+oauthToken).want(t, 401, "X-Forward-Key: fk-…")
	b.do("POST", "/v1/messages", `{"model":"claude-haiku-4-5"}`).want(t, 401, "and this request has none")
}

// TestA401OfAClientsTokenIsItsOwn: the verdicts of upstreams on credentials of
// the clients' own condemn no API key of ours, and pass as they are.
func TestA401OfAClientsTokenIsItsOwn(t *testing.T) {
	const invalid = `{"error":{"message":"Incorrect API key provided: deactivated.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`
	status := 401
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), canary) {
			provider(w, r)
			return
		}
		w.Header().Set("X-Should-Retry", "true")
		w.WriteHeader(status)
		io.WriteString(w, invalid)
	}, func(s *setup) {
		s.keys[0].Policy.Credentials = "client"
		s.apiKeys = []string{canary, canary + "2"}
		s.Fallbacks = []forward.Fallback{{Models: "gpt-4o-mini", Instead: []string{"claude-haiku-4-5"}}}
		other := &upstream.Route{Name: "other", Prefix: "/other", Base: mustParse("http://" + unused(t)), Dialect: openai.Dialect, Keys: upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret(canary)}}, nil)}
		s.Models = []forward.ModelRoute{{Models: "claude-*", Route: other}}
	})
	for _, status = range []int{401, 403, 402, 429, 503} {
		a := b.chat("", "Authorization", "Bearer "+oauthToken, "X-Forward-Key", "fk-alice")
		if a.StatusCode != status || a.body != invalid || a.Header.Get("X-Forward-Attempts") != "1" {
			t.Errorf("status %d after %s attempts: %s", a.StatusCode, a.Header.Get("X-Forward-Attempts"), a.body)
		}
	}
	if a := b.do("GET", "/health", ""); strings.Contains(a.body, "resting") || strings.Contains(a.body, "aside") || strings.Contains(a.body, "unfunded") {
		t.Errorf("an API key was condemned: %s", a.body)
	}
	b.chat("", "Authorization", "Bearer fk-bob").want(t, 200)
}

// TestOwnCredentialsUseNoDollars: a spent budget in dollars holds for the
// gateway's API keys, and for list prices only where the key counts them.
func TestOwnCredentialsUseNoDollars(t *testing.T) {
	for _, counts := range []bool{false, true} {
		accounts, rows := accounting(t)
		target := start(t, vendors, nil)
		b := start(t, vendors, func(s *setup) {
			accounts(s)
			claude := target.route("claude", "/claude", []string{canary})
			claude.Dialect = anthropic.Dialect
			claude.Client = true
			s.routes = []*upstream.Route{target.route("openai", "/", []string{canary}), claude}
			s.keys[0].Policy = keys.Policy{Budgets: []keys.Budget{{Unit: "usd", Amount: 1_000_000, Period: "month"}}, CountList: counts}
			s.Metrics = metrics.New(metrics.Options{})
		})
		ask := func(model string, most int) int {
			return b.do("POST", "/claude/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":%d,"messages":[{"role":"user","content":"hi"}]}`, model, most),
				"Authorization", "Bearer "+oauthToken, "X-Forward-Key", "fk-alice").StatusCode
		}
		got := fmt.Sprint(ask("claude-haiku-4-5", 100), ask("claude-haiku-4-5", 64_000), ask("claude-of-next-year", 100), b.chat(`,"max_tokens":9`).StatusCode)
		// $0.32 is more than the budget has, and the last model has no price
		// until it has answered.
		want := map[bool]string{false: "200 200 200 200", true: "200 402 403 200"}[counts]
		if got != want {
			t.Errorf("counts %v: %s, want %s", counts, got, want)
		}
		var cost, list price.Money
		for _, r := range rows(b) {
			cost += r.Cost
			list += r.List
		}
		answered := price.Money(strings.Count(want, "200") - 1)
		if cost != 9*150+3*600 || list != answered*(9*1000+3*5000) {
			t.Errorf("counts %v: cost %v, list %v", counts, cost, list)
		}
		text := b.do("GET", "/metrics", "").body
		if !strings.Contains(text, `forward_list_price_usd_total{model="claude-haiku-4-5",route="claude"}`) || strings.Contains(text, `forward_cost_usd_total{model="claude-haiku-4-5"`) || !strings.Contains(text, `forward_cost_usd_total{model="gpt-4o-mini",route="openai"} 3.15e-06`) {
			t.Errorf("metrics:\n%s", text)
		}
		for _, secret := range []string{oauthToken, "fk-alice"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in the metrics", secret)
			}
		}
	}
}

// TestCostsWithoutAForwardKey: without a forward key to show whose account
// pays, rows have what requests cost, as they always had. With PASSTHROUGH_KEYS
// the row's key shows that it was the client's own.
func TestCostsWithoutAForwardKey(t *testing.T) {
	for name, change := range map[string]func(*setup){
		"passed-through keys": func(s *setup) { s.Passthrough = true },
		"no keys at all":      func(s *setup) { s.open = true },
		"a route of clients":  func(s *setup) { s.keys = nil; s.client = true },
	} {
		accounts, rows := accounting(t)
		b := start(t, provider, func(s *setup) { accounts(s); change(s) })
		b.chat("", "Authorization", "Bearer "+ownKey).want(t, 200)
		got := rows(b)
		if len(got) != 1 || !strings.HasPrefix(got[0].Key, "own:") || got[0].Listed || got[0].Cost != 9*150+3*600 {
			t.Errorf("%s: %+v", name, got)
		}
		if r, _ := b.last(); r.Header.Get("Authorization") != "Bearer "+ownKey {
			t.Errorf("%s: sent %v", name, r.Header)
		}
	}
}

// TestOwnCredentialsOnAWebSocket: the handshake has the forward key, each
// message is judged by it, and its row has a list price.
func TestOwnCredentialsOnAWebSocket(t *testing.T) {
	accounts, rows := accounting(t)
	up := playing(t)
	b := start(t, up.ServeHTTP, func(s *setup) {
		accounts(s)
		s.client = true
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-4o*"}, Budgets: []keys.Budget{{Unit: "usd", Amount: 1, Period: "month"}}}
	})
	c := b.dial("/v1/responses", "X-Forward-Key", "fk-alice", "Authorization", "Bearer "+jwtToken, "Chatgpt-Account-Id", "account-of-alice")
	c.send(create("gpt-4o-mini", "one two three"))
	if got := c.last(); !strings.Contains(got, `"response.completed"`) {
		t.Error(got)
	}
	c.send(create("o1-pro", "one two three"))
	wantError(t, c.last(), 403, "model_not_allowed", "may not use model")
	c.bye(b)
	got := rows(b)
	if len(got) == 0 || !got[0].Listed || got[0].List == 0 || got[0].Cost != 0 || got[0].KeyName != "alice" || got[0].Usage.Output == 0 {
		t.Errorf("rows %+v", got)
	}
	for _, r := range up.Requests() {
		if text := fmt.Sprint(r.Header, r.URI, r.Body); strings.Contains(text, "fk-alice") || strings.Contains(text, "X-Forward") || strings.Contains(text, canary) {
			t.Errorf("went upstream: %s", text)
		}
	}
	if r := up.Requests()[0]; r.Header.Get("Authorization") != "Bearer "+jwtToken || r.Header.Get("Chatgpt-Account-Id") != "account-of-alice" {
		t.Errorf("the handshake had %v", r.Header)
	}
	if written := fmt.Sprint(got, b.logged()); strings.Contains(written, jwtToken) || strings.Contains(written, "fk-alice") {
		t.Errorf("written: %s", written)
	}
}

// TestTheQueueLearnsNothingOfAClientsAccount: what an upstream reports is left
// of a client's own account holds no request of others up.
func TestTheQueueLearnsNothingOfAClientsAccount(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), canary) {
			provider(w, r)
			return
		}
		w.Header().Set("Retry-After", "60")
		w.Header().Set("X-Ratelimit-Remaining-Requests", "0")
		w.Header().Set("X-Ratelimit-Limit-Requests", "1")
		w.Header().Set("X-Ratelimit-Reset-Requests", "60s")
		w.WriteHeader(http.StatusTooManyRequests)
	}, func(s *setup) {
		lined(queue.Rule{Models: "*", Model: queue.Model{RPM: 1000, MaxQueue: 5, MaxWait: time.Second}})(s)
		s.keys[0].Policy.Credentials = "client"
		s.Passthrough = true
	})
	b.chat("", "Authorization", "Bearer "+oauthToken, "X-Forward-Key", "fk-alice").want(t, 429)
	b.chat("", "Authorization", "Bearer "+ownKey).want(t, 429)
	b.chat("", "Authorization", "Bearer fk-bob").want(t, 200)
}

// TestPagesMaySendXForwardKey is about browsers, which ask before they send a
// header of ours.
func TestPagesMaySendXForwardKey(t *testing.T) {
	b := start(t, provider, func(s *setup) { s.CORSOrigins = []string{"*"} })
	a := b.do("OPTIONS", "/v1/chat/completions", "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,x-forward-key", "Authorization", "")
	a.want(t, http.StatusNoContent)
	if got := a.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(got, "x-forward-key") {
		t.Errorf("allowed are %q", got)
	}
}
