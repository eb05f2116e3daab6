//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"forward/test/harness"
)

// TestBrowserClient makes the requests that ChatGPT-Next-Web makes from a page:
// a preflight that asks for its headers, then the call with an Origin.
func TestBrowserClient(t *testing.T) {
	const (
		key    = "fk-browser-Zk3Wp8Yd5Rj1"
		origin = "https://chat.example.com"
	)
	up := startUpstream(t)
	preflight := func(gw *gateway, origin string) answer {
		return send(t, "OPTIONS", gw.URL+"/v1/chat/completions", "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "authorization,content-type,x-requested-with")
	}
	t.Run("any origin", func(t *testing.T) {
		gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-one", "FORWARD_KEY="+key)
		a := preflight(gw, origin)
		if a.status/100 != 2 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("status %d, headers %v", a.status, a.header)
		}
		allowed := strings.ToLower(a.header.Get("Access-Control-Allow-Headers"))
		for _, want := range []string{"authorization", "content-type", "x-requested-with"} {
			if !strings.Contains(allowed, want) {
				t.Errorf("the header %s is not allowed: %q", want, allowed)
			}
		}
		if !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "POST") || up.count() != 0 {
			t.Errorf("methods %q, %d upstream calls", a.header.Get("Access-Control-Allow-Methods"), up.count())
		}
		for body, want := range map[string]int{chatBody("private-headers", "hi", `,"stream":true`): 200, `{"broken`: 400} {
			a := send(t, "POST", gw.URL+"/v1/chat/completions", body, "Origin", origin, "Authorization", "Bearer "+key)
			if got := a.header.Values("Access-Control-Allow-Origin"); a.status != want || len(got) != 1 || got[0] != "*" {
				t.Errorf("status %d, want %d, with Access-Control-Allow-Origin %q", a.status, want, got)
			}
			if a.header.Get("Set-Cookie") != "" || a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("the upstream's cookies and CORS headers came through: %v", a.header)
			}
		}
		if a := send(t, "POST", gw.URL+"/v1/chat/completions", "{}", "Origin", origin); a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("a page could not read this 401: %d, headers %v", a.status, a.header)
		}
	})
	t.Run("one origin", func(t *testing.T) {
		gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "CORS_ORIGINS="+origin)
		if a := preflight(gw, origin); a.header.Get("Access-Control-Allow-Origin") != origin {
			t.Errorf("status %d, headers %v", a.status, a.header)
		}
		for _, other := range []string{"https://evil.example", origin + ".evil.example", "null"} {
			if a := preflight(gw, other); a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s is allowed: %v", other, a.header)
			}
		}
	})
}

// TestRealtime upgrades to a WebSocket through the gateway and exchanges a
// frame in each direction.
func TestRealtime(t *testing.T) {
	const key = "fk-realtime-Zk3Wp8Yd5Rj1"
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, "OPENAI_API_KEY=sk-realtime", "FORWARD_KEY="+key, "SHUTDOWN_TIMEOUT=500ms")
	conn, err := net.Dial("tcp", strings.TrimPrefix(gw.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Key and accept value are the example of RFC 6455, section 1.3; the frame
	// is the "Hello" of section 5.7.
	fmt.Fprintf(conn, "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n", key)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	if got := credentials(up); got[0] != "sk-realtime" {
		t.Errorf("the upstream was sent %v", got)
	}
	hello := func() error {
		if _, err := conn.Write([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}); err != nil {
			return err
		}
		frame := make([]byte, 7)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if string(frame) != "\x81\x05Hello" {
			return fmt.Errorf("echoed frame %q", frame)
		}
		return nil
	}
	for range 3 {
		if err := hello(); err != nil {
			t.Fatal(err)
		}
	}
	if a := send(t, "GET", gw.URL+"/v1/realtime", ""); a.status != 401 {
		t.Errorf("without a key: status %d", a.status)
	}
	gw.Signal(syscall.SIGTERM)
	// No response is running, so it is closed at once: clients connect again
	// elsewhere.
	closing := make([]byte, 4)
	if _, err := io.ReadFull(in, closing); err != nil || closing[0] != 0x88 || int(closing[2])<<8|int(closing[3]) != 1012 {
		t.Errorf("when the gateway drains: %x, %v", closing, err)
	}
	if status := gw.Ended(5 * time.Second); status != 0 {
		t.Errorf("exit status %d after the bound", status)
	}
}

// TestPacing: seven events at five a second take 1.2 seconds or more, although
// the upstream sent them in one write, and again when the cache replays them.
func TestPacing(t *testing.T) {
	up := startUpstream(t)
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+up.URL, `TOKEN_RATE_LIMIT={"/v1/chat/completions":"5/second"}`, "CACHE_CHAT_COMPLETION=true")
	for _, want := range []string{"MISS", "HIT"} {
		start := time.Now()
		a := send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("burst-7", "hi", `,"stream":true,"caching":true`))
		took := time.Since(start)
		if a.status != 200 || !strings.HasSuffix(string(a.body), "data: [DONE]\n\n") || a.header.Get("X-Cache") != want {
			t.Errorf("status %d, X-Cache %q: %s", a.status, a.header.Get("X-Cache"), harness.Tail(string(a.body)))
		}
		if took < 1200*time.Millisecond || took > 3*time.Second {
			t.Errorf("%s: seven events took %v, want 1.2 s or a little more", want, took)
		}
	}
}
