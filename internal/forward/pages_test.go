package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"forward/internal/cache"
	"forward/internal/dialect/openai"
	"forward/internal/upstream"
)

// Requests as browsers and programs send them.
var (
	navigation = map[string]string{"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
	inFrame    = map[string]string{"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "iframe"}
	embedded   = map[string]string{"Accept": "*/*", "Sec-Fetch-Dest": "embed"}
	plainHTTP  = map[string]string{"Accept": "text/html,application/xhtml+xml"} // without TLS there is no Sec-Fetch
	asFetch    = map[string]string{"Accept": "*/*", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Origin": "https://chat.example"}
	asScript   = map[string]string{"Accept": "*/*", "Sec-Fetch-Dest": "script"}
	asSDK      = map[string]string{"Accept": "application/json"}
	asCurl     = map[string]string{"Accept": "*/*"}
)

// visit sends a request with headers and follows no redirect.
func visit(t *testing.T, method, url, body string, header map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func isSandboxed(h http.Header) bool {
	return strings.Contains(strings.Join(h.Values("Content-Security-Policy"), ", "), "sandbox") && strings.HasPrefix(h.Get("X-Content-Type-Options"), "nosniff")
}

// D09: a page of an upstream's is none of the gateway's, on every path and with
// every method; what programs get stays as it is, to the byte and the header.
func TestPagesOfUpstreamsAreSandboxed(t *testing.T) {
	contents := map[string]string{
		"/page": "text/html", "/image": "image/svg+xml", "/script": "text/javascript", "/none": "", "/policy": "text/html", "/wrong": "text/html", "/form": "text/html",
	}
	const page = "<!doctype html><script>fetch('/_/api/keys')</script>"
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if kind := contents[r.URL.Path]; kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		switch r.URL.Path {
		case "/policy":
			w.Header().Set("Content-Security-Policy", "default-src *; sandbox allow-scripts allow-same-origin")
		case "/wrong":
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, page)
	}
	open := func(dashboard bool) *bench {
		return start(t, handler, func(s *setup) {
			s.open = true
			s.Dashboard = dashboard
			s.CORSOrigins = []string{"*"}
		})
	}
	with, without := open(true), open(false)
	for path := range contents {
		method := http.MethodGet
		if path == "/form" {
			method = http.MethodPost // a form of a page elsewhere can send it
		}
		target := path
		for name, header := range map[string]map[string]string{"navigation": navigation, "inFrame": inFrame, "embedded": embedded, "plain HTTP": plainHTTP} {
			if res, body := visit(t, method, with.url+target, "x", header); !isSandboxed(res.Header) || body != page {
				t.Errorf("%s %s by a %s: %v %s", method, path, name, res.Header, body)
			}
		}
		if path == "/policy" {
			res, _ := visit(t, method, with.url+target, "", navigation)
			if policies := res.Header.Values("Content-Security-Policy"); len(policies) != 2 { // browsers apply both
				t.Errorf("the upstream's policy and the gateway's are %q", policies)
			}
		}
		for name, header := range map[string]map[string]string{"fetch": asFetch, "script": asScript, "SDK": asSDK, "curl": asCurl} {
			one, body := visit(t, method, with.url+target, "x", header)
			other, same := visit(t, method, without.url+target, "x", header)
			for _, h := range []http.Header{one.Header, other.Header} {
				for name := range h { // what differs between any two requests
					if name == "Date" || strings.HasPrefix(name, "X-Request-Id") || strings.HasPrefix(name, "X-Forward-") {
						h.Del(name)
					}
				}
			}
			if body != same || !sameHeader(one.Header, other.Header) {
				t.Errorf("%s %s by %s: %v, without the dashboard %v", method, path, name, one.Header, other.Header)
			}
		}
		if res, _ := visit(t, method, without.url+target, "x", navigation); isSandboxed(res.Header) {
			t.Errorf("%s without a dashboard: %v", path, res.Header)
		}
	}
}

func sameHeader(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if strings.Join(values, "\n") != strings.Join(b[name], "\n") {
			return false
		}
	}
	return true
}

// D09: errors of the gateway's own and answers out of the cache are sandboxed
// too.
func TestErrorsAndHitsAreSandboxed(t *testing.T) {
	store, err := cache.Open(cache.Options{Backend: "MEMORY", MaxBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"object":"chat.completion","model":"<script>","choices":[{"index":0,"message":{"role":"assistant","content":"<script>alert(1)</script>"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}, func(s *setup) {
		s.Dashboard = true
		s.Cache, s.CacheChat, s.CachingDefault = store, true, true
	})
	if res, _ := visit(t, http.MethodGet, b.url+"/v1/models/<script>", "", navigation); res.StatusCode != http.StatusUnauthorized || !isSandboxed(res.Header) {
		t.Errorf("an error: %s %v", res.Status, res.Header)
	}
	header := map[string]string{"Accept": "text/html", "Authorization": "Bearer fk-alice", "Content-Type": "application/json"}
	for i := range 2 {
		res, _ := visit(t, http.MethodPost, b.url+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, header)
		if hit := strings.Contains(res.Header.Get("X-Cache"), "HIT"); res.StatusCode != http.StatusOK || !isSandboxed(res.Header) || (i == 1) != hit {
			t.Errorf("answer %d: %s %v", i, res.Status, res.Header)
		}
	}
}

// A person who opens the gateway's address gets to the dashboard; programs see
// what they saw before.
func TestTheRootLeadsHome(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the upstream") }
	b := start(t, handler, func(s *setup) { s.Dashboard = true })
	for name, test := range map[string]struct {
		method, target string
		header         map[string]string
		home           bool
	}{
		"a person":         {"GET", "/", navigation, true},
		"without TLS":      {"GET", "/", plainHTTP, true},
		"HEAD":             {"HEAD", "/", navigation, true},
		"a program":        {"GET", "/", asCurl, false},
		"an SDK":           {"GET", "/", asSDK, false},
		"with a key":       {"GET", "/", map[string]string{"Accept": "text/html", "Authorization": "Bearer fk-alice"}, false},
		"another path":     {"GET", "/v1/models", navigation, false},
		"a form":           {"POST", "/", navigation, false},
		"with a query":     {"GET", "/?q=1", navigation, false},
		"a path that ends": {"GET", "/openai/", navigation, false},
	} {
		res, _ := visit(t, test.method, b.url+test.target, "", test.header)
		if home := res.StatusCode == http.StatusFound && res.Header.Get("Location") == "_/"; home != test.home {
			t.Errorf("%s: %s %v", name, res.Status, res.Header)
		}
	}
	off := start(t, handler, nil)
	if res, _ := visit(t, "GET", off.url+"/", "", navigation); res.StatusCode == http.StatusFound {
		t.Error("without a dashboard there is nowhere to go")
	}
	page := start(t, handler, func(s *setup) { s.Dashboard, s.open = true, true })
	if res, _ := visit(t, "GET", page.url+"/", "", navigation); res.StatusCode != http.StatusFound {
		t.Errorf("the provider's route shows no page: %s", res.Status)
	}
}

// openSite is a route at / to a site of pages.
func openSite(t *testing.T, address string) []*upstream.Route {
	return []*upstream.Route{{Name: "site", Prefix: "/", Base: must(url.Parse(address))(t), Dialect: openai.Dialect, Open: true}}
}

// An open route at / may show a page of its own.
func TestAPageAtTheRootStays(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "a page") }))
	defer site.Close()
	b := start(t, func(http.ResponseWriter, *http.Request) {}, func(s *setup) {
		s.Dashboard = true
		s.routes = openSite(t, site.URL)
	})
	if res, body := visit(t, "GET", b.url+"/", "", navigation); res.StatusCode != http.StatusOK || body != "a page" || !isSandboxed(res.Header) {
		t.Errorf("%s %s", res.Status, body)
	}
}

// S7: CORS_ORIGINS is about programs' paths. The dashboard answers no other
// origin, and no preflight.
func TestTheDashboardIsOutsideCORS(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }, func(s *setup) {
		s.Dashboard = true
		s.CORSOrigins = []string{"*"}
		s.Admin = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the API") })
	})
	origin := map[string]string{"Origin": "https://evil.example"}
	preflight := map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
	for _, target := range []string{"/_/", "/_/api/session", "/_/assets/x.js", "/_/api/nothing"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			res, _ := visit(t, method, b.url+target, "", origin)
			for name := range res.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers %s", method, target, name)
				}
			}
		}
		res, _ := visit(t, http.MethodOptions, b.url+target, "", preflight)
		if res.StatusCode != http.StatusForbidden || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a preflight of %s: %s %v", target, res.Status, res.Header)
		}
	}
	if res, _ := visit(t, http.MethodOptions, b.url+"/v1/models", "", preflight); res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("programs' preflight: %s %v", res.Status, res.Header)
	}
	if res, _ := visit(t, http.MethodGet, b.url+"/healthz", "", origin); res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("health: %v", res.Header)
	}
}

// S10: a cookie is no credential for programs' paths, and goes to no upstream.
func TestCookiesOfTheDashboardStayThere(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"data":[]}`) }, func(s *setup) { s.Dashboard = true })
	cookie := "forward-0a1b2c=session-canary"
	if res, _ := visit(t, "GET", b.url+"/v1/files", "", map[string]string{"Cookie": cookie}); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a cookie opens %s", res.Status)
	}
	if res, _ := visit(t, "GET", b.url+"/v1/files", "", map[string]string{"Cookie": cookie, "Authorization": "Bearer fk-alice"}); res.StatusCode != http.StatusOK {
		t.Errorf("%s", res.Status)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.seen {
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, " "), "canary") && name != "Authorization" {
				t.Errorf("the upstream got %s: %v", name, values)
			}
		}
	}
	if len(b.seen) != 1 {
		t.Errorf("%d requests went upstream", len(b.seen))
	}
}
