package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"forward/docs"
	"forward/internal/admin"
)

// TestLLMs: the page names the address that the caller has reached, and needs
// no key, as it has none.
func TestLLMs(t *testing.T) {
	h := newFixture(t)
	ask := func(method, host string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/_/llms.txt", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for host, want := range map[string]string{
		"llm.example.com":  "export ANTHROPIC_BASE_URL=http://llm.example.com/anthropic\n",
		"127.0.0.1:8000":   "http://127.0.0.1:8000/v1",
		"a;rm -rf $(x).de": "http://gw:8000/v1", // it cannot be pasted into a shell
	} {
		w := ask(http.MethodGet, host)
		text := w.Body.String()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(text, want) || strings.Contains(text, "$(x)") {
			t.Errorf("%s: %d %v %s", host, w.Code, w.Header(), text)
		}
		for _, part := range []string{"# Clients of forward", "X-Forward-Max-Wait", "insufficient_quota", "config.toml", "fk-YOUR-KEY"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q", host, part)
			}
		}
	}
	if w := ask(http.MethodGet, "gw:8000"); w.Body.String() != docs.Clients {
		t.Error("it differs from docs/clients.md by more than the address")
	}
	if w := ask(http.MethodPost, "gw:8000"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
	behind := newFixture(t, func(o *admin.Options) { o.Origin = func(*http.Request) string { return "https://llm.example.com" } })
	if w := behind.ask(http.MethodGet, "/_/llms.txt", ""); !strings.Contains(w.Body.String(), `base_url = "https://llm.example.com/v1"`) {
		t.Errorf("behind a proxy: %s", w.Body)
	}
}
