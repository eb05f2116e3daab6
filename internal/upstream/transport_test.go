package upstream_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"forward/internal/upstream"
)

var quiet = log.New(io.Discard, "", 0)

// fullListener returns an address whose queue of connections is full: further ones get no answer at all.
func fullListener(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}).String()
	for range 4 {
		conn, err := net.DialTimeout("tcp", address, 20*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("this kernel queues connections without end")
	return ""
}

func TestCompressedAnswersPassAsTheyAre(t *testing.T) {
	var asked string
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "hello")
		z.Close()
	})
	a, r := attempts(t, f.URL, 1)
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, res); !strings.HasPrefix(body, "\x1f\x8b") || res.Header.Get("Content-Encoding") != "gzip" || asked != "" {
		t.Errorf("%q, Content-Encoding %q, asked for %q", body, res.Header.Get("Content-Encoding"), asked)
	}
}

func TestProxies(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "through") })
	var used atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		used.Add(1)
		if user := r.Header.Get("Proxy-Authorization"); user != "Basic dTpw" { // u:p
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
	}))
	defer plain.Close()
	socks := socksServer(t, &used)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for name, proxy := range map[string]string{"http": "http://u:p@" + plain.Listener.Addr().String(), "socks5": "socks5://" + socks, "socks5h": "socks5h://u:p@" + socks, "none": ""} {
		t.Run(name, func(t *testing.T) {
			var o upstream.Options
			want := int64(0)
			if proxy != "" {
				o.Proxy, want = mustURL(t, proxy), 1
			}
			used.Store(0)
			a, r := attempts(t, target.URL, 1)
			a.Transport = mustTransport(t, o)
			res, err := a.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if body := read(t, res); body != "through" || used.Load() != want {
				t.Errorf("%d %q, the proxy was used %d times", res.StatusCode, body, used.Load())
			}
		})
	}
	for name, proxy := range map[string]string{"http": "http://u:secret@" + closedPort(t), "socks5": "socks5://u:secret@" + closedPort(t)} {
		t.Run("dead "+name, func(t *testing.T) {
			a, r := attempts(t, target.URL, 1)
			a.Transport, a.Retries = mustTransport(t, upstream.Options{Proxy: mustURL(t, proxy)}), 1
			_, err := a.RoundTrip(r)
			if e := wantError(t, err, upstream.ConnectFailed); a.Count != 2 || strings.Contains(e.Error(), "secret") {
				t.Errorf("count %d, %v", a.Count, e)
			}
		})
	}
	t.Run("silent socks5", func(t *testing.T) {
		silent := listen(t, func(*net.TCPConn, int64) {}) // waits for a request that never comes
		a, r := attempts(t, target.URL, 1)
		transport := mustTransport(t, upstream.Options{Proxy: mustURL(t, "socks5://"+silent.Addr().String()), ConnectTimeout: 30 * time.Millisecond})
		a.Transport = transport
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.ConnectTimeout)
	})
	for _, bad := range []string{"ftp://h", "h:1", "http://", "//h"} {
		if u, err := url.Parse(bad); err == nil {
			if _, err := upstream.NewTransport(upstream.Options{Proxy: u}); err == nil {
				t.Errorf("%q is taken for a proxy", bad)
			}
		}
	}
}

// socksServer speaks just enough of SOCKS5 (RFC 1928).
func socksServer(t *testing.T, used *atomic.Int64) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serveOne := func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		head := make([]byte, 2)
		io.ReadFull(r, head)
		methods := make([]byte, head[1])
		io.ReadFull(r, methods)
		if strings.Contains(string(methods), "\x02") { // user name and password, RFC 1929
			conn.Write([]byte{5, 2})
			r.ReadByte()
			for range 2 {
				n, _ := r.ReadByte()
				r.Discard(int(n))
			}
			conn.Write([]byte{1, 0})
		} else {
			conn.Write([]byte{5, 0})
		}
		request := make([]byte, 4)
		io.ReadFull(r, request)
		host := make([]byte, 4)
		if request[3] == 3 {
			n, _ := r.ReadByte()
			host = make([]byte, n)
		}
		io.ReadFull(r, host)
		port := make([]byte, 2)
		io.ReadFull(r, port)
		name := string(host)
		if request[3] == 1 {
			name = net.IP(host).String()
		}
		back, err := net.Dial("tcp", (&net.TCPAddr{IP: net.ParseIP(name), Port: int(binary.BigEndian.Uint16(port))}).String())
		if err != nil {
			return
		}
		defer back.Close()
		used.Add(1)
		conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		done := make(chan struct{})
		go func() { io.Copy(back, r); back.(*net.TCPConn).CloseWrite(); close(done) }()
		io.Copy(conn, back)
		conn.Close()
		<-done
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveOne(conn)
		}
	}()
	return l.Addr().String()
}

