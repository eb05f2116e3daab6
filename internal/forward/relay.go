package forward

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/framing"
	"forward/internal/upstream"
)

// relay gives the client its answer: the upstream's, a stored one or that of a
// shared call. An error is a refusal: nothing of the answer has gone out. An
// answer that breaks off later aborts the connection, by a panic that settle
// sees and the recovery of routes.go passes on.
func (g *Gateway) relay(rec *record) error {
	res := rec.answer.res
	if rec.in.waiting && !followsKeepalive(res) {
		defer rec.answer.discard()
		return afterKeepalive(res, rec.answer.route.Name)
	}
	rec.status = res.StatusCode
	g.cleanHeader(rec)
	if res.StatusCode == http.StatusSwitchingProtocols {
		return g.switchProtocol(rec)
	}
	err := g.holdAnswer(rec)
	if err != nil {
		res.Body.Close()
		return err
	}
	rec.tap = g.newTap(rec)
	err = rec.tap.prepare()
	if err != nil {
		res.Body.Close()
		return err
	}
	call := rec.memory.call
	if call != nil {
		call.publish(&callHead{status: res.StatusCode, header: res.Header, route: rec.answer.route, addedUsage: rec.answer.addedUsage})
	}
	g.deliver(rec)
	return nil
}

// isNotRelayed reports whether a header of an upstream's answer stays here:
// cookies would be shared between callers, which browser pages may read an
// answer is for CORS_ORIGINS to decide, and what became of a request here is
// for the gateway to report.
func isNotRelayed(name string) bool {
	switch name {
	case "Set-Cookie", "X-Forward-Request-Id", "X-Forward-Upstream", "X-Forward-Attempts", "X-Forward-Modified":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}

// cleanHeader removes from an answer's header whatever the client must not get,
// and sets the gateway's own.
func (g *Gateway) cleanHeader(rec *record) {
	h := rec.answer.res.Header
	own := rec.in.w.Header()
	for name := range h {
		if isNotRelayed(name) {
			delete(h, name)
		}
	}
	if rec.admitted.limited {
		h.Del("X-Ratelimit-Limit-Requests")
		h.Del("X-Ratelimit-Remaining-Requests")
		h.Del("X-Ratelimit-Reset-Requests")
	}
	if h.Get(rec.ask.from.dialect.RequestIDHeader) == "" {
		h.Set(rec.ask.from.dialect.RequestIDHeader, rec.in.id)
	}
	if rec.memory.status != "" { // the upstream may be behind a cache of its own
		h.Del("X-Cache")
		h.Del("Cache-Status")
	}
	rec.memory.announce(own)
	g.ownAddresses(rec)
	rec.trace(own)
	if _, sent := h["Content-Type"]; !sent {
		own["Content-Type"] = nil // or net/http would guess one, if the first bytes come with the headers
	}
	upstream.ScrubHeader(h, rec.answer.secret)
}

// tries is how often the upstream was asked.
func (rec *record) tries() int {
	n := rec.to.tries
	if rec.answer != nil {
		n += rec.answer.attempts.Count
	}
	return n
}

// trace reports what became of the request: which route answered, at which
// attempt, and what of the body was not the client's.
func (rec *record) trace(h http.Header) {
	n := rec.tries()
	if n == 0 {
		return
	}
	name := rec.to.route.Name
	if len(rec.to.route.Also) > 0 && rec.answer != nil {
		name += "#" + strconv.Itoa(rec.answer.attempts.Base+1)
	}
	h["X-Forward-Upstream"] = []string{name}
	h["X-Forward-Attempts"] = []string{strconv.Itoa(n)}
	if rec.answer != nil && len(rec.answer.modified) > 0 {
		h["X-Forward-Modified"] = []string{strings.Join(rec.answer.modified, ", ")}
	}
}

// followsKeepalive reports whether an answer can follow keepalive comments: it
// has to be a stream of events too.
func followsKeepalive(res *http.Response) bool {
	f, ok := framing.Of(res.Header.Get("Content-Type"))
	return res.StatusCode == http.StatusOK && ok && f == framing.SSE && encodingOf(res.Header) == ""
}

// afterKeepalive makes an error of an answer that cannot follow comments.
func afterKeepalive(res *http.Response, route string) error {
	head, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	failed := &refusal{
		status:  res.StatusCode,
		code:    gjson.GetBytes(head, "error.code").String(),
		message: gjson.GetBytes(head, "error.message").String(),
	}
	if failed.code == "" {
		failed.code = "upstream_error"
	}
	if failed.message == "" {
		failed.message = fmt.Sprintf("The upstream '%s' answered with status %d.", route, res.StatusCode)
	}
	if failed.status < 400 {
		failed.status = http.StatusBadGateway
		failed.message = "The upstream '" + route + "' did not answer with a stream of events."
	}
	return failed
}

func isJSON(h http.Header) bool { return strings.HasPrefix(h.Get("Content-Type"), "application/json") }

// isMedia reports whether an answer is sound or pictures, in which there is
// nothing to read.
func isMedia(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), "/")
	return kind == "audio" || kind == "image" || kind == "video"
}

// deliver writes the answer. Little is on the stack while a stream waits: there
// may be ten thousand.
func (g *Gateway) deliver(rec *record) {
	res := rec.answer.res
	announced := writeHead(rec.in.w, res)
	err := rec.tap.copy(rec.in.w)
	if err != nil {
		defer res.Body.Close()
		panic(http.ErrAbortHandler) // an answer that broke off must not end well
	}
	res.Body.Close() // the trailers are complete from here on
	writeTrailers(rec.in.w, res, announced)
}

// writeHead writes the head of an answer, and returns how many trailers it
// announces.
func writeHead(w http.ResponseWriter, res *http.Response) (announced int) {
	h := w.Header()
	addHeader(h, res.Header)
	for name := range res.Trailer {
		h["Trailer"] = append(h["Trailer"], name)
	}
	w.WriteHeader(res.StatusCode)
	return len(res.Trailer)
}

// writeTrailers writes the trailers, also those that were not announced.
func writeTrailers(w http.ResponseWriter, res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	flush(w) // only an answer in chunks has trailers, also if it is short
	h := w.Header()
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

// flush sends what was written so far.
func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}
