//go:build fault

package fault

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/upstreamtest"
	"forward/internal/websocket"
)

// upstreamFaults are those of the provider's side and of the way to it.
func upstreamFaults() []scenario {
	return []scenario{
		{id: "F01", fault: "the upstream refuses connections",
			promise: "Another base URL of the route is asked; when there is none you get a 502 upstream_connect_failed with Retry-After at once, and pay nothing.",
			run:     refusedConnections},
		{id: "F03", fault: "the upstream's name does not resolve",
			promise: "You get a 502 upstream_dns_error that does not name the host, and other routes are not affected.",
			run: func(s *scene) {
				g := s.start(setup{base: "http://secret-host.invalid"})
				a := g.chat("", "")
				s.refused(a, 502, "upstream_dns_error")
				s.hides(a, "secret-host")
				s.calls(a, 0)
			}},
		{id: "F04", fault: "the upstream's TLS is expired, for another host, self-signed or missing",
			promise: "You get a 502 upstream_tls_error, and neither the request nor an API key is sent to that server.",
			run:     badTLS},
		{id: "F05", fault: "the upstream resets the connection after the request, before headers",
			promise: "You get a 502 upstream_reset, and your request is not sent a second time.",
			run: func(s *scene) {
				g := s.start(setup{})
				for _, script := range []string{"reset-before-headers", "close-before-headers"} {
					for _, extra := range []string{"", streaming} {
						a := g.chat(script, extra)
						s.refused(a, 502, "upstream_reset")
						s.calls(a, 1)
					}
				}
			}},
		{id: "F07", fault: "the upstream accepts the request and never answers",
			promise: "You get a 504 upstream_timeout after HEADER_TIMEOUT, SDKs are asked not to try again, and your place among parallel requests is free again.",
			run: func(s *scene) {
				g := s.start(setup{env: []string{"HEADER_TIMEOUT=2s", "MAX_PARALLEL_REQUESTS=1"}})
				for range 2 { // the second one would be refused if the first still held the place
					a := g.chat("stall-before-headers", "")
					s.refused(a, 504, "upstream_timeout")
					if a.header.Get("X-Should-Retry") != "false" {
						s.Errorf("SDKs would try again: %v", a.header)
					}
					s.calls(a, 1)
				}
			}},
		{id: "F08", fault: "the connection breaks in the middle of a JSON answer",
			promise: "You get an error, never half an answer that looks whole; nothing of it is remembered, and its row has upstream_reset.",
			run: func(s *scene) {
				g := s.start(setup{})
				s.neverWhole(g, "cut-mid-body", "")
			}},
		{id: "F10", fault: "the connection breaks in the middle of a stream",
			promise: "The stream ends with an error event of its dialect and without [DONE]; what you saw is billed, logged as incomplete and not remembered.",
			run:     brokenStream},
		{id: "F11", fault: "a stream falls silent",
			promise: "It ends with the error event upstream_timeout after STREAM_IDLE_TIMEOUT, and the upstream is left.",
			run: func(s *scene) {
				g := s.start(setup{env: []string{"STREAM_IDLE_TIMEOUT=2s"}})
				a := g.stream("stall")
				s.brokenOff(a, "upstream_timeout")
				s.left(a)
			}},
		{id: "F13", fault: "the upstream reports an error inside a 200 stream",
			promise: "It reaches you as it was sent, counts as a failure and is not remembered.",
			run: func(s *scene) {
				g := s.start(setup{})
				for range 2 {
					a := g.chat("error-in-stream", streaming+caching)
					s.served(a)
					if !strings.Contains(a.text(), "The model failed in mid-answer.") || strings.Contains(a.text(), "upstream_reset") {
						s.Errorf("the upstream's error is not what came: %s", a.text())
					}
					s.calls(a, 1)
				}
			}},
		{id: "F14", fault: "a stream comes byte by byte, with CRLF, comments, a byte order mark or an event of 1 MB",
			promise: "You get the very bytes that were sent, and the chat log has the same text as of an ordinary stream.",
			run:     oddStreams},
		{id: "F15", fault: "the upstream breaks the framing of its chunks, or does not speak HTTP",
			promise: "It is an error like a broken connection: never a whole answer, and not remembered.",
			run: func(s *scene) {
				g := s.start(setup{})
				s.refused(g.chat("malformed", ""), 502, "upstream_bad_response")
				for range 2 {
					a := g.chat("malformed-chunks", streaming+caching)
					s.brokenOff(a, "upstream_reset")
					s.calls(a, 1)
				}
			}},
		{id: "F17", fault: "the upstream sends trailers",
			promise: "Announced trailers reach you after the answer.",
			run: func(s *scene) {
				g := s.start(setup{})
				r, name := g.request(call{path: chatPath, script: "trailers", body: chatBody("gpt-4o-mini", "hi", "")})
				resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
				if err != nil {
					s.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				s.note(answer{name: name, header: resp.Trailer, body: body})
				if err != nil || resp.Trailer.Get("X-Checksum") != "42" {
					s.Errorf("trailer %v, error %v", resp.Trailer, err)
				}
			}},
		{id: "F19", fault: "the upstream answers with 64 MB of headers",
			promise: "You get a 502 upstream_bad_response, and the gateway's memory does not grow with them.",
			run: func(s *scene) {
				g := s.start(setup{})
				before := g.Memory("VmHWM")
				for range 3 {
					s.refused(g.chat("headers-65536-kb", ""), 502, "upstream_bad_response")
				}
				if grown := g.Memory("VmHWM") - before; grown > 32<<20 {
					s.Errorf("three answers with 64 MB of headers have cost %d MiB", grown>>20)
				}
			}},
		{id: "F20", fault: "the upstream answers 200 with a login page, or with half of a JSON document",
			promise: "It reaches you as it is, and is never remembered.",
			run: func(s *scene) {
				g := s.start(setup{})
				for script, part := range map[string]string{"html": "Please log in.", "malformed-json": `{"ind`} {
					for range 2 {
						a := g.chat(script, caching)
						s.served(a)
						s.calls(a, 1)
						if !strings.Contains(a.text(), part) {
							s.Errorf("%s: %s", script, a.text())
						}
					}
				}
			}},
		{id: "F21", fault: "the upstream answers 429 or 5xx",
			promise: "Status, body and Retry-After reach you as they are and are not remembered; a 429 is tried once more with another API key first.",
			run:     upstreamErrors},
		{id: "F54", fault: "the upstream refuses the gateway's API key",
			promise: "The next API key is tried; when none is left you get a 502 upstream_auth_failed, for your own key is fine, and not a word of the upstream's message.",
			run: func(s *scene) {
				g := s.start(setup{})
				a := g.chat("echo-auth-then-ok", "")
				s.served(a)
				s.calls(a, 2)
				s.refused(g.chat("echo-auth", ""), 502, "upstream_auth_failed")
			}},
		{id: "F55", fault: "the upstream redirects",
			promise: "You get a 502 upstream_redirect, and no other host is sent your request or an API key.",
			run: func(s *scene) {
				var taken atomic.Int64
				thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken.Add(1) }))
				defer thief.Close()
				s.elsewhere.Store(thief.URL)
				g := s.start(setup{})
				for _, script := range []string{"elsewhere-302", "elsewhere-307", "redirect", "redirect-308"} {
					a := g.chat(script, "")
					s.refused(a, 502, "upstream_redirect")
					s.hides(a, strings.TrimPrefix(thief.URL, "http://"))
					s.calls(a, 1)
				}
				if n := taken.Load(); n != 0 {
					s.Errorf("the target of the redirect was asked %d times", n)
				}
			}},
		{id: "F56", fault: "the upstream compresses its answer unasked, or sends a decompression bomb",
			promise: "The very bytes reach you, and memory stays bounded although the answer is read for the log.",
			run:     compressed},
		{id: "F57", fault: "a client upgrades to a WebSocket",
			promise: "It gets 101 on routes that speak it and its frames pass; its responses are judged and counted one by one; it is closed with code 1012 when the gateway drains.",
			run:     webSocket},
	}
}

