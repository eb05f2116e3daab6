package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// served is a target whose connections are pipes, each with play at its other
// end, which is called for every request.
func served(t *testing.T, check func(*Answer) error, play func(conn net.Conn, r *http.Request) error) *Target {
	t.Helper()
	return &Target{
		Request: New("test", "/v1/chat/completions", map[string]string{"Authorization": "Bearer sk"}, `{"text":"`+Nonce+`"}`),
		Check:   check,
		Dial: func() (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				for r := bufio.NewReader(server); ; {
					q, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					body, err := io.ReadAll(q.Body)
					if err != nil || int64(len(body)) != q.ContentLength {
						t.Errorf("a request with a body of %d bytes, and error %v", len(body), err)
						return
					}
					q.Header.Set("Body", string(body))
					if err := play(server, q); err != nil {
						return
					}
				}
			}()
			return client, nil
		},
	}
}

// answer writes a plain answer of two bytes.
func answer(conn net.Conn) error {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	return err
}

// event writes a chunk with an event.
func event(conn net.Conn, text string) error {
	text = "data: " + text + "\n\n"
	_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(text), text)
	return err
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
