package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// Options set how NewTransport connects. Every zero field means its default.
type Options struct {
	Proxy          *url.URL       // http, https, socks5 or socks5h; nil: none, whatever the environment has
	NoProxy        string         // hosts that Proxy is not used for, as in NO_PROXY: names with what is below them, addresses, networks, ports. Loopback never needs one
	ConnectTimeout time.Duration  // name lookup, TCP and SOCKS; 10 s
	TLSTimeout     time.Duration  // TLS handshake; 10 s
	HeaderTimeout  time.Duration  // from the request sent to the answer's headers; an hour, above the 600 s of official SDKs, which callers raise
	IdleTimeout    time.Duration  // how long an unused connection is kept; 90 s
	MaxIdlePerHost int            // unused connections kept per host; 512. Go's default of 2 costs two thirds of the throughput
	RootCAs        *x509.CertPool // who may sign an upstream's certificate; nil: the system's list
}

// maxHeaderBytes bounds an answer's headers. No provider sends more than a few
// kilobytes.
const maxHeaderBytes = 256 << 10

// NewTransport returns a transport for all upstreams. It passes compressed
// answers on as they are, follows no redirects, and its connections count what
// is written to them, which Attempts relies on. The caller ends it by
// CloseIdleConnections.
func NewTransport(o Options) (*http.Transport, error) {
	connect := cmp.Or(o.ConnectTimeout, 10*time.Second)
	// Silence is no sign of death: models think for many minutes. Connections
	// that died are found by these probes, after 90 s, and in HTTP/2 by pings.
	probes := net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 15 * time.Second, Count: 4}
	dialer := &net.Dialer{Timeout: connect, KeepAliveConfig: probes}
	dial := dialer.DialContext
	t := &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    cmp.Or(o.TLSTimeout, 10*time.Second),
		ResponseHeaderTimeout:  cmp.Or(o.HeaderTimeout, time.Hour),
		IdleConnTimeout:        cmp.Or(o.IdleTimeout, 90*time.Second),
		MaxIdleConnsPerHost:    cmp.Or(o.MaxIdlePerHost, 512),
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // or it would ask for gzip and undo it behind our back
		ForceAttemptHTTP2:      true, // a DialContext of one's own turns HTTP/2 off otherwise
		// A connection that died silently would hold its requests until
		// HeaderTimeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	if p := o.Proxy; p != nil {
		if p.Host == "" {
			return nil, fmt.Errorf("proxy URL %q has no host: write it as http://host:port or socks5://host:port", p.Redacted())
		}
		through := (&httpproxy.Config{HTTPProxy: p.String(), HTTPSProxy: p.String(), NoProxy: o.NoProxy}).ProxyFunc()
		switch p.Scheme {
		case "http", "https":
			t.Proxy = func(r *http.Request) (*url.URL, error) { return through(r.URL) }
		case "socks5", "socks5h":
			far, err := socks(p, dialer)
			if err != nil {
				return nil, fmt.Errorf("using the proxy %q: %w", p.Redacted(), err)
			}
			dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if use, _ := through(&url.URL{Scheme: "https", Host: address}); use == nil {
					return dialer.DialContext(ctx, network, address)
				}
				return far(ctx, network, address)
			}
		default:
			return nil, fmt.Errorf("proxy URL %q: the scheme must be http, https, socks5 or socks5h", p.Redacted())
		}
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
	return t, nil
}

// socks returns a dial function through a SOCKS5 proxy, which also looks up the
// names. net/http speaks SOCKS too, but without a bound on the proxy's part of
// the handshake.
func socks(p *url.URL, dialer *net.Dialer) (func(context.Context, string, string) (net.Conn, error), error) {
	var auth *proxy.Auth
	if p.User != nil {
		password, _ := p.User.Password()
		auth = &proxy.Auth{User: p.User.Username(), Password: password}
	}
	address := p.Host
	if p.Port() == "" {
		address = net.JoinHostPort(p.Hostname(), "1080")
	}
	d, err := proxy.SOCKS5("tcp", address, auth, dialer)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialer.Timeout)
		defer cancel()
		return d.(proxy.ContextDialer).DialContext(ctx, network, address)
	}, nil
}

// countedConn counts the writes to a connection, so that a count which has not
// changed proves that nothing was sent. A write counts while it is made, and no
// longer once it has failed without a byte.
type countedConn struct {
	net.Conn
	writes   atomic.Int64 // all
	requests atomic.Int64 // those that are longer than alertSize
}

// alertSize is the length in bytes of the longest alert that ends a TLS
// connection (TLS 1.2 with AES-GCM). The shortest request in a TLS record is
// longer, so a connection that only wrote an alert has sent no request.
const alertSize = 31

func (c *countedConn) Write(p []byte) (int, error) {
	c.count(len(p), 1)
	n, err := c.Conn.Write(p)
	if n == 0 && err != nil {
		c.count(len(p), -1)
	}
	return n, err
}

func (c *countedConn) count(size int, one int64) {
	c.writes.Add(one)
	if size > alertSize {
		c.requests.Add(one)
	}
}

// CloseWrite lets an upgraded connection end one direction; ReverseProxy looks
// for it.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Conn.Close()
}

// counter returns the counter of a connection that carries one request at a
// time. HTTP/2 connections carry many and write at their own times, so a count
// is no evidence about one request.
func counter(conn net.Conn) (*atomic.Int64, bool) {
	if secure, ok := conn.(*tls.Conn); ok {
		c, ok := secure.NetConn().(*countedConn)
		if !ok || secure.ConnectionState().NegotiatedProtocol == "h2" {
			return nil, false
		}
		return &c.requests, true
	}
	c, ok := conn.(*countedConn)
	if !ok {
		return nil, false
	}
	return &c.writes, true
}
