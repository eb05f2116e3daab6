package websocket_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"forward/internal/websocket"
)

// messages reads all messages of a peer and writes them again.
func messages(wire []byte, clients bool, most int64) (out []byte, read []websocket.Message, err error) {
	r := websocket.NewReader(bufio.NewReader(bytes.NewReader(wire)), clients)
	var w bytes.Buffer
	space := make([]byte, 64)
	for {
		var m websocket.Message
		for !m.Whole {
			f, err := r.Next()
			if err != nil {
				return w.Bytes(), read, err
			}
			m.Start(f)
			err = m.Add(r, most)
			if err != nil {
				return w.Bytes(), read, err
			}
			if f.Opcode.IsControl() && !r.Within() {
				break
			}
		}
		m.WriteTo(&w, space)
		read = append(read, m)
	}
}

var key = &[4]byte{1, 2, 3, 250}

func frames(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// unfinished makes a fragment of a frame.
func unfinished(frame []byte) []byte {
	frame[0] &^= 0x80
	return frame
}

func TestFramesPassAsTheyCame(t *testing.T) {
	long := bytes.Repeat([]byte("long "), 20_000)
	for _, clients := range []bool{true, false} {
		mask := key
		if !clients {
			mask = nil
		}
		frame := func(op websocket.Opcode, payload string) []byte {
			return websocket.Append(nil, op, []byte(payload), mask)
		}
		wire := frames(
			frame(websocket.Text, "hello"),
			frame(websocket.Ping, "p"),
			unfinished(frame(websocket.Binary, "frag")),
			frame(websocket.Ping, ""),
			unfinished(frame(websocket.Continuation, "")),
			frame(websocket.Continuation, "ment"),
			frame(websocket.Text, string(long)),
			frame(websocket.Close, string(websocket.ClosePayload(1000, "bye"))),
		)
		out, read, err := messages(wire, clients, 1<<20)
		if err != io.EOF {
			t.Fatalf("clients %v: %v", clients, err)
		}
		if !bytes.Equal(out, wire) {
			t.Fatalf("clients %v: the bytes were changed", clients)
		}
		want := []string{"hello", "", "fragment", string(long), ""}
		for i, m := range read {
			if string(m.Payload) != want[i] {
				t.Errorf("clients %v: message %d is %.40q", clients, i, m.Payload)
			}
		}
	}
}

func TestWhatIsNoFrame(t *testing.T) {
	text := func(p string) []byte { return websocket.Append(nil, websocket.Text, []byte(p), nil) }
	for _, c := range []struct {
		name, reason string
		wire         []byte
	}{
		{"an extension's bit", "extension", []byte{0xC1, 0}},
		{"a reserved opcode", "reserved", []byte{0x83, 0}},
		{"a reserved control opcode", "reserved", []byte{0x8B, 0}},
		{"a masked frame of a server", "is masked", websocket.Append(nil, websocket.Text, nil, key)},
		{"a long ping", "control frame", websocket.Append(nil, websocket.Ping, make([]byte, 126), nil)},
		{"a ping in fragments", "control frame", []byte{0x09, 0}},
		{"a continuation of nothing", "without a start", []byte{0x80, 0}},
		{"a message within another", "before the end", append(unfinished(text("a")), text("b")...)},
		{"a length of two bytes that fits one", "shortest", []byte{0x81, 126, 0, 125}},
		{"a length of eight bytes that fits two", "shortest", []byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}},
		{"a negative length", "shortest", []byte{0x81, 127, 0x80, 0, 0, 0, 0, 1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := messages(c.wire, false, 1<<20)
			e, ok := errors.AsType[*websocket.ProtocolError](err)
			if !ok || !strings.Contains(e.Reason, c.reason) {
				t.Fatalf("the error is %v", err)
			}
		})
	}
	_, _, err := messages(text("not masked"), true, 1<<20)
	if _, ok := errors.AsType[*websocket.ProtocolError](err); !ok {
		t.Fatalf("a client's frame without a mask: %v", err)
	}
}

func TestAnnouncedLengthsTakeNoMemory(t *testing.T) {
	wire := []byte{0x82, 127, 0, 0, 0, 0xFF, 0, 0, 0, 0, 'x'}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := messages(wire, false, 1<<40)
	runtime.ReadMemStats(&after)
	if err != io.ErrUnexpectedEOF {
		t.Fatalf("the error is %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Fatalf("%d bytes were allocated for one byte", n)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	empty := bytes.Repeat([]byte{0x00, 0}, 10_000)
	empty[0] = 0x01
	_, read, err := messages(empty, false, 64<<10)
	if !errors.Is(err, websocket.ErrTooBig) && err != io.EOF {
		t.Fatalf("the error is %v with %d messages", err, len(read))
	}
	_, _, err = messages(websocket.Append(nil, websocket.Text, make([]byte, 100<<10), nil), false, 64<<10)
	if !errors.Is(err, websocket.ErrTooBig) {
		t.Fatalf("the error is %v", err)
	}
}

func TestAReasonIsCutAtALetter(t *testing.T) {
	p := websocket.ClosePayload(websocket.PolicyViolation, strings.Repeat("ä", 100))
	if len(p) > 125 || websocket.CloseCode(p) != websocket.PolicyViolation || !strings.HasSuffix(string(p), "ä…") {
		t.Fatalf("%d bytes: %q", len(p), p)
	}
}

// FuzzFrames sends any bytes: what is written is how they start, and no more
// is held than is allowed.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 2, 'h', 'i', 0x89, 0, 0x01, 1, 'a', 0x80, 1, 'b', 0x88, 2, 3, 232}, false)
	f.Add(websocket.Append(nil, websocket.Text, bytes.Repeat([]byte("x"), 70_000), key), true)
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0, 1}, false)
	f.Fuzz(func(t *testing.T, wire []byte, clients bool) {
		out, read, err := messages(wire, clients, 1<<20)
		if err == nil || !bytes.HasPrefix(wire, out) {
			t.Fatalf("%v: %x was written for %x", err, out, wire)
		}
		for _, m := range read {
			if m.Size() > 1<<20+1024 {
				t.Fatalf("%d bytes are held", m.Size())
			}
		}
	})
}
