package forward_test

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/upstream"
)

func TestWhoMayComeIn(t *testing.T) {
	const own = "sk-clients-own-key-0123456789"
	for name, test := range map[string]struct {
		change  func(*setup)
		headers []string
		path    string
		status  int
		sent    string // Authorization that the upstream sees
	}{
		"a forward key as Bearer":               {nil, []string{"Authorization", "Bearer fk-bob"}, "", 200, "Bearer " + canary},
		"a forward key as x-api-key":            {nil, []string{"Authorization", "", "X-Api-Key", "fk-bob"}, "", 200, "Bearer " + canary},
		"a forward key as api-key":              {nil, []string{"Authorization", "", "Api-Key", "fk-bob"}, "", 200, "Bearer " + canary},
		"a forward key as x-goog-api-key":       {nil, []string{"Authorization", "", "X-Goog-Api-Key", "fk-bob"}, "", 200, "Bearer " + canary},
		"a forward key in the query":            {nil, []string{"Authorization", ""}, "?a=1&key=fk-bob", 200, "Bearer " + canary},
		"the same key twice":                    {nil, []string{"X-Api-Key", "fk-alice"}, "", 200, "Bearer " + canary},
		"two different keys":                    {nil, []string{"X-Api-Key", "fk-bob"}, "", 401, ""},
		"no key":                                {nil, []string{"Authorization", ""}, "", 401, ""},
		"an unknown key":                        {nil, []string{"Authorization", "Bearer fk-eve"}, "", 401, ""},
		"a key and a letter":                    {nil, []string{"Authorization", "Bearer fk-alicex"}, "", 401, ""},
		"the scheme openai-forward fell for":    {nil, []string{"Authorization", "Bearer,fk-alice"}, "", 401, ""},
		"a key without a scheme":                {nil, []string{"Authorization", "fk-alice"}, "", 401, ""},
		"a provider key":                        {nil, []string{"Authorization", "Bearer " + own}, "", 401, ""},
		"a provider key that is let through":    {func(s *setup) { s.Passthrough = true }, []string{"Authorization", "Bearer " + own}, "", 200, "Bearer " + own},
		"an unknown fk- key is not let through": {func(s *setup) { s.Passthrough = true }, []string{"Authorization", "Bearer fk-eve"}, "", 401, ""},
		"transparent":                           {func(s *setup) { s.open = true }, []string{"Authorization", "Bearer " + own}, "", 200, "Bearer " + own},
		"transparent, no key":                   {func(s *setup) { s.open = true }, []string{"Authorization", ""}, "", 200, ""},
		"API keys without forward keys":         {func(s *setup) { s.keys = nil }, []string{"Authorization", ""}, "", 200, "Bearer " + canary},
		"API keys replace the client's":         {func(s *setup) { s.keys = nil }, []string{"Authorization", "Bearer " + own}, "", 200, "Bearer " + canary},
		"a disabled key":                        {func(s *setup) { s.keys[0].Disabled = true }, nil, "", 401, ""},
		"an expired key":                        {func(s *setup) { s.keys[0].Expires = time.Unix(1, 0) }, nil, "", 401, ""},
		"no API key to swap for":                {func(s *setup) { s.apiKeys = nil }, nil, "", 502, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, test.change)
			a := b.do("POST", "/v1/chat/completions"+test.path, `{"model":"m"}`, test.headers...)
			a.want(t, test.status)
			if test.status != 200 {
				if b.calls() != 0 {
					t.Errorf("the upstream was called")
				}
				a.want(t, test.status, `{"error":{"message":`)
				return
			}
			r, _ := b.last()
			if got := r.Header.Get("Authorization"); got != test.sent {
				t.Errorf("Authorization %q, want %q", got, test.sent)
			}
			for _, slot := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
				if r.Header.Get(slot) != "" {
					t.Errorf("%s went upstream", slot)
				}
			}
			if strings.Contains(r.RequestURI, "fk-") {
				t.Errorf("the forward key went upstream in %s", r.RequestURI)
			}
		})
	}
}

func TestRefusalHasOpenAIsShape(t *testing.T) {
	b := start(t, provider, nil)
	a := b.chat("", "Authorization", "Bearer fk-a1B2c3D4e5F6g7H8i9J0x9Zt")
	a.want(t, 401, `"type":"invalid_request_error"`, `"param":null`, `"code":"invalid_api_key"`, "fk-")
	if strings.Contains(a.body, "fk-a1B2c3D4e5F6g7H8i9J0x9Zt") {
		t.Errorf("the presented key is not masked: %s", a.body)
	}
	if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("X-Request-Id") == "" || a.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("headers %v", a.Header)
	}
}

