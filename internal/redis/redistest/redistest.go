// Package redistest starts Redis servers for tests, proxies that lose them, and
// connections to both.
package redistest

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"forward/internal/redis"
)

// Each runs a test against miniredis, and against the real server if it is
// installed.
func Each(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("miniredis", func(t *testing.T) { test(t, "redis://"+miniredis.RunT(t).Addr()) })
	t.Run("redis-server", func(t *testing.T) { test(t, Start(t)) })
}

// Start starts a real server and returns its URL.
func Start(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed, and CI must not pass without it")
		}
		t.Skip("SKIPPED: redis-server is not in PATH, so the script was tried on miniredis only; install redis-server to run this")
	}
	dir, err := os.MkdirTemp("", "redis") // not t.TempDir: the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s") // not a port: another test may take it between its choice and its use
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	Eventually(t, "redis-server comes up", func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "unix://" + socket
}

// Eventually waits until ok reports true, or fails the test after 10 s.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Client returns a plain client of a server.
func Client(t testing.TB, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// Open returns a connection that notices early that Redis is back.
func Open(t testing.TB, o redis.Options) *redis.Conn {
	t.Helper()
	o.Retry = 10 * time.Millisecond
	c, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Patient returns a connection that waits longer for Redis than requests do,
// for machines that are busy with other tests.
func Patient(t testing.TB, url string) *redis.Conn {
	t.Helper()
	return Open(t, redis.Options{URL: url, Patience: 10 * time.Second})
}

// Proxy is a TCP proxy before a Redis. It can be cut, or swallow all messages.
type Proxy struct {
	net.Listener
	to       string
	Swallows atomic.Bool
	Received atomic.Int64 // messages to Redis
	mu       sync.Mutex   // guards conns
	conns    []net.Conn
	wg       sync.WaitGroup
}

// NewProxy starts a proxy on a free port. The test's cleanup cuts it.
func NewProxy(t *testing.T, to string) *Proxy { return listen(t, "127.0.0.1:0", to) }

// Reopen starts a proxy on the address of p, which was cut.
func (p *Proxy) Reopen(t *testing.T) *Proxy { return listen(t, p.Addr().String(), p.to) }

func listen(t *testing.T, address, to string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Listener: listener, to: to}
	p.wg.Go(p.serve)
	t.Cleanup(func() { p.Cut(); p.wg.Wait() })
	return p
}

func (p *Proxy) serve() {
	for {
		in, err := p.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.wg.Go(func() { io.Copy(in, out); in.Close() })
		p.wg.Go(func() { p.pump(out, in) })
	}
}

func (p *Proxy) pump(out, in net.Conn) {
	defer out.Close()
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		p.Received.Add(1)
		if !p.Swallows.Load() {
			out.Write(buf[:n])
		}
	}
}

// Cut closes the listener and all connections, as a Redis that dies does.
func (p *Proxy) Cut() {
	p.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
}
