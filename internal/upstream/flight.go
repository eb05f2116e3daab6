package upstream

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
)

// flight watches how far one attempt got. The transport tells it about
// connections, and goes on telling from its own goroutines after the attempt
// has ended, hence the lock.
type flight struct {
	mu        sync.Mutex
	looked    bool // for a connection
	connected bool // has one
	sent      bool // a byte may have been written
	writes    *atomic.Int64
	before    int64 // writes when the connection was handed over
	tls       error // how the last TLS handshake failed
	onInterim func(int, http.Header)
	ended     bool // the attempt is over, and whoever made it goes on
}

// end is called when the attempt is over.
func (f *flight) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
}

// interim passes an interim answer on, as long as somebody waits for the answer
// itself.
func (f *flight) interim(status int, header textproto.MIMEHeader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onInterim != nil && !f.ended {
		f.onInterim(status, http.Header(header))
	}
	return nil
}

// watch returns a context with which a request tells the flight about itself.
func (f *flight) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.land()
			f.looked, f.connected = true, false
		},
		GotConn: func(info httptrace.GotConnInfo) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.land()
			f.connected = true
			if writes, ok := counter(info.Conn); ok {
				f.writes, f.before = writes, writes.Load()
			} else {
				f.sent = true // perhaps; who knows
			}
		},
		Got1xxResponse: f.interim,
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.tls = err
		},
	})
}

// land takes stock of the connection the flight had until now.
func (f *flight) land() {
	if f.writes != nil && f.writes.Load() != f.before {
		f.sent = true
	}
	f.writes = nil
}

// nothingSent reports whether it is certain that not a byte of the request was
// written. err is how the attempt ended.
func (f *flight) nothingSent(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.land()
	return f.looked && !f.sent || refused(err)
}

// grounded reports whether the attempt ended for want of a connection, and how
// its TLS handshake failed, if that was it.
func (f *flight) grounded() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.looked && !f.connected, f.tls
}

// refused reports whether an HTTP/2 server said that it has not looked at the
// request (RFC 9113, section 8.7). Busy providers end connections this way
// every thousand requests or so. net/http would send again by itself if it had
// GetBody, but then it also does so where nothing is certain; and its errors
// have no exported types.
func refused(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "http2: Transport: cannot retry err [") &&
		(strings.Contains(text, "graceful shutdown GOAWAY]") || strings.Contains(text, "; REFUSED_STREAM"))
}
