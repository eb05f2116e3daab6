package forward

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"forward/internal/cache"
)

// notStored are headers about the moment or the connection, not of the answer.
var notStored = map[string]bool{
	"Age": true, "Alt-Svc": true, "Cache-Control": true, "Cf-Cache-Status": true, "Cf-Ray": true, "Connection": true,
	"Content-Length": true, "Date": true, "Expires": true, "Keep-Alive": true, "Openai-Organization": true,
	"Openai-Processing-Ms": true, "Openai-Project": true, "Retry-After": true, "Retry-After-Ms": true, "Server": true,
	"Strict-Transport-Security": true, "Trailer": true, "Transfer-Encoding": true, "Vary": true,
}

// newRecording returns what keeps the bytes of the answer, for the cache or to
// read a body that is no stream.
func (t *tap) newRecording() *recording {
	r := &recording{max: t.g.CacheMaxEntry, call: t.memory.call}
	if !t.stores {
		return r
	}
	from := t.answer.res.Header
	r.header = make(http.Header, len(from))
	for name, values := range from {
		if !notStored[name] && !strings.HasPrefix(name, "X-Ratelimit-") {
			r.header[name] = values
		}
	}
	id := t.ask.from.dialect.RequestIDHeader
	if r.header.Get(id) == t.ask.in.id { // the gateway's name for this request, and for no later one
		r.header.Del(id)
	}
	return r
}

// storeAnswer puts a complete answer into the cache: a whole body, or a stream
// up to its end marker. It is called before the client has the last byte, and
// again at the end of a stream that went on after its marker. clean is true
// when the framing of the body ended well.
func (t *tap) storeAnswer(clean bool) {
	if !t.stores || t.packed != "" || t.record == nil || !t.isComplete(clean) {
		return
	}
	recorded, ok := t.record.bytes()
	if !ok || len(recorded) == t.stored {
		return
	}
	if !t.parsed.Willing(t.ask.req.MaxTokens) {
		return
	}
	t.stored = len(recorded)
	body := slices.Clone(recorded)
	if t.ask.req.Array { // neither of the two forms that are kept
		body, ok = t.ask.from.dialect.Fold(t.ask.from.op, body)
		if !ok {
			return
		}
	}
	now := time.Now()
	e := &cache.Entry{
		Status: http.StatusOK, Header: t.record.header, Body: body, Stream: t.events,
		Stored: now, Question: t.memory.question,
	}
	if t.events {
		e.Gaps = slices.Clone(t.gaps)
	}
	if t.memory.ttl > 0 {
		e.Expires = now.Add(t.memory.ttl)
	}
	t.g.Cache.Put(t.memory.key, e)
	if t.memory.call != nil {
		t.memory.call.retire()
	}
}

// isComplete reports whether the answer is whole by the rules of its protocol.
func (t *tap) isComplete(clean bool) bool {
	if t.parsed == nil {
		return false
	}
	if !t.ask.from.op.Parsed() { // a path of CACHE_ROUTES, whose protocol is unknown
		return clean
	}
	return t.parsed.Complete()
}

// recording keeps the bytes of an answer up to a bound.
type recording struct {
	header http.Header // what a hit replays
	max    int64
	call   *call     // keeps the bytes instead, when the answer may be shared
	tap    *tap      // reads an answer that is longer; nil: it is not read
	rest   *sideSkim // takes it from its start
	n      int       // bytes of the answer
	buf    []byte    // nil when over
	over   bool      // the answer is longer
}

// add takes the next bytes of the answer.
func (r *recording) add(p []byte) {
	r.n += len(p)
	if r.over {
		r.rest.write(p)
		return
	}
	kept := int64(r.n) <= r.max
	if kept && r.call != nil {
		var there []byte
		if there, kept = r.call.recorded(r.n); kept {
			r.buf = there
		}
	} else if kept {
		r.buf = append(r.buf, p...)
	}
	if !kept {
		r.over = true
		if r.tap != nil {
			r.rest = &sideSkim{encoding: r.tap.packed, scan: r.tap.newSkim(r.tap.packedEvents)}
		}
		r.rest.write(r.buf)
		r.rest.write(p)
		r.buf = nil
	}
}

// take takes the first bytes of the answer, which are not changed any more.
func (r *recording) take(p []byte) {
	if r.call == nil && int64(len(p)) <= r.max {
		r.n = len(p)
		r.buf = p[:len(p):len(p)]
		return
	}
	r.add(p)
}

// bytes returns what was taken. ok is false when the answer was too long.
func (r *recording) bytes() (b []byte, ok bool) { return r.buf, !r.over }
