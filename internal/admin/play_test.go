package admin_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"forward/internal/admin"
)

// D21: a holder plays as itself, the administrator as a key that it names, and
// the audit has that.
func TestWhosePlaygroundItIs(t *testing.T) {
	var played []string
	h := newFixture(t, func(o *admin.Options) {
		o.Play = func(w http.ResponseWriter, r *http.Request, key string, tags []string) {
			played = append(played, key+" "+strings.Join(tags, ","))
			w.WriteHeader(http.StatusTeapot)
		}
	})
	for _, c := range []struct {
		name, key string
		status    int
		as        string
	}{
		{"alice", "", 418, h.ids["alice"] + " "},
		{"alice", h.ids["alice"], 418, h.ids["alice"] + " "},
		{"alice", h.ids["bob"], 404, ""},
		{"admin", "", 400, ""},
		{"admin", "none", 404, ""},
		{"admin", h.ids["bob"], 418, h.ids["bob"] + " playground"},
		{"", h.ids["bob"], 401, ""},
	} {
		played = nil
		r := httptest.NewRequest(http.MethodPost, "/_/api/play/v1/chat/completions", strings.NewReader("not JSON, and not judged here"))
		r.Host = "127.0.0.1:8000"
		if c.name != "" {
			r.Header.Set("Authorization", "Bearer "+h.secrets[c.name])
		}
		if c.key != "" {
			r.Header.Set("X-Forward-Play-Key", c.key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var want []string
		if c.as != "" {
			want = []string{c.as}
		}
		if w.Code != c.status || !slices.Equal(played, want) {
			t.Errorf("%q as %q: %d %s, played as %q", c.name, c.key, w.Code, w.Body, played)
		}
	}
	list := h.recorded()
	if len(list) != 1 || list[0].Action != "play" || list[0].Object != h.ids["bob"] || list[0].Actor != "administrator" {
		t.Errorf("the audit has %+v", list)
	}
}
