package forward_test

import (
	"bytes"
	"compress/gzip"
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
)

// hangUp is an upstream that answers with raw bytes and closes the connection,
// with a reset where a row asks for it.
func hangUp(send string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		io.WriteString(conn, send)
		if reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}

// to changes the base URL of every route.
func to(base string) func(*setup) {
	return func(s *setup) {
		every(s)
		s.base = base
	}
}

// TestFaultsBeforeTheAnswer makes the upstream fail before it has sent
// anything: the error is in the route's own dialect, and the upstream has seen
// the request once at most.
func TestFaultsBeforeTheAnswer(t *testing.T) {
	closed := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	closed.Close()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the key went to an upstream that proved nothing") }))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the key went out in the clear") }))
	plain.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer plain.Close()
	const tail = "CANARY-tail-6789"
	for _, row := range []struct {
		id      string
		handler http.HandlerFunc
		change  func(*setup)
		status  int
		code    string
		calls   int
	}{
		{"F01 refused", provider, to("http://" + closed.Addr().String()), 502, "upstream_connect_failed", 0},
		{"F03 no such name", provider, to("http://secret-host.invalid"), 502, "upstream_dns_error", 0},
		{"F04 an untrusted certificate", provider, to(secure.URL), 502, "upstream_tls_error", 0},
		{"F04 a port without TLS", provider, to("https://" + plain.Listener.Addr().String()), 502, "upstream_tls_error", 0},
		{"F05 a reset", hangUp("", true), every, 502, "upstream_reset", 1},
		{"F05 an end", hangUp("", false), every, 502, "upstream_reset", 1},
		{"F19 2 MB of headers", hangUp("HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 2<<20)+"\r\n\r\n", false), every, 502, "upstream_bad_response", 1},
		{"F15 no HTTP", hangUp("SSH-2.0-OpenSSH_9.9\r\n\r\n", false), every, 502, "upstream_bad_response", 1},
		{"F54 a revoked API key", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			io.WriteString(w, `{"error":{"message":"Incorrect API key provided: sk-…`+tail+`"}}`)
		}, every, 502, "upstream_auth_failed", 1},
		{"F07 no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(s *setup) {
			every(s)
			s.upstream.HeaderTimeout = 40 * time.Millisecond
		}, 504, "upstream_timeout", 1},
	} {
		for d, path := range spoken {
			t.Run(row.id+"/"+d.Name, func(t *testing.T) {
				b := start(t, row.handler, row.change)
				a := b.do("POST", path, `{"model":"m"}`)
				a.wantRefused(t, d, row.status, row.code)
				b.wantCalls(t, row.calls)
				for _, secret := range []string{tail, "secret-host", "127.0.0.1"} {
					if strings.Contains(a.body+fmt.Sprint(a.Header), secret) {
						t.Errorf("the client learns %q: %s", secret, a.body)
					}
				}
				if row.code == "upstream_connect_failed" && a.Header.Get("Retry-After") != "1" {
					t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
				}
				if (row.status == 504 || row.code == "upstream_auth_failed") && a.Header.Get("X-Should-Retry") != "false" {
					t.Errorf("SDKs would try again: %v", a.Header)
				}
			})
		}
	}
}

// TestFaultsInAStream cuts streams of each dialect and each operation of
// theirs.
func TestFaultsInAStream(t *testing.T) {
	const event = "data: {\"a\":1}\n\n"
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	first := fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
	for id, send := range map[string]string{
		"F10 an end":                   head + first,
		"F10 an end in a chunk":        head + first + "ff\r\ndata: {",
		"F15 no chunk size":            head + first + "zz\r\n",
		"F15 a chunk without its end":  head + first + "2\r\nabcd\r\n",
		"F15 a chunk size of 17 digit": head + first + "fffffffffffffffff\r\n",
	} {
		for d, path := range spoken {
			t.Run(id+"/"+d.Name, func(t *testing.T) {
				b := start(t, hangUp(send, false), every)
				a := b.do("POST", path, `{"model":"m","stream":true}`)
				rest, ok := strings.CutPrefix(a.body, event)
				if a.err != nil || !ok || rest != string(d.ErrorEvent(dialect.Problem{Status: 502, Code: "upstream_reset", RequestID: a.Header.Get("X-Forward-Request-Id"),
					Message: "Connection error: the upstream '" + d.Name + "' closed the stream before it was complete."})) {
					t.Errorf("error %v, body %q", a.err, a.body)
				}
				if strings.Contains(a.body, "[DONE]") || strings.Contains(a.body, "message_stop") {
					t.Errorf("it looks complete: %q", a.body)
				}
				b.wantCalls(t, 1)
			})
		}
	}
}

