package forward_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect/openai"
	"forward/internal/upstream"
)

func TestForwardsTheRequestAsItCame(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Upstream", "yes")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Access-Control-Allow-Origin", "https://provider.example")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	}, nil)
	a := b.do("PATCH", "/v1/things/a%2Fb%20c?x=1;y=2&z=%zz", "body bytes", "Cookie", "session=1", "X-Custom", "kept", "X-Forward-Secret", "ours")
	a.want(t, http.StatusTeapot, "short and stout")
	if a.Header.Get("X-Upstream") != "yes" || a.Header.Get("Set-Cookie") != "" || a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("answer headers: %v", a.Header)
	}
	if a.Header.Get("X-Request-Id") == "" || a.Header.Get("X-Forward-Request-Id") == "" {
		t.Errorf("no request id: %v", a.Header)
	}
	r, body := b.last()
	if r.Method != "PATCH" || r.RequestURI != "/v1/things/a%2Fb%20c?x=1;y=2&z=%zz" || string(body) != "body bytes" {
		t.Errorf("upstream got %s %s %q", r.Method, r.RequestURI, body)
	}
	if r.Header.Get("X-Custom") != "kept" || r.Header.Get("Cookie") != "" || r.Header.Get("X-Forward-Secret") != "" || r.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("upstream headers: %v", r.Header)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+canary {
		t.Errorf("Authorization %q", got)
	}
}

func TestABareQuestionMarkStays(t *testing.T) {
	b := start(t, provider, nil)
	b.do("GET", "/v1/models?", "").want(t, 200)
	if r, _ := b.last(); r.RequestURI != "/v1/models?" {
		t.Errorf("upstream got %s", r.RequestURI)
	}
}

// TestHalfAClientGetsNoHalfAnswer closes one half of the connection after the
// request, which net/http takes for leaving.
func TestHalfAClientGetsNoHalfAnswer(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
	conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
	defer conn.Close()
	io.WriteString(conn, "GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-alice\r\n\r\n")
	eventually(t, func() bool { return b.calls() == 1 })
	conn.(*net.TCPConn).CloseWrite()
	if got, _ := io.ReadAll(conn); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestEmptyErrorPagesStayEmpty(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotFound, http.StatusMethodNotAllowed} {
		b := start(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, nil)
		if a := b.do("GET", "/v1/x", ""); a.StatusCode != status || a.body != "" {
			t.Errorf("status %d became %d %q", status, a.StatusCode, a.body)
		}
	}
}

func TestPathsThatCouldChangeTheAuthorityAreRefused(t *testing.T) {
	b := start(t, provider, func(s *setup) {})
	p := start(t, provider, func(s *setup) {
		u, _ := url.Parse(b.upstream.URL)
		s.routes = []*upstream.Route{{Name: "p", Prefix: "/p", Base: u, Dialect: openai.Dialect}}
		s.open = true
	})
	for path, status := range map[string]int{
		"/p:81/x": 404, "/p.evil/x": 404, "/p@evil/x": 404, "/pfoo": 404, "/": 404, "/P/x": 404,
		"/p/../x": 400, "/p/%2e%2e/x": 400, "//p/../x": 400, "/p/a%5cb": 400, "/p/%00": 400, "/p/..%2fx": 400, "/p/%252e%252e/x": 400,
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", path)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, status)
		}
		conn.Close()
	}
	if b.calls() != 0 {
		t.Errorf("the upstream was called %d times", b.calls())
	}
}

func TestAbsoluteFormGoesToTheConfiguredUpstream(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("called") }))
	defer elsewhere.Close()
	b := start(t, provider, nil)
	conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s/v1/models HTTP/1.1\r\nHost: elsewhere\r\nAuthorization: Bearer fk-alice\r\nConnection: close\r\n\r\n", elsewhere.URL)
	res := must(http.ReadResponse(bufio.NewReader(conn), nil))(t)
	if res.StatusCode != 200 || b.calls() != 1 {
		t.Errorf("status %d, %d calls", res.StatusCode, b.calls())
	}
}

func TestStreamsArriveEventByEvent(t *testing.T) {
	next := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}, nil)
	r, _ := http.NewRequest("POST", b.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
	r.Header.Set("Authorization", "Bearer fk-alice")
	res := must(http.DefaultTransport.RoundTrip(r))(t)
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := range 3 { // each event must arrive although the upstream waits for us before it sends the next one
		if line := must(lines.ReadString('\n'))(t); line != fmt.Sprintf("data: %d\n", i) {
			t.Errorf("line %q", line)
		}
		lines.ReadString('\n')
		next <- struct{}{}
	}
}

