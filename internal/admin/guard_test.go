package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
)

// from sends a request from an address, with a key.
func (h *fixture) from(address, target, key string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "127.0.0.1:8000"
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(address), 4000).String()
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestGuessing lets one address try keys at every door. After ten wrong ones,
// other wrong ones are slowed down for a minute. Right ones are always taken:
// others behind the address must not be able to lock their owner out.
func TestGuessing(t *testing.T) {
	at := now
	h := newFixture(t, func(o *admin.Options) { o.Now = func() time.Time { return at } })
	doors := []string{"/_/api/me", "/dashboard/billing/subscription", "/v1/dashboard/billing/usage", "/_/api/usage", "/_/api/keys", "/_/api/keys/alice"}
	want := func(address, target, key string, status int) *httptest.ResponseRecorder {
		t.Helper()
		w := h.from(address, target, key)
		if w.Code != status {
			t.Errorf("%s from %s: %d, want %d: %s", target, address, w.Code, status, w.Body)
		}
		return w
	}
	for range 20 { // right ones do not count, nor do requests without one
		want("192.0.2.1", "/_/api/me", h.secrets["alice"], 200)
		want("192.0.2.1", "/_/api/me", "", 401)
	}
	for i := range 10 {
		want("192.0.2.1", doors[i%len(doors)], fmt.Sprintf("guess-%d", i), 401)
		want("2001:db8::1", "/_/api/me", fmt.Sprintf("guess-%d", i), 401)
	}
	want("192.0.2.1", "/_/api/me", "guess-3", 401) // was counted before
	for _, door := range doors {
		w := want("192.0.2.1", door, "guess", 429)
		if w.Header().Get("Retry-After") != "60" || !strings.Contains(w.Body.String(), `"code":"rate_limit_exceeded"`) {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	}
	want("::ffff:192.0.2.1", "/_/api/me", "guess", 429)
	want("2001:db8::ffff:1", "/_/api/me", "guess", 429) // the same subscriber
	want("2001:db8:0:1::1", "/_/api/me", "guess", 401)
	want("192.0.2.1", "/_/api/me", h.secrets["alice"], 200)
	want("192.0.2.1", "/_/api/usage", adminKey, 200)
	want("192.0.2.1", "/_/api/me", "", 401)
	want("192.0.2.2", "/_/api/usage", adminKey, 200)
	want("192.0.2.1", "/_/api/openapi.json", "", 200)
	at = at.Add(time.Minute)
	want("192.0.2.1", "/_/api/usage", adminKey, 200)
	want("192.0.2.1", "/_/api/me", "guess", 401)
	want("192.0.2.1", "/_/api/me", h.secrets["alice"], 200)
	for i := range 10_100 { // more than are remembered
		want(fmt.Sprintf("10.%d.%d.1", i/256, i%256), "/_/api/me", "guess", 401)
	}
}

// TestKeysAreBoundToAddresses: a key that may not be used from an address shows
// nothing there either.
func TestKeysAreBoundToAddresses(t *testing.T) {
	h := newFixture(t)
	h.add("office", map[string]string{"ips": "192.0.2.0/24"})
	for _, door := range []string{"/_/api/me", "/dashboard/billing/subscription", "/dashboard/billing/usage"} {
		if w := h.from("192.0.2.7", door, h.secrets["office"]); w.Code != 401 { // the ring does not have it yet
			t.Errorf("%s: %d", door, w.Code)
		}
	}
	h.reread()
	for _, door := range []string{"/_/api/me", "/dashboard/billing/subscription", "/dashboard/billing/usage"} {
		if w := h.from("192.0.2.7", door, h.secrets["office"]); w.Code != 200 {
			t.Errorf("%s: %d %s", door, w.Code, w.Body)
		}
		if w := h.from("198.51.100.1", door, h.secrets["office"]); w.Code != 403 || !strings.Contains(w.Body.String(), "ip_not_allowed") {
			t.Errorf("%s from elsewhere: %d %s", door, w.Code, w.Body)
		}
	}
}
