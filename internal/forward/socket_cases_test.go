package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"forward/internal/keys"
	"forward/internal/queue"
	frames "forward/internal/websocket"
)

func TestAResponseThatBreaksOffOnAWebSocket(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, playing(t).ServeHTTP, accounts)
	c := b.dial("/v1/responses")
	c.send(create("err-429", "one"))
	wantError(t, c.last(), 429, "scripted_error", "scripted")
	c.send(create("cut-mid-stream", "one two three four"))
	wantError(t, c.last(), 502, "upstream_reset", "Connection error")
	if code, reason := c.closed(); code != websocket.StatusInternalError || !strings.Contains(reason, "Connection error") {
		t.Errorf("closed with %d %q", code, reason)
	}
	got := rows(b)
	if len(got) != 2 {
		t.Fatalf("%d rows", len(got))
	}
	if r := got[0]; r.Status != 429 || r.Cost != 0 || r.Usage.Total != 0 || r.Estimated {
		t.Errorf("of an error of the upstream's: %+v", r)
	}
	if r := got[1]; !r.Estimated || r.Usage.Input == 0 || r.Usage.Output == 0 || r.Cause != "upstream_reset" {
		t.Errorf("of a cut response: %+v", r)
	}
}

func TestAClientThatLeavesInTheMiddleOfAResponse(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, playing(t).ServeHTTP, accounts)
	c := b.dial("/v1/responses")
	c.send(create("slow-stream-2-ms", "one"))
	for range 6 {
		c.next()
	}
	c.conn.CloseNow()
	got := rows(b)
	if len(got) != 1 || got[0].Cause != "client_gone" || !got[0].Estimated || got[0].Usage.Output == 0 {
		t.Errorf("%+v", got)
	}
}

func TestACreateWaitsInTheQueueOfAWebSocket(t *testing.T) {
	scheduler := must(queue.New(queue.Options{Rules: []queue.Rule{{Models: "*", Model: queue.Model{MaxParallel: 1, MaxQueue: 1, MaxWait: time.Minute}}}}))(t)
	accounts, rows := accounting(t)
	b := start(t, playing(t).ServeHTTP, func(s *setup) {
		accounts(s)
		s.Scheduler = scheduler
	})
	first, second, third := b.dial("/v1/responses"), b.dial("/v1/responses"), b.dial("/v1/responses")
	first.send(create("slow-stream-2-ms", "one"))
	first.next()
	second.send(create("slow-stream-2-ms", "one"))
	time.Sleep(50 * time.Millisecond)
	third.send(create("slow-stream-2-ms", "one"))
	wantError(t, third.last(), 429, "queue_full", "")
	// A ping passes while the message waits: nothing but the upstream answers
	// it.
	ctx, cancel := context.WithTimeout(second.ctx, time.Second)
	defer cancel()
	go second.conn.Read(second.ctx)
	if err := second.conn.Ping(ctx); err != nil {
		t.Errorf("a ping of a client that waits: %v", err)
	}
	second.conn.CloseNow()
	first.last()
	third.send(create("gpt-4o-mini", "one"))
	if got := third.last(); gjson.Get(got, "type").Str != "response.completed" {
		t.Error(got)
	}
	first.bye(b)
	third.bye(b)
	sum := 0
	for _, r := range rows(b) {
		if r.Status == 200 {
			sum++
		}
	}
	if sum != 2 {
		t.Errorf("%d responses were made", sum)
	}
}

func TestACancelEndsTheWaitInTheQueue(t *testing.T) {
	scheduler := must(queue.New(queue.Options{Rules: []queue.Rule{{Models: "*", Model: queue.Model{MaxParallel: 1, MaxQueue: 1, MaxWait: time.Minute}}}}))(t)
	b := start(t, playing(t).ServeHTTP, func(s *setup) { s.Scheduler = scheduler })
	first, second := b.dial("/v1/responses"), b.dial("/v1/responses")
	first.send(create("slow-stream-2-ms", "one"))
	first.next()
	second.send(create("slow-stream-2-ms", "one"))
	time.Sleep(50 * time.Millisecond)
	second.send(`{"type":"response.cancel"}`)
	wantError(t, second.last(), 400, "response_cancelled", "cancelled")
	first.last()
	first.bye(b)
	second.bye(b)
}

