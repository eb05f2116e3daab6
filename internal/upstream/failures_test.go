package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"forward/internal/keys"
	"forward/internal/upstream"
)

func TestDeadConnectionsAreNeverUsedForASecondTry(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(*net.TCPConn, int64)
		cause  upstream.Cause
	}{
		"reset before the headers":  {reset, upstream.Reset},
		"closed before the headers": {func(*net.TCPConn, int64) {}, upstream.Reset},
		"closed in the headers":     {answerWith("HTTP/1.1 200 OK\r\nA: b\r\n"), upstream.Reset},
		"not HTTP":                  {answerWith("SSH-2.0-OpenSSH_9.6\r\n"), upstream.BadResponse},
		"not HTTP, quoting the key": {answerWith(apiKey(0) + " is what you sent\r\n\r\n"), upstream.BadResponse},
		"a broken status":           {answerWith("HTTP/1.1 2x0 OK\r\n\r\n"), upstream.BadResponse},
		"a broken header":           {answerWith("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), upstream.BadResponse},
		"a broken length":           {answerWith("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), upstream.BadResponse},
		"two megabytes of headers":  {answerWith("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n"), upstream.BadResponse},
	} {
		for _, how := range []string{"replayable", "stream", "idempotent", "idempotent without a body"} {
			t.Run(name+", "+how, func(t *testing.T) {
				up := listen(t, test.answer)
				a, r := attempts(t, up.url(), 2)
				a.Retries = 3
				switch how {
				case "stream":
					a.Replay = nil
				case "idempotent":
					r.Header.Set("Idempotency-Key", "once")
				case "idempotent without a body":
					r.Header.Set("X-Idempotency-Key", "once")
					r.Body, r.ContentLength = nil, 0
				}
				_, err := a.RoundTrip(r)
				wantError(t, err, test.cause)
				if n := up.requests.Load(); n != 1 || a.Count != 1 {
					t.Errorf("the upstream saw %d requests, count %d", n, a.Count)
				}
			})
		}
	}
}

// TestIdempotencyKeyIsNoReasonToSendAgain pins that net/http does not re-send a
// POST by its own rules: it does so for one with Idempotency-Key when a kept
// connection dies (measured: the upstream executed one call twice).
func TestIdempotencyKeyIsNoReasonToSendAgain(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "None"} {
		for _, body := range []string{"replayable", "none"} {
			t.Run(name+" with body "+body, func(t *testing.T) {
				var requests atomic.Int64
				var sent atomic.Value
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if requests.Add(1) == 1 {
						return // keeps the connection
					}
					io.Copy(io.Discard, r.Body)
					sent.Store(r.Header.Get(name))
					conn, _, _ := http.NewResponseController(w).Hijack()
					conn.Close()
				}))
				defer s.Close()
				a, first := attempts(t, s.URL, 1)
				res, err := a.RoundTrip(first)
				if err != nil {
					t.Fatal(err)
				}
				read(t, res)
				_, r := attempts(t, s.URL, 1)
				r.Header.Set(name, "once")
				r.GetBody = func() (io.ReadCloser, error) { return a.Replay(), nil }
				if body == "none" {
					r.Body, r.ContentLength = http.NoBody, 0
				}
				a.Retries = 3
				_, err = a.RoundTrip(r)
				wantError(t, err, upstream.Reset)
				if requests.Load() != 2 || sent.Load() != "once" {
					t.Errorf("the upstream saw %d requests, the header as %q", requests.Load()-1, sent.Load())
				}
			})
		}
	}
}

func TestRefusedConnections(t *testing.T) {
	address := closedPort(t)
	for name, change := range map[string]func(*upstream.Attempts, *http.Request){
		"replayable": func(*upstream.Attempts, *http.Request) {},
		"stream":     func(a *upstream.Attempts, _ *http.Request) { a.Replay = nil },
		"no body":    func(a *upstream.Attempts, r *http.Request) { a.Replay, r.Body, r.ContentLength = nil, nil, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			a, r := attempts(t, "http://"+address, 2)
			a.Retries = 2
			change(a, r)
			closed := false
			if r.Body != nil {
				r.Body = closer{r.Body, &closed}
			}
			_, err := a.RoundTrip(r)
			e := wantError(t, err, upstream.ConnectFailed)
			if a.Count != 3 || !strings.Contains(e.Error(), "connection refused") {
				t.Errorf("count %d, %v", a.Count, e)
			}
			if r.Body != nil && !closed {
				t.Error("the body was not closed")
			}
		})
	}
}

func TestUnknownHosts(t *testing.T) {
	a, r := attempts(t, "http://no-such-host.invalid", 1)
	a.Retries = 1
	_, err := a.RoundTrip(r)
	if e := wantError(t, err, upstream.DNS); a.Count != 2 || !strings.Contains(e.Error(), "no-such-host.invalid") {
		t.Errorf("count %d, %v", a.Count, e)
	}
}

