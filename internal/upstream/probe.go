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

// probe observes how far one attempt got: whether it had a connection, and
// whether a byte of the request may have been written to one. The transport
// reports connections to it, and goes on reporting from its own goroutines
// after the attempt has ended, hence the lock.
type probe struct {
	mu        sync.Mutex
	looked    bool // for a connection
	connected bool // has one
	sent      bool // a byte may have been written
	writes    *atomic.Int64
	before    int64 // writes when the connection was handed over
	tls       error // how the last TLS handshake failed
	onConnect func()
	onInterim func(int, http.Header)
	ended     bool // the attempt is over, and its request goes on
}

// watch returns a context in which the transport reports to the probe.
func (p *probe) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.leave()
			p.looked = true
			p.connected = false
		},
		GotConn: func(info httptrace.GotConnInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.leave()
			p.connected = true
			if p.onConnect != nil && !p.ended {
				p.onConnect()
			}
			if writes, ok := counter(info.Conn); ok {
				p.writes = writes
				p.before = writes.Load()
			} else {
				p.sent = true // there is no way to know, so it may have been
			}
		},
		Got1xxResponse: p.interim,
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.tls = err
		},
	})
}

// interim passes an interim answer on, as long as the answer itself is waited
// for.
func (p *probe) interim(status int, header textproto.MIMEHeader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onInterim != nil && !p.ended {
		p.onInterim(status, http.Header(header))
	}
	return nil
}

// end is called when the attempt is over.
func (p *probe) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
}

// leave adds what was written to the connection that the attempt had until now.
func (p *probe) leave() {
	if p.writes != nil && p.writes.Load() != p.before {
		p.sent = true
	}
	p.writes = nil
}

// nothingSent reports whether it is certain that not a byte of the request was
// written. err is how the attempt ended.
func (p *probe) nothingSent(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave()
	return (p.looked && !p.sent) || refused(err)
}

// unconnected reports whether the attempt ended for want of a connection, and
// how its TLS handshake failed, if that was the reason.
func (p *probe) unconnected() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looked && !p.connected, p.tls
}

// refused reports whether an HTTP/2 server promised that it has not processed
// the request (RFC 9113, section 8.7). Busy providers end connections this way
// every thousand requests or so. net/http would send again by itself if it had
// GetBody, but then it also does so where nothing is certain; and its errors
// have no exported types.
func refused(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "http2: Transport: cannot retry err [") &&
		(strings.Contains(text, "graceful shutdown GOAWAY]") || strings.Contains(text, "; REFUSED_STREAM"))
}
