//go:build e2e

package e2e

import (
	"bufio"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"forward/internal/upstreamtest"
)

// The upstream's name below resolves nowhere, so an answer proves that the
// proxy was asked; the proxies here lead every destination to the scripted
// upstream.
const somewhere = "api.provider.example"

// tunnel copies between two connections until either ends.
func tunnel(client net.Conn, fromClient io.Reader, upstream net.Conn) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(upstream, fromClient)
		upstream.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(client, upstream)
		client.Close()
	})
	both.Wait()
}

// asked is what a proxy was asked for, in order.
type asked struct {
	mu   sync.Mutex
	list []string
}

func (a *asked) add(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, s)
}

func (a *asked) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.list, " ")
}

// httpProxy is an HTTP proxy: absolute-form requests for http upstreams,
// CONNECT for https ones.
func httpProxy(t *testing.T, upstream string) (string, *asked) {
	t.Helper()
	seen := &asked{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization"))
		if r.Method == http.MethodConnect {
			out, err := net.Dial("tcp", upstream)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			in, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				out.Close()
				return
			}
			_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
			tunnel(in, buffered, out)
			return
		}
		r.URL.Host, r.RequestURI = upstream, ""
		r.Header.Del("Proxy-Authorization")
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), seen
}

// socksProxy is a SOCKS5 proxy (RFC 1928) that knows CONNECT, and asks for a
// name and a password (RFC 1929) if it is offered.
func socksProxy(t *testing.T, upstream string) (string, *asked) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := &asked{}
	var open sync.WaitGroup
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			open.Go(func() {
				defer conn.Close()
				if err := socks(conn, upstream, seen); err != nil {
					seen.add(err.Error())
				}
			})
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), seen
}

func socks(conn net.Conn, upstream string, seen *asked) error {
	in := bufio.NewReader(conn)
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b) // short reads leave zeros, which no check below accepts
		return b
	}
	head := read(2)
	login := ""
	if methods := read(int(head[1])); strings.Contains(string(methods), "\x02") {
		_, _ = conn.Write([]byte{5, 2})
		name := string(read(int(read(2)[1])))
		login = name + ":" + string(read(int(read(1)[0]))) + "@"
		_, _ = conn.Write([]byte{1, 0})
	} else {
		_, _ = conn.Write([]byte{5, 0})
	}
	request := read(4)
	if request[0] != 5 || request[1] != 1 || request[3] != 3 {
		return fmt.Errorf("unexpected request % x: the name should go to the proxy unresolved", request)
	}
	host := string(read(int(read(1)[0])))
	seen.add(fmt.Sprintf("%s%s:%d", login, host, binary.BigEndian.Uint16(read(2))))
	out, err := net.Dial("tcp", upstream)
	if err != nil {
		return err
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	tunnel(conn, in, out)
	return nil
}

// TestProxy reaches upstreams over each kind of proxy, in the clear and by TLS.
func TestProxy(t *testing.T) {
	plain := startUpstream(t)
	handler := upstreamtest.NewHandler()
	secure := httptest.NewTLSServer(handler)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	plainAddr, secureAddr := strings.TrimPrefix(plain.URL, "http://"), strings.TrimPrefix(secure.URL, "https://")
	// httptest's certificate is for example.com.
	for _, c := range []struct{ name, scheme, login, base, upstream, want string }{
		{"HTTP proxy, absolute form", "http", "", "http://" + somewhere, plainAddr, "POST http://" + somewhere + "/v1/chat/completions"},
		{"HTTP proxy with a login", "http", "me:secret@", "http://" + somewhere, plainAddr, "Basic bWU6c2VjcmV0"},
		{"HTTP proxy, CONNECT", "http", "", "https://example.com", secureAddr, "CONNECT example.com:443"},
		{"SOCKS5", "socks5", "", "http://" + somewhere, plainAddr, somewhere + ":80"},
		{"SOCKS5 with a login", "socks5", "me:secret@", "http://" + somewhere + ":8080", plainAddr, "me:secret@" + somewhere + ":8080"},
		{"SOCKS5 and TLS", "socks5", "", "https://example.com", secureAddr, "example.com:443"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := httpProxy
			if c.scheme == "socks5" {
				proxy = socksProxy
			}
			addr, seen := proxy(t, c.upstream)
			gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL="+c.base, "PROXY="+c.scheme+"://"+c.login+addr, "SSL_CERT_FILE="+ca)
			for _, extra := range []string{"", `,"stream":true`} {
				a := send(t, "POST", gw.URL+"/v1/chat/completions", chatBody("m", "over the proxy", extra), bearer("sk-own")...)
				if a.status != 200 || a.err != nil || !strings.Contains(string(a.body), "proxy") {
					t.Fatalf("status %d, error %v: %s; the proxy was asked for %s", a.status, a.err, a.body, seen)
				}
			}
			if !strings.Contains(seen.String(), c.want) {
				t.Errorf("the proxy was asked for %q, want %q", seen, c.want)
			}
			if strings.Contains(gw.Stderr.String(), "secret") {
				t.Error("the proxy's password is in the banner or in the log")
			}
		})
	}
}

// TestProxiesOfTheEnvironmentAreNotUsed: only PROXY decides where requests go.
func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	up, trap := startUpstream(t), listen(t)
	// Loopback upstreams never use a proxy of the environment, so the check is
	// on a name.
	gw := startForward(t, t.TempDir(), "OPENAI_BASE_URL=http://"+somewhere, "EXTRA_BASE_URL="+up.URL, "EXTRA_ROUTE_PREFIX=/up",
		"HTTP_PROXY=http://"+trap.Addr().String(), "HTTPS_PROXY=http://"+trap.Addr().String(), "ALL_PROXY=socks5://"+trap.Addr().String(), "RETRIES=0")
	a := send(t, "GET", gw.URL+"/v1/models", "")
	if a.status != 502 || trap.seen.Load() != 0 {
		t.Errorf("status %d, %d connections to the proxy of the environment", a.status, trap.seen.Load())
	}
}
