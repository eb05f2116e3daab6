package upstream_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"forward/internal/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an upstream that records what it is asked.
type fake struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func serve(t testing.TB, handler http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.seen, f.body = append(f.seen, r), append(f.body, string(b))
		f.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// key returns which of the test's API keys a request carries, or -1.
func key(r *http.Request) int {
	for i := range 10 {
		if r.Header.Get("Authorization") == "Bearer "+apiKey(i) {
			return i
		}
	}
	return -1
}

// used returns the API keys of all requests, as digits.
func (f *fake) used() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := ""
	for _, r := range f.seen {
		s += fmt.Sprint(key(r))
	}
	return s
}

func (f *fake) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seen)
}

func mustTransport(t testing.TB, o upstream.Options) *http.Transport {
	t.Helper()
	transport, err := upstream.NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// attempts returns the Attempts of a request with the body «the body», which
// can be replayed, and n API keys.
func attempts(t testing.TB, base string, n int) (*upstream.Attempts, *http.Request) {
	t.Helper()
	r := route(t, "openai", base, "/")
	r.Keys = pool(n, nil)
	replay := func() io.ReadCloser { return io.NopCloser(strings.NewReader("the body")) }
	a := &upstream.Attempts{Route: r, Transport: mustTransport(t, upstream.Options{}), Swap: n > 0, Replay: replay, Backoff: time.Millisecond}
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL("/v1/chat/completions", "a=1").String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer fk-alice")
	req.Body, req.ContentLength = replay(), int64(len("the body"))
	return a, req
}

// read returns an answer's body and ends it.
func read(t testing.TB, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return string(b)
}

// wantError returns err as an *Error and fails the test unless it has the cause
// and gives clients neither host nor key.
func wantError(t testing.TB, err error, cause upstream.Cause) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || e.Cause != cause {
		t.Fatalf("error %v, want cause %s", err, cause)
	}
	for _, text := range []string{e.Message(), e.Error(), fmt.Sprintf("%+v", e.Err)} {
		for i := range 5 {
			if strings.Contains(text, apiKey(i)) {
				t.Errorf("an API key is in %q", text)
			}
		}
		if strings.Contains(text, "a=1") || strings.Contains(text, "fk-alice") {
			t.Errorf("the query or the forward key is in %q", text)
		}
	}
	if m := e.Message(); !strings.HasSuffix(m, ".") || e.Host == "" || strings.Contains(m, e.Host) || strings.Contains(m, "127.0.0.1") || e.Cause != upstream.Canceled && e.Cause != upstream.ClientBody && !strings.Contains(m, "'openai'") {
		t.Errorf("message %q", m)
	}
	if !strings.Contains(e.Error(), `route "openai" (`+e.Host+`): `+string(cause)) {
		t.Errorf("error %q", e)
	}
	return e
}

// closer notes that a body was closed, and like a server's cannot be read any
// more then.
type closer struct {
	io.ReadCloser
	closed *bool
}

func (c closer) Read(p []byte) (int, error) {
	if *c.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return c.ReadCloser.Read(p)
}

func (c closer) Close() error { *c.closed = true; return c.ReadCloser.Close() }

// raw is an upstream that speaks through bare sockets: it reads one request of
// each connection and hands the connection over.
type raw struct {
	net.Listener
	requests atomic.Int64 // that came whole
}

func listen(t testing.TB, answer func(conn *net.TCPConn, n int64)) *raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				answer(conn.(*net.TCPConn), r.requests.Add(1))
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return r
}

func (r *raw) url() string { return "http://" + r.Addr().String() }

// closedPort returns an address that nothing listens on.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func reset(conn *net.TCPConn, _ int64) { conn.SetLinger(0) }

func answerWith(text string) func(*net.TCPConn, int64) {
	return func(conn *net.TCPConn, _ int64) { io.WriteString(conn, text) }
}

// greeter is a TLS port that is none: it sends text, reads a little and hangs
// up.
func greeter(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, text)
			conn.Read(make([]byte, 64))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "https://" + l.Addr().String()
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("malformed chunk") }

var quiet = log.New(io.Discard, "", 0)

// fullListener returns an address whose queue of connections is full: further
// ones get no answer at all.
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
