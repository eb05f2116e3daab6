package forward_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// towards is a transport that dials one address for every host, as a test may
// not reach api.openai.com. X-Dialled is the host that was meant.
type towards string

func (to towards) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Dialled", r.URL.Host)
	r.URL.Host = strings.TrimPrefix(string(to), "http://")
	r.URL.Scheme = "http"
	return plainTransport.RoundTrip(r)
}

// place is a route of a test: where it is mounted, in which dialect, on which
// host, and with which API key.
type place struct {
	prefix  string
	dialect *dialect.Dialect
	base    string
	key     string
}

var (
	atOpenAI    = place{"/", openai.Dialect, "http://api.openai.com", "sk-openai"}
	atLocal     = place{"/", openai.Dialect, "http://gpu-1:8000", "sk-local"}
	atAnthropic = place{"/anthropic", anthropic.Dialect, "http://api.anthropic.com", "sk-ant"}
	atGemini    = place{"/gemini", gemini.Dialect, "http://generativelanguage.googleapis.com", "AIza"}
	atDeepSeek  = place{"/deepseek-anthropic", anthropic.Dialect, "http://api.deepseek.com/anthropic", "sk-ds"}
	atRouter    = place{"/openrouter", openai.Dialect, "http://openrouter.ai/api", "sk-or"}
)

func (p place) without() place {
	p.key = ""
	return p
}

// mounted starts a gateway with these routes, at / the first of them. led
// are the entries of MODEL_ROUTES as dialect, model and prefix; the dialect may
// be empty.
func mounted(t *testing.T, places []place, led [][3]string, change func(*setup)) *bench {
	t.Helper()
	up := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, ok := modelsAt[r.Header.Get("X-Dialled")+r.URL.Path]
		if !ok {
			list = `{}`
		}
		io.WriteString(w, list)
	}, nil)
	b := start(t, nil, func(s *setup) {
		s.routes = nil
		at := map[string]*upstream.Route{}
		for _, p := range places {
			name := strings.TrimPrefix(p.prefix, "/")
			if name == "" {
				name = "home"
			}
			r := &upstream.Route{Name: name, Prefix: p.prefix, Dialect: p.dialect, Base: mustParse(p.base), Transport: towards(up.upstream.URL)}
			if p.key != "" {
				r.Keys = upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret(p.key)}}, nil)
			}
			at[p.prefix] = r
			s.routes = append(s.routes, r)
		}
		for _, l := range led {
			m := forward.ModelRoute{Models: l[1], Route: at[l[2]]}
			for _, p := range places {
				if p.dialect.Name == l[0] {
					m.Dialect = p.dialect
				}
			}
			s.Models = append(s.Models, m)
		}
		table := must(upstream.NewTable(s.routes))(t)
		for _, d := range dialects.All { // as cmd/forward adds them
			for _, r := range forward.RoutesOf(table, d) {
				if r.Keys.Len() > 0 && d.Provider.Models != "" {
					s.Models = append(s.Models, forward.ModelRoute{Models: d.Provider.Models, Route: r})
					break
				}
			}
		}
		if change != nil {
			change(s)
		}
	})
	b.upstream = up.upstream
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seenBy = up
	return b
}

