package forward

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/limits"
	"forward/internal/upstream"
)

// notRelayed are headers of an upstream's answer that are its own affair: cookies would be shared between callers, which
// browser pages may read an answer is for CORS_ORIGINS to say, and what became of a request here is for us.
func notRelayed(name string) bool {
	switch name {
	case "Set-Cookie", "X-Forward-Request-Id", "X-Forward-Upstream", "X-Forward-Attempts", "X-Forward-Modified":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}

// trace says what became of the request: who answered, at which attempt, and what of the body was not the client's.
func (x *exchange) trace(h http.Header) {
	n := x.tries + x.attempts.Count
	if n == 0 {
		return
	}
	name := x.route.Name
	if len(x.route.Also) > 0 {
		name += "#" + strconv.Itoa(x.attempts.Base+1)
	}
	h["X-Forward-Upstream"] = []string{name}
	h["X-Forward-Attempts"] = []string{strconv.Itoa(n)}
	if len(x.modified) > 0 {
		h["X-Forward-Modified"] = []string{strings.Join(x.modified, ", ")}
	}
}

// relay decides whether an answer of the upstream is the one. It is called before the first byte goes out.
func (x *exchange) relay(res *http.Response) error {
	x.unsent = false
	if x.refusesUsage(res) {
		return errUsageRefused
	}
	if x.fallsBack(res.StatusCode, nil) {
		return errFallBack
	}
	if x.beating && !fitsBeats(res) {
		return x.afterBeats(res)
	}
	return x.present(res)
}

// present prepares an answer for the client: it cleans the headers and puts the one tap on the body.
func (x *exchange) present(res *http.Response) error {
	x.status = res.StatusCode
	h := res.Header
	for name := range h {
		if notRelayed(name) {
			delete(h, name)
		}
	}
	if x.limited {
		h.Del("X-Ratelimit-Limit-Requests")
		h.Del("X-Ratelimit-Remaining-Requests")
		h.Del("X-Ratelimit-Reset-Requests")
	}
	if h.Get(x.dialect.RequestIDHeader) == "" {
		h.Set(x.dialect.RequestIDHeader, x.id)
	}
	if x.memory.status != "" { // the upstream may be behind a cache of its own
		h.Del("X-Cache")
		h.Del("Cache-Status")
	}
	x.memory.announce(x.w.Header())
	x.trace(x.w.Header())
	if _, said := h["Content-Type"]; !said {
		x.w.Header()["Content-Type"] = nil // or net/http would guess one, if the first bytes come with the headers
	}
	upstream.ScrubHeader(h, x.secret)
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil // the body is the connection itself; ReverseProxy needs it as it is
	}
	x.ownUploads(h)
	if e := encodingOf(h); (x.addedUsage || x.batches != dialect.NoBatch) && unpacks(e) { // or the chunk that we asked for could not be taken out
		res.Body = &unpacking{ReadCloser: res.Body, encoding: e}
		h.Del("Content-Encoding")
		h.Del("Content-Length")
		res.ContentLength = -1
	}
	if secret := x.secret; !secret.IsZero() {
		res.Body = upstream.NewScrubber(res.Body, secret)
	}
	x.watchBatch(res)
	x.tap = x.newTap(res)
	if x.tap.keeps {
		x.tap.keepUploads(h)
	}
	res.Body = x.tap
	if x.whole != nil && x.tap.answer != nil {
		x.dialect.Body(x.op, x.tap.answer, x.whole)
		x.tap.tellUsage(h)
		return nil
	}
	if (x.tap.metered || x.tap.keeps) && !x.ask.Array && !x.tap.stream && !x.tap.packedStream && isJSON(h) {
		if err := x.tap.readAhead(); err != nil {
			return err
		}
		if x.tap.finished {
			x.tap.tellUsage(h)
		}
	}
	return nil
}

func isJSON(h http.Header) bool { return strings.HasPrefix(h.Get("Content-Type"), "application/json") }

// newTap chooses what the tap does on the side for this answer.
func (x *exchange) newTap(res *http.Response) *tap {
	t := &tap{x: x, res: res, body: res.Body, length: res.ContentLength}
	t.packed = encodingOf(res.Header)
	events := strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	t.stream, t.packedStream = events && t.packed == "", events && t.packed != ""
	if events && !x.streaming {
		x.streaming = true
		x.Metrics.BeginStream()
	}
	t.metered = x.meters(res)
	if t.keeps = x.keepsObjects(res); t.keeps && !t.metered && isJSON(res.Header) {
		t.record = &recording{max: maxStateAnswer}
	}
	if t.metered || x.listening() && t.packed == "" && x.r.Method != http.MethodHead {
		t.answer = &dialect.Answer{NoText: !events && !x.listening() && !x.ask.Array}
		if x.whole == nil {
			t.record = x.recorder(res, t.stream)
		}
	}
	if x.attempts.Count > 0 && x.StreamIdleTimeout > 0 {
		t.idle = time.AfterFunc(x.StreamIdleTimeout, func() { x.stop(errStreamIdle) })
		t.idle.Stop() // runs only while the upstream is waited for
	}
	if t.stream {
		t.pacer = limits.NewPacer(x.Paces.Interval(x.paths, x.caller.level))
		t.hideUsage = x.addedUsage && !x.calling && !x.ask.IncludeUsage && x.dialect.WithUsage != nil
	}
	if t.hideUsage { // what is left is shorter than announced
		res.Header.Del("Content-Length")
		res.ContentLength, t.length = -1, -1
	}
	if t.stream || t.packedStream || x.ask.Array {
		t.announceUsage()
	}
	return t
}

// listening reports whether somebody wants to know what the answer says.
func (x *exchange) listening() bool { return x.logged || x.memory.store }

// deliver writes an answer that was presented: the upstream's, a remembered one or that of a shared call. Little is on the stack
// while a stream waits: there may be ten thousand.
func (x *exchange) deliver(res *http.Response) {
	announced := x.writeHead(res)
	if err := x.tap.copy(x.w); err != nil {
		defer res.Body.Close()
		panic(http.ErrAbortHandler) // an answer that broke off must not end well
	}
	res.Body.Close() // the trailers are complete from here on
	x.writeTrailers(res, announced)
}

// writeHead writes the head of an answer, and returns how many trailers it announces.
func (x *exchange) writeHead(res *http.Response) (announced int) {
	h := x.w.Header()
	addHeader(h, res.Header)
	for name := range res.Trailer {
		h["Trailer"] = append(h["Trailer"], name)
	}
	x.w.WriteHeader(res.StatusCode)
	return len(res.Trailer)
}

// writeTrailers writes the trailers, those that were not announced as well.
func (x *exchange) writeTrailers(res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	flush(x.w) // in chunks also if it is short, for nothing else has trailers
	h := x.w.Header()
	if len(res.Trailer) == announced {
		addHeader(h, res.Trailer)
		return
	}
	for name, values := range res.Trailer {
		h[http.TrailerPrefix+name] = values
	}
}

// addHeader adds values to those that are there.
func addHeader(h, more http.Header) {
	for name, values := range more {
		if there, ok := h[name]; ok && there != nil {
			values = append(there, values...)
		}
		h[name] = values
	}
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok { // a shared call has nobody to flush to
		f.Flush()
	}
}