func TestA401ReadsNoBody(t *testing.T) {
	b := start(t, provider, nil)
	pr, pw := io.Pipe()
	defer pw.Close()
	r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", pr) // a body that never comes
	r.Header.Set("Authorization", "Bearer fk-eve")
	res := must(http.DefaultTransport.RoundTrip(r))(t)
	res.Body.Close()
	if res.StatusCode != 401 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestLevelsLimitModels(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Level: 1})
		s.Levels = keys.Levels{1: {"gpt-4o-mini", "text-*", "whisper-*"}}
	})
	form := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nxxx\r\n--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n%s\r\n--B--\r\n"
	for name, test := range map[string]struct {
		path, body, contentType string
		status                  int
	}{
		"allowed":                     {"/v1/chat/completions", `{"model":"gpt-4o-mini"}`, "", 200},
		"allowed by a glob":           {"/v1/embeddings", `{"model":"text-embedding-3-small","input":"x"}`, "", 200},
		"another model":               {"/v1/chat/completions", `{"model":"o1-pro"}`, "", 403},
		"no model":                    {"/v1/chat/completions", `{}`, "", 403},
		"twice":                       {"/v1/chat/completions", `{"model":"o1-pro","model":"gpt-4o-mini"}`, "", 400},
		"another case":                {"/v1/chat/completions", `{"model":"o1-pro","Model":"gpt-4o-mini"}`, "", 400},
		"an escape":                   {"/v1/chat/completions", `{"model":"gpt-4o-mini","mode\u006c":"o1-pro"}`, "", 400},
		"an operation nobody knows":   {"/v1/new/thing", `{"model":"o1-pro"}`, "", 403},
		"images":                      {"/v1/images/generations", `{"model":"dall-e-3","prompt":"x"}`, "", 403},
		"a letter escaped":            {"/v1/chat/%63ompletions", `{"model":"o1-pro"}`, "", 403},
		"the alias":                   {"/openai/v1/chat/completions", `{"model":"o1-pro"}`, "", 403},
		"a form":                      {"/v1/audio/transcriptions", strings.ReplaceAll(form, "%s", "whisper-1"), "multipart/form-data; boundary=B", 200},
		"a form with another model":   {"/v1/audio/transcriptions", strings.ReplaceAll(form, "%s", "gpt-4o-transcribe"), "multipart/form-data; boundary=B", 403},
		"a form that needs no model":  {"/v1/files", strings.ReplaceAll(form, "name=\"model\"", "name=\"purpose\""), "multipart/form-data; boundary=B", 200},
		"realtime with another model": {"/v1/realtime?model=gpt-realtime", "", "", 403},
	} {
		t.Run(name, func(t *testing.T) {
			before := b.calls()
			headers := []string{"Authorization", "Bearer fk-carol"}
			if test.contentType != "" {
				headers = append(headers, "Content-Type", test.contentType)
			}
			b.do("POST", test.path, test.body, headers...).want(t, test.status)
			if called := b.calls() > before; called != (test.status == 200) {
				t.Errorf("upstream called: %v", called)
			}
		})
	}
	b.chat("", "Authorization", "Bearer fk-carol").want(t, 200)
	b.do("POST", "/v1/chat/completions", `{"model":"o1-pro"}`).want(t, 200) // level 0 may use all
	b.do("GET", "/v1/models", "", "Authorization", "Bearer fk-carol").want(t, 200)
}

// TestModelsOfModerations: the model that the API takes by default hides no
// other one, however that is spelled.
func TestModelsOfModerations(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.keys = append(s.keys, keys.Key{Name: "carol", Secret: keys.NewSecret("fk-carol"), Level: 1})
		s.Levels = keys.Levels{1: {"omni-*"}}
	})
	for body, status := range map[string]int{
		`{"input":"a"}`: 200,
		`{"input":"a","model":"omni-moderation-latest"}`:  200,
		`{"input":"a","model":"gpt-guard"}`:               403,
		`{"input":"a","Model":"gpt-guard"}`:               403,
		`{"input":"a","Model":"omni-1","MODEL":"o1-pro"}`: 403,
	} {
		b.do("POST", "/v1/moderations", body, "Authorization", "Bearer fk-carol").want(t, status)
	}
}

