package forward_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// lists answers with each provider's list of models, in its own form.
func lists(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/anthropic/v1/models":
		if r.URL.RawQuery != "limit=1000" || r.Header.Get("Anthropic-Version") == "" || r.Header.Get("X-Api-Key") == "" {
			w.WriteHeader(400)
		}
		io.WriteString(w, `{"data":[{"type":"model","id":"claude-1","display_name":"Claude 1","created_at":"2025-02-19T00:00:00Z"},{"type":"model","id":"gpt-of-anthropic"}],"has_more":false}`)
	case r.URL.Path == "/gemini/v1beta/models":
		if r.URL.RawQuery != "pageSize=1000" || r.Header.Get("X-Goog-Api-Key") == "" {
			w.WriteHeader(400)
		}
		io.WriteString(w, `{"models":[{"name":"models/gemini-1","displayName":"Gemini 1"}]}`)
	case r.URL.Path == "/v1/models":
		io.WriteString(w, `{"object":"list","data":[{"id":"gpt-1","object":"model","created":1,"owned_by":"openai","extra":[1.0]},{"id":"claude-of-openai","object":"model"},{"id":"gpt-2","object":"model","created":2,"owned_by":"openai"}]}`)
	default:
		provider(w, r)
	}
}

// threeProviders mounts the three providers, with models led from / to each.
func threeProviders(s *setup, up string) {
	s.routes = nil
	for name, d := range map[string]*dialect.Dialect{"openai": openai.Dialect, "anthropic": anthropic.Dialect, "gemini": gemini.Dialect} {
		r := &upstream.Route{Name: name, Prefix: "/" + name, Dialect: d, Keys: upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret(canary)}}, nil)}
		r.Base = mustParse(up + "/" + name)
		if name == "openai" {
			r.Prefix, r.Aliases, r.Base = "/", []string{"/openai"}, mustParse(up)
		} else {
			s.Models = append(s.Models, forward.ModelRoute{Models: map[string]string{"anthropic": "claude-*", "gemini": "gemini-*"}[name], Route: r})
		}
		s.routes = append(s.routes, r)
	}
}

