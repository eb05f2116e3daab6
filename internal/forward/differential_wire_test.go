package forward_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The differential test reads and writes HTTP by itself: net/http would hide
// what it is about, such as a length beside what is no body, bytes after an
// answer, a header without a value, or a guessed Content-Type.

// message is a request or an answer as it was on the wire. Names of headers are
// in lower case, for case means nothing.
type message struct {
	start   string
	header  map[string][]string
	body    string
	framing string // none, length, chunked, or to the end of the connection
	trailer map[string][]string
	interim []message // the 1xx answers before an answer
}

// wire spells a message. Lines are headers up to an empty one and the body
// after it; a body without a framing of its own is announced with its length.
func wire(start string, lines ...string) string {
	var b strings.Builder
	b.WriteString(start + "\r\n")
	framed := false
	for i, line := range lines {
		if line == "" {
			body := strings.Join(lines[i+1:], "")
			if !framed {
				fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
			}
			return b.String() + "\r\n" + body
		}
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		framed = framed || name == "content-length" || name == "transfer-encoding" || line == toTheEnd
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// asking spells a request.
func asking(line string, lines ...string) string { return wire(line+" HTTP/1.1", lines...) }

// respond spells an answer. It announces that the connection ends, as it does,
// or the gateway's transport would use it again.
func respond(status string, lines ...string) string {
	return strings.Replace(wire("HTTP/1.1 "+status, lines...), "\r\n", "\r\nConnection: close\r\n", 1)
}

const (
	chunked  = "Transfer-Encoding: chunked"
	toTheEnd = "Connection: close" // of an answer without a length
	jsonType = "Content-Type: application/json"
	sseType  = "Content-Type: text/event-stream; charset=utf-8"
)

// chunks spells a chunked body without the empty line at its end, which comes
// after the trailers.
func chunks(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	return b.String() + "0\r\n"
}

// readMessage reads one message. bare means that it has no body whatever its
// headers respond: an answer to HEAD.
func readMessage(r *bufio.Reader, bare bool) (m message, err error) {
	for {
		if m.start, err = readLine(r); err != nil {
			return m, err
		}
		if m.header, err = readHeader(r); err != nil {
			return m, err
		}
		status := m.status()
		if status < 100 || status > 199 || status == 101 {
			break
		}
		if status == 100 { // is of one connection: net/http sends it when the body is read
			continue
		}
		m.interim = append(m.interim, message{start: m.start, header: m.header})
	}
	return m, m.readBody(r, bare)
}

// status is that of an answer, 0 of a request.
func (m *message) status() int {
	if len(m.start) < 12 || !strings.HasPrefix(m.start, "HTTP/1.") {
		return 0
	}
	n, _ := strconv.Atoi(m.start[9:12])
	return n
}

func (m *message) readBody(r *bufio.Reader, bare bool) (err error) {
	status := m.status()
	length := m.header["content-length"]
	var body []byte
	switch {
	case bare || status == 204 || status == 304:
		m.framing = "none"
	case strings.Join(m.header["transfer-encoding"], ",") == "chunked":
		m.framing = "chunked"
		if body, err = readChunks(r); err == nil {
			m.trailer, err = readHeader(r)
		}
	case len(length) == 1:
		m.framing = "length"
		n, bad := strconv.Atoi(length[0])
		if bad != nil {
			return bad
		}
		body = make([]byte, n)
		_, err = io.ReadFull(r, body)
	case status != 0:
		m.framing = "to the end"
		body, err = io.ReadAll(r)
	default:
		m.framing = "none"
	}
	m.body = string(body)
	return err
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", fmt.Errorf("line %q has no CRLF", line)
	}
	return text, nil
}

func readHeader(r *bufio.Reader) (map[string][]string, error) {
	h := map[string][]string{}
	for {
		line, err := readLine(r)
		if line == "" || err != nil {
			return h, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %q is no header", line)
		}
		name = strings.ToLower(name)
		h[name] = append(h[name], strings.Trim(value, " \t"))
	}
}

func readChunks(r *bufio.Reader) ([]byte, error) {
	var body bytes.Buffer
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(line, 16, 32)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return body.Bytes(), nil
		}
		if _, err := io.CopyN(&body, r, size); err != nil {
			return nil, err
		}
		if end, err := readLine(r); end != "" || err != nil {
			return nil, fmt.Errorf("%q, %v after a chunk", end, err)
		}
	}
}

// recorder is an upstream that writes bytes as they are. It serves one request
// on a connection.
type recorder struct {
	url    string
	answer chan string  // what to respond to the next request
	seen   chan message // the request that was answered
}

func newRecorder(t *testing.T) *recorder {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	r := &recorder{url: "http://" + listener.Addr().String(), answer: make(chan string, 1), seen: make(chan message, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.serve(t, conn)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return r
}

func (r *recorder) serve(t *testing.T, conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	m, err := readMessage(bufio.NewReader(conn), false)
	if err != nil {
		t.Errorf("the upstream read %+.300v and then: %v", m, err)
	}
	r.seen <- m // before the answer: the client must not have it while the request is still unknown
	io.WriteString(conn, <-r.answer)
}

// converse sends a request over a connection of its own and returns what the
// client and what the upstream saw.
func (r *recorder) converse(t *testing.T, address, request, answer string) (client, upstream message) {
	t.Helper()
	conn := must(net.Dial("tcp", strings.TrimPrefix(address, "http://")))(t)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, request)
		sent <- err
	}()
	r.answer <- answer
	reader := bufio.NewReader(conn)
	client, err := readMessage(reader, strings.HasPrefix(request, "HEAD "))
	if err != nil {
		t.Errorf("the client read %.300q and then: %v", fmt.Sprint(client), err)
	}
	if more, err := io.ReadAll(reader); len(more) > 0 || err != nil {
		t.Errorf("after the answer came %.300q, %v", more, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	select {
	case upstream = <-r.seen:
	default:
		<-r.answer
		t.Errorf("the upstream was not asked; the client got %.600q", fmt.Sprint(client))
	}
	return client, upstream
}