func TestOpenRoutesAskForNoKeyAndSwapNone(t *testing.T) {
	extra := func(b *bench, s *setup) {
		u, _ := url.Parse(b.upstream.URL)
		s.routes = []*upstream.Route{{Name: "tts", Prefix: "/tts", Base: u, Dialect: openai.Dialect, Open: true}}
	}
	target := start(t, provider, nil)
	b := start(t, provider, func(s *setup) { extra(target, s) })
	b.do("GET", "/tts/x", "", "Authorization", "Bearer theirs").want(t, 200)
	if r, _ := target.last(); r.Header.Get("Authorization") != "Bearer theirs" {
		t.Errorf("Authorization %q", r.Header.Get("Authorization"))
	}
	b.do("GET", "/tts/x", "").want(t, 200) // fk-alice
	if r, _ := target.last(); r.Header.Get("Authorization") != "" {
		t.Errorf("a forward key went upstream: %q", r.Header.Get("Authorization"))
	}
	asked := start(t, provider, func(s *setup) { extra(target, s); s.ExtraAuth = true })
	asked.do("GET", "/tts/x", "", "Authorization", "Bearer theirs").want(t, 401)
	asked.do("GET", "/tts/x", "").want(t, 200)
}

func TestAddresses(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	elsewhere := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, test := range map[string]struct {
		allow, deny, trusted []netip.Prefix
		forwarded            string
		status               int
	}{
		"nobody is listed":                 {nil, nil, nil, "", 200},
		"listed":                           {loopback, nil, nil, "", 200},
		"not listed":                       {elsewhere, nil, nil, "", 403},
		"denied":                           {nil, loopback, nil, "", 403},
		"an untrusted peer claims":         {elsewhere, nil, nil, "10.1.1.1", 403},
		"a trusted proxy says":             {elsewhere, nil, loopback, "10.1.1.1", 200},
		"what the client put to the left":  {elsewhere, nil, loopback, "10.1.1.1, 192.0.2.7", 403},
		"through two trusted proxies":      {elsewhere, nil, loopback, "10.1.1.1, 127.0.0.9", 200},
		"something that is not an address": {elsewhere, nil, loopback, "10.1.1.1, unknown", 403},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, provider, func(s *setup) { s.Allow, s.Deny, s.TrustedProxies = test.allow, test.deny, test.trusted })
			var headers []string
			if test.forwarded != "" {
				headers = []string{"X-Forwarded-For", test.forwarded}
			}
			b.chat("", headers...).want(t, test.status)
		})
	}
}

func TestLimits(t *testing.T) {
	minute := must(limits.ParseRates("6/minute"))(t)
	admitted := func(b *bench, n int, path string, headers ...string) (ok int) {
		for range n {
			if b.do("POST", path, `{"model":"m"}`, headers...).StatusCode == 200 {
				ok++
			}
		}
		return ok
	}
	t.Run("three routes admit exactly six", func(t *testing.T) {
		target := start(t, provider, nil)
		b := start(t, provider, func(s *setup) {
			for _, name := range []string{"a", "b", "c"} {
				s.routes = append(s.routes, target.route(name, "/"+name, []string{canary}))
				s.limits.Rules = append(s.limits.Rules, limits.Rule{Path: "/" + name, Level: limits.AnyLevel, Rates: minute})
			}
		})
		for _, name := range []string{"/a", "/b", "/c"} {
			if ok := admitted(b, 9, name+"/v1/chat/completions"); ok != 6 {
				t.Errorf("%s admitted %d", name, ok)
			}
		}
	})
	t.Run("an alias and an address change nothing", func(t *testing.T) {
		b := start(t, provider, func(s *setup) {
			s.limits.Rules = []limits.Rule{{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: minute}}
		})
		admitted(b, 3, "/v1/models") // unlimited
		ok := admitted(b, 4, "/v1/chat/completions") + admitted(b, 4, "/openai/v1/chat/completions") + admitted(b, 4, "/v1/chat/%63ompletions") +
			admitted(b, 4, "/v1/chat/completions", "X-Forwarded-For", "192.0.2.1")
		if ok != 6 {
			t.Errorf("admitted %d", ok)
		}
		if ok := admitted(b, 3, "/v1/chat/completions", "Authorization", "Bearer fk-bob"); ok != 3 {
			t.Errorf("another caller: admitted %d", ok)
		}
		a := b.chat("")
		a.want(t, 429, `"code":"rate_limit_exceeded"`)
		for _, h := range []string{"Retry-After", "Retry-After-Ms", "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"} {
			if a.Header.Get(h) == "" {
				t.Errorf("no %s in %v", h, a.Header)
			}
		}
	})
	t.Run("the upstream's figures give way to ours", func(t *testing.T) {
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Ratelimit-Limit-Requests", "9999")
			provider(w, r)
		}, func(s *setup) { s.limits.Global = minute })
		if a := b.chat(""); a.Header.Get("X-Ratelimit-Limit-Requests") != "6" || len(a.Header.Values("X-Ratelimit-Limit-Requests")) != 1 {
			t.Errorf("headers %v", a.Header)
		}
	})
}

