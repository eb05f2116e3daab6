package forward_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestCasesOfAccess has the cases about which caller may do what, each by its
// number in the list of faults.
func TestCasesOfAccess(t *testing.T) {
	t.Run("B19 a page's key among the subprotocols", func(t *testing.T) {
		for name, test := range map[string]struct {
			change func(*setup)
			sent   string
			want   string
		}{
			"a forward key":     {nil, "realtime, openai-insecure-api-key.fk-alice, openai-project.p", "realtime"},
			"open access":       {func(s *setup) { s.keys = nil }, "realtime, openai-insecure-api-key.sk-own", "realtime"},
			"transparent":       {func(s *setup) { s.open = true }, "realtime, openai-insecure-api-key.sk-own", "realtime, openai-insecure-api-key.sk-own"},
			"a key and no more": {nil, "openai-insecure-api-key.fk-alice", ""},
		} {
			t.Run(name, func(t *testing.T) {
				b := start(t, acceptWebSocket, test.change)
				head := b.handshake("GET /v1/realtime?model=gpt-realtime", "Sec-WebSocket-Protocol: "+test.sent)
				seen, _ := b.last()
				if got := strings.Join(seen.Header["Sec-Websocket-Protocol"], ", "); got != test.want {
					t.Errorf("the upstream got the subprotocols %q, want %q", got, test.want)
				}
				if got := seen.Header.Get("Authorization"); name != "transparent" && got != "Bearer "+canary {
					t.Errorf("the upstream got Authorization %q", got)
				}
				if head.StatusCode != http.StatusSwitchingProtocols || !strings.HasPrefix(head.Header.Get("Sec-WebSocket-Protocol"), strings.SplitN(test.want, ",", 2)[0]) {
					t.Errorf("the client got %d and the subprotocol %q", head.StatusCode, head.Header.Get("Sec-WebSocket-Protocol"))
				}
			})
		}
		b := start(t, acceptWebSocket, nil)
		if head := b.handshake("GET /v1/realtime?model=gpt-realtime", "Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.fk-eve"); head.StatusCode != http.StatusUnauthorized {
			t.Errorf("a wrong key got %d", head.StatusCode)
		}
	})
}

// acceptWebSocket is an upstream that accepts an upgrade with the first
// subprotocol.
func acceptWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	chosen, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ",")
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+chosen+"\r\n\r\n")
}

// handshake asks for a WebSocket, with these header lines and no other
// credential, and returns the head of the answer.
func (b *bench) handshake(line string, header ...string) *http.Response {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	lines := append([]string{line + " HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"}, header...)
	io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	head, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return head
}
