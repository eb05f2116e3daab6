package forward

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/dialect"
	"forward/internal/websocket"
)

// A WebSocket whose protocol a dialect knows is no tunnel: its frames pass as
// they come, and its messages are read. Each message that asks for a response
// is a request of its own, which the steps of serve judge (socketask.go), and
// whose answer a tap reads (socketreply.go). So it has a row in the ledger, two
// lines in the chat log and a place in every limit, as over HTTP. The
// connection itself has a line in the access log and nothing else: what passes
// on it is counted once.
//
// One goroutine reads each side. That of the client judges, and that of the
// upstream reads answers; a response goes from one to the other in running.

const (
	// closingTime is for how long either side may take to answer a close frame.
	closingTime = 2 * time.Second
	// maxRunning bounds the responses that are asked for before the first of
	// them has ended. What else the client sends waits in its connection.
	maxRunning = 16
)

// errSocketIdle is why a connection is closed on which nothing comes.
var errSocketIdle = errors.New("nothing came over the connection")

// socket is a WebSocket whose messages are read.
type socket struct {
	g        *Gateway // under whose settings it was opened
	rec      *record  // of the handshake
	protocol *dialect.Socket
	header   http.Header // of the requests that its messages are
	client   *side
	upstream *side
	freed    chan struct{} // gets a value when a response has ended
	left     atomic.Bool   // the client has closed it
	active   atomic.Int64  // when the last frame came, in nanoseconds of Unix time
	quiet    *time.Timer   // looks whether that is too long ago
	idle     time.Duration // with which it is

	mu       sync.Mutex
	running  []*response // asked for and not ended, the oldest first
	session  session
	draining bool  // it closes when no response is running
	passing  bool  // a message of the upstream is read and passed on
	closing  bool  // the gateway has closed it, or is about to
	why      error // for which reason
	over     bool  // the upstream's side has ended
}

// session is what the messages of a WebSocket are asked within.
type session struct {
	id          string // of the handshake's request
	model       string // that the server uses where a message names none
	transcriber string // that reads its sound
	context     int64  // tokens of the conversation so far, as far as they are known
	admitted    bool   // no response has counted in the request limits yet, and the handshake has
	unasked     bool   // the server has started the response by itself
}

// side is one end of a WebSocket.
type side struct {
	conn   io.ReadWriteCloser
	from   *bufio.Reader
	frames *websocket.Reader // that come from it
	masks  bool              // frames of the gateway's own are masked
	extend func()            // moves the deadline of writes; nil: they have none

	mu     sync.Mutex // held while a message is written, from its first frame to its last
	broken bool       // a message was written in part: no frame can follow
	closed bool       // a close frame was written
}

// Write implements io.Writer.
func (p *side) Write(b []byte) (int, error) {
	if p.extend != nil {
		p.extend()
	}
	return p.conn.Write(b)
}

// send writes a frame of the gateway's own.
func (p *side) send(op websocket.Opcode, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.broken {
		return net.ErrClosed
	}
	p.closed = op == websocket.Close
	var key *[4]byte
	if p.masks {
		key = websocket.NewKey()
	}
	_, err := p.Write(websocket.Append(nil, op, payload, key))
	return err
}

// pass writes a message as it came, through space.
func (p *side) pass(m *websocket.Message, space []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed = m.Opcode == websocket.Close
	return m.WriteTo(p, space)
}

// sockets are the open WebSockets. The zero value is ready.
type sockets struct {
	mu     sync.Mutex
	all    map[*socket]bool
	ending bool
}

// enter adds a socket, and reports whether it is to end at once.
func (s *sockets) enter(one *socket) (ending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*socket]bool)
	}
	s.all[one] = true
	return s.ending
}

func (s *sockets) leave(one *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, one)
}

