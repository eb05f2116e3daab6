//go:build fault

package fault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"forward/test/harness"
)

func netFaults() []scenario {
	return []scenario{
		{id: "F02", root: true, fault: "connections to the upstream are never answered",
			promise: "You get a 504 upstream_connect_timeout after TIMEOUT for each try, and pay nothing; another base URL of the route is asked if there is one.",
			run:     blackHole},
		{id: "F09", root: true, fault: "a firewall has forgotten the connections that are kept to the upstream, or the upstream's host was restarted",
			promise: "A request on one of these connections ends with a 502 upstream_reset or a 504 upstream_timeout and is not sent twice; the connection is not used again.",
			run:     forgottenConnections},
		{id: "F12", root: true, fault: "packets are lost in the middle of a stream, for a while or for good",
			promise: "Lost for a while, the stream comes to its end whole; for good, it ends with the error event upstream_timeout after STREAM_IDLE_TIMEOUT.",
			run:     lossInStream},
		{id: "F24", root: true, fault: "a client's machine is gone in the middle of a long answer, without a word",
			promise: "It is given up after 30 seconds, the upstream is left, and what was seen is billed.",
			run:     vanishedClient},
		{id: "F58", root: true, fault: "the upstream's name has an IPv6 address where no server answers beside an IPv4 address that is well",
			promise: "You get your answer over IPv4 after 0.3 seconds, and what comes after it on the same connection at once.",
			run:     deadIPv6},
	}
}

// island is another network with one host, which a wire joins to this one.
// Packets can be lost on the wire in either direction.
type island struct {
	s         *scene
	namespace string
	wire      [2]string // names of its ends: here and there
	address   [2]string
	mac       [2]string
	number    int // different for each at the same time
	taken     *keeper
}

// keeper is a listener that knows its connections.
type keeper struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (k *keeper) Accept() (net.Conn, error) {
	conn, err := k.Listener.Accept()
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.conns = append(k.conns, conn)
	}
	return conn, err
}

// forget ends all connections by a reset, which is sent once: when it is lost,
// the other side knows nothing of it.
func (k *keeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, conn := range k.conns {
		// A connection that is closed already is forgotten.
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	k.conns = nil
}

// nowhere is a hardware address that no interface has: what is sent to it is
// lost without an error.
const nowhere = "02:00:00:00:00:01"

// island makes one, of a number that is free: that of the port on which the
// upstream listens. It goes with the test.
func (s *scene) island() *island {
	s.Helper()
	number := s.up.Listener.Addr().(*net.TCPAddr).Port
	// 198.18.0.0/15 is for tests (RFC 2544) and has space for 32,768 networks
	// of four addresses.
	low := number % (1 << 15) * 4
	at := func(n int) string { return fmt.Sprintf("198.%d.%d.%d", 18+low>>16, low>>8&255, low&255+n) }
	i := &island{s: s, number: number, namespace: fmt.Sprint("forward-fault-", number),
		wire: [2]string{fmt.Sprint("fault", number, "a"), fmt.Sprint("fault", number, "b")}, address: [2]string{at(1), at(2)}}
	if _, err := exec.LookPath("ip"); err != nil {
		harness.Missing(s, "ip (Debian's package iproute2)")
	}
	if out, err := exec.Command("ip", "netns", "add", i.namespace).CombinedOutput(); err != nil {
		harness.Missing(s, "the right to make a network namespace ("+strings.TrimSpace(string(out))+")")
	}
	s.Cleanup(func() { i.ip("netns delete " + i.namespace) }) // and with it both ends of the wire
	there := "-n " + i.namespace + " "
	i.ip("link add " + i.wire[0] + " type veth peer name " + i.wire[1] + " netns " + i.namespace)
	i.ip("address add " + i.address[0] + "/30 dev " + i.wire[0])
	i.ip(there + "address add " + i.address[1] + "/30 dev " + i.wire[1])
	i.ip("link set " + i.wire[0] + " up")
	i.ip(there + "link set lo up")
	i.ip(there + "link set " + i.wire[1] + " up")
	i.mac[0] = i.hardware(i.wire[0])
	i.within(func() { i.mac[1] = i.hardware(i.wire[1]) })
	i.heal()
	return i
}

// ip runs a command of iproute2.
func (i *island) ip(line string) {
	i.s.Helper()
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		i.s.Fatalf("ip %s: %v: %s", line, err, out)
	}
}