// scripts are what the upstream can play besides the scripts of upstreamtest.
func (s *scene) scripts() []upstreamtest.Option {
	redirect := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", s.elsewhere.Load().(string)+r.URL.Path)
			w.WriteHeader(status)
		}
	}
	stream := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, body)
		}
	}
	return []upstreamtest.Option{
		upstreamtest.Script("elsewhere-302", redirect(302)),
		upstreamtest.Script("elsewhere-307", redirect(307)),
		upstreamtest.Script("ticks-1", ticks(1)),
		upstreamtest.Script("ticks-10", ticks(10)),
		upstreamtest.Script("bom", stream("\ufeff"+string(upstreamtest.NumberedStream(20)))),
		upstreamtest.Script("lines", stream("event: x\nid: 7\nretry: 10\ndata: {\ndata: \"a\":1}\n\ndata\n\ndata: [DONE]\n\n")),
		upstreamtest.Script("trailers", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "X-Checksum")
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"choices":[]}`)
			w.Header().Set("X-Checksum", "42")
		}),
		upstreamtest.Script("bomb", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb())
		}),
	}
}

// hides: a client learns nothing of the way to the upstream.
func (s *scene) hides(a answer, secrets ...string) {
	s.Helper()
	for _, secret := range secrets {
		if strings.Contains(a.text()+fmt.Sprint(a.header), secret) {
			s.Errorf("the client learns %q: %s", secret, a.text())
		}
	}
}

// brokenOff holds a stream to have ended with an error event of ours, and not
// to look complete.
func (s *scene) brokenOff(a answer, code string) {
	s.Helper()
	last := a.text()[strings.LastIndex(a.text(), "data: ")+1:]
	if a.status != 200 || a.err != nil || !strings.Contains(last, code) || bytes.Contains(a.body, []byte("[DONE]")) {
		s.Errorf("status %d, error %v, want an error event %s at the end: %s", a.status, a.err, code, a.text())
	}
}

// left: the upstream noticed that no client reads any more.
func (s *scene) left(a answer) {
	s.Helper()
	s.within("the upstream is left", func() bool {
		seen := s.seen(a.name)
		return len(seen) > 0 && !seen[0].Aborted.IsZero()
	})
}

// neverWhole plays a fault in the middle of an answer twice: it is an error
// each time, and asked for each time.
func (s *scene) neverWhole(g *gateway, script, extra string) {
	s.Helper()
	for range 2 {
		a := g.chat(script, extra+caching)
		if a.err == nil && (a.status == 200 || a.code() == "") {
			s.Errorf("%s looks whole: status %d: %s", script, a.status, a.text())
		}
		s.calls(a, 1)
	}
}

func refusedConnections(s *scene) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	closed.Close()
	closedURL := "http://" + closed.Addr().String()
	g := s.start(setup{base: closedURL})
	a := g.chat("", "")
	s.refused(a, 502, "upstream_connect_failed")
	s.hides(a, closed.Addr().String())
	if a.header.Get("Retry-After") != "1" {
		s.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	s.calls(a, 0)
	if spent := g.spent(); spent != 0 {
		s.Errorf("what was never sent has cost %v of the budget", spent)
	}
	second := s.start(setup{base: closedURL + "|" + s.up.URL})
	for range 5 {
		a := second.chat("", "")
		s.served(a)
		s.calls(a, 1)
	}
}

func badTLS(s *scene) {
	var taken atomic.Int64
	thief := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken.Add(1) })
	quiet := log.New(io.Discard, "", 0)
	secure := func(certificate tls.Certificate) string {
		server := httptest.NewUnstartedServer(thief)
		server.Config.ErrorLog = quiet
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		server.StartTLS()
		s.Cleanup(server.Close)
		return server.URL
	}
	plain := httptest.NewServer(thief)
	plain.Config.ErrorLog = quiet
	defer plain.Close()
	ca := newAuthority(s)
	now := time.Now()
	for name, base := range map[string]string{
		"expired":      secure(ca.certificate(s, "127.0.0.1", now.Add(-time.Hour))),
		"another host": secure(ca.certificate(s, "192.0.2.7", now.Add(time.Hour))),
		"self-signed":  secure(newAuthority(s).certificate(s, "127.0.0.1", now.Add(time.Hour))),
		"no TLS":       "https://" + plain.Listener.Addr().String(),
	} {
		g := s.start(setup{base: base, env: []string{"SSL_CERT_FILE=" + ca.file}})
		a := g.chat("", "")
		if s.refused(a, 502, "upstream_tls_error"); taken.Load() != 0 {
			s.Errorf("%s: the request was sent", name)
		}
		s.hides(a, "127.0.0.1", "x509")
	}
	good := httptest.NewUnstartedServer(s.up.Handler)
	good.TLS = &tls.Config{Certificates: []tls.Certificate{ca.certificate(s, "127.0.0.1", now.Add(time.Hour))}}
	good.StartTLS()
	defer good.Close()
	g := s.start(setup{base: good.URL, env: []string{"SSL_CERT_FILE=" + ca.file}})
	s.served(g.chat("", "")) // so it was the certificate
	good.CloseClientConnections()
}

func brokenStream(s *scene) {
	g := s.start(setup{})
	for range 2 {
		a := g.chat("cut-mid-stream", streaming+caching)
		s.brokenOff(a, "upstream_reset")
		s.calls(a, 1)
	}
	claude := g.ask(call{path: "/anthropic/v1/messages", script: "cut-mid-stream", body: chatBody("claude-haiku-4-5", "hi", `,"max_tokens":50`+streaming)})
	if claude.status != 200 || !bytes.Contains(claude.body, []byte("event: error")) || bytes.Contains(claude.body, []byte("message_stop")) {
		s.Errorf("Anthropic's stream looks complete: %s", claude.text())
	}
	s.within("the log tells of three answers that are not complete", func() bool {
		incomplete := 0
		for _, line := range g.chatLog() {
			if v := gjson.Get(line, "complete"); v.Exists() && !v.Bool() {
				incomplete++
			}
		}
		return incomplete == 3
	})
	s.within("it counts by what was seen", func() bool {
		return g.metric(`forward_usage_estimated_total{model="gpt-4o-mini",route="openai"}`) == 2
	})
}

func oddStreams(s *scene) {
	g := s.start(setup{})
	for _, script := range []string{"crlf", "wide-event-1024-kb", "bom", "lines", "byte-by-byte", "burst-20"} {
		c := call{path: chatPath, script: script, body: chatBody("gpt-4o-mini", "hi", streaming+`,"stream_options":{"include_usage":true}`)}
		got, want := g.ask(c), s.direct(c)
		s.served(got)
		// Ids and times differ between two answers of the ordinary kind; they
		// have the same length.
		if len(got.body) != len(want.body) || script != "byte-by-byte" && script != "crlf" && !bytes.Equal(got.body, want.body) {
			s.Errorf("%s: %d bytes came of %d", script, len(got.body), len(want.body))
		}
	}
	s.within("the log has the text of a stream that came byte by byte", func() bool {
		sent := 0
		for _, line := range g.chatLog() {
			if gjson.Get(line, "assistant").String() == "You said: hi" {
				sent++
			}
		}
		return sent == 2+2 // byte by byte and with CRLF, beside those of the warm-up
	})
}

func upstreamErrors(s *scene) {
	g := s.start(setup{})
	for _, status := range []int{400, 404, 500, 502, 503, 529} {
		for range 2 {
			a := g.chat(fmt.Sprintf("err-%d", status), caching)
			if a.status != status || !strings.Contains(a.text(), "This error is scripted.") {
				s.Errorf("status %d, want %d: %s", a.status, status, a.text())
			}
			if status == 503 && a.header.Get("Retry-After") != "1" {
				s.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
			}
			s.calls(a, 1)
		}
	}
	a := g.chat("err-429-then-ok", "")
	s.served(a)
	s.calls(a, 2)
	if seen := s.seen(a.name); len(seen) == 2 && seen[0].Header.Get("Authorization") == seen[1].Header.Get("Authorization") {
		s.Error("the same API key was asked again")
	}
}

func compressed(s *scene) {
	g := s.start(setup{})
	a := g.chat("gzip", caching)
	s.served(a)
	if a.header.Get("Content-Encoding") != "gzip" || !bytes.HasPrefix(a.body, []byte{0x1f, 0x8b}) {
		s.Errorf("the encoding is %q: %q", a.header.Get("Content-Encoding"), a.body[:min(len(a.body), 20)])
	}
	before := g.Memory("VmHWM")
	for range 4 {
		a := g.chat("bomb", "")
		if s.served(a); !bytes.Equal(a.body, bomb()) {
			s.Errorf("%d bytes came of %d", len(a.body), len(bomb()))
		}
	}
	if grown := g.Memory("VmHWM") - before; grown > 384<<20 {
		s.Errorf("four answers that unfold to 400 MB each have cost %d MiB", grown>>20)
	}
}

func webSocket(s *scene) {
	g := s.start(setup{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	r, _ := g.request(call{method: "GET", path: "/v1/responses",
		header: []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}})
	if err := r.Write(conn); err != nil {
		s.Fatal(err)
	}
	frame := websocket.Append(nil, websocket.Text, []byte(`{"type":"response.create","model":"gpt-4o-mini","input":"hi"}`), websocket.NewKey())
	var got []byte
	part := make([]byte, 4096)
	for !bytes.Contains(got, []byte("\r\n\r\n")) {
		n, err := conn.Read(part)
		if got = append(got, part[:n]...); err != nil {
			s.Fatalf("%v after %q", err, got)
		}
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) {
		s.Fatalf("the upgrade was answered with %q", got)
	}
	conn.Write(frame)
	for !bytes.Contains(got, []byte(`"type":"response.completed"`)) {
		n, err := conn.Read(part)
		if got = append(got, part[:n]...); err != nil {
			s.Fatalf("%v after %q", err, got)
		}
	}
	plain := g.ask(call{path: chatPath, body: chatBody("gpt-4o-mini", "hi", ""), header: []string{"Connection", "Upgrade", "Upgrade", "websocket"}})
	if plain.status == 101 {
		s.Error("a chat completion was upgraded")
	}
	g.stop()
	for err = nil; err == nil; {
		var n int
		n, err = conn.Read(part)
		got = append(got, part[:n]...)
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		s.Error("the connection outlives the gateway")
	}
	if !bytes.Contains(got, []byte{0x03, 0xf4}) { // 1012 in a close frame
		s.Errorf("the connection was not closed with code 1012: %q", got[max(0, len(got)-200):])
	}
}
