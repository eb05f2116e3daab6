package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/limits"
)

// playground serves the bench's gateway as the dashboard does for alice.
func (b *bench) playground(t *testing.T, tags ...string) *bench {
	alice := must(b.gateway.Ring.Lookup("fk-alice"))(t).ID()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		b.gateway.Play(w, r, forward.Caller{Key: alice, Tags: tags})
	}))
	t.Cleanup(server.Close)
	return &bench{t: t, url: server.URL + forward.PlayPrefix, gateway: b.gateway}
}

// D21: a request of the playground is one from outside, made by the key.
func TestPlaygroundIsTheRealPipeline(t *testing.T) {
	ledger, rows := accounting(t)
	b := start(t, provider, func(s *setup) {
		ledger(s)
		caching(memoryCache(t))(s)
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-4o-mini"}}
		s.limits.Global = must(limits.ParseRates("6/minute"))(t)
	})
	p := b.playground(t, "playground")
	cookie := []string{"Cookie", "forward-1=secret", "Authorization", "Bearer of-the-dashboard", "X-Forward-Play-Key", "id", "X-Api-Key", "another"}
	outside := b.chat(`,"caching":true`)
	_, asked := b.last()
	played := p.chat(`,"caching":true`, cookie...)
	if played.body != outside.body || played.Header.Get("X-Cache") != "HIT" {
		t.Errorf("what is cached: %s %q", played.Header.Get("X-Cache"), played.body)
	}
	if h := played.Header; !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("an answer could be a page: %v", h)
	}
	p.chat("", cookie...).want(t, 200, "Hello")
	r, body := b.last()
	for _, name := range []string{"Cookie", "X-Forward-Play-Key", "X-Api-Key", "X-Forward-Key"} {
		if r.Header.Get(name) != "" {
			t.Errorf("%s goes upstream: %v", name, r.Header)
		}
	}
	if r.Header.Get("Authorization") != "Bearer "+canary || r.URL.Path != "/v1/chat/completions" {
		t.Errorf("the upstream got %s with %v", r.URL.Path, r.Header)
	}
	if want := strings.Replace(string(asked), `,"caching":true`, "", 1); string(body) != want {
		t.Errorf("the body is %s, want %s", body, want)
	}
	stream := p.chat(`,"stream":true`, cookie...)
	stream.want(t, 200, "data: ", "[DONE]")
	p.do("POST", "/v1/chat/completions", `{"model":"o1","messages":[]}`, cookie...).want(t, 403, "model_not_allowed")
	p.chat("", cookie...).want(t, 200)
	b.chat("").want(t, 200)
	p.chat("", cookie...).want(t, 429, "rate_limit_exceeded")
	tagged := 0
	for _, r := range rows(b) {
		if r.KeyName != "alice" {
			t.Errorf("a row of %q", r.KeyName)
		}
		if slices.Contains(r.Tags, "playground") {
			tagged++
		}
	}
	if tagged != 6 {
		t.Errorf("%d rows have the tag", tagged)
	}
}

// A cookie identifies only in the dashboard, and a key only as long as it is
// good.
func TestACookieIsNoCredential(t *testing.T) {
	b := start(t, provider, nil)
	b.chat("", "Authorization", "", "Cookie", "forward-1=secret").want(t, 401)
	b.chat("", "Authorization", "", "X-Forward-Play-Key", must(b.gateway.Ring.Lookup("fk-alice"))(t).ID()).want(t, 401)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.gateway.Play(w, r, forward.Caller{Key: "gone"})
	}))
	defer server.Close()
	res, err := http.Post(server.URL+forward.PlayPrefix+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 401 {
		t.Errorf("a key that is gone: %d %s", res.StatusCode, text)
	}
	if b.calls() != 0 {
		t.Errorf("%d calls", b.calls())
	}
}