func (i *island) hardware(name string) string {
	i.s.Helper()
	wire, err := net.InterfaceByName(name)
	if err != nil {
		i.s.Error(err)
		return ""
	}
	return wire.HardwareAddr.String()
}

// send sets the hardware address to which each end sends.
func (i *island) send(there, here string) {
	i.s.Helper()
	i.ip("neighbour replace " + i.address[1] + " lladdr " + there + " dev " + i.wire[0] + " nud permanent")
	i.ip("-n " + i.namespace + " neighbour replace " + i.address[0] + " lladdr " + here + " dev " + i.wire[1] + " nud permanent")
}

// lose loses every packet from now on, in both directions.
func (i *island) lose() { i.s.Helper(); i.send(nowhere, nowhere) }

// heal lets packets pass again.
func (i *island) heal() { i.s.Helper(); i.send(i.mac[1], i.mac[0]) }

// within calls f on a thread of the island. Sockets that it makes belong to the
// island for good.
func (i *island) within(f func()) {
	i.s.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, for no other may run on the island
		namespace, err := os.Open(filepath.Join("/run/netns", i.namespace))
		if err == nil {
			defer namespace.Close()
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		i.s.Fatalf("entering a network namespace: %v", err)
	}
}

// moves has the scripted upstream listen on the island. It returns where it has
// listened before, which serves on.
func (i *island) moves() (before string) {
	i.s.Helper()
	var listener net.Listener
	var err error
	i.within(func() { listener, err = net.Listen("tcp4", i.address[1]+":0") })
	if err != nil {
		i.s.Fatal(err)
	}
	old := i.s.up.Server
	i.s.Cleanup(old.Close)
	i.taken = &keeper{Listener: listener}
	moved := &httptest.Server{Listener: i.taken, Config: &http.Server{Handler: i.s.up.Handler}}
	moved.Start()
	i.s.up.Server = moved
	return old.URL
}

func blackHole(s *scene) {
	i := s.island()
	near := i.moves()
	alone := s.start(setup{env: []string{"TIMEOUT=1s"}})
	both := s.start(setup{base: s.up.URL + "|" + near, env: []string{"TIMEOUT=1s"}, slack: 4})
	before := alone.spent()
	s.up.CloseClientConnections()
	i.lose()
	a := alone.chat("", "")
	s.refused(a, 504, "upstream_connect_timeout")
	s.hides(a, i.address[1])
	s.calls(a, 0)
	if a.took < time.Second {
		s.Errorf("it was refused after %v", a.took)
	}
	if spent := alone.spent() - before; spent != 0 {
		s.Errorf("what was never sent has cost %d of the budget", spent)
	}
	for range 5 {
		a := both.chat("", "")
		s.served(a)
		s.calls(a, 1)
	}
	i.heal()
}

func forgottenConnections(s *scene) {
	i := s.island()
	i.moves()
	g := s.start(setup{env: []string{"HEADER_TIMEOUT=2s", "RETRIES=2"}})
	// The upstream forgets, and the packet that would report it is lost.
	s.served(g.chat("", ""))
	i.lose()
	i.taken.forget()
	i.heal()
	a := g.chat("", "")
	s.refused(a, 502, "upstream_reset")
	s.calls(a, 0)
	s.served(g.chat("", ""))

	// Whatever is sent on the connection is lost, and new ones are well: a
	// firewall in between forgets.
	i.lose()
	a = g.chat("", "")
	s.refused(a, 504, "upstream_timeout")
	s.calls(a, 0)
	i.heal()
	s.served(g.chat("", ""))
}

