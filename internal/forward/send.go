package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"strings"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// send forwards the request and relays its answer. The proxy is made anew for each exchange so that its hooks are
// methods of the exchange: measured 12.3 µs against 13.9 µs for a shared one that finds its state in the context.
func (x *exchange) send() {
	x.compose()
	x.tries += x.attempts.Count
	x.attempts = upstream.Attempts{
		Route:       x.route,
		Level:       x.caller.level,
		Slot:        x.slot,
		Swap:        x.swap,
		Stick:       x.place,
		Transport:   x.Transport,
		Retries:     x.Retries,
		RetryStatus: x.RetryStatus,
		OnAnswer:    func(res *http.Response) { x.grant.Learn(x.feedback(res)) },
		OnSecret:    func(s keys.Secret) { x.secret = s },
		Log:         x.Log,
	}
	r := x.r.WithContext(x.ctx)
	r.Body = x.outgoingBody()
	if x.payload != nil {
		r.ContentLength = int64(len(x.payload))
	}
	x.logRequest()
	x.header = x.w.Header().Clone()
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      &x.attempts,
		ModifyResponse: x.relay,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { x.fail(err) },
		FlushInterval:  -1,
		BufferPool:     &x.buffers,
		ErrorLog:       silent,
	}
	proxy.ServeHTTP(x.w, r)
}

// outgoingBody is what is sent upstream: the bytes that were read, as often as attempts need them, or the client's own
// stream, once.
func (x *exchange) outgoingBody() io.ReadCloser {
	if x.payload != nil {
		x.attempts.Replay = func() io.ReadCloser { return io.NopCloser(bytes.NewReader(x.payload)) }
		return x.attempts.Replay()
	}
	if x.r.ContentLength == 0 || x.r.Body == http.NoBody {
		x.attempts.Replay = func() io.ReadCloser { return http.NoBody }
		return http.NoBody
	}
	// Without full duplex, net/http reads the rest of the request before it lets an early answer out.
	http.NewResponseController(x.w).EnableFullDuplex()
	if x.r.ContentLength > 0 {
		// The limit answers EOF by itself once the announced bytes were read. The transport probes past Content-Length;
		// when the upstream has already answered, the inbound body is closed by then, the probe fails and the transport
		// drops the upstream connection with the rest of the answer in it. Measured: a plain ReverseProxy cut 37 to 275
		// of 3,000 immediate streams.
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(x.r.Body, x.r.ContentLength), x.r.Body}
	}
	return x.r.Body
}

// rewrite makes the outgoing request of the incoming one. ReverseProxy has already taken out hop-by-hop headers and
// whatever Connection named, before our credential is set by the attempts: a client cannot have it removed.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	query := x.r.URL.RawQuery // not p.Out's: ReverseProxy drops parameters that it cannot parse
	h := p.Out.Header
	if x.strip {
		keys.Strip(h)
		query = keys.StripQuery(query)
	}
	p.Out.URL = x.route.URL(x.rest, query)
	p.Out.URL.ForceQuery = x.r.URL.ForceQuery // a question mark with nothing after it
	p.Out.Host = ""
	if p.Out.Trailer = nil; !x.strip {
		p.Out.Trailer = x.r.Trailer // itself, not a copy: its values come with the end of the body, whatever keys are in them
	}
	h.Del("Cookie") // the gateway's own origin's, never the provider's
	if !x.route.Open {
		h.Del("X-User-Id") // for us, see attribute
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Forward-") {
			delete(h, name)
		}
	}
	if x.swap || x.listening() || x.Paces.Interval(x.paths, x.caller.level) > 0 {
		// Answers that are looked at are asked for uncompressed: for our API key, for the log and the cache, for the pace.
		h.Set("Accept-Encoding", "identity")
	}
	x.askForBatch(h)
	if _, sent := h["User-Agent"]; !sent {
		h.Set("User-Agent", "") // or net/http would add its own
	}
}

// fail is where ReverseProxy reports that no answer came.
func (x *exchange) fail(err error) {
	if cause := context.Cause(x.ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	x.restoreHeader()
	if x.status == http.StatusSwitchingProtocols { // to something else than was asked for
		err = &upstream.Error{Cause: upstream.BadResponse, Err: err, Route: x.route.Name}
	}
	switch {
	case errors.Is(err, errUsageRefused):
		x.send()
	case errors.Is(err, errFallBack), x.fallsBack(0, err):
		x.unsent = true
		x.settleTurn() // of the model that was asked before
		if err := x.schedule(); err != nil {
			x.refuse(err)
			return
		}
		x.send()
	default:
		x.unsent = x.attempts.Count == 0 || neverSent(err)
		x.refuse(err)
	}
}

// neverSent reports whether it is certain that the upstream has seen nothing of the request.
func neverSent(err error) bool {
	switch upstream.Classify(err).Cause {
	case upstream.ConnectFailed, upstream.ConnectTimeout, upstream.DNS, upstream.TLS, upstream.Unhealthy:
		return true
	}
	return false
}

// restoreHeader sets our headers again: ReverseProxy clears all there are when an upstream sends an interim answer, such
// as 100 Continue or 103 Early Hints, before its own.
func (x *exchange) restoreHeader() { maps.Copy(x.w.Header(), x.header) }