func TestClientThatLeavesCancelsTheUpstream(t *testing.T) {
	for _, when := range []string{"before the first byte", "in the middle"} {
		t.Run(when, func(t *testing.T) {
			called, gone := make(chan struct{}), make(chan struct{})
			b := start(t, func(w http.ResponseWriter, r *http.Request) {
				if when == "in the middle" {
					w.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(w, "data: 1\n\n")
					http.NewResponseController(w).Flush()
				}
				close(called)
				<-r.Context().Done()
				close(gone)
			}, nil)
			ctx, leave := context.WithCancel(t.Context())
			r, _ := http.NewRequestWithContext(ctx, "POST", b.url+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true}`))
			r.Header.Set("Authorization", "Bearer fk-alice")
			go func() {
				res, err := http.DefaultTransport.RoundTrip(r)
				if err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
			}()
			<-called
			leave()
			select {
			case <-gone:
			case <-time.After(time.Second):
				t.Fatal("the upstream was not cancelled within a second")
			}
			eventually(t, func() bool { return strings.Contains(b.log.String(), "client_gone") })
		})
	}
}

func TestBrokenAnswersNeverLookComplete(t *testing.T) {
	first := chunk(`{"content":"Hel"}`, "null")
	long := `{"content":"` + strings.Repeat("a", 1<<20)
	for name, test := range map[string]struct {
		head, body string
		want       string // what the client has before the error; an error event follows when event is set
		event      bool
		refused    bool // nothing of it was out: the client gets an error instead
	}{
		"a stream":                      {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n", first, first, true, false},
		"a stream in an event":          {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n", first + `data: {"half`, first, true, false},
		"a stream with a length":        {"Content-Type: text/event-stream\r\nContent-Length: 9999\r\n", first, first, false, false},
		"a body with a length":          {"Content-Type: application/json\r\nContent-Length: 9999\r\n", `{"id"`, "", false, true},
		"a chunked body":                {"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", `{"id"`, "", false, true},
		"a body after a long beginning": {"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", long, long, false, false},
		"a body that is no JSON":        {"Content-Type: audio/mpeg\r\nContent-Length: 9999\r\n", "ID3", "ID3", false, false},
		"a compressed stream":           {"Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "zzz", "zzz", false, false},
		"a stream that begins to break": {"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n", "", "", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				body := test.body
				if strings.Contains(test.head, "chunked") && body != "" {
					body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
				}
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n%s", test.head, body)
			}, nil)
			a := b.chat(`,"stream":true,"stream_options":{"include_usage":true}`)
			if test.refused {
				if a.want(t, 502, "upstream_reset", "may have been executed"); a.err != nil {
					t.Errorf("error %v", a.err)
				}
				return
			}
			if !test.event {
				if a.err == nil || a.body != test.want {
					t.Errorf("error %v, body %q", a.err, a.body)
				}
				return
			}
			if a.err != nil || !strings.HasPrefix(a.body, test.want+`data: {"error":{`) || !strings.Contains(a.body, "upstream_reset") || strings.Contains(a.body, "[DONE]") {
				t.Errorf("error %v, body %q", a.err, a.body)
			}
		})
	}
}

func TestAnUpstreamThatFallsSilentIsCutOff(t *testing.T) {
	gone := make(chan struct{})
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}, func(s *setup) { s.StreamIdleTimeout = 40 * time.Millisecond })
	a := b.chat(`,"stream":true`)
	if a.err != nil || !strings.Contains(a.body, `"upstream_timeout"`) {
		t.Errorf("error %v, body %q", a.err, a.body)
	}
	<-gone
}

func TestStoppingTheGatewayEndsOpenStreamsWithAnError(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, nil)
	done := make(chan answer)
	go func() { done <- b.chat(`,"stream":true`) }()
	eventually(t, func() bool { return b.calls() == 1 })
	time.Sleep(20 * time.Millisecond)
	b.gateway.Drain()
	b.do("GET", "/readyz", "").want(t, http.StatusServiceUnavailable, "draining")
	b.gateway.Abort()
	a := <-done
	if a.err != nil || !strings.Contains(a.body, "gateway_shutting_down") || strings.Contains(a.body, "[DONE]") {
		t.Errorf("error %v, body %q", a.err, a.body)
	}
	b.gateway.Wait(time.Second)
}

func TestUploadsStreamAndEarlyAnswersPass(t *testing.T) {
	first := make(chan []byte, 1)
	var b *bench
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		part := make([]byte, 5)
		io.ReadFull(r.Body, part)
		first <- part
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "got it")
	}))
	defer server.Close()
	b = start(t, provider, func(s *setup) {
		u, _ := url.Parse(server.URL)
		s.open = true
		s.routes = []*upstream.Route{{Name: "up", Prefix: "/", Base: u, Dialect: openai.Dialect}}
	})
	pr, pw := io.Pipe()
	go func() {
		io.WriteString(pw, "first")
		if got := <-first; string(got) != "first" { // must be there before the rest is sent
			t.Errorf("got %q", got)
		}
		io.WriteString(pw, strings.Repeat("x", 1<<20))
		pw.Close()
	}()
	r, _ := http.NewRequest("POST", b.url+"/v1/files", pr)
	res := must(http.DefaultTransport.RoundTrip(r))(t)
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != "got it" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnUnknownWebSocketPassesWithTheKeySwapped(t *testing.T) {
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("no upgrade: %v", r.Header)
		}
		conn, rw, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, "echo "+line)
	}, nil)
	conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
	defer conn.Close()
	io.WriteString(conn, "GET /v1/new/socket?model=gpt-realtime HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"+
		"hel") // before the answer has come
	reader := bufio.NewReader(conn)
	res := must(http.ReadResponse(reader, nil))(t)
	if res.StatusCode != 101 {
		t.Fatalf("status %d", res.StatusCode)
	}
	io.WriteString(conn, "lo\n")
	if line, _ := reader.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("got %q", line)
	}
	if r, _ := b.last(); r.Header.Get("Authorization") != "Bearer "+canary {
		t.Errorf("Authorization %q", r.Header.Get("Authorization"))
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen within two seconds")
		}
	}
}