func TestADrainClosesWebSockets(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, playing(t).ServeHTTP, accounts)
	idle, busy := b.dial("/v1/responses"), b.dial("/v1/responses")
	busy.send(create("slow-stream-2-ms", "one"))
	busy.next()
	b.gateway.EndSockets()
	if code, reason := idle.closed(); code != websocket.StatusServiceRestart || !strings.Contains(reason, "shutting down") {
		t.Errorf("an idle one is closed with %d %q", code, reason)
	}
	if got := busy.last(); gjson.Get(got, "type").Str != "response.completed" {
		t.Errorf("the running response ended with %s", got)
	}
	if code, _ := busy.closed(); code != websocket.StatusServiceRestart {
		t.Errorf("a busy one is closed with %d", code)
	}
	if got := rows(b); len(got) != 1 || got[0].Cause != "" {
		t.Errorf("%+v", got)
	}
}

// TestADrainLetsTheLastMessageOut ends many responses while the gateway drains:
// what ends a response reaches the client before the close frame.
func TestADrainLetsTheLastMessageOut(t *testing.T) {
	b := start(t, playing(t).ServeHTTP, nil)
	busy := make([]*talk, 40)
	for i := range busy {
		busy[i] = b.dial("/v1/responses")
		busy[i].send(create("slow-stream-2-ms", "one"))
		busy[i].next()
	}
	b.gateway.EndSockets()
	for _, c := range busy {
		if got := c.last(); gjson.Get(got, "type").Str != "response.completed" {
			t.Errorf("the running response ended with %s", got)
		}
		c.closed()
	}
}

func TestAnAbortEndsTheResponsesOfAWebSocket(t *testing.T) {
	b := start(t, playing(t).ServeHTTP, nil)
	c := b.dial("/v1/responses")
	c.send(create("stall", "one two three"))
	c.next()
	b.gateway.Abort()
	wantError(t, c.last(), 503, "gateway_shutting_down", "shutting down")
	if code, _ := c.closed(); code != websocket.StatusServiceRestart {
		t.Errorf("closed with %d", code)
	}
	b.gateway.Wait(5 * time.Second)
}

func TestAWebSocketOnWhichNothingComes(t *testing.T) {
	b := start(t, playing(t).ServeHTTP, func(s *setup) { s.SocketIdle = 100 * time.Millisecond })
	c := b.dial("/v1/responses")
	if code, reason := c.closed(); code != websocket.StatusGoingAway || !strings.Contains(reason, "WEBSOCKET_IDLE_TIMEOUT") {
		t.Errorf("closed with %d %q", code, reason)
	}
	b = start(t, playing(t).ServeHTTP, func(s *setup) { s.StreamIdleTimeout = 200 * time.Millisecond })
	c = b.dial("/v1/responses")
	c.send(create("stall", "one two three"))
	wantError(t, c.last(), 504, "upstream_timeout", "fell silent")
	c.closed()
}