// TestOneAddressForEveryProtocol asks on / in each protocol, with the SDKs' own
// slot of the key, and looks at which host was asked how.
func TestOneAddressForEveryProtocol(t *testing.T) {
	const (
		model    = `{"model":"%","messages":[],"input":"x","max_tokens":1}`
		contents = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	)
	bearer := []string{}
	claude := []string{"Authorization", "", "X-Api-Key", "fk-alice", "Anthropic-Version", "2023-06-01"}
	google := []string{"Authorization", "", "X-Goog-Api-Key", "fk-alice"}
	all := []place{atOpenAI, atDeepSeek, atAnthropic, atGemini, atRouter} // written routes come before built-in ones
	local := append([]place{atLocal}, all[1:]...)
	led := [][3]string{{"anthropic", "deepseek-*", "/deepseek-anthropic"}, {"", "*/*", "/openrouter"}}
	for _, test := range []struct {
		name    string
		places  []place
		ask     string // method, path and perhaps the model of the body
		body    string
		headers []string
		want    string // the host and path that were asked, or what the refusal reports
		slot    string // where the API key came
	}{
		{"messages", all, "POST /v1/messages claude-opus-5", model, claude, "api.anthropic.com/v1/messages", "X-Api-Key: sk-ant"},
		{"messages with a bearer token", all, "POST /v1/messages?beta=true claude-opus-5", model, bearer, "api.anthropic.com/v1/messages?beta=true", "X-Api-Key: sk-ant"},
		{"count_tokens", all, "POST /v1/messages/count_tokens claude-opus-5", model, claude, "api.anthropic.com/v1/messages/count_tokens", "X-Api-Key: sk-ant"},
		{"messages of a third party", all, "POST /v1/messages deepseek-chat", model, claude, "api.deepseek.com/anthropic/v1/messages", "X-Api-Key: sk-ds"},
		{"count_tokens of a third party", all, "POST /v1/messages/count_tokens deepseek-chat", model, claude, "api.deepseek.com/anthropic/v1/messages/count_tokens", "X-Api-Key: sk-ds"},
		{"messages of a reseller", all, "POST /v1/messages z-ai/glm-5", model, claude, "openrouter.ai/api/v1/messages", "Authorization: Bearer sk-or"},
		{"messages of another model", all, "POST /v1/messages mine", model, claude, "api.anthropic.com/v1/messages", "X-Api-Key: sk-ant"},
		{"messages of OpenAI's model", all, "POST /v1/messages gpt-6", model, claude, "api.anthropic.com/v1/messages", "X-Api-Key: sk-ant"},
		{"messages of a local server", local, "POST /v1/messages qwen3", model, claude, "gpu-1:8000/v1/messages", "Authorization: Bearer sk-local"},
		{"messages beside a local server", local, "POST /v1/messages claude-opus-5", model, claude, "api.anthropic.com/v1/messages", "X-Api-Key: sk-ant"},
		{"batches", all, "POST /v1/messages/batches", `{"requests":[{"params":{"model":"claude-opus-5"}}]}`, claude, "api.anthropic.com/v1/messages/batches", "X-Api-Key: sk-ant"},
		{"batches beside a local server", local, "GET /v1/messages/batches/b/results", "", claude, "api.anthropic.com/v1/messages/batches/b/results", "X-Api-Key: sk-ant"},
		{"Anthropic's files", all, "GET /v1/files", "", claude, "api.anthropic.com/v1/files", "X-Api-Key: sk-ant"},
		{"OpenAI's files", all, "GET /v1/files", "", bearer, "api.openai.com/v1/files", "Authorization: Bearer sk-openai"},
		{"OpenAI's files with a key in Anthropic's slot", all, "GET /v1/files", "", claude[:4], "api.openai.com/v1/files", "Authorization: Bearer sk-openai"},
		{"what only OpenAI has", all, "GET /v1/assistants", "", claude, "api.openai.com/v1/assistants", "Authorization: Bearer sk-openai"},
		{"what is new at Anthropic", all, "POST /v1/novelties", "{}", claude, "api.anthropic.com/v1/novelties", "X-Api-Key: sk-ant"},

		{"chat", all, "POST /v1/chat/completions gpt-6", model, bearer, "api.openai.com/v1/chat/completions", "Authorization: Bearer sk-openai"},
		{"chat of another provider", all, "POST /v1/chat/completions claude-opus-5", model, bearer, "api.anthropic.com/v1/chat/completions", "Authorization: Bearer sk-ant"},
		{"chat of a third party", all, "POST /v1/chat/completions deepseek-chat", model, bearer, "api.openai.com/v1/chat/completions", "Authorization: Bearer sk-openai"},
		{"responses", all, "POST /v1/responses gpt-6", model, bearer, "api.openai.com/v1/responses", "Authorization: Bearer sk-openai"},
		{"responses of a local server", local, "POST /v1/responses qwen3", model, bearer, "gpu-1:8000/v1/responses", "Authorization: Bearer sk-local"},
		{"responses of a reseller", all, "POST /v1/responses x/y", model, bearer, "openrouter.ai/api/v1/responses", "Authorization: Bearer sk-or"},
		{"responses of Anthropic's model", all, "POST /v1/responses claude-opus-5", model, bearer, `the route at /anthropic, which does not serve POST /v1/responses`, ""},
		{"responses of Anthropic's model beside a local server", local, "POST /v1/responses claude-opus-5", model, bearer, "gpu-1:8000/v1/responses", "Authorization: Bearer sk-local"},
		{"embeddings", all, "POST /v1/embeddings gemini-embedding-001", model, bearer, "generativelanguage.googleapis.com/v1beta/openai/embeddings", "Authorization: Bearer AIza"},
		{"Gemini's OpenAI paths", all, "POST /v1beta/openai/chat/completions gemini-3-pro", model, bearer, "generativelanguage.googleapis.com/v1beta/openai/chat/completions", "Authorization: Bearer AIza"},

		{"generateContent", all, "POST /v1beta/models/gemini-3-pro:generateContent", contents, google, "generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:generateContent", "X-Goog-Api-Key: AIza"},
		{"streamGenerateContent with a key in the query", all, "POST /v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse&key=fk-alice", contents, []string{"Authorization", ""}, "generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse", "X-Goog-Api-Key: AIza"},
		{"generateContent of v1", all, "POST /v1/models/gemini-3-pro:generateContent", contents, google, "generativelanguage.googleapis.com/v1/models/gemini-3-pro:generateContent", "X-Goog-Api-Key: AIza"},
		{"generateContent of another model", local, "POST /v1beta/models/learnlm:generateContent", contents, google, "generativelanguage.googleapis.com/v1beta/models/learnlm:generateContent", "X-Goog-Api-Key: AIza"},
		{"countTokens", all, "POST /v1beta/models/gemini-3-pro:countTokens", contents, google, "generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:countTokens", "X-Goog-Api-Key: AIza"},
		{"embedContent", all, "POST /v1beta/models/gemini-embedding-001:batchEmbedContents", `{"requests":[]}`, google, "generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents", "X-Goog-Api-Key: AIza"},
		{"an upload", all, "POST /upload/v1beta/files?uploadType=resumable", "{}", google, "generativelanguage.googleapis.com/upload/v1beta/files?uploadType=resumable", "X-Goog-Api-Key: AIza"},
		{"Google's files", all, "GET /v1beta/files", "", google, "generativelanguage.googleapis.com/v1beta/files", "X-Goog-Api-Key: AIza"},
		{"Google's files with a bearer token", local, "GET /v1beta/files/f", "", bearer, "generativelanguage.googleapis.com/v1beta/files/f", "X-Goog-Api-Key: AIza"},
		{"Google's files at v1", all, "GET /v1/files", "", google, "generativelanguage.googleapis.com/v1/files", "X-Goog-Api-Key: AIza"},
		{"cached contents", all, "POST /v1beta/cachedContents", "{}", google, "generativelanguage.googleapis.com/v1beta/cachedContents", "X-Goog-Api-Key: AIza"},
		{"operations", all, "GET /v1beta/models/veo-3/operations/o", "", google, "generativelanguage.googleapis.com/v1beta/models/veo-3/operations/o", "X-Goog-Api-Key: AIza"},

		{"no key for Anthropic", []place{atOpenAI, atAnthropic.without()}, "POST /v1/messages claude-opus-5", model, claude, "the one at /anthropic has no API key. Set ANTHROPIC_API_KEY", ""},
		{"no route for Gemini", []place{atOpenAI}, "POST /v1beta/models/gemini-3-pro:generateContent", contents, google, "no route of type gemini", ""},
		{"no route for Ollama", all, "POST /api/chat llama", model, bearer, "no route of type ollama", ""},
		{"Ollama at /", []place{atLocal}, "POST /api/chat llama", model, bearer, "gpu-1:8000/api/chat", "Authorization: Bearer sk-local"},
		{"Anthropic at /", []place{{"/", anthropic.Dialect, "http://api.anthropic.com", "sk-ant"}, atGemini}, "POST /v1beta/models/gemini-3-pro:generateContent", contents, google, "generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:generateContent", "X-Goog-Api-Key: AIza"},
		{"responses with Anthropic at /", []place{{"/", anthropic.Dialect, "http://api.anthropic.com", "sk-ant"}}, "POST /v1/responses gpt-6", model, bearer, "no route of type openai", ""},
		{"a cloud at /", []place{{"/", gemini.Dialect, "http://us-aiplatform.googleapis.com", "ya29"}, atAnthropic}, "POST /v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-5:rawPredict", `{"messages":[]}`, bearer, "us-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-5:rawPredict", "X-Goog-Api-Key: ya29"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := mounted(t, test.places, led[:1:1], func(s *setup) {
				for _, r := range s.routes {
					if r.Name == "openrouter" {
						s.Models = append(s.Models, forward.ModelRoute{Models: "*/*", Route: r})
					}
				}
			})
			fields := strings.Fields(test.ask)
			body := test.body
			if len(fields) == 3 {
				body = strings.ReplaceAll(body, "%", fields[2])
			}
			a := b.do(fields[0], fields[1], body, test.headers...)
			if test.slot == "" {
				a.want(t, 404, test.want)
				if n := b.seenBy.calls(); n != 0 {
					t.Errorf("%d requests reached an upstream", n)
				}
				return
			}
			a.want(t, 200)
			r, sent := b.seenBy.last()
			if got := r.Header.Get("X-Dialled") + r.URL.RequestURI(); got != test.want {
				t.Errorf("asked %s, want %s", got, test.want)
			}
			name, value, _ := strings.Cut(test.slot, ": ")
			if r.Header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, r.Header.Get(name), value)
			}
			for _, slot := range []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"} {
				if slot != name && r.Header.Get(slot) != "" {
					t.Errorf("%s is %q beside %s", slot, r.Header.Get(slot), name)
				}
			}
			if string(sent) != body {
				t.Errorf("the upstream got %s, and not %s", sent, body)
			}
		})
	}
}

