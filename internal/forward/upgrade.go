package forward

import (
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"

	"golang.org/x/net/http/httpguts"

	"forward/internal/upstream"
)

// silent swallows what ReverseProxy logs of aborted copies: settle writes the one line that says so.
var silent = log.New(io.Discard, "", 0)

// upgradeOf is the protocol that a request or an answer wants to change to, such as websocket (RFC 9110, section 7.8).
func upgradeOf(h http.Header) string {
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return ""
	}
	return h.Get("Upgrade")
}

// upgrade forwards a request to speak another protocol on its connection, and then whatever both sides say. ReverseProxy knows
// how; an answer that does not change the protocol is relayed as any other.
func (x *exchange) upgrade(protocol string) {
	body := x.outgoingBody()
	defer body.Close()
	own := x.w.Header().Clone()
	x.attempts.OnInterim = nil
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out = x.outgoing(body)
			p.Out.Header["Connection"], p.Out.Header["Upgrade"] = []string{"Upgrade"}, []string{protocol}
		},
		Transport: &x.attempts,
		ModifyResponse: func(res *http.Response) error {
			maps.Copy(x.w.Header(), own) // ReverseProxy clears all there are at an interim answer
			return x.relay(res)
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			maps.Copy(x.w.Header(), own)
			if x.status == http.StatusSwitchingProtocols { // to something else than was asked for
				err = &upstream.Error{Cause: upstream.BadResponse, Err: err, Route: x.route.Name}
			}
			x.fail(err)
		},
		FlushInterval: -1,
		BufferPool:    &x.buffers,
		ErrorLog:      silent,
	}
	proxy.ServeHTTP(x.w, x.r.WithContext(x.ctx))
}