// TestAnswersPassByteForByte is about answers that the gateway has nothing to
// do with, however strange they are.
func TestAnswersPassByteForByte(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, chatBody)
	z.Close()
	const sse = "text/event-stream"
	for _, row := range []struct {
		id, contentType, encoding, body string
		status                          int
	}{
		{"F13 an error event of OpenAI", sse, "", chunk(`{"content":"x"}`, "null") + "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n", 200},
		{"F13 an error event of Anthropic", sse, "", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", 200},
		{"F14 CRLF", sse, "", strings.ReplaceAll(events(true), "\n", "\r\n"), 200},
		{"F14 CR", sse, "", strings.ReplaceAll(events(true), "\n", "\r"), 200},
		{"F14 BOM and comments", sse, "", "\ufeff: ping\n\n" + strings.ReplaceAll(events(true), "\n\n", "\n\n: ping\n\n"), 200},
		{"F14 data of several lines", sse, "", "event: x\nid: 7\nretry: 10\ndata: {\ndata: \"a\":1}\n\ndata\n\ndata: [DONE]\n\n", 200},
		{"F14 an event of 1 MB", sse, "", "data: " + strings.Repeat("x", 1<<20) + "\n\ndata: [DONE]\n\n", 200},
		{"F14 no blank line at the end", sse, "", strings.TrimSuffix(events(true), "\n"), 200},
		{"F20 a login page", "text/html", "", "<html>log in</html>", 200},
		{"F20 a page instead of an error", "text/html; charset=utf-8", "", "<html>502 cloudflare</html>", 502},
		{"F21 429", "application/json", "", `{"error":{"message":"slow down"}}`, 429},
		{"F21 500", "application/json", "", `{"error":{"message":"oops"}}`, 500},
		{"F21 503", "text/plain", "", "overloaded", 503},
		{"F21 529", "application/json", "", `{"type":"error"}`, 529},
		{"A47 a script", "application/json", "", strings.Replace(chatBody, "Hello there!", `<script>alert(1)</script>![x](https://evil.example/)\u202e`, 1), 200},
		{"F56 gzip", "application/json", "gzip", zipped.String(), 200},
		{"F56 what claims to be br", sse, "br", "\x00\x01\x02no brotli", 200},
	} {
		for _, mode := range []string{"plain", "cached and logged"} {
			t.Run(row.id+"/"+mode, func(t *testing.T) {
				change, lines := logging(t, caching(memoryCache(t)))
				b := start(t, func(w http.ResponseWriter, _ *http.Request) {
					h := w.Header()
					h.Set("Content-Type", row.contentType)
					h.Set("Retry-After", "7")
					h.Set("Retry-After-Ms", "6500")
					if row.encoding != "" {
						h.Set("Content-Encoding", row.encoding)
					}
					w.WriteHeader(row.status)
					rest := row.body
					if strings.HasPrefix(row.id, "F14") && len(rest) < 1<<16 { // split at every byte
						for ; rest != ""; rest = rest[1:] {
							io.WriteString(w, rest[:1])
							http.NewResponseController(w).Flush()
						}
					}
					io.WriteString(w, rest)
				}, func(s *setup) {
					if mode != "plain" {
						change(s)
					}
				})
				a := b.chat(`,"stream":true,"stream_options":{"include_usage":true},"caching":true`)
				if a.StatusCode != row.status || a.body != row.body || a.err != nil {
					t.Errorf("status %d, error %v, body %.300q", a.StatusCode, a.err, a.body)
				}
				for name, want := range map[string]string{"Content-Type": row.contentType, "Content-Encoding": row.encoding, "Retry-After": "7", "Retry-After-Ms": "6500"} {
					if got := a.Header.Get(name); got != want {
						t.Errorf("%s %q, want %q", name, got, want)
					}
				}
				b.wantCalls(t, 1)
				b.gateway.Wait(time.Second) // the log's second line is written after the answer's last byte
				if mode != "plain" && len(lines("openai")) != 2 {
					t.Error("not one exchange in the chat log")
				}
			})
		}
	}
}

func TestA37WhatAnUpstreamMaySend(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		for _, line := range []string{"Set-Cookie: __cf_bm=1", "Set-Cookie: b=2", "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "Keep-Alive: timeout=9", "Proxy-Authenticate: Basic", "X-Internal: kept"} {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
		provider(w, r)
	}, caching(memoryCache(t)))
	for _, cached := range []string{"MISS", "HIT"} {
		a := b.chat(`,"caching":true`)
		if a.Header.Get("X-Cache") != cached || a.Header.Get("X-Internal") != "kept" {
			t.Errorf("headers %v", a.Header)
		}
		for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Keep-Alive", "Proxy-Authenticate"} {
			if a.Header.Get(name) != "" {
				t.Errorf("%s: %s of the upstream in a %s", name, a.Header.Get(name), cached)
			}
		}
	}
}

// TestF27ASlowReaderIsCutOff has a client that never reads, so that only the
// deadline of a write can end its answer.
func TestF27ASlowReaderIsCutOff(t *testing.T) {
	ended := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for part := make([]byte, 1<<20); ; {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}, func(s *setup) { s.WriteTimeout = 40 * time.Millisecond })
	conn := must(net.Dial("tcp", must(url.Parse(b.url))(t).Host))(t)
	defer conn.Close()
	io.WriteString(conn, request("GET /v1/files/x/content"))
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the upstream is still held")
	}
}