// ids are those of a list of models.
func ids(t testing.TB, body string) string {
	t.Helper()
	var list struct {
		Object string
		Data   []struct{ ID, Object string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || list.Object != "list" {
		t.Fatalf("%v: %s", err, body)
	}
	var out []string
	for _, m := range list.Data {
		if m.Object != "model" {
			t.Errorf("%s is a %q", m.ID, m.Object)
		}
		out = append(out, m.ID)
	}
	return strings.Join(out, " ")
}

func TestOneListOfAllModels(t *testing.T) {
	up := start(t, lists, nil) // only its upstream is used
	b := start(t, nil, func(s *setup) {
		threeProviders(s, up.upstream.URL)
		s.keys = append(s.keys, keys.Key{Name: "guest", Secret: keys.NewSecret("fk-guest"), Level: 1})
		s.Levels = keys.Levels{1: {"*-1"}}
	})
	a := b.do("GET", "/v1/models", "")
	a.want(t, 200, `{"id":"gpt-1","object":"model","created":1,"owned_by":"openai","extra":[1.0]}`, `{"id":"claude-1","object":"model","created":1739923200,"owned_by":"anthropic"}`,
		`{"id":"gemini-1","object":"model","created":0,"owned_by":"gemini"}`)
	got := strings.Fields(ids(t, a.body))
	if len(got) != 4 || got[0] != "gpt-1" || got[1] != "gpt-2" || !strings.Contains(a.body, "claude-1") || !strings.Contains(a.body, "gemini-1") {
		t.Errorf("models %v: one that leads elsewhere is listed, or one is missing", got)
	}
	if from := a.Header.Get("X-Forward-Upstream"); !strings.HasPrefix(from, "openai, ") || a.Header.Get("X-Request-Id") == "" {
		t.Errorf("from %q, headers %v", from, a.Header)
	}
	calls := up.calls()
	if b.do("GET", "/v1/models", ""); up.calls() != calls {
		t.Error("the lists were asked for again at once")
	}
	if got := ids(t, b.do("GET", "/v1/models", "", "Authorization", "Bearer fk-guest").body); strings.Contains(got, "gpt-2") || len(strings.Fields(got)) != 3 {
		t.Errorf("the guest sees %s", got)
	}
	if a := b.do("GET", "/openai/v1/models", ""); !strings.Contains(a.body, "claude-of-openai") {
		t.Errorf("/openai names its provider, and its answer is its own: %s", a.body)
	}
	b.do("GET", "/v1/models", "", "Authorization", "Bearer fk-nobody").want(t, 401)
	if strings.Contains(a.body+fmt.Sprint(a.Header), canary) {
		t.Error("the API key came back")
	}
}

func TestOneProviderDownDoesNotFailTheList(t *testing.T) {
	down := map[string]bool{}
	up := start(t, func(w http.ResponseWriter, r *http.Request) {
		for path := range down {
			if strings.HasPrefix(r.URL.Path, path) {
				w.WriteHeader(500)
				return
			}
		}
		lists(w, r)
	}, nil)
	down["/gemini"], down["/v1"] = true, true
	restart := func() *bench { return start(t, nil, func(s *setup) { threeProviders(s, up.upstream.URL) }) }
	if got := ids(t, restart().do("GET", "/v1/models", "").body); got != "claude-1" {
		t.Errorf("models %s", got)
	}
	down["/anthropic"] = true
	restart().do("GET", "/v1/models", "").want(t, 502, `"error"`)
}

// swapped is an upstream at which the model "full" is limited and "broken"
// fails after it may have run.
func swapped(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var ask struct{ Model string }
	json.Unmarshal(body, &ask)
	switch ask.Model {
	case "full":
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
	case "overloaded":
		w.WriteHeader(503)
	case "broken":
		w.WriteHeader(500)
	default:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatBody)
	}
}

func TestFallback(t *testing.T) {
	c := memoryCache(t)
	b := start(t, swapped, func(s *setup) {
		caching(c)(s)
		s.keys = append(s.keys, keys.Key{Name: "guest", Secret: keys.NewSecret("fk-guest"), Level: 1})
		s.Levels = keys.Levels{1: {"full", "third"}}
		s.Fallbacks = []forward.Fallback{{Models: "full", Instead: []string{"overloaded", "third"}}, {Models: "broken", Instead: []string{"third"}}, {Models: "lonely*", Instead: []string{"full"}}}
	})
	ask := func(model string, headers ...string) answer {
		return b.do("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi \u00e4"}],"caching":true,"model":"`+model+`","seed":1.50}`, headers...)
	}
	a := ask("full")
	a.want(t, 200, "Hello there!")
	if _, body := b.last(); string(body) != `{"model":"third","messages":[{"role":"user","content":"hi \u00e4"}],"seed":1.50}` {
		t.Errorf("the upstream was sent %s", body)
	}
	if a.Header.Get("X-Forward-Modified") != "model, caching" || a.Header.Get("X-Forward-Attempts") != "3" || b.calls() != 3 {
		t.Errorf("modified %q after %q attempts", a.Header.Get("X-Forward-Modified"), a.Header.Get("X-Forward-Attempts"))
	}
	if a := ask("full"); a.Header.Get("X-Cache") == "HIT" {
		t.Error("the answer of another model is remembered as that of the one that was asked")
	}
	calls := b.calls()
	if a := ask("full", "Authorization", "Bearer fk-guest"); a.StatusCode != 200 || b.calls() != calls+2 {
		t.Errorf("status %d after %d calls: a model was asked that the caller may not use", a.StatusCode, b.calls()-calls)
	}
	ask("broken").want(t, 500) // it may have run
	ask("third").want(t, 200)
	if a := ask("lonely"); a.StatusCode != 200 || a.Header.Get("X-Forward-Modified") != "caching" {
		t.Errorf("a model that answers was not asked: %v", a.Header)
	}
}

func TestFallbackToAnotherProvider(t *testing.T) {
	up := start(t, swapped, nil)
	b := start(t, nil, func(s *setup) {
		threeProviders(s, up.upstream.URL)
		for _, r := range s.routes {
			if r.Name == "openai" {
				r.Base = mustParse("http://" + unused(t))
			}
		}
		s.Fallbacks = []forward.Fallback{{Models: "gpt-*", Instead: []string{"claude-1", "gemini-1"}}}
	})
	a := b.chat("")
	a.want(t, 200, "Hello there!")
	if a.Header.Get("X-Forward-Upstream") != "anthropic" || a.Header.Get("X-Forward-Modified") != "model" {
		t.Errorf("headers %v", a.Header)
	}
	if r, _ := up.last(); r.URL.Path != "/anthropic/v1/chat/completions" || !strings.Contains(r.Header.Get("Authorization"), canary) {
		t.Errorf("asked %s with %v", r.URL, r.Header)
	}
}

func TestTheFirstModelRouteWins(t *testing.T) {
	up := start(t, lists, nil)
	b := start(t, nil, func(s *setup) {
		threeProviders(s, up.upstream.URL)
		var root, claude *upstream.Route
		for _, r := range s.routes {
			switch r.Name {
			case "openai":
				root = r
			case "anthropic":
				claude = r
			}
		}
		s.Models = []forward.ModelRoute{{Models: "gpt-4o-mini", Route: root}, {Models: "*", Route: claude}}
	})
	if a := b.chat(""); a.Header.Get("X-Forward-Upstream") != "openai" {
		t.Errorf("answered by %q", a.Header.Get("X-Forward-Upstream"))
	}
}
