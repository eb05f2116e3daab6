package forward

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/limits"
	"forward/internal/upstream"
)

var errStreamIdle = errors.New("the upstream fell silent in the middle of its answer")

// tap sits on an answer's body between the upstream (or the cache) and the client. It passes the bytes on unchanged
// and, where somebody listens, reads them on the side. Streams pass in whole events, see stream.go. One goroutine
// reads a tap.
type tap struct {
	x      *exchange
	res    *http.Response
	body   io.ReadCloser
	length int64       // announced length in bytes, -1 unknown
	idle   *time.Timer // ends the exchange when the upstream falls silent; nil on replays

	answer *dialect.Answer // what the answer says, when somebody listens
	record *recording      // its bytes, when somebody needs them

	metered      bool           // its usage is told
	estimate     *dialect.Usage // instead of what the provider did not tell
	trailers     bool           // in trailers
	packed       string         // its Content-Encoding; read only when it is whole
	packedStream bool

	keeps bool // the objects that it made are remembered
	kept  int  // how many are

	stream    bool // server-sent events that can be read
	split     framing.Splitter
	pacer     *limits.Pacer   // nil: unpaced
	hideUsage bool            // take the usage chunk out again that the gateway asked for
	gaps      []time.Duration // between the events, when they are recorded
	heard     time.Time       // the last of them
	replayed  int             // of the recorded gaps
	early     int             // bytes of the unfinished event that are out already
	end       error           // how the upstream's body ended; events before it may still wait
	out, buf  []byte          // ready for the client; the space for it
	space     []byte          // into which a body that is no stream is read
	rest      []byte          // of what next returned, for Read
	restErr   error

	err      error // what next answers when out is empty
	finished bool
	passed   int64 // bytes given to the client
	first    time.Duration
	deadline time.Time
}

// copy writes the body to the client, each part as soon as it is there. Its error means that the answer is not whole.
func (t *tap) copy(w http.ResponseWriter) error {
	defer t.release()
	if t.length < 0 && len(t.out) == 0 {
		flush(w) // the head does not wait for the first event
	}
	for {
		p, err := t.next()
		if len(p) > 0 {
			if _, failed := w.Write(p); failed != nil {
				t.x.cause = cmp.Or(t.x.cause, "client_gone")
				return failed
			}
		}
		if err == io.EOF {
			return nil // what was written last goes out with the end of the answer
		}
		if len(p) > 0 {
			flush(w)
		}
		if err != nil {
			return err
		}
	}
}

// Read implements io.Reader for ReverseProxy, which relays upgrades and copies an answer that is none.
func (t *tap) Read(p []byte) (int, error) {
	for len(t.rest) == 0 && t.restErr == nil {
		t.rest, t.restErr = t.next()
	}
	n := copy(p, t.rest)
	if t.rest = t.rest[n:]; len(t.rest) > 0 {
		return n, nil
	}
	return n, t.restErr
}

// next returns the next part of the body, which is valid until the next call, and how the body ended once it has.
func (t *tap) next() (p []byte, err error) {
	if t.stream || len(t.out) > 0 {
		p, err = t.nextEvents()
	} else {
		p, err = t.nextPlain()
	}
	if len(p) > 0 {
		t.pass(len(p))
	}
	return p, err
}

// nextPlain passes a body on that is no readable stream.
func (t *tap) nextPlain() ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	if t.space == nil {
		t.space = t.x.buffers.Get()
	}
	n, err := t.readBody(t.space)
	if t.record != nil {
		t.record.add(t.space[:n])
	}
	switch {
	case err == io.EOF || err == nil && t.passed+int64(n) == t.length:
		// Remembered before its last byte is out: a client that asks again at once must find it.
		t.finish()
	case err != nil:
		// The client's connection is aborted on this: a cut answer must not look complete.
		t.x.cut(err)
	}
	t.err = err
	return t.space[:n], err
}

// release gives the buffer back.
func (t *tap) release() {
	if t.space != nil {
		t.x.buffers.Put(t.space)
		t.space = nil
	}
}

// readBody reads from the upstream, which may be silent for StreamIdleTimeout.
func (t *tap) readBody(p []byte) (int, error) {
	if t.idle == nil {
		return t.body.Read(p)
	}
	t.idle.Reset(t.x.StreamIdleTimeout)
	n, err := t.body.Read(p)
	t.idle.Stop()
	return n, err
}

// finish is called when the whole body was seen, before the client has its last byte, and again when the end came after it.
func (t *tap) finish() {
	if t.finished {
		return
	}
	t.finished = true
	upstream.ScrubHeader(t.res.Trailer, t.x.secret) // filled in by now, and sent next
	if !t.stream {
		t.readAnswer()
	}
	if t.keeps && !t.stream {
		t.keepObjects(t.objects())
	}
	t.x.remember(t, true)
	if t.trailers {
		t.tellUsage(t.res.Trailer)
	}
}

// pass notes that n bytes go to the client now, and how long that write may take.
func (t *tap) pass(n int) {
	now := time.Now()
	if t.passed == 0 {
		t.first = now.Sub(t.x.begun)
	}
	t.passed += int64(n)
	// A deadline for each write, not for the answer: streams last, but a client that does not read must not
	// hold its buffers for ever. Moved only when half of it is gone, for setting it is not free.
	if t.deadline.Sub(now) < t.x.WriteTimeout/2 {
		t.deadline = now.Add(t.x.WriteTimeout)
		http.NewResponseController(t.x.w).SetWriteDeadline(t.deadline)
	}
}

// Close implements io.Closer.
func (t *tap) Close() error {
	if t.idle != nil {
		t.idle.Stop()
	}
	return t.body.Close()
}

// complete reports whether the answer is whole by the rules of its protocol; clean says that its framing ended well.
func (t *tap) complete(clean bool) bool {
	if t.answer == nil {
		return false
	}
	if !t.x.op.Parsed() { // a path of CACHE_ROUTES of which the gateway knows nothing: its framing must do
		return clean
	}
	return t.answer.Complete()
}

// cut says why an answer broke off, and remembers it for the log.
func (x *exchange) cut(err error) dialect.Problem {
	if cause := context.Cause(x.ctx); cause != nil {
		err = cause
	}
	p := dialect.Problem{RequestID: x.id}
	switch {
	case errors.Is(err, errShuttingDown):
		p = problemOf(err)
	case errors.Is(err, errStreamIdle):
		p.Status, p.Code = http.StatusGatewayTimeout, string(upstream.Timeout)
		p.Message = "The upstream '" + x.route.Name + "' fell silent in the middle of its answer."
	case x.r.Context().Err() != nil:
		p.Status, p.Code = statusClientGone, "client_gone"
	default:
		p.Status, p.Code = http.StatusBadGateway, string(upstream.Reset)
		p.Message = "The upstream '" + x.route.Name + "' closed the stream before it was complete."
	}
	p.RequestID, x.cause = x.id, p.Code
	return p
}

// recording keeps the bytes of an answer up to a bound.
type recording struct {
	bytes.Buffer
	header http.Header // what a hit replays
	max    int64
	over   bool // it was longer: what is here is of no use
}

func (r *recording) add(p []byte) {
	if r.over = r.over || int64(r.Len()+len(p)) > r.max; !r.over {
		r.Write(p)
	} else if r.Len() > 0 {
		r.Buffer = bytes.Buffer{}
	}
}

// take keeps p, which nobody changes any more, as the beginning of the answer.
func (r *recording) take(p []byte) {
	if int64(len(p)) > r.max {
		r.over = true
		return
	}
	r.Buffer = *bytes.NewBuffer(p[:len(p):len(p)])
}