// TestRefusalsOnTheOneAddressAreInTheClientsForm: what no route serves is
// refused as the SDK of the path reads it.
func TestRefusalsOnTheOneAddressAreInTheClientsForm(t *testing.T) {
	b := mounted(t, []place{atOpenAI}, nil, nil)
	b.do("POST", "/v1/messages", `{"model":"claude-opus-5"}`).want(t, 404, `{"type":"error","error":{"type":"not_found_error"`, "no route of type anthropic")
	b.do("POST", "/v1beta/models/gemini-3-pro:generateContent", `{}`).want(t, 404, `"status":"NOT_FOUND"`, "/gemini")
	b.do("GET", "/v1beta/files", "").want(t, 404, `"status":"NOT_FOUND"`)
	if b.seenBy.calls() != 0 {
		t.Error("an upstream was asked")
	}
}

// TestAClientsOwnCredentialStaysAtTheHostOfTheRoot: where the gateway sets no
// API key, the client's is for the provider whose address it was given. Only a
// host that cannot speak the protocol is passed over.
func TestAClientsOwnCredentialStaysAtTheHostOfTheRoot(t *testing.T) {
	open := func(s *setup) { s.open = true }
	ask := func(home place) string {
		b := mounted(t, []place{home, atAnthropic.without()}, nil, open)
		b.do("POST", "/v1/messages", `{"model":"claude-opus-5"}`, "Authorization", "", "X-Api-Key", "sk-ant-own").want(t, 200)
		r, _ := b.seenBy.last()
		if r.Header.Get("X-Api-Key") != "sk-ant-own" {
			t.Errorf("the upstream got %v", r.Header)
		}
		return r.Header.Get("X-Dialled")
	}
	if got := ask(atLocal.without()); got != "gpu-1:8000" {
		t.Errorf("%s was asked", got)
	}
	if got := ask(atOpenAI.without()); got != "api.anthropic.com" {
		t.Errorf("%s was asked", got)
	}
}

