package upstreamtest

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// numbered is a stream of n words, whose text a client can predict. In OpenAI's
// chat it is one event a word: see NumberedStream.
func (x *exchange) numbered(n int) reply {
	a := answer{id: "numbered", model: x.model(), text: numberedText(n), out: n}
	switch x.dialect() {
	case anthropic:
		return streamReply(a.messageEvents())
	case gemini:
		return streamReply(a.chunkEvents())
	}
	if strings.HasSuffix(x.r.URL.Path, "/responses") {
		return streamReply(a.responseEvents())
	}
	return streamReply(numberedEvents(n))
}

func numberedText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "word%d ", i)
	}
	return strings.TrimSpace(b.String())
}

// filler makes 20 events longer than the 4 KiB that a proxy's transport reads
// ahead: what it has read ahead is not lost with the connection, so a shorter
// stream would hide a fault.
const (
	lorem  = "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor "
	filler = lorem + lorem + lorem + lorem
)

func numberedEvents(n int) []event {
	events := make([]event, 0, n+1)
	for i := range n {
		finish := "null"
		if i == n-1 {
			finish = `"stop"`
		}
		events = append(events, event{data: fmt.Sprintf(
			`{"id":"chatcmpl-numbered","object":"chat.completion.chunk","created":1700000000,"model":"numbered","choices":[{"index":0,"delta":{"content":"word%d %s "},"finish_reason":%s}]}`, i, filler, finish)})
	}
	return append(events, event{data: "[DONE]"})
}

// NumberedStream returns the exact bytes that the scripts burst-N, burst-wait-N
// and events-N answer with.
func NumberedStream(n int) []byte { return encode(numberedEvents(n)) }

func encode(events []event) []byte {
	var b bytes.Buffer
	for _, e := range events {
		b.WriteString(e.text("\n"))
	}
	return b.Bytes()
}

// burst writes the whole stream at once. Sent before the request was read, this
// is what makes proxies lose the end: their transport still holds the request
// body when the answer comes. Without full duplex net/http would read the
// request body before the first byte of the answer. The body is read after it,
// so that the connection stays good for the next request.
func (x *exchange) burst(n int) {
	// Only HTTP/1 has the mode, and other versions need none.
	_ = http.NewResponseController(x.w).EnableFullDuplex()
	r := x.numbered(n)
	x.start(r)
	x.write(string(encode(r.events)))
	x.flush()
	x.s.update(x.rec, func(q *Request) { q.Events = len(r.events) })
	x.readBody()
}

func (x *exchange) slowStream(ms int) {
	r := x.numbered(100)
	x.start(r)
	x.send(r.events, time.Duration(ms)*time.Millisecond)
}

// events returns the ordinary answer's events, or a numbered stream when the
// request did not ask for a stream.
func (x *exchange) events() reply {
	if r := x.ordinary(); r.events != nil {
		return r
	}
	return x.numbered(10)
}

func (x *exchange) byteByByte(int) {
	r := x.events()
	x.start(r)
	for _, b := range encode(r.events) {
		if !x.write(string([]byte{b})) {
			return
		}
		x.flush()
	}
}

func (x *exchange) crlf(int) {
	r := x.events()
	x.start(r)
	x.write(": a comment\r\n\r\n")
	for _, e := range r.events {
		x.write(e.text("\r\n"))
		x.write(": keep-alive\r\n\r\n")
		x.flush()
	}
}

func (x *exchange) wideEvent(kb int) {
	r := x.numbered(3)
	r.events[1].data = strings.Replace(r.events[1].data, "word1", strings.Repeat("wide", kb*256), 1)
	x.deliver(r)
}

// Pattern returns n bytes that are the same in every run and compress badly
// enough to notice a missing piece.
func Pattern(n int) []byte {
	b := make([]byte, n)
	state := uint32(2463534242)
	for i := range b {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		b[i] = byte(state)
	}
	return b
}

func (x *exchange) big(mb int) { x.bytes(mb, strconv.Itoa(mb<<20)) }

func (x *exchange) bigChunked(mb int) { x.bytes(mb, "") }

// bytes writes the same pattern of one MiB again and again.
func (x *exchange) bytes(mb int, length string) {
	r := reply{status: http.StatusOK, header: http.Header{"Content-Type": {"application/octet-stream"}}}
	if length != "" {
		r.header.Set("Content-Length", length)
	}
	x.start(r)
	block := string(Pattern(1 << 20))
	for range mb {
		if !x.write(block) {
			return
		}
	}
}

// half sends the first half of a stream and returns the rest.
func (x *exchange) half() []event {
	r := x.events()
	x.start(r)
	middle := len(r.events) / 2
	x.send(r.events[:middle], 0)
	return r.events[middle:]
}

func (x *exchange) cutMidStream(int) {
	x.half()
	x.abort()
}

func (x *exchange) cutMidBody(int) {
	r := x.ordinary()
	body := append(r.body, encode(r.events)...)
	r.header.Set("Content-Length", strconv.Itoa(len(body)))
	x.start(r)
	x.write(string(body[:len(body)/2]))
	x.flush()
	x.abort()
}

func (x *exchange) noEnd(int) {
	rest := x.half()
	x.send(rest[:len(rest)-1], 0)
}

func (x *exchange) errorInStream(int) {
	x.half()
	name := ""
	if x.dialect() == anthropic {
		name = "error"
	}
	x.send([]event{{name: name, data: string(x.failure(500, "server_error", "The model failed in mid-answer.").body)}}, 0)
}

func (x *exchange) stall(int) {
	x.half()
	x.stalled(0)
}

func (x *exchange) malformedChunks(int) {
	x.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"c\r\ndata: {\"a\":1\r\nnot-a-chunk-size\r\n", false)
}

func (x *exchange) wideHeaders(kb int) {
	r := x.ordinary()
	for i := range kb {
		r.header.Set("X-Wide-"+strconv.Itoa(i), strings.Repeat("w", 1024))
	}
	x.deliver(r)
}