// head sends a request and reads the start of its answer.
func (g *gateway) head(c call, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*http.Response, string) {
	g.s.Helper()
	r, name := g.request(c)
	resp, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: dial}).RoundTrip(r)
	if err != nil {
		g.s.Fatal(err)
	}
	g.s.Cleanup(func() { resp.Body.Close() })
	if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
		g.s.Fatal(err)
	}
	return resp, name
}

func lossInStream(s *scene) {
	i := s.island()
	i.moves()
	g := s.start(setup{env: []string{"STREAM_IDLE_TIMEOUT=5s"}})
	c := call{path: chatPath, script: "slow-stream-20-ms", body: chatBody("gpt-4o-mini", "hi", streaming)}
	resp, name := g.head(c, nil)
	i.lose()
	time.Sleep(300 * time.Millisecond)
	i.heal()
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.HasSuffix(rest, []byte("data: [DONE]\n\n")) || bytes.Contains(rest, []byte(`"error"`)) {
		s.Errorf("a stream that has lost packets for a while ends with %v: %s", err, harness.Tail(string(rest)))
	}
	s.calls(answer{name: name}, 1)

	c.script = "slow-stream-50-ms"
	resp, name = g.head(c, nil)
	i.lose()
	rest, err = io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(rest, []byte("upstream_timeout")) || bytes.Contains(rest, []byte("[DONE]")) {
		s.Errorf("a stream whose upstream is gone ends with %v: %s", err, harness.Tail(string(rest)))
	}
	i.heal()
	s.calls(answer{name: name}, 1)
}

func vanishedClient(s *scene) {
	i := s.island()
	g := s.start(setup{env: []string{"HOST=0.0.0.0"}})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		s.Fatal(err)
	}
	from := func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		i.within(func() { conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(i.address[0], port)) })
		return conn, err
	}
	_, name := g.head(call{path: "/v1/files/file-1/content", method: "GET", script: "big-chunked-40-mb"}, from)
	i.lose()
	start := time.Now()
	for g.metric("forward_in_flight_requests") > 0 {
		if time.Since(start) > 80*time.Second {
			s.Fatal("who is gone is still served")
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.left(answer{name: name})
}

func deadIPv6(s *scene) {
	i := s.island()
	i.moves()
	// 2001:db8::/32 is for documents (RFC 3849); no host has an address of it.
	// It comes before IPv4 (RFC 6724).
	network := fmt.Sprintf("2001:db8:0:%x::", i.number)
	if out, err := exec.Command("ip", "address", "add", network+"1/64", "dev", i.wire[0], "nodad").CombinedOutput(); err != nil {
		harness.Missing(s, "IPv6 ("+strings.TrimSpace(string(out))+")")
	}
	i.ip("neighbour replace " + network + "2 lladdr " + nowhere + " dev " + i.wire[0] + " nud permanent")
	hosts := filepath.Join(s.TempDir(), "hosts")
	const name = "two-families.test"
	if err := os.WriteFile(hosts, fmt.Appendf(nil, "127.0.0.1 localhost\n%s2 %s\n%s %[2]s\n", network, name, i.address[1]), 0o644); err != nil {
		s.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(i.s.up.Listener.Addr().String())
	g := s.start(setup{base: "http://" + net.JoinHostPort(name, port), env: []string{"TIMEOUT=30s"},
		wrap: []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts}, slack: 4})
	first := g.chat("", "")
	s.served(first)
	// Without trying IPv6 it would take no time, and one address after the
	// other half of TIMEOUT.
	if first.took < 250*time.Millisecond || first.took > 10*time.Second {
		s.Errorf("the first answer took %v", first.took)
	}
	s.within("an answer over the connection that is there does not wait", func() bool {
		a := g.chat("", "")
		s.served(a)
		return a.took < 250*time.Millisecond
	})
}
