package forward

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"

	"forward/internal/dialect"
	"forward/internal/keys"
)

// outgoing makes the outgoing request of the incoming one.
func (g *Gateway) outgoing(work life, a *ask, to target, body io.ReadCloser) *http.Request {
	r := a.in.r.WithContext(work)
	query := r.URL.RawQuery
	if to.strip {
		query = keys.StripQuery(query)
	}
	r.URL = to.route.URL(to.rest, query)
	r.URL.ForceQuery = a.in.r.URL.ForceQuery // a question mark with nothing after it
	r.Host = ""
	r.RequestURI = ""
	r.Close = false
	r.Body = body
	if to.strip {
		// Otherwise it is the client's own map, not a copy: its values come
		// with the end of the body, whatever keys are in them.
		r.Trailer = nil
	}
	delete(r.Trailer, keys.Header)
	return r
}

// outgoingHeader returns what of the client's header goes upstream. The values
// are the client's own, and are not changed.
func (g *Gateway) outgoingHeader(a *ask, to target, read bool) http.Header {
	in := a.in.r.Header
	h := make(http.Header, len(in)+2)
	for name, values := range in {
		if !staysHere(name) && (to.route.Open || name != "X-User-Id") {
			h[name] = values
		}
	}
	// The attempts set our credential after this: a client cannot have it
	// removed.
	removeNamed(h, in["Connection"])
	if httpguts.HeaderValuesContainsToken(in["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	protocol := upgradeOf(in)
	if protocol != "" {
		h["Connection"] = []string{"Upgrade"}
		h["Upgrade"] = []string{protocol}
	}
	if to.strip {
		keys.Strip(h)
	}
	if to.swap {
		removeAccount(h, to.route.Dialect)
		removeAccount(h, a.from.dialect)
	}
	if to.swap || read || g.Paces.Interval(a.from.paths, a.who.level) > 0 {
		// Answers that are looked at are asked for uncompressed: for our API
		// key, for the log and the cache, for the pace.
		h["Accept-Encoding"] = []string{"identity"}
	}
	if _, sent := h["User-Agent"]; !sent {
		h["User-Agent"] = []string{""} // or net/http would add its own
	}
	return h
}

// removeAccount removes the headers that name the account of a credential which
// does not go upstream: with our API key they name another account, and the
// provider answers 401.
func removeAccount(h http.Header, d *dialect.Dialect) {
	for _, name := range d.Provider.AccountHeaders {
		delete(h, name)
	}
}

// outgoingBody returns what is sent upstream, and how to send it again: the
// bytes that were read, as often as attempts need them, or the client's own
// stream, once.
func outgoingBody(in *inbound, payload []byte) (body io.ReadCloser, replay func() io.ReadCloser) {
	if payload != nil {
		replay = func() io.ReadCloser { return io.NopCloser(bytes.NewReader(payload)) }
		return replay(), replay
	}
	r := in.r
	if r.ContentLength == 0 || r.Body == http.NoBody {
		return http.NoBody, func() io.ReadCloser { return http.NoBody }
	}
	// Without full duplex, net/http reads the rest of the request before it
	// sends an early answer.
	http.NewResponseController(in.w).EnableFullDuplex()
	if r.ContentLength > 0 {
		// The limit answers EOF by itself once the announced bytes were read.
		// The transport probes past Content-Length; when the upstream has
		// already answered, the inbound body is closed by then, the probe fails
		// and the transport drops the upstream connection with the rest of the
		// answer in it. Measured: a plain ReverseProxy cut 37 to 275 of 3,000
		// immediate streams.
		return &clientBody{r: io.LimitReader(r.Body, r.ContentLength)}, nil
	}
	return &clientBody{r: r.Body, trailer: r}, nil
}

// clientBody is the client's body for the transport to read. Closing it leaves
// the client's open, for that would wait for what was not sent yet, perhaps
// because the client waits for 100 Continue. Nothing is read any more once the
// handler has returned.
type clientBody struct {
	r       io.Reader
	closed  atomic.Bool
	trailer *http.Request // whose trailers come with the end; nil for none
}

func (b *clientBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.r.Read(p)
	if err == io.EOF && b.trailer != nil {
		delete(b.trailer.Trailer, keys.Header)
	}
	return n, err
}

func (b *clientBody) Close() error {
	b.closed.Store(true)
	return nil
}

// staysHere reports whether a header of a request is for the gateway: the
// cookies of its own origin, what a browser adds about the page that sends it,
// what proxies add about the client, what belongs to this connection, and what
// is named after the gateway. Which pages may use the gateway is decided here
// (CORS_ORIGINS); upstream, the gateway is the client, and not a browser.
// Anthropic answers 401 to an Origin, and Ollama 403.
func staysHere(name string) bool {
	switch name {
	case "Origin", "Referer", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
		return true
	}
	return isHopByHop(name) || strings.HasPrefix(name, "X-Forward-") || strings.HasPrefix(name, "Sec-Fetch-")
}

// isHopByHop reports whether a header is about one connection and goes no
// further (RFC 9110, section 7.6.1; Proxy-Connection is in no standard, but is
// sent, and Google refuses it).
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// removeHopByHop removes what is about one connection, also what the Connection
// header names.
func removeHopByHop(h http.Header) {
	removeNamed(h, h["Connection"])
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
}

// removeNamed removes the headers that values of a Connection header name.
func removeNamed(h http.Header, connection []string) {
	for _, value := range connection {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.TrimSpace(name)
			if name != "" {
				h.Del(name)
			}
		}
	}
}

// interim passes an interim answer on, such as 103 Early Hints (RFC 9110,
// section 15.2: a proxy must). Nothing of the answer's own header goes with it.
func (in *inbound) interim(status int, header http.Header) {
	h := in.w.Header()
	own := maps.Clone(h)
	clear(h)
	removeHopByHop(header)
	for name, values := range header {
		if !isNotRelayed(name) {
			h[name] = values
		}
	}
	in.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, own)
}
