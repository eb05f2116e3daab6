package upstreamtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
)

// responsesSocket speaks the Responses API over a WebSocket: each
// response.create is answered by the events of its stream, as messages, one
// response after another. Its model may name a script. Every message is a
// record of its own. Source:
// https://developers.openai.com/api/docs/guides/websocket-mode.
func (x *exchange) responsesSocket() reply {
	if x.r.Header.Get("Sec-Websocket-Key") == "" {
		return x.failure(http.StatusUpgradeRequired, "upgrade_required", "This endpoint speaks WebSocket.")
	}
	x.converse((*exchange).answerCreate)
	return reply{}
}

// converse accepts a WebSocket and gives each message to answer, until the
// other side closes. An aborted answer ends the connection without a close
// frame.
func (x *exchange) converse(answer func(*exchange)) {
	conn, err := websocket.Accept(x.w, x.r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover, // where it is offered
		Subprotocols: []string{"realtime"},
	})
	if err != nil {
		x.abort()
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	extensions := x.w.Header().Get("Sec-Websocket-Extensions")
	x.s.update(x.rec, func(q *Request) { q.Extensions = extensions })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-x.s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			panic(http.ErrAbortHandler) // the connection is no longer HTTP's
		}
		turn := &exchange{s: x.s, w: &messageWriter{ctx: ctx, conn: conn, header: http.Header{}}, r: x.r, body: message, bodyRead: true, socket: true, loop: x.loop}
		turn.rec = x.s.record(x.r)
		sum := sha256.Sum256(message)
		x.s.update(turn.rec, func(q *Request) {
			q.Proto = "websocket"
			q.BodySize = int64(len(message))
			q.BodySHA256 = hex.EncodeToString(sum[:])
			q.Body = string(message[:min(len(message), keptBody)])
		})
		answer(turn)
		turn.w.(*messageWriter).finish()
		x.s.finish(x.r, turn.rec, func() bool { return false })
	}
}

// answerCreate answers one message of the Responses API.
func (x *exchange) answerCreate() {
	if kind := x.field("type").Str; kind != "response.create" {
		x.deliver(x.failure(http.StatusBadRequest, "unknown_event", "There is no client event "+kind+"."))
		return
	}
	x.play(x.model())
}

// messageWriter makes messages of an answer: each event of a stream is one, and
// an error is an event with the status and the header of its answer.
type messageWriter struct {
	ctx    context.Context
	conn   *websocket.Conn
	header http.Header
	status int
	rest   []byte // of an event, or of a body
}

// Header implements http.ResponseWriter.
func (w *messageWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *messageWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *messageWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for w.status == http.StatusOK {
		text, rest, ok := bytes.Cut(w.rest, []byte("\n\n"))
		if !ok {
			break
		}
		w.rest = rest
		for line := range strings.Lines(string(text)) {
			data, found := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: ")
			if !found || data == "[DONE]" {
				continue
			}
			err := w.conn.Write(w.ctx, websocket.MessageText, []byte(data))
			if err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// Flush implements http.Flusher.
func (w *messageWriter) Flush() {}

// finish sends an error that is complete.
func (w *messageWriter) finish() {
	if w.status < 400 {
		return
	}
	header := obj{}
	for name := range w.header {
		header[strings.ToLower(name)] = w.header.Get(name)
	}
	event := obj{"type": "error", "status": w.status, "error": json.RawMessage(gjson.GetBytes(w.rest, "error").Raw), "headers": header}
	// A failed write means that the client is gone, which the next read shows.
	_ = w.conn.Write(w.ctx, websocket.MessageText, []byte(marshal(event)))
}