func TestAKeyThatIsDisabledWhileItIsConnected(t *testing.T) {
	var options *setup
	b := start(t, playing(t).ServeHTTP, func(s *setup) { options = s })
	c := b.dial("/v1/responses")
	c.send(create("gpt-4o-mini", "one"))
	c.last()
	next := options.Options
	next.Ring = must(keys.NewRing([]keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice"), Disabled: true}}))(t)
	must(b.gateway.With(next))(t)
	c.send(create("gpt-4o-mini", "one"))
	wantError(t, c.last(), 401, "key_disabled", "disabled")
}

func TestALongMessageOfTheUpstreamsIsRead(t *testing.T) {
	accounts, rows := accounting(t)
	text := strings.Repeat("long ", 13<<20) // 65 MB
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.Read(r.Context())
		conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"response.created","response":{"id":"resp_1"}}`))
		conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"response.completed","response":{"id":"resp_1","model":"gpt-4o-mini","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"`+text+`"}]}],"usage":{"input_tokens":7,"output_tokens":9,"total_tokens":16}}}`))
		conn.Read(r.Context())
	}, accounts)
	c := b.dial("/v1/responses")
	c.send(create("gpt-4o-mini", "one"))
	c.next()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := c.next(); len(got) < len(text) || !strings.HasSuffix(got, `"total_tokens":16}}}`) {
		t.Errorf("%d bytes came", len(got))
	}
	runtime.ReadMemStats(&after)
	c.bye(b)
	got := rows(b)
	if len(got) != 1 || got[0].Usage.Input != 7 || got[0].Usage.Output != 9 || got[0].Estimated {
		t.Errorf("%+v", got)
	}
	if n := got[0].BytesOut - int64(len(text)); n < 0 || n > 1000 {
		t.Errorf("%d bytes were counted beside the text", n)
	}
	t.Logf("%d MB were allocated, by the client too", (after.TotalAlloc-before.TotalAlloc)>>20)
}