// EndSockets closes each WebSocket when the responses on it have ended, and
// those on which none is running at once. Their clients connect again, to
// another gateway.
func (g *Gateway) EndSockets() {
	g.sockets.mu.Lock()
	g.sockets.ending = true
	all := make([]*socket, 0, len(g.sockets.all))
	for s := range g.sockets.all {
		all = append(all, s)
	}
	g.sockets.mu.Unlock()
	for _, s := range all {
		go s.drain()
	}
}

// readsSockets reports whether anything wants the messages of a WebSocket to be
// read.
func (g *Gateway) readsSockets(who *caller, to target) bool {
	return who.known || to.swap || g.Ledger != nil || g.ChatLog != nil || g.Metrics != nil || g.Scheduler != nil || g.isCounted(who)
}

// converse passes the messages of both sides on and reads them, until one side
// has ended. early is what came from the client already.
func (g *Gateway) converse(rec *record, conn net.Conn, early []byte, back io.ReadWriteCloser) {
	rec.conversed = true
	from := &rec.ask.from
	sent := bufio.NewReader(io.MultiReader(bytes.NewReader(early), conn))
	reader := bufio.NewReaderSize(back, 256) // what is below has a buffer of its own
	s := &socket{
		g: g, rec: rec, protocol: from.socket, header: socketHeader(rec.in.r.Header), freed: make(chan struct{}, 1),
		client:   &side{conn: conn, from: sent, frames: websocket.NewReader(sent, true), extend: extender(conn, g.WriteTimeout)},
		upstream: &side{conn: back, from: reader, frames: websocket.NewReader(reader, false), masks: true},
		session:  session{id: rec.in.id, model: from.dialect.Request(from.socket.Operation, from.plain, rec.in.r.URL.RawQuery, nil).Model, admitted: true},
		idle:     g.SocketIdle,
	}
	stop := context.AfterFunc(rec.in, func() { back.Close() })
	defer stop()
	s.active.Store(time.Now().UnixNano())
	s.quiet = time.AfterFunc(s.patience(), s.lookForSilence)
	defer s.quiet.Stop()
	if g.sockets.enter(s) {
		s.drain()
	}
	defer g.sockets.leave(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.fromClient()
	}()
	err := s.fromUpstream()
	s.end(err)
	conn.SetReadDeadline(time.Now().Add(closingTime))
	<-done
	rec.cause = s.cause()
}

// cause is why the connection has ended, for the access log; "" if it ended
// well.
func (s *socket) cause() string {
	cause := context.Cause(s.rec.in)
	switch {
	case errors.Is(cause, errShuttingDown):
		return "gateway_shutting_down"
	case stoppedBy(s.rec.in) != nil:
		return requestStopped
	case cause != nil:
		return clientGone
	}
	return ""
}

// extender returns what moves the write deadline of a connection, when half of
// it is gone.
func extender(conn net.Conn, timeout time.Duration) func() {
	var deadline time.Time
	return func() {
		now := time.Now()
		if deadline.Sub(now) < timeout/2 {
			deadline = now.Add(timeout)
			conn.SetWriteDeadline(deadline)
		}
	}
}

// socketHeader returns what of the handshake's header counts for the requests
// that its messages are.
func socketHeader(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Content-Encoding"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/json")
	return h
}

// touch notes that a frame came.
func (s *socket) touch() { s.active.Store(time.Now().UnixNano()) }

// patience is for how long nothing may come: while a response is made, as for
// any stream.
func (s *socket) patience() time.Duration {
	silence := s.idle
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gateway(); len(s.running) > 0 && g.StreamIdleTimeout > 0 {
		silence = min(silence, g.StreamIdleTimeout)
	}
	return silence
}

// lookForSilence closes the connection when nothing came for too long.
func (s *socket) lookForSilence() {
	most := s.patience()
	silent := time.Since(time.Unix(0, s.active.Load()))
	if silent < most {
		s.quiet.Reset(most - silent)
		return
	}
	s.mu.Lock()
	running := len(s.running) > 0
	s.mu.Unlock()
	if running {
		s.rec.in.end(errStreamIdle)
		return
	}
	s.shut(websocket.GoingAway, fmt.Sprintf("%v for %v (WEBSOCKET_IDLE_TIMEOUT).", errSocketIdle, s.idle), errSocketIdle)
}

