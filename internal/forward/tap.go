package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"forward/internal/dialect"
	"forward/internal/upstream"
)

// errStreamIdle is the cause with which an answer ends whose upstream is silent
// for StreamIdleTimeout.
var errStreamIdle = errors.New("the upstream fell silent in the middle of its answer")

// clientGone is the cause of a request whose client left before its answer.
const clientGone = "client_gone"

// tap sits on an answer's body between the upstream (or the cache) and the
// client. It passes the bytes on unchanged and, where that is wanted, reads
// them on the side. Streams pass in whole events, see stream.go. One goroutine
// reads a tap.
type tap struct {
	g      *Gateway
	ask    *ask
	answer *answer
	memory *memory
	demand *demand
	work   life
	body   io.ReadCloser
	length int64 // announced length in bytes, -1 unknown
	reading
	stream

	out      []byte // ready for the client
	space    []byte // into which a body that is no stream is read
	err      error  // what next answers when out is empty
	finished bool
	left     bool   // the client has left, and the body is read for the callers that follow
	cause    string // why the answer broke off: an error code
	passed   int64  // bytes given to the client
	first    time.Duration
	deadline time.Time
}

// newTap puts the tap on the body of the answer. It chooses what is done on the
// side for this answer.
func (g *Gateway) newTap(rec *record) *tap {
	res := rec.answer.res
	t := &tap{g: g, ask: rec.ask, answer: rec.answer, memory: rec.memory, demand: rec.to.demand, work: rec.memory.work(rec.in)}
	res.Body = g.unwrap(t, rec)
	t.body = res.Body
	t.length = res.ContentLength
	t.startReading(rec)
	t.startStream(rec)
	res.Body = t.body
	return t
}

// unwrap returns the body of the answer as the client is to see it, from the
// upstream's up: watched for silence, unpacked where the gateway has to change
// it, without our API key, and kept for callers that follow.
func (g *Gateway) unwrap(t *tap, rec *record) io.ReadCloser {
	ans := rec.answer
	res := ans.res
	body := res.Body
	if ans.attempts.Count > 0 && g.StreamIdleTimeout > 0 {
		body = newWatchedBody(body, g.StreamIdleTimeout, t.work)
	}
	encoding := encodingOf(res.Header)
	if (ans.addedUsage || ans.batch != nil || ans.work != nil) && unpacks(encoding) {
		body = &unpacking{ReadCloser: body, encoding: encoding}
		res.Header.Del("Content-Encoding")
		res.Header.Del("Content-Length")
		res.ContentLength = -1
	}
	if !ans.secret.IsZero() {
		body = upstream.NewScrubber(body, ans.secret)
	}
	if ans.batch != nil {
		body = g.watchBatch(rec, body)
	}
	if ans.work != nil {
		body = g.watchWork(rec, body)
	}
	if rec.memory.call != nil {
		body = rec.memory.call.carry(body, res.ContentLength)
	}
	return body
}

// watchedBody ends a life when its upstream is silent for too long.
type watchedBody struct {
	io.ReadCloser
	timer   *time.Timer // runs only while the upstream is waited for
	silence time.Duration
}

func newWatchedBody(body io.ReadCloser, silence time.Duration, work life) *watchedBody {
	b := &watchedBody{ReadCloser: body, silence: silence}
	b.timer = time.AfterFunc(silence, func() { work.end(errStreamIdle) })
	b.timer.Stop()
	return b
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.silence)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

// prepare reads what has to be known of the answer before its head goes out.
func (t *tap) prepare() error {
	h := t.answer.res.Header
	if t.keeps {
		t.keepUploads(h)
	}
	if t.answer.whole != nil && t.parsed != nil {
		t.ask.from.dialect.ReadBody(t.ask.from.op, t.parsed, t.answer.whole)
		t.reportUsage(h)
		return nil
	}
	if (!t.metered && !t.keeps) || t.ask.req.Array || t.events || t.packedEvents || !isJSON(h) {
		return nil
	}
	err := t.readAhead()
	if err == nil && t.finished {
		t.reportUsage(h)
	}
	return err
}

// copy writes the body to the client, each part as soon as it is there. Its
// error means that the answer is not whole.
func (t *tap) copy(w http.ResponseWriter) error {
	defer t.release()
	if t.length < 0 && len(t.out) == 0 {
		flush(w) // the head does not wait for the first event
	}
	for {
		p, err := t.next()
		if len(p) > 0 && !t.left {
			_, failed := w.Write(p)
			if failed != nil && !t.leave() {
				return failed
			}
		}
		switch {
		case err == io.EOF && !t.left:
			return nil // what was written last goes out with the end of the answer
		case err == io.EOF:
			return context.Canceled
		case err != nil:
			return err
		case len(p) > 0 && !t.left:
			flush(w)
		}
	}
}