// TestRulesOfTheKeyHoldWhereARequestIsLed: routes, levels and models of the key
// are those of the route that is asked.
func TestRulesOfTheKeyHoldWhereARequestIsLed(t *testing.T) {
	b := mounted(t, []place{atOpenAI, atAnthropic, atGemini}, nil, func(s *setup) {
		s.keys = append(s.keys,
			keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-*", "claude-sonnet-*"}}},
			keys.Key{Name: "homely", Secret: keys.NewSecret("fk-homely"), Policy: keys.Policy{Routes: []string{"/"}}})
	})
	ask := func(key, model string) answer {
		return b.do("POST", "/v1/messages", `{"model":"`+model+`","max_tokens":1,"messages":[]}`, "Authorization", "Bearer "+key)
	}
	ask("fk-narrow", "claude-sonnet-5").want(t, 200)
	ask("fk-narrow", "claude-opus-5").want(t, 403, "permission_error", "claude-opus-5")
	ask("fk-homely", "claude-opus-5").want(t, 403, "may not use the route 'anthropic'")
	b.do("POST", "/v1beta/models/gemini-3-pro:generateContent", `{}`, "Authorization", "Bearer fk-narrow").want(t, 403, "PERMISSION_DENIED")
	b.do("GET", "/v1beta/files", "", "Authorization", "Bearer fk-homely").want(t, 403, "may not use the route 'gemini'")
	if n := b.seenBy.calls(); n != 1 {
		t.Errorf("%d requests reached an upstream", n)
	}
}

// TestOllamasOwnProtocolOnTheOneAddress goes to the route of its type.
func TestOllamasOwnProtocolOnTheOneAddress(t *testing.T) {
	b := mounted(t, []place{atOpenAI, {"/ollama", ollama.Dialect, "http://gpu-2:11434", "sk-o"}}, nil, nil)
	b.do("POST", "/api/chat", `{"model":"llama","stream":false}`).want(t, 200)
	if r, _ := b.seenBy.last(); r.Header.Get("X-Dialled")+r.URL.Path != "gpu-2:11434/api/chat" {
		t.Errorf("asked %s%s", r.Header.Get("X-Dialled"), r.URL)
	}
}
