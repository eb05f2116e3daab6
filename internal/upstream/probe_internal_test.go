package upstream

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"forward/internal/dialect/openai"
)

// dyingConn is a connection that the other side has ended without our having
// noticed: the next write fails.
type dyingConn struct {
	net.Conn
	dead    *atomic.Bool
	partial bool // a byte gets out
	goodbye bool // a TLS alert gets out
}

func (c *dyingConn) Write(p []byte) (int, error) {
	if !c.dead.Load() || c.goodbye && len(p) <= alertSize {
		return c.Conn.Write(p)
	}
	n := 0
	if c.partial {
		n, _ = c.Conn.Write(p[:1])
	}
	return n, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

// TestKeptConnectionThatDied pins when a request goes out again after a kept
// connection turned out to be dead: when not a byte of it was written, and then
// also when its body has already been read into the transport's buffer. It is
// inside the package because only a connection below the counter can fail so
// exactly.
func TestKeptConnectionThatDied(t *testing.T) {
	for name, test := range map[string]struct {
		secure, partial, goodbye, stream bool
		calls                            int64
	}{
		"plain":             {calls: 2},
		"TLS":               {secure: true, calls: 2},
		"TLS, goodbye said": {secure: true, goodbye: true, calls: 2},
		"plain, a byte out": {partial: true, calls: 1},
		"TLS, a byte out":   {secure: true, partial: true, calls: 1},
		"plain, a stream":   {stream: true, calls: 2}, // headers go out before a stream is read, so it is still whole
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			var bodies atomic.Value
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				b, _ := io.ReadAll(r.Body)
				bodies.Store(string(b))
			}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			roots := x509.NewCertPool()
			if test.secure {
				s.StartTLS()
				roots.AddCert(s.Certificate())
			} else {
				s.Start()
			}
			defer s.Close()
			transport, err := NewTransport(Options{RootCAs: roots})
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			var dead atomic.Bool
			dials := 0
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if dials++; err != nil || dials > 1 {
					return conn, err
				}
				counted := conn.(*countedConn)
				counted.Conn = &dyingConn{counted.Conn, &dead, test.partial, test.goodbye}
				return counted, nil
			}
			base, _ := url.Parse(s.URL)
			r := &Route{Name: "openai", Base: base, Dialect: openai.Dialect}
			send := func() error {
				body := func() io.ReadCloser { return io.NopCloser(strings.NewReader("the body")) }
				a := &Attempts{Route: r, Transport: transport, Retries: 1, Backoff: time.Millisecond, Replay: body}
				if test.stream {
					a.Replay = nil
				}
				req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL, nil)
				req.Body, req.ContentLength = body(), 8
				res, err := a.RoundTrip(req)
				if err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				return err
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			dead.Store(true)
			err = send()
			if (err == nil) != (test.calls == 2) || calls.Load() != test.calls || bodies.Load() != "the body" {
				t.Errorf("error %v, %d calls, body %q", err, calls.Load(), bodies.Load())
			}
			if e := Classify(err); err != nil && e.Cause != Reset {
				t.Errorf("cause %s", e.Cause)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"5", "1.5", "-1", "1e400", "NaN", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", " 7 ", "0x10", ""} {
		f.Add(v, v)
	}
	f.Fuzz(func(t *testing.T, ms, seconds string) {
		h := http.Header{"Retry-After-Ms": {ms}, "Retry-After": {seconds}}
		if d := restOf(h, time.Unix(1_800_000_000, 0)); d < 0 || d > maxRest {
			t.Errorf("%q, %q: %v", ms, seconds, d)
		}
	})
}

// BenchmarkRoundTrip shows what Attempts costs over the bare transport, against
// a server in the same process.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "{}")
	}))
	defer s.Close()
	transport, _ := NewTransport(Options{})
	defer transport.CloseIdleConnections()
	base, _ := url.Parse(s.URL)
	route := &Route{Name: "openai", Base: base, Dialect: openai.Dialect, Keys: NewPool([]APIKey{{}, {}}, nil)}
	body := func() io.ReadCloser { return io.NopCloser(strings.NewReader(strings.Repeat("x", 1500))) }
	for name, tripper := range map[string]func() http.RoundTripper{
		"bare": func() http.RoundTripper { return transport },
		"attempts": func() http.RoundTripper {
			return &Attempts{Route: route, Transport: transport, Swap: true, Replay: body}
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := http.NewRequest("POST", s.URL, nil)
				r.Body, r.ContentLength = body(), 1500
				res, err := tripper().RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
}