func TestHTTP2(t *testing.T) {
	var protocol string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		io.Copy(w, r.Body)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	a, r := attempts(t, s.URL, 1)
	transport := mustTransport(t, upstream.Options{RootCAs: roots})
	defer transport.CloseIdleConnections()
	a.Transport = transport
	res, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, res); body != "the body" || protocol != "HTTP/2.0" {
		t.Errorf("%q over %s", body, protocol)
	}
}

// TestHTTP2Refusals has a server that says it has not looked at a request, as busy providers do, and one that just
// drops it. Only the first may be sent again.
func TestHTTP2Refusals(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*http2.Framer, uint32)
		stream bool
		hangUp bool
		calls  int64
		cause  upstream.Cause
	}{
		"refused":             {func(f *http2.Framer, id uint32) { f.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, false, false, 2, ""},
		"going away":          {func(f *http2.Framer, id uint32) { f.WriteGoAway(0, http2.ErrCodeNo, nil) }, false, false, 2, ""},
		"refused, one stream": {func(f *http2.Framer, id uint32) { f.WriteRSTStream(id, http2.ErrCodeRefusedStream) }, true, false, 1, upstream.Reset},
		"protocol error":      {func(f *http2.Framer, id uint32) { f.WriteRSTStream(id, http2.ErrCodeProtocol) }, false, false, 1, upstream.Reset},
		"internal error":      {func(f *http2.Framer, id uint32) { f.WriteRSTStream(id, http2.ErrCodeInternal) }, false, false, 1, upstream.Reset},
		"gone":                {func(f *http2.Framer, id uint32) { f.WriteGoAway(id, http2.ErrCodeInternal, []byte("; REFUSED_STREAM")) }, false, true, 1, upstream.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			base, roots := http2Server(t, func(f *http2.Framer, id uint32) (hangUp bool) {
				if calls.Add(1) == 1 {
					test.answer(f, id)
					return test.hangUp
				}
				var b strings.Builder
				hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndHeaders: true, EndStream: true})
				return false
			})
			a, r := attempts(t, base, 1)
			transport := mustTransport(t, upstream.Options{RootCAs: roots})
			defer transport.CloseIdleConnections()
			a.Transport, a.Retries = transport, 1
			if test.stream {
				a.Replay = nil
			}
			res, err := a.RoundTrip(r)
			if test.cause != "" {
				wantError(t, err, test.cause)
			} else if err != nil || res.StatusCode != 204 {
				t.Errorf("%v, %v", res, err)
			}
			if calls.Load() != test.calls {
				t.Errorf("the upstream saw %d requests, want %d", calls.Load(), test.calls)
			}
		})
	}
}

// http2Server answers each whole request by hand, frame by frame.
func http2Server(t *testing.T, answer func(*http2.Framer, uint32) (hangUp bool)) (base string, roots *x509.CertPool) {
	s := httptest.NewUnstartedServer(nil)
	s.Config.ErrorLog = quiet
	s.EnableHTTP2 = true
	s.StartTLS()
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	config := s.TLS.Clone()
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { l.Close(); stop(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			wg.Go(func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(conn, conn)
				f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					switch frame := frame.(type) {
					case *http2.SettingsFrame:
						if !frame.IsAck() {
							f.WriteSettingsAck()
						}
					case *http2.DataFrame:
						if frame.StreamEnded() && answer(f, frame.StreamID) {
							return
						}
					}
				}
			})
		}
	})
	return "https://" + l.Addr().String(), roots
}
