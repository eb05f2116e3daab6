package upstreamtest

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// exchange is one request being answered.
type exchange struct {
	s    *Handler
	w    http.ResponseWriter
	r    *http.Request
	rec  *Request
	body []byte // its first MiB, once read

	bodyRead bool
	socket   bool // it is a message of a WebSocket
	loop     bool // the script is "agent"
}

// reply is an answer before it is delivered: a body, or a stream's events.
type reply struct {
	status int
	header http.Header
	body   []byte
	events []event // not nil: a stream
}

// event is one server-sent event; an empty name writes none.
type event struct{ name, data string }

func (e event) text(newline string) string {
	var b strings.Builder
	if e.name != "" {
		b.WriteString("event: " + e.name + newline)
	}
	b.WriteString("data: " + e.data + newline + newline)
	return b.String()
}

func jsonReply(status int, body string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(body)}
}

func streamReply(events []event) reply {
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/event-stream"}}, events: events}
}

// field reads one field of the JSON request body.
func (x *exchange) field(path string) gjson.Result { return gjson.GetBytes(x.body, path) }

// model is the requested model: the body's, or the one in a Gemini path.
func (x *exchange) model() string {
	if _, rest, ok := strings.Cut(x.r.URL.Path, "/models/"); ok {
		name, _, _ := strings.Cut(rest, ":")
		return name
	}
	if m := x.field("model"); m.Type == gjson.String {
		return m.Str
	}
	return ""
}

// credential is the provider key that came with the request, in any of the
// places where SDKs put one.
func credential(r *http.Request) string {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return bearer
	}
	for _, name := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key"} {
		if v := r.Header.Get(name); v != "" {
			return v
		}
	}
	return r.URL.Query().Get("key")
}

// start writes status and headers. The answers of OpenAI and Anthropic carry a
// request id.
func (x *exchange) start(r reply) {
	h := x.w.Header()
	for name, values := range r.header {
		h[name] = values
	}
	if name := x.requestIDHeader(); name != "" {
		h.Set(name, x.requestID())
	}
	x.w.WriteHeader(r.status)
}

// deliverOrdinary answers as a healthy provider does.
func (x *exchange) deliverOrdinary(int) { x.deliver(x.ordinary()) }

func (x *exchange) deliver(r reply) {
	if r.events == nil {
		r.header.Set("Content-Length", strconv.Itoa(len(r.body)))
		x.start(r)
		x.write(string(r.body))
		return
	}
	x.start(r)
	x.send(r.events, 0)
}

// send writes events one by one, each flushed, with a pause after each.
func (x *exchange) send(events []event, pause time.Duration) {
	for _, e := range events {
		if !x.write(e.text("\n")) {
			return
		}
		x.flush()
		x.s.update(x.rec, func(q *Request) { q.Events++ })
		if pause > 0 {
			x.stalled(pause)
		}
	}
}

// write reports whether the client is still there.
func (x *exchange) write(s string) bool {
	_, err := x.w.Write([]byte(s))
	return err == nil && x.r.Context().Err() == nil
}

func (x *exchange) flush() {
	// Flushing fails only when the client is gone, which the next write
	// notices.
	_ = http.NewResponseController(x.w).Flush()
}

// abort ends the answer without its end: no last chunk, fewer bytes than
// announced.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// raw takes the connection and writes exactly these bytes to it. With reset the
// connection ends by RST instead of FIN.
func (x *exchange) raw(text string, reset bool) {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.abort() // the client is gone, or it speaks HTTP/2
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(text))
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
}
