package forward

import (
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/limits"
	"forward/internal/upstream"
)

// silent swallows what ReverseProxy logs of aborted copies: settle writes the one line that says so.
var silent = log.New(io.Discard, "", 0)

// notRelayed are headers of an upstream's answer that are its own affair: cookies would be shared between callers,
// which browser pages may read an answer is for CORS_ORIGINS to say, and how we call a request is for us.
func notRelayed(name string) bool {
	return name == "Set-Cookie" || name == "X-Forward-Request-Id" || strings.HasPrefix(name, "Access-Control-")
}

// relay prepares an answer for the client: it cleans the headers and puts the one tap on the body. ReverseProxy calls
// it before the first byte goes out.
func (x *exchange) relay(res *http.Response) error {
	if x.refusesOurs(res.StatusCode) {
		return errUsageRefused
	}
	x.status = res.StatusCode
	x.restoreHeader()
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
	if _, said := h["Content-Type"]; !said {
		x.w.Header()["Content-Type"] = nil // or net/http would guess one, if the first bytes come with the headers
	}
	upstream.ScrubHeader(h, x.secret)
	if res.StatusCode == http.StatusSwitchingProtocols {
		return nil // the body is the connection itself; ReverseProxy needs it as it is
	}
	if secret := x.secret; !secret.IsZero() {
		res.Body = upstream.NewScrubber(res.Body, secret)
	}
	x.tap = x.newTap(res)
	res.Body = x.tap
	return nil
}

// newTap chooses what the tap does on the side for this answer.
func (x *exchange) newTap(res *http.Response) *tap {
	t := &tap{x: x, res: res, body: res.Body, length: res.ContentLength}
	plain := res.Header.Get("Content-Encoding") == "" || res.Header.Get("Content-Encoding") == "identity"
	t.stream = plain && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream")
	if x.listening() && plain && x.r.Method != http.MethodHead {
		t.answer = &dialect.Answer{}
		t.record = x.recorder(res, t.stream)
	}
	if x.attempts.Count > 0 && x.StreamIdleTimeout > 0 {
		t.idle = time.AfterFunc(x.StreamIdleTimeout, func() { x.stop(errStreamIdle) })
		t.idle.Stop() // runs only while the upstream is waited for
	}
	if t.stream {
		t.pacer = limits.NewPacer(x.Paces.Interval(x.paths, x.caller.level))
		t.hideUsage = x.memory.addedUsage && !x.ask.IncludeUsage && x.dialect.WithUsage != nil
	}
	if t.hideUsage { // what is left is shorter than announced
		res.Header.Del("Content-Length")
		res.ContentLength, t.length = -1, -1
	}
	return t
}

// listening reports whether somebody wants to know what the answer says.
func (x *exchange) listening() bool { return x.logged || x.memory.store }
