// Package load asks HTTP/1.1 servers for answers, cheaply and without mercy:
// requests are bytes made in advance, a connection is used for one after the
// other, and answers are read only as far as is needed to know where they end.
// A client that takes half the machine would measure itself.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// Request is a request as it goes over the wire. Between two requests only its
// nonce changes.
type Request struct {
	head, body []byte
	nonce      int // where in body its digits start; -1 if there is none
}

// Nonce stands in a body where each request is to have digits of its own, so
// that no two bodies are the same.
const Nonce = "NONCE-0000000000"

// New makes a request. An empty body makes a GET.
func New(address, path string, headers map[string]string, body string) *Request {
	method := "POST"
	if body == "" {
		method = "GET"
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, address)
	for name, value := range headers {
		fmt.Fprintf(&head, "%s: %s\r\n", name, value)
	}
	if body != "" {
		fmt.Fprintf(&head, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	head.WriteString("\r\n")
	r := &Request{head: head.Bytes(), body: []byte(body), nonce: bytes.Index([]byte(body), []byte(Nonce))}
	if r.nonce >= 0 {
		r.nonce += len("NONCE-")
	}
	return r
}

// Fixed is the same request without a nonce of its own: all that are sent are
// equal.
func (r *Request) Fixed() *Request { return &Request{head: r.head, body: r.body, nonce: -1} }

// bytes is the n-th request of its kind, written over buf.
func (r *Request) bytes(buf []byte, n uint64) []byte {
	buf = append(append(buf[:0], r.head...), r.body...)
	if r.nonce >= 0 {
		digits := buf[len(r.head)+r.nonce:]
		for i := len("0000000000") - 1; i >= 0; i-- {
			digits[i] = byte('0' + n%10)
			n /= 10
		}
	}
	return buf
}

// Answer is what became of one request.
type Answer struct {
	Status int
	Size   int    // of the body, without the framing of chunks
	Cache  string // the header X-Cache
	Events int    // of a stream
	Last   []byte // the end of the body, at most 64 bytes
}

// errClosing means that a complete answer was read, and that the server will
// close the connection after it.
var errClosing = errors.New("the server closes the connection")

// Conn is a connection that is kept alive. It is for one goroutine.
type Conn struct {
	conn net.Conn
	r    *bufio.Reader
	buf  []byte
	next Answer // its slice is used again
}

// NewConn asks over an established connection.
func NewConn(c net.Conn, buffer int) *Conn { return &Conn{conn: c, r: bufio.NewReaderSize(c, buffer)} }

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Do sends the n-th request of a kind and reads the whole answer, which is
// valid until the next call. An error means that the connection is of no
// further use; with errClosing the answer is complete all the same.
func (c *Conn) Do(r *Request, n uint64) (*Answer, error) {
	if err := c.send(r, n); err != nil {
		return nil, err
	}
	return c.read(nil)
}

func (c *Conn) send(r *Request, n uint64) error {
	c.buf = r.bytes(c.buf, n)
	_, err := c.conn.Write(c.buf)
	return err
}

// read reads an answer. on is called at the end of each event, nil for answers
// that are no streams.
func (c *Conn) read(on func()) (*Answer, error) {
	a := &c.next
	*a = Answer{Last: a.Last[:0]}
	h, err := c.header(a)
	if err != nil {
		return nil, err
	}
	s := scanner{a: a, on: on}
	switch {
	case h.chunked:
		err = c.chunks(&s)
	case h.length >= 0:
		err = c.body(h.length, &s)
	default: // until the end of the connection
		err = c.rest(&s)
	}
	if err == nil && h.closing {
		err = errClosing
	}
	return a, err
}

// header is the part of an answer's header that determines where the answer
// ends.
type header struct {
	length  int // -1: not given
	chunked bool
	closing bool
}

func (c *Conn) header(a *Answer) (h header, err error) {
	h.length = -1
	line, err := c.line()
	if err != nil {
		return h, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return h, fmt.Errorf("the status line is %q", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return h, fmt.Errorf("the status line is %q", line)
	}
	for {
		if line, err = c.line(); err != nil || len(line) == 0 {
			return h, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if h.length, err = strconv.Atoi(string(value)); err != nil {
				return h, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			h.chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			h.closing = bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("X-Cache")):
			a.Cache = string(value)
		}
	}
}

// line reads a line without its end.
func (c *Conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// body reads n bytes of a body, in whatever parts they come.
func (c *Conn) body(n int, s *scanner) error {
	for n > 0 {
		if _, err := c.r.Peek(1); err != nil {
			return noEnd(err)
		}
		part, _ := c.r.Peek(min(n, c.r.Buffered()))
		s.scan(part)
		n -= len(part)
		if _, err := c.r.Discard(len(part)); err != nil {
			return err
		}
	}
	return nil
}

// chunks reads a body with chunked framing, with its trailers.
func (c *Conn) chunks(s *scanner) error {
	for {
		line, err := c.line()
		if err != nil {
			return noEnd(err)
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.body(int(n), s); err != nil {
			return err
		}
		if _, err := c.r.Discard(len("\r\n")); err != nil {
			return noEnd(err)
		}
	}
	for {
		if line, err := c.line(); err != nil || len(line) == 0 {
			return noEnd(err)
		}
	}
}

// rest reads until the connection ends.
func (c *Conn) rest(s *scanner) error {
	for {
		if err := c.body(1, s); errors.Is(err, io.ErrUnexpectedEOF) {
			return errClosing
		} else if err != nil {
			return err
		}
	}
}

// noEnd is the error of an answer that broke off.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// scanner looks at a body that comes in parts.
type scanner struct {
	a       *Answer
	on      func()
	newline bool // the last byte was the end of a line
}

const lastBytes = 64

func (s *scanner) scan(part []byte) {
	s.a.Size += len(part)
	if over := len(s.a.Last) + len(part) - lastBytes; len(part) >= lastBytes {
		s.a.Last = append(s.a.Last[:0], part[len(part)-lastBytes:]...)
	} else {
		if over > 0 {
			s.a.Last = append(s.a.Last[:0], s.a.Last[over:]...)
		}
		s.a.Last = append(s.a.Last, part...)
	}
	if s.on == nil {
		return
	}
	for _, b := range part {
		if b == '\n' && s.newline {
			s.a.Events++
			s.on()
		}
		s.newline = b == '\n'
	}
}