// leave notes that the client has left, and reports whether the body is to be
// read on: other callers follow the call, and this request settles it.
func (t *tap) leave() bool {
	call := t.memory.call
	if call == nil || !call.closeUnlessFollowed() {
		if t.cause == "" {
			t.cause = clientGone
		}
		return false
	}
	t.left = true
	t.pacer = nil
	call.abandon(context.Canceled)
	return true
}

// next returns the next part of the body, which is valid until the next call,
// and how the body ended once it has.
func (t *tap) next() (p []byte, err error) {
	switch {
	case len(t.out) > 0 || t.events:
		p, err = t.nextEvents()
	case t.unlabelled:
		p, err = t.sniff()
	default:
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
		t.space = t.g.buffers.Get()
	}
	n, err := t.body.Read(t.space)
	return t.takePlain(t.space[:n], err)
}

// takePlain reads on the side what came of a body that is no readable stream,
// and returns it.
func (t *tap) takePlain(p []byte, err error) ([]byte, error) {
	if t.record != nil {
		t.record.add(p)
	}
	switch {
	case err == io.EOF || (err == nil && t.passed+int64(len(p)) == t.length):
		// Stored before its last byte is out: a client that asks again at once
		// must find it.
		t.finish()
	case err != nil:
		// The client's connection is aborted on this: a cut answer must not
		// look complete.
		t.breakOff(err)
	}
	t.err = err
	return p, err
}

// release gives the buffer back, and ends what reads on the side.
func (t *tap) release() {
	if t.record != nil {
		t.record.rest.close()
	}
	if t.long != nil {
		t.long.Close()
	}
	if t.space != nil {
		t.g.buffers.Put(t.space)
		t.space = nil
	}
}

// finish is called when the whole body was seen, before the client has its last
// byte, and again when the end came after it.
func (t *tap) finish() {
	if t.finished {
		return
	}
	t.finished = true
	upstream.ScrubHeader(t.answer.res.Trailer, t.answer.secret) // filled in by now, and sent next
	if !t.events {
		t.readWhole()
	}
	if t.keeps && !t.events {
		t.keepObjects(t.objects())
	}
	t.storeAnswer(true)
	t.noteUnasked()
	if t.trailers {
		t.reportUsage(t.answer.res.Trailer)
	}
}

// pass notes that n bytes go to the client now, and how long that write may
// take.
func (t *tap) pass(n int) {
	now := time.Now()
	if t.passed == 0 {
		t.first = now.Sub(t.ask.in.start)
	}
	t.passed += int64(n)
	t.ask.in.under.Pass(t.passed, t.text(), now.Sub(t.ask.in.start))
	// A deadline for each write, not for the answer: streams last, but a client
	// that does not read must not hold its buffers indefinitely. It is moved
	// only when half of it is gone, for setting it is not free.
	if t.deadline.Sub(now) < t.g.WriteTimeout/2 {
		t.deadline = now.Add(t.g.WriteTimeout)
		http.NewResponseController(t.ask.in.w).SetWriteDeadline(t.deadline)
	}
}

// text is how many bytes of text the answer has so far, as far as they are
// known.
func (t *tap) text() int64 {
	if t.parsed == nil {
		return 0
	}
	return int64(t.parsed.Size())
}

// breakOff notes why the answer broke off, and returns it as a problem.
func (t *tap) breakOff(err error) dialect.Problem {
	p := broken(t.work, t.answer.route, err)
	p.RequestID = t.ask.in.id
	t.cause = p.Code
	return p
}

// broken returns why an answer broke off: work is the life in which it was
// read, and route the one that gave it.
func broken(work life, route *upstream.Route, err error) dialect.Problem {
	cause := context.Cause(work)
	if cause != nil {
		err = cause
	}
	name := ""
	if route != nil {
		name = route.Name
	}
	if cause != nil && !errors.Is(err, errShuttingDown) && !errors.Is(err, errStreamIdle) && stoppedBy(work) == nil {
		return dialect.Problem{Status: statusClientGone, Code: clientGone}
	}
	return problemOf(&cutError{name, err})
}

// cutShort is the refusal for an answer that broke off before any of it was
// relayed.
func cutShort(work life, route *upstream.Route, err error) error {
	p := broken(work, route, err)
	if p.Status == statusClientGone {
		return context.Canceled
	}
	if p.Code == string(upstream.Reset) {
		p.Message = "The upstream '" + route.Name + "' closed the connection before its answer was complete. The request was not sent again, because it may have been executed."
	}
	return &refusal{status: p.Status, code: p.Code, message: p.Message, err: err}
}