// TestALongMessageShowsNoAPIKey: the key stands wherever a message that is too
// long to be held is cut.
func TestALongMessageShowsNoAPIKey(t *testing.T) {
	echo := strings.Repeat(canary+" ", 1<<20/len(canary))
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"session.created","echo":"`+echo+`"}`))
		conn.Read(r.Context())
	}, nil)
	c := b.dial("/v1/realtime?model=gpt-realtime")
	got := c.next()
	if len(got) < len(echo) {
		t.Fatalf("%d bytes came", len(got))
	}
	rest := strings.Trim(strings.TrimPrefix(strings.TrimSuffix(got, `"}`), `{"type":"session.created","echo":"`), "* ")
	if rest != "" {
		t.Errorf("parts of the API key came: %.200q", rest)
	}
}

// rawPair connects a client to an upstream through the gateway, after the
// handshake, as bytes.
func rawPair(t testing.TB, change func(*setup), path string) (client, up net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		accepted <- conn
	}, change)
	client = must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
	t.Cleanup(func() { client.Close() })
	io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	reader := bufio.NewReaderSize(client, 16)
	var head []byte
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		c := must(reader.ReadByte())(t)
		head = append(head, c)
	}
	up = <-accepted
	t.Cleanup(func() { up.Close() })
	deadline := time.Now().Add(20 * time.Second)
	client.SetDeadline(deadline)
	up.SetDeadline(deadline)
	return &bufferedConn{client, reader}, up
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
func (c *bufferedConn) CloseWrite() error          { return c.Conn.(*net.TCPConn).CloseWrite() }

// exchange sends bytes from both sides, ends both halves, and returns what each
// has read.
func exchange(client, up net.Conn, fromClient, fromUpstream []byte) (atClient, atUpstream []byte) {
	var all sync.WaitGroup
	all.Go(func() {
		client.Write(fromClient)
		client.(interface{ CloseWrite() error }).CloseWrite()
	})
	all.Go(func() {
		up.Write(fromUpstream)
		up.(*net.TCPConn).CloseWrite()
	})
	all.Go(func() { atClient, _ = io.ReadAll(client) })
	all.Go(func() { atUpstream, _ = io.ReadAll(up) })
	all.Wait()
	return atClient, atUpstream
}

// conversation makes frames of a peer, with fragments and pings between them.
func conversation(rng *rand.Rand, masked bool) (wire []byte) {
	frame := func(fin bool, op frames.Opcode, payload []byte) {
		var key *[4]byte
		if masked {
			key = &[4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}
		}
		at := len(wire)
		wire = frames.Append(wire, op, payload, key)
		if !fin {
			wire[at] &^= 0x80
		}
	}
	for range 1 + rng.IntN(8) {
		text := func() []byte {
			size := rng.IntN(300)
			if rng.IntN(8) == 0 {
				size = rng.IntN(600_000)
			}
			return bytes.Repeat([]byte("word "), size/5)
		}
		switch rng.IntN(3) {
		case 0:
			frame(true, frames.Ping, []byte("ping"))
		case 1:
			frame(true, frames.Text, text())
		case 2:
			frame(false, frames.Binary, text())
			for range rng.IntN(4) {
				if rng.IntN(2) == 0 {
					frame(true, frames.Pong, nil)
				}
				frame(false, frames.Continuation, text())
			}
			frame(true, frames.Continuation, text())
		}
	}
	return wire
}

func TestFramesPassAWebSocketThatIsRead(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i := range 20 {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		client, up := rawPair(t, nil, "/v1/realtime?model=gpt-realtime")
		fromClient, fromUpstream := conversation(rng, true), conversation(rng, false)
		atClient, atUpstream := exchange(client, up, fromClient, fromUpstream)
		if !bytes.Equal(atUpstream, fromClient) {
			t.Fatalf("seed %d/%d: the upstream got %d bytes of %d", seed, i, len(atUpstream), len(fromClient))
		}
		if rest, ok := bytes.CutPrefix(atClient, fromUpstream); !ok || (len(rest) > 0 && rest[0] != 0x88) {
			t.Fatalf("seed %d/%d: the client got %d bytes of %d", seed, i, len(atClient), len(fromUpstream))
		}
	}
}

// onlyPrefix reports whether a side got what the other has sent, up to where a
// close frame of the gateway's own follows.
func onlyPrefix(got, sent []byte, masked bool) bool {
	if bytes.HasPrefix(sent, got) {
		return true
	}
	for at := range got {
		if got[at] == 0x88 && bytes.HasPrefix(sent, got[:at]) && int(got[at+1]&0x7F) == len(got)-at-2-map[bool]int{true: 4}[masked] {
			return true
		}
	}
	return false
}

// FuzzSocket sends any bytes after the handshake: both sides see exactly these,
// or their start and a close frame.
func FuzzSocket(f *testing.F) {
	f.Add([]byte("\x81\x82\x01\x02\x03\x04ab"), []byte("\x81\x02hi\x88\x02\x03\xe8"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("\xc1\x00"))
	f.Add([]byte("\x01\x81\x00\x00\x00\x00{\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00}"), []byte("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffx"))
	f.Add([]byte("\x88\x80\x00\x00\x00\x00more"), []byte("\x89\x7e\x00\x7e"))
	f.Fuzz(func(t *testing.T, fromClient, fromUpstream []byte) {
		if bytes.Contains(fromClient, []byte("{")) {
			return // may be an object, which is judged
		}
		client, up := rawPair(t, func(s *setup) { s.Log = nil }, "/v1/realtime?model=gpt-realtime")
		atClient, atUpstream := exchange(client, up, fromClient, fromUpstream)
		if !onlyPrefix(atUpstream, fromClient, true) {
			t.Errorf("the upstream got %x for %x", atUpstream, fromClient)
		}
		if !onlyPrefix(atClient, fromUpstream, false) {
			t.Errorf("the client got %x for %x", atClient, fromUpstream)
		}
	})
}

// TestIdleWebSocketsTakeLittleMemory compares sockets that are read with those
// that are tunnelled, in one process.
func TestIdleWebSocketsTakeLittleMemory(t *testing.T) {
	const n = 1000
	measure := func(path string) float64 {
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
		}, nil)
		used := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapInuse + m.StackInuse
		}
		before := used()
		var conns []net.Conn
		for range n {
			conn := must(net.Dial("tcp", strings.TrimPrefix(b.url, "http://")))(t)
			conns = append(conns, conn)
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer fk-alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", path)
			conn.Read(make([]byte, 16))
		}
		after := used()
		for _, conn := range conns {
			conn.Close()
		}
		b.gateway.Wait(10 * time.Second)
		return float64(int64(after)-int64(before)) / n
	}
	tunnel := measure("/v1/new/socket")
	read := measure("/v1/responses")
	t.Logf("%.1f KB a tunnel, %.1f KB a socket that is read", tunnel/1024, read/1024)
	if read-tunnel > 30<<10 {
		t.Errorf("a socket that is read takes %.1f KB more than a tunnel", (read-tunnel)/1024)
	}
}