func TestTimeouts(t *testing.T) {
	t.Run("headers", func(t *testing.T) {
		release := make(chan struct{})
		up := listen(t, func(*net.TCPConn, int64) { <-release })
		defer close(release)
		a, r := attempts(t, up.url(), 1)
		a.Transport, a.Retries = mustTransport(t, upstream.Options{HeaderTimeout: 30 * time.Millisecond}), 3
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.Timeout)
		if up.requests.Load() != 1 {
			t.Errorf("%d requests", up.requests.Load())
		}
	})
	t.Run("TLS handshake", func(t *testing.T) {
		release := make(chan struct{})
		up := listen(t, func(*net.TCPConn, int64) { <-release })
		defer close(release)
		a, r := attempts(t, "https://"+up.Addr().String(), 1)
		a.Transport = mustTransport(t, upstream.Options{TLSTimeout: 30 * time.Millisecond})
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.TLS)
	})
	t.Run("connect", func(t *testing.T) {
		a, r := attempts(t, "http://"+fullListener(t), 1)
		a.Transport, a.Retries = mustTransport(t, upstream.Options{ConnectTimeout: 40 * time.Millisecond}), 3
		_, err := a.RoundTrip(r)
		wantError(t, err, upstream.ConnectTimeout)
		if a.Count != 1 {
			t.Errorf("count %d: a client should not wait for four timeouts", a.Count)
		}
	})
	t.Run("the request's own deadline", func(t *testing.T) {
		release := make(chan struct{})
		up := listen(t, func(*net.TCPConn, int64) { <-release })
		defer close(release)
		a, r := attempts(t, up.url(), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := a.RoundTrip(r.WithContext(ctx))
		wantError(t, err, upstream.Timeout)
	})
}

func TestAClientThatLeavesIsNotServedAgain(t *testing.T) {
	for name, cause := range map[string]error{"without a reason": nil, "with a reason": errors.New("the gateway stops")} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			ctx, leave := context.WithCancelCause(t.Context())
			up := listen(t, func(*net.TCPConn, int64) { leave(cause); <-release })
			defer close(release)
			a, r := attempts(t, up.url(), 2)
			a.Retries = 3
			_, err := a.RoundTrip(r.WithContext(ctx))
			wantError(t, err, upstream.Canceled)
			if !errors.Is(err, context.Canceled) || cause != nil && !errors.Is(err, cause) || a.Count != 1 || up.requests.Load() != 1 {
				t.Errorf("%v, count %d", err, a.Count)
			}
			if _, err := a.RoundTrip(r.WithContext(ctx)); !errors.Is(err, context.Canceled) || up.requests.Load() != 1 {
				t.Errorf("a request that was already canceled: %v", err)
			}
		})
	}
}

func TestABrokenRequestBodyIsTheClientsFault(t *testing.T) {
	f := serve(t, func(http.ResponseWriter, *http.Request) {})
	a, r := attempts(t, f.URL, 2)
	a.Replay, a.Retries = nil, 3
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{})), -1
	_, err := a.RoundTrip(r)
	if e := wantError(t, err, upstream.ClientBody); !strings.Contains(e.Error(), "malformed chunk") || a.Count != 1 {
		t.Errorf("%v, count %d", e, a.Count)
	}
}

func TestUpgradesPassThrough(t *testing.T) {
	up := listen(t, func(conn *net.TCPConn, _ int64) {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		b := make([]byte, 5)
		io.ReadFull(conn, b)
		fmt.Fprintf(conn, "echo %s", b)
	})
	a, r := attempts(t, up.url(), 1)
	r.Method, r.Body, r.ContentLength, a.Replay = "GET", nil, 0, nil
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	res, err := a.RoundTrip(r)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	defer res.Body.Close()
	conn, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatal("the connection cannot be written to")
	}
	io.WriteString(conn, "hello")
	if half, ok := conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		t.Error("one direction cannot be ended")
	}
	if got, _ := io.ReadAll(conn); string(got) != "echo hello" {
		t.Errorf("got %q", got)
	}
}

func TestClassify(t *testing.T) {
	own := &upstream.Error{Cause: upstream.AuthFailed, Err: errors.New("x"), Route: "r"}
	for name, test := range map[string]struct {
		err  error
		want upstream.Cause
	}{
		"its own":             {fmt.Errorf("sending: %w", own), upstream.AuthFailed},
		"a deadline":          {context.DeadlineExceeded, upstream.Timeout},
		"a cancel":            {fmt.Errorf("x: %w", context.Canceled), upstream.Canceled},
		"a name":              {&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, upstream.DNS},
		"a dial":              {&net.OpError{Op: "dial", Err: errors.New("x")}, upstream.ConnectFailed},
		"no descriptor":       {&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, upstream.Overloaded},
		"none for a lookup":   {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "dial udp: socket: " + syscall.EMFILE.Error()}}, upstream.Overloaded},
		"a slow dial":         {&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, upstream.ConnectTimeout},
		"a slow read":         {&net.OpError{Op: "read", Err: context.DeadlineExceeded}, upstream.Timeout},
		"a proxy":             {&net.OpError{Op: "proxyconnect", Err: errors.New("x")}, upstream.ConnectFailed},
		"an alert":            {&net.OpError{Op: "remote error", Err: tls.AlertError(40)}, upstream.TLS},
		"a certificate":       {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, upstream.TLS},
		"the end":             {io.ErrUnexpectedEOF, upstream.Reset},
		"who knows":           {errors.New("x"), upstream.Reset},
		"an error with a URL": {&url.Error{Op: "Get", URL: "http://h/?key=sk-1", Err: io.EOF}, upstream.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			e := upstream.Classify(test.err)
			if e.Cause != test.want || strings.Contains(e.Error(), "sk-1") || !strings.HasSuffix(e.Message(), ".") {
				t.Errorf("%v: %s", e, e.Message())
			}
		})
	}
	if upstream.Classify(nil) != nil || upstream.Classify(own) != own {
		t.Error("nil and its own errors stay what they are")
	}
}

func TestForwardKeyNeverReachesAnError(t *testing.T) {
	a, r := attempts(t, "http://"+closedPort(t), 1)
	r.Header.Set("X-Bad", "fk-alice\x00") // net/http refuses to send it
	a.OnSecret = func(keys.Secret) {}
	_, err := a.RoundTrip(r)
	if err == nil || strings.Contains(err.Error(), "fk-alice") || strings.Contains(err.Error(), apiKey(0)) {
		t.Errorf("%v", err)
	}
}
