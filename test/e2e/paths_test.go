//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// raw sends exactly these bytes and returns the first answer on the connection.
func raw(t *testing.T, gw *gateway, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(gw.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to %q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err}
}

// listener counts the connections that it is given; a test that expects none
// uses it as the place an attack points to.
type listener struct {
	net.Listener
	seen atomic.Int64
}

func listen(t *testing.T) *listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: inner}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			l.seen.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *listener) port() string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// TestNoPathChangesTheUpstream sends request lines that made other gateways
// take a part of the path for a host.
func TestNoPathChangesTheUpstream(t *testing.T) {
	const key = "fk-paths-Zk3Wp8Yd5Rj1Hc6"
	up, trap := startUpstream(t), listen(t)
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(up.URL, "http://"))
	gw := startForward(t, t.TempDir(), "OPENAI_API_KEY=sk-canary-paths", "FORWARD_KEY="+key,
		`FORWARD_CONFIG=[{"base_url":"http://`+host+`:`+port+`","route":"/p","type":"openai"},{"base_url":"http://127.0.0.1","route":"/q","type":"general"}]`)
	ask := func(target, host string) answer {
		return raw(t, gw, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+key+"\r\n\r\n")
	}
	if a := ask("/p/v1/models", "x"); a.status != 200 {
		t.Fatalf("the route itself answered %d %s", a.status, a.body)
	}
	up.reset()

	for target, want := range map[string]int{
		"/p:81/x": 404, "/p:" + trap.port() + "/x": 404, "/q:" + trap.port() + "/x": 404,
		"/p.evil/x": 404, "/p@evil/x": 404, "/p@127.0.0.1:" + trap.port() + "/x": 404, "/pfoo": 404, "/P/v1/models": 404, "/nothing": 404,
		"/p/../admin": 400, "/p/%2e%2e/admin": 400, "/p/..%2fadmin": 400, "/p/%252e%252e/x": 400, "/p/..;/x": 400, "/p/./x": 400,
		"//evil/p/x": 404, `/p/\evil`: 400, "/p/%5cevil": 400, "/p/%00": 400, "/p/%0d%0aHost:evil": 400,
	} {
		t.Run(target, func(t *testing.T) {
			a := ask(target, "x")
			if a.status != want {
				t.Errorf("status %d, want %d: %s", a.status, want, a.body)
			}
			if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") || a.code() == "" {
				t.Errorf("the error is not in the API's shape: %s %s", ct, a.body)
			}
		})
	}

	t.Run("absolute form", func(t *testing.T) {
		for _, target := range []string{"http://127.0.0.1:" + trap.port() + "/p/v1/models", "http://evil.example/p/v1/models"} {
			if a := ask(target, "127.0.0.1:"+trap.port()); a.status != 200 && a.status/100 != 4 {
				t.Errorf("%s answered %d %s", target, a.status, a.body)
			}
		}
		for _, r := range up.requests() {
			if r.URI != "/v1/models" || r.Host != host+":"+port {
				t.Errorf("the upstream was asked for %s of host %s", r.URI, r.Host)
			}
		}
		up.reset()
	})
	t.Run("CONNECT", func(t *testing.T) {
		a := raw(t, gw, fmt.Sprintf("CONNECT 127.0.0.1:%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\n\r\n", trap.port(), trap.port(), key))
		if a.status/100 != 4 {
			t.Errorf("status %d", a.status)
		}
	})
	t.Run("headers that name a host", func(t *testing.T) {
		a := raw(t, gw, "GET /p/v1/models HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Base-Url: http://127.0.0.1:"+trap.port()+
			"\r\nAuthorization: Bearer "+key+"\r\n\r\n")
		if a.status != 200 || up.last().Host != host+":"+port {
			t.Errorf("status %d, upstream host %q", a.status, up.last().Host)
		}
		up.reset()
	})
	if up.count() != 0 || trap.seen.Load() != 0 {
		t.Errorf("%d requests reached the upstream and %d connections the trap, want none", up.count(), trap.seen.Load())
	}
}

// TestTargetsArriveAsTheyWereSent: escaping and query are the client's
// business.
func TestTargetsArriveAsTheyWereSent(t *testing.T) {
	up := startUpstream(t)
	for base, prefix := range map[string]string{up.URL: "", up.URL + "/": "", up.URL + "/base": "/base", up.URL + "/base/": "/base"} {
		gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+base, "OPENAI_ROUTE_PREFIX=/")
		for _, target := range []string{
			"/v1/files/a%2Fb", "/v1/x%20y?a=%2F&b=+&c", "/v1/caf%C3%A9", "/v1/models?after=x;y=z", "/v1/models/", "/v1/a:b@c", "/V1//models",
		} {
			if a := raw(t, gw, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n"); a.status != 200 && a.status != 404 {
				t.Errorf("%s answered %d %s", target, a.status, a.body)
				continue
			}
			if got := up.last().URI; got != prefix+target {
				t.Errorf("base %s: %s arrived as %s", base, target, got)
			}
		}
	}
}