func TestPacing(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, strings.Repeat("data: x\n\n", 7)) // all in one write
	}, func(s *setup) {
		s.Paces = limits.NewPaces([]limits.Rule{{Path: "/v1/chat/completions", Level: limits.AnyLevel, Rates: must(limits.ParseRates("50/second"))(t)}})
	})
	started := time.Now()
	a := b.chat(`,"stream":true`)
	if took := time.Since(started); took < 120*time.Millisecond || a.body != strings.Repeat("data: x\n\n", 7) {
		t.Errorf("7 events at 50 a second took %v; body %q", took, a.body)
	}
}

func TestCORS(t *testing.T) {
	preflight := []string{"Origin", "https://chat.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type", "Authorization", ""}
	b := start(t, provider, func(s *setup) { s.CORSOrigins = []string{"*"} })
	a := b.do("OPTIONS", "/v1/chat/completions", "", preflight...)
	a.want(t, http.StatusNoContent)
	if a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Access-Control-Allow-Headers") != "authorization,content-type" || a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("headers %v", a.Header)
	}
	if b.calls() != 0 {
		t.Error("a preflight went upstream")
	}
	if a := b.chat("", "Origin", "https://chat.example"); a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers %v", a.Header)
	}
	b = start(t, provider, func(s *setup) { s.CORSOrigins = []string{"https://chat.example"} })
	if a := b.do("OPTIONS", "/v1/chat/completions", "", append(preflight, "Origin", "https://evil.example")...); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", a.Header)
	}
	if a := b.do("OPTIONS", "/v1/chat/completions", "", preflight...); a.Header.Get("Access-Control-Allow-Origin") != "https://chat.example" {
		t.Errorf("headers %v", a.Header)
	}
}

func TestModelsLeadToTheirProvider(t *testing.T) {
	google, local := start(t, provider, nil), start(t, provider, nil)
	var routes []*upstream.Route
	b := start(t, provider, func(s *setup) {
		root := google.route("openai", "/", []string{canary}, "/openai")
		second := google.route("gemini", "/gemini", []string{"AIza-the-key-of-gemini"})
		second.Dialect = gemini.Dialect
		routes = []*upstream.Route{root, second, local.route("local", "/local", nil)}
		routes[2].Open = true
		s.routes = routes
		s.Models = []forward.ModelRoute{{Models: "gemini-*", Route: second}, {Models: "llama*", Route: routes[2]}}
		s.limits.Global = must(limits.ParseRates("100/minute"))(t)
	})
	ask := func(path, model string) answer {
		return b.do("POST", path+"/v1/chat/completions", `{"model":"`+model+`"}`)
	}
	ask("", "gemini-2.5-pro").want(t, 200)
	if r, _ := google.last(); r.RequestURI != "/v1beta/openai/chat/completions" || r.Header.Get("Authorization") != "Bearer AIza-the-key-of-gemini" || r.Header.Get("X-Goog-Api-Key") != "" {
		t.Errorf("gemini got %s %v", r.RequestURI, r.Header)
	}
	ask("", "llama3:8b").want(t, 200)
	if r, _ := local.last(); r.RequestURI != "/v1/chat/completions" || r.Header.Get("Authorization") != "" {
		t.Errorf("the local server got %s %v", r.RequestURI, r.Header)
	}
	ask("", "gpt-4o").want(t, 200)
	if r, _ := google.last(); r.RequestURI != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+canary {
		t.Errorf("openai got %s %v", r.RequestURI, r.Header)
	}
	if a := ask("/openai", "gpt-4o"); a.Header.Get("X-Ratelimit-Remaining-Requests") != "96" {
		t.Errorf("a model's route has limits of its own: %v", a.Header)
	}
}

func TestAnIPv6CallerCountsByItsNetwork(t *testing.T) {
	b := start(t, provider, func(s *setup) {
		s.open = true
		s.limits.Global = must(limits.ParseRates("1/hour"))(t)
		s.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for _, c := range []struct {
		ip     string
		status int
	}{{"2001:db8::1", 200}, {"2001:db8::2", 429}, {"2001:db8:0:1::1", 200}, {"192.0.2.1", 200}, {"192.0.2.2", 200}, {"192.0.2.2", 429}} {
		if got := b.chat("", "X-Forwarded-For", c.ip, "Authorization", "").StatusCode; got != c.status {
			t.Errorf("%s: status %d, want %d", c.ip, got, c.status)
		}
	}
}
