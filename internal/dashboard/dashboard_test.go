package dashboard

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func handler(t *testing.T) *Handler {
	t.Helper()
	h, err := newHandler("/_/", fstest.MapFS{
		"index.html":           {Data: []byte("<!doctype html><title>page</title>" + strings.Repeat(" ", 1000))},
		"assets/index-abc1.js": {Data: []byte(strings.Repeat("code();", 500))},
		"icon.svg":             {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func serve(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// S5: every answer below /_/ has the policy, also those that refuse.
func TestHeaders(t *testing.T) {
	h := handler(t)
	for _, test := range []struct {
		method, target string
		status         int
		contentType    string
		cached         string
	}{
		{"GET", "/_/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/_/", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/_/index.html", 200, "text/html; charset=utf-8", "no-cache"},
		{"GET", "/_/assets/index-abc1.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/_/icon.svg", 200, "image/svg+xml", "no-cache"},
		{"GET", "/_/assets/none.js", 404, "text/plain; charset=utf-8", "no-cache"},
		{"GET", "/_/../go.mod", 404, "text/plain; charset=utf-8", "no-cache"},
		{"GET", "/_/assets", 404, "text/plain; charset=utf-8", "no-cache"},
		{"POST", "/_/", 405, "text/plain; charset=utf-8", ""},
	} {
		w := serve(h, test.method, test.target)
		got := w.Header()
		if w.Code != test.status || got.Get("Content-Type") != test.contentType || got.Get("Cache-Control") != test.cached {
			t.Errorf("%s %s: %d %v", test.method, test.target, w.Code, got)
		}
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !strings.Contains(got.Get("Content-Security-Policy"), part) {
				t.Errorf("%s %s: no %s", test.method, test.target, part)
			}
		}
		for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": "camera=(), microphone=(), geolocation=()"} {
			if got.Get(name) != value {
				t.Errorf("%s %s: %s is %q", test.method, test.target, name, got.Get(name))
			}
		}
		if strings.Contains(got.Get("Content-Security-Policy"), "unsafe") {
			t.Error("the policy has an exception")
		}
		if test.method == "HEAD" && w.Body.Len() > 0 {
			t.Error("HEAD has a body")
		}
	}
}

// Files are packed for browsers that take gzip, and not sent again to those
// that have them.
func TestPackedAndKept(t *testing.T) {
	h := handler(t)
	plain := serve(h, "GET", "/_/assets/index-abc1.js")
	packed := serve(h, "GET", "/_/assets/index-abc1.js", "Accept-Encoding", "br;q=1, gzip")
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() >= plain.Body.Len() || plain.Header().Get("Content-Encoding") != "" {
		t.Errorf("%v %v", packed.Header(), plain.Header())
	}
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(unpacked, plain.Body.Bytes()) {
		t.Errorf("%v: the packed file is another one", err)
	}
	for _, accept := range []string{"", "identity", "gzip;q=0", "gzip; q=0.0"} {
		if w := serve(h, "GET", "/_/", "Accept-Encoding", accept); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%q got gzip", accept)
		}
	}
	if w := serve(h, "GET", "/_/icon.svg", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a file that gzip makes larger was packed")
	}
	tag := plain.Header().Get("ETag")
	for given, status := range map[string]int{tag: 304, "W/" + tag: 304, `"other", ` + tag: 304, "*": 304, `"other"`: 200, "": 200} {
		if w := serve(h, "GET", "/_/assets/index-abc1.js", "If-None-Match", given); w.Code != status || (status == 304 && w.Body.Len() > 0) {
			t.Errorf("%s: %d", given, w.Code)
		}
	}
}

// D01: a binary without pages reports it.
func TestWithoutPages(t *testing.T) {
	h, err := newHandler("/_/", fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	if w := serve(h, "GET", "/_/"); w.Code != 200 || !strings.Contains(w.Body.String(), "no_ui") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
