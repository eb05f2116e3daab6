package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"forward/internal/upstream"
)

func TestTLSFailures(t *testing.T) {
	for name, test := range map[string]struct {
		base  func(t *testing.T, called func()) string
		count int
	}{
		"a certificate nobody knows": {func(t *testing.T, called func()) string {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called() }))
			s.Config.ErrorLog = quiet
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, 1},
		"a port that speaks HTTP": {func(t *testing.T, called func()) string {
			s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called() }))
			t.Cleanup(s.Close)
			return "https" + strings.TrimPrefix(s.URL, "http")
		}, 1},
		"a port that speaks something else": {func(t *testing.T, called func()) string { return greeter(t, "220 mail.example ESMTP\r\n") }, 1},
		"a port that hangs up":              {func(t *testing.T, called func()) string { return greeter(t, "") }, 3},
		"a server without common versions": {func(t *testing.T, called func()) string {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called() }))
			s.Config.ErrorLog = quiet
			s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			a, r := attempts(t, test.base(t, func() { t.Error("the key was sent") }), 1)
			a.Retries = 2
			_, err := a.RoundTrip(r)
			wantError(t, err, upstream.TLS)
			if a.Count != test.count {
				t.Errorf("count %d, want %d: a bad certificate stays bad, a broken handshake may not", a.Count, test.count)
			}
		})
	}
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

// TestHTTP2Refusals has a server that reports that it has not looked at a
// request, as busy providers do, and one that just drops it. Only the first may
// be sent again.
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
			r.GetBody = func() (io.ReadCloser, error) { return a.Replay(), nil } // must not tempt net/http to send again
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
