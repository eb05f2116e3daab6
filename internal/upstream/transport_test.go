package upstream_test

import (
	"bufio"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/upstream"
)

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
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Host = target.Listener.Addr().String() }}).ServeHTTP(w, r)
	}))
	defer plain.Close()
	socks := socksServer(t, &used, target.Listener.Addr().String())
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	for name, proxy := range map[string]string{"http": "http://u:p@" + plain.Listener.Addr().String(), "socks5": "socks5://" + socks, "socks5h": "socks5h://u:p@" + socks, "none": ""} {
		t.Run(name, func(t *testing.T) {
			var o upstream.Options
			base, want := target.URL, int64(0)
			if proxy != "" {
				o.Proxy = mustURL(t, proxy)
				base, want = "http://upstream.example", 1
			}
			ask := func(base string, want int64) {
				t.Helper()
				used.Store(0)
				a, r := attempts(t, base, 1)
				a.Transport = mustTransport(t, o)
				res, err := a.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if body := read(t, res); body != "through" || used.Load() != want {
					t.Errorf("%s: %d %q, the proxy was used %d times, want %d", base, res.StatusCode, body, used.Load(), want)
				}
			}
			ask(base, want)
			ask(target.URL, 0) // loopback
			_, port, _ := net.SplitHostPort(target.Listener.Addr().String())
			ask("http://localhost:"+port, 0)
			o.NoProxy = "other.example,10.0.0.0/8"
			ask(base, want)
			o.NoProxy = "other.example, .example"
			a, r := attempts(t, "http://upstream.example:1", 1)
			a.Transport = mustTransport(t, o)
			used.Store(0)
			_, err := a.RoundTrip(r)
			if err == nil || used.Load() != 0 {
				t.Errorf("a host of NO_PROXY: %v, the proxy was used %d times", err, used.Load())
			}
		})
	}
	for name, proxy := range map[string]string{"http": "http://u:secret@" + closedPort(t), "socks5": "socks5://u:secret@" + closedPort(t)} {
		t.Run("dead "+name, func(t *testing.T) {
			a, r := attempts(t, "http://upstream.example", 1)
			a.Transport, a.Retries = mustTransport(t, upstream.Options{Proxy: mustURL(t, proxy)}), 1
			_, err := a.RoundTrip(r)
			if e := wantError(t, err, upstream.ConnectFailed); a.Count != 2 || strings.Contains(e.Error(), "secret") {
				t.Errorf("count %d, %v", a.Count, e)
			}
		})
	}
	t.Run("silent socks5", func(t *testing.T) {
		silent := listen(t, func(*net.TCPConn, int64) {}) // waits for a request that never comes
		a, r := attempts(t, "http://upstream.example", 1)
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

// socksServer speaks just enough of SOCKS5 (RFC 1928), and leads everything to
// target.
func socksServer(t *testing.T, used *atomic.Int64, target string) string {
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
		io.ReadFull(r, make([]byte, 2)) // the port
		back, err := net.Dial("tcp", target)
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
