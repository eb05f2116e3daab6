package control

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"forward/internal/cache"
)

func TestErrorsHaveTheFormOfOpenAI(t *testing.T) {
	c, err := cache.Open(cache.Options{Backend: "MEMORY"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	handler := Handler(Options{Cache: func() *cache.Cache { return c }})
	for _, test := range []struct {
		method, target string
		status         int
		want           string
	}{
		{"GET", "/cache/count?before=yesterday", 400, `"message":"before is not a time such as 2026-01-02T03:04:05Z","type":"invalid_request_error"`},
		{"GET", "/cache/entries/abcd", 404, `"message":"no entry has a key that starts with \"abcd\""`},
		{"POST", "/cache/import?ttl=soon", 400, `"code":"invalid_request"`},
		{"POST", "/cache/import", 422, `(0 entries were imported before)`},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(test.method, test.target, strings.NewReader("no export")))
		if w.Code != test.status || !strings.HasPrefix(w.Body.String(), `{"error":{`) || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %s: status %d, %s; want %d and %s", test.method, test.target, w.Code, w.Body, test.status, test.want)
		}
	}
}

// A handler that aborts must not look as if it had finished, and one whose
// client has enough must not wait forever.
func TestALocalHandlerStreams(t *testing.T) {
	client := Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		for {
			if _, err := io.WriteString(w, "more"); err != nil {
				return
			}
		}
	}))
	body, err := client.send(t.Context(), request{method: "GET", path: "/abort"})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(body); string(text) != "half" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q, %v", text, err)
	}
	body.Close()
	body, err = client.send(t.Context(), request{method: "GET", path: "/endless"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 100)); err != nil {
		t.Error(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
}
