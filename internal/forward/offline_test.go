package forward_test

import (
	"bytes"
	"strings"
	"testing"

	"forward/internal/cache"
	"forward/internal/forward"
)

// TestAnExportAnswersElsewhere records with one gateway and asks another, whose
// upstream cannot be reached: each caller gets what the operator has imported,
// in either form, and learns what differs in the others.
func TestAnExportAnswersElsewhere(t *testing.T) {
	recorded := memoryCache(t)
	b := start(t, provider, caching(recorded))
	first := b.chat(`,"temperature":0,"caching":true`)
	first.want(t, 200)
	var file bytes.Buffer
	if n, err := recorded.Export(t.Context(), &file, cache.Filter{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}

	imported := memoryCache(t)
	if n, _, err := imported.Import(t.Context(), &file, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	elsewhere := start(t, provider, func(s *setup) { caching(imported)(s); s.CacheMode = forward.CacheOffline })
	again := elsewhere.chat(`,"temperature":0`)
	if again.want(t, 200); again.body != first.body || again.Header.Get("X-Cache") != "HIT" {
		t.Errorf("X-Cache %q, %q", again.Header.Get("X-Cache"), again.body)
	}
	if a := elsewhere.chat(`,"temperature":0,"stream":true`); a.StatusCode != 200 || !strings.Contains(a.body, "data: [DONE]") {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	missed := elsewhere.chat(`,"temperature":0.5`)
	missed.want(t, 504)
	if !strings.Contains(missed.body, "cache_only_miss") || !strings.Contains(missed.body, "differs in temperature") {
		t.Errorf("%q", missed.body)
	}
	if elsewhere.calls() != 0 {
		t.Errorf("%d calls went upstream", elsewhere.calls())
	}
}

// TestAMissShowsNothingOfOthers: what bob gets for a miss does not depend on
// what alice has asked.
func TestAMissShowsNothingOfOthers(t *testing.T) {
	c := memoryCache(t)
	start(t, provider, caching(c)).chat(`,"caching":true,"tools":[{"alices_secret":1}]`).want(t, 200)
	b := start(t, provider, func(s *setup) { caching(c)(s); s.CacheMode = forward.CacheOffline })
	for _, body := range []string{`{"model":"m","messages":[]}`, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`} {
		a := b.do("POST", "/v1/chat/completions", body, "Authorization", "Bearer fk-bob")
		if a.want(t, 504); strings.Contains(a.body, "differs") || strings.Contains(a.body, "secret") || strings.Contains(a.body, "same request") {
			t.Errorf("%q", a.body)
		}
	}
}
