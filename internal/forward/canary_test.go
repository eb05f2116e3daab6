package forward_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// TestTheAPIKeyNeverComesBack provokes every kind of failure with an upstream
// that returns all it knows, and looks for the key in the answer, its headers
// and the log.
func TestTheAPIKeyNeverComesBack(t *testing.T) {
	echo := func(status int, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("X-Echo", r.Header.Get("Authorization"))
			w.WriteHeader(status)
			fmt.Fprintf(w, "data: you sent %q\n\n", r.Header)
			http.NewResponseController(w).Flush()
			io.WriteString(w, canary[:20])
			http.NewResponseController(w).Flush()
			io.WriteString(w, canary[20:])
		}
	}
	raw := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(conn, strings.ReplaceAll(answer, "KEY", r.Header.Get("Authorization")))
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(provider))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	closed, _ := net.Listen("tcp", "127.0.0.1:0")
	closed.Close()

	for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
		for name, test := range map[string]struct {
			handler http.HandlerFunc
			base    string
			status  int
		}{
			"echoed in a 200":              {echo(200, "application/json"), "", 200},
			"echoed in a stream":           {echo(200, "text/event-stream"), "", 200},
			"echoed in a 400":              {echo(400, "application/json"), "", 400},
			"echoed in a 401":              {echo(401, "application/json"), "", 401},
			"echoed in a 403":              {echo(403, "application/json"), "", 403},
			"echoed in a 429":              {echo(429, "application/json"), "", 429},
			"echoed in a 500":              {echo(500, "text/plain"), "", 500},
			"a redirect":                   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x?key="+canary, 302) }, "", 302},
			"no HTTP":                      {raw("KEY KEY\r\n\r\n"), "", 502},
			"a reset":                      {raw(""), "", 502},
			"a reset in the headers":       {raw("HTTP/1.1 200 OK\r\nX-Echo: KEY"), "", 502},
			"a bad Content-Length":         {raw("HTTP/1.1 200 OK\r\nContent-Length: KEY\r\n\r\n"), "", 502},
			"an untrusted certificate":     {provider, secure.URL, 502},
			"refused":                      {provider, "http://" + closed.Addr().String(), 502},
			"a name that does not resolve": {provider, "http://does-not-exist.invalid", 502},
			"panic":                        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", 502},
		} {
			t.Run(d.Name+"/"+name, func(t *testing.T) {
				b := start(t, test.handler, nil)
				base := test.base
				if base == "" {
					base = b.upstream.URL
				}
				gateway := start(t, provider, func(s *setup) {
					u, _ := url.Parse(base)
					s.routes = []*upstream.Route{{Name: "p", Prefix: "/", Base: u, Dialect: d, Keys: upstream.NewPool([]upstream.APIKey{{Secret: keys.NewSecret(canary)}}, nil)}}
				})
				path := "/v1/messages"
				if d == gemini.Dialect { // it serves no other protocol than its own and OpenAI's
					path = "/v1beta/models/m:generateContent"
				}
				a := gateway.do("POST", path, `{"model":"m"}`)
				if a.StatusCode != test.status {
					t.Errorf("status %d, want %d", a.StatusCode, test.status)
				}
				for where, text := range map[string]string{"answer": a.body, "headers": fmt.Sprint(a.Header), "log": gateway.log.String()} {
					if strings.Contains(text, canary) || strings.Contains(text, canary[8:]) {
						t.Errorf("the %s contains the key:\n%s", where, text)
					}
				}
				if a.Header.Get("X-Forward-Request-Id") == "" {
					t.Error("no request id")
				}
			})
		}
	}
}

// TestNothingStaysBehind sends what ends well and what does not, and then
// counts goroutines.
func TestNothingStaysBehind(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Do") {
		case "cut":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "hang":
			<-r.Context().Done()
		default:
			provider(w, r)
		}
	}, func(s *setup) { caching(memoryCache(t))(s) })
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 30 * time.Millisecond}
	settle := func() int {
		client.CloseIdleConnections()
		plainTransport.CloseIdleConnections()
		b.upstream.CloseClientConnections()
		time.Sleep(30 * time.Millisecond)
		return goroutines()
	}
	b.chat("")
	before := settle()
	for i := range 60 {
		r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"caching":true,"seed":`+fmt.Sprint(i)+`}`))
		r.Header.Set("Authorization", "Bearer fk-alice")
		r.Header.Set("X-Do", []string{"", "cut", "hang"}[i%3])
		if res, err := client.Do(r); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	eventually(t, func() bool { return settle() <= before+2 })
}
