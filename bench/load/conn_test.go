package load

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
)

// pipe is a connection that reads from a text and writes nowhere.
type pipe struct {
	net.Conn
	io.Reader
}

func (p pipe) Read(b []byte) (int, error)  { return p.Reader.Read(b) }
func (p pipe) Write(b []byte) (int, error) { return len(b), nil }
func (p pipe) Close() error                { return nil }

// TestReadsAnswers frames answers in all the ways of HTTP/1.1, and reads them
// whole and byte by byte.
func TestReadsAnswers(t *testing.T) {
	closing, cut := errClosing, io.ErrUnexpectedEOF
	for name, c := range map[string]struct {
		text   string
		err    error
		want   Answer
		events int
	}{
		"length":       {text: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Cache: HIT\r\n\r\nhello", want: Answer{Status: 200, Size: 5, Cache: "HIT", Last: []byte("hello")}},
		"empty":        {text: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", want: Answer{Status: 204}},
		"closing":      {text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", err: closing, want: Answer{Status: 200, Size: 2, Last: []byte("ok")}},
		"to the end":   {text: "HTTP/1.1 200 OK\r\n\r\nhello", err: closing, want: Answer{Status: 200, Size: 5, Last: []byte("hello")}},
		"chunks":       {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", want: Answer{Status: 200, Size: 5, Last: []byte("hello")}},
		"trailers":     {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-LLM-Total-Tokens: 3\r\n\r\n", want: Answer{Status: 200, Size: 2, Last: []byte("ok")}},
		"events":       {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\n\nb\r\n3\r\n\n\nc\r\n0\r\n\r\n", events: 2, want: Answer{Status: 200, Size: 7, Events: 2, Last: []byte("a\n\nb\n\nc")}},
		"cut length":   {text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", err: cut},
		"cut chunk":    {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", err: cut},
		"cut chunks":   {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", err: cut},
		"cut trailers": {text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", err: cut},
	} {
		for way, reader := range map[string]io.Reader{"whole": strings.NewReader(c.text), "byte by byte": iotest.OneByteReader(strings.NewReader(c.text))} {
			events := 0
			conn := NewConn(pipe{Reader: reader}, 64)
			if err := conn.send(New("test", "/", nil, ""), 1); err != nil {
				t.Fatal(err)
			}
			a, err := conn.read(func() { events++ })
			if !errors.Is(err, c.err) {
				t.Errorf("%s, %s: error %v, not %v", name, way, err, c.err)
				continue
			}
			if c.err == cut {
				continue
			}
			if a.Status != c.want.Status || a.Size != c.want.Size || a.Cache != c.want.Cache || a.Events != c.want.Events || string(a.Last) != string(c.want.Last) || events != c.events {
				t.Errorf("%s, %s: %+v with %d events", name, way, a, events)
			}
		}
	}
}

// TestLastOfLong keeps the last bytes of a body that comes in parts of any
// size.
func TestLastOfLong(t *testing.T) {
	text := strings.Repeat("0123456789", 30) + "data: [DONE]\n\n"
	for size := 1; size < 100; size++ {
		s := scanner{a: &Answer{}}
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			s.scan([]byte(rest[:n]))
			rest = rest[n:]
		}
		if string(s.a.Last) != text[len(text)-lastBytes:] || s.a.Size != len(text) {
			t.Fatalf("parts of %d: %d bytes that end in %q", size, s.a.Size, s.a.Last)
		}
	}
}

// TestNonce writes numbers into bodies without a change of their length.
func TestNonce(t *testing.T) {
	r := New("test", "/", nil, `{"a":"`+Nonce+`"}`)
	length := len(r.bytes(nil, 1))
	if text := string(r.bytes(nil, 1234567890)); !strings.HasSuffix(text, `{"a":"NONCE-1234567890"}`) || len(text) != length {
		t.Errorf("%q", text)
	}
	if text := string(r.Fixed().bytes(nil, 7)); !strings.HasSuffix(text, `{"a":"`+Nonce+`"}`) {
		t.Errorf("%q", text)
	}
}

// TestChecks has answers that are not what they should be.
func TestChecks(t *testing.T) {
	done := []byte("data: [DONE]\n\n")
	for name, err := range map[string]error{
		"status":    Plain(1, "")(&Answer{Status: 500, Size: 2}),
		"size":      Plain(3, "")(&Answer{Status: 200, Size: 2}),
		"no hit":    Plain(1, "HIT")(&Answer{Status: 200, Size: 2, Cache: "MISS"}),
		"an error":  Whole(3)(&Answer{Status: 429, Events: 3, Last: done}),
		"an event":  Whole(3)(&Answer{Status: 200, Events: 2, Last: done}),
		"no [DONE]": Whole(3)(&Answer{Status: 200, Events: 3, Last: []byte("data: {}\n\n")}),
	} {
		if err == nil {
			t.Errorf("%s is not seen", name)
		}
	}
	if err := errors.Join(Plain(2, "HIT")(&Answer{Status: 200, Size: 2, Cache: "HIT"}), Whole(3)(&Answer{Status: 200, Events: 3, Last: done})); err != nil {
		t.Error(err)
	}
}