// gateway returns the gateway of the current settings.
func (s *socket) gateway() *Gateway { return s.g.current.Load() }

// setPassing notes that a message of the upstream is read and passed on. The
// response that it ends is settled before the client has it, so a drain waits
// for both.
func (s *socket) setPassing(passing bool) {
	s.mu.Lock()
	s.passing = passing
	drains := s.draining && s.isIdle()
	s.mu.Unlock()
	if drains {
		go s.drain()
	}
}

// isIdle reports whether no response is running and none is being passed on.
// The caller holds s.mu.
func (s *socket) isIdle() bool { return len(s.running) == 0 && !s.passing }

// drain closes the connection when no response is running.
func (s *socket) drain() {
	s.mu.Lock()
	s.draining = true
	idle := s.isIdle()
	s.mu.Unlock()
	if idle {
		s.shut(websocket.ServiceRestart, "The gateway is shutting down. Connect again.", errShuttingDown)
	}
}

// shut closes both sides with a close frame and gives them a moment to answer
// it. What is running then ends because of err.
func (s *socket) shut(code int, reason string, err error) {
	s.mu.Lock()
	before := s.closing
	s.closing = true
	s.why = err
	s.mu.Unlock()
	if before {
		return
	}
	time.AfterFunc(closingTime, func() {
		s.client.conn.Close()
		s.upstream.conn.Close()
	})
	go func() {
		upward := websocket.GoingAway
		if code == websocket.Protocol {
			upward = code
		}
		s.upstream.send(websocket.Close, websocket.ClosePayload(upward, ""))
	}()
	s.client.send(websocket.Close, websocket.ClosePayload(code, reason))
}

// isClosing reports whether what comes is passed on no more.
func (s *socket) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// end is called when the upstream's side has ended, by a close frame if err is
// nil. The responses that are running break off, and the client's side is
// closed.
func (s *socket) end(err error) {
	s.mu.Lock()
	running := s.running
	s.running = nil
	s.over = true
	why := s.why
	closing := s.closing
	s.mu.Unlock()
	cause := context.Cause(s.rec.in)
	for _, r := range running {
		if cause != nil {
			r.rec.in.end(cause) // its life ends with the connection's, which may not have reached it yet
		}
		s.breakOff(r, cmp.Or(why, err, io.ErrUnexpectedEOF))
	}
	if closing || err == nil {
		return
	}
	name := s.rec.to.route.Name
	p := problemOf(&cutError{name, cmp.Or(cause, err)})
	switch violated, ok := errors.AsType[*websocket.ProtocolError](err); {
	case errors.Is(cause, errShuttingDown):
		s.client.send(websocket.Close, websocket.ClosePayload(websocket.ServiceRestart, p.Message))
	case ok:
		s.upstream.send(websocket.Close, websocket.ClosePayload(websocket.Protocol, ""))
		s.client.send(websocket.Close, websocket.ClosePayload(websocket.Internal, "From the upstream '"+name+"': "+violated.Error()+"."))
	case s.left.Load(): // it has sent a close frame, which nothing answered
		s.client.send(websocket.Close, websocket.ClosePayload(websocket.Normal, ""))
	case cause == nil && len(running) == 0:
		s.client.send(websocket.Close, websocket.ClosePayload(websocket.GoingAway, "The upstream '"+name+"' closed the connection."))
	default:
		s.client.send(websocket.Close, websocket.ClosePayload(websocket.Internal, p.Message))
	}
}

// halfClose passes the end of one side's half on.
func halfClose(to io.Writer) error {
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return errHalfClose
	}
	return half.CloseWrite()
}
