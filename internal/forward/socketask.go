package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"forward/internal/dialect"
	"forward/internal/websocket"
)

// errCancelled is why a response is not made that was cancelled in the queue.
var errCancelled = refused(http.StatusBadRequest, "response_cancelled", "The response was cancelled while it waited in the queue.")

// held is a message of the client's, which is held back until it is judged, as
// the body of a request is.
type held struct {
	websocket.Message
	counted int64 // bytes that count in Gateway.bodies
	control bool  // it is a control frame that stands alone
}

// fromClient passes the client's messages on, after they were judged, until the
// client has closed its half.
func (s *socket) fromClient() {
	space := s.g.buffers.Get()[:minRead]
	var next *held // was read while the one before waited in a queue
	for {
		m := next
		next = nil
		var err error
		if m == nil {
			m, err = s.readClient()
		}
		if err == nil {
			next, err = s.handle(m, space)
		}
		switch violated, ok := errors.AsType[*websocket.ProtocolError](err); {
		case err == nil:
			continue
		case err == errLeft:
			time.AfterFunc(closingTime, func() { s.upstream.conn.Close() })
		case ok:
			s.shut(websocket.Protocol, "This is "+violated.Error()+".", context.Canceled)
		case err == io.EOF:
			if halfClose(s.upstream.conn) != nil {
				s.rec.in.end(context.Canceled)
			}
		default:
			s.rec.in.end(context.Canceled)
		}
		return
	}
}

// errLeft reports that the client has closed the connection with a close frame.
var errLeft = errors.New("the client has closed the connection")

// readClient reads a whole message, or a control frame between two. Memory and
// time are bounded as for the body of a request.
func (s *socket) readClient() (*held, error) {
	frames := s.client.frames
	m := &held{}
	for !m.Whole {
		within := frames.Within()
		f, err := frames.Next()
		if err != nil {
			s.g.bodies.Add(-m.counted)
			return nil, err
		}
		s.touch()
		if f.Opcode == websocket.Close && within { // what has started is not going to be whole
			s.g.bodies.Add(-m.counted)
			m = &held{}
			within = false
		}
		m.control = f.Opcode.IsControl() && !within
		m.Start(f)
		err = s.hold(m)
		if err != nil {
			return m, err
		}
		if m.control {
			m.Opcode = f.Opcode
			return m, nil
		}
	}
	return m, nil
}

// hold reads the payload of a frame.
func (s *socket) hold(m *held) error {
	const step = 256 << 10
	frames := s.client.frames
	if int64(s.client.from.Buffered()) < frames.Left() {
		s.setReadDeadline(time.Now().Add(30*time.Second + time.Duration(frames.Left()/8192)*time.Second))
		defer s.setReadDeadline(time.Time{})
	}
	g := s.gateway()
	most := g.maxBody(s.rec.ask)
	for {
		err := m.Add(frames, min(most, m.Size()+step))
		more := m.Size() - m.counted
		m.counted += more
		all := g.bodies.Add(more)
		switch {
		case err != websocket.ErrTooBig:
			return err
		case m.Size() >= most:
			return s.reject(m, tooLarge(most))
		case g.MaxBodies > 0 && all > g.MaxBodies && all > m.counted:
			return s.reject(m, overloaded())
		}
	}
}

// reject refuses a message that cannot be held, and reads over the rest of it.
// The message is none then.
func (s *socket) reject(m *held, err error) error {
	frames := s.client.frames
	s.g.bodies.Add(-m.counted)
	*m = held{}
	buf := s.g.buffers.Get()
	defer s.g.buffers.Put(buf)
	for {
		_, failed := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{frames}, buf)
		if failed != nil {
			return failed
		}
		if !frames.Within() {
			break
		}
		_, failed = frames.Next()
		if failed != nil {
			return failed
		}
		s.touch()
	}
	m.Whole = true
	s.refuse(s.newResponse(nil, dialect.Asked{}), err)
	return nil
}

// handle judges a message and passes it on. next is a message that was read
// meanwhile.
func (s *socket) handle(m *held, space []byte) (next *held, err error) {
	defer func() { s.g.bodies.Add(-m.counted) }()
	switch {
	case m.control:
		return nil, s.control(m, space)
	case s.isClosing() || len(m.Payload) == 0 && m.Size() == 0:
		return nil, nil
	}
	body, failed := dialect.Scan(m.Payload)
	asked := dialect.Asked{Kind: dialect.AsksSettings}
	if failed == nil {
		asked = s.protocol.Asks(body)
		if asked.Twice != "" {
			failed = &dialect.DuplicateError{Key: asked.Twice}
		}
	}
	if failed == nil && asked.Kind == dialect.AsksResponse && !(s.protocol.Turns && s.runs() > 0) {
		return s.ask(s.newResponse(body, asked), m, space)
	}
	isObject := bytes.IndexByte(m.Payload, '{') >= 0 // all else is for the upstream to refuse
	if isObject && s.judges() {
		if failed == nil && asked.Kind == dialect.AsksSettings {
			failed = s.judgeSettings(body, asked)
		}
		if failed != nil {
			s.refuse(s.newResponse(body, asked), failed)
			return nil, nil
		}
	}
	s.note(asked, m.Payload)
	return nil, s.passUp(m, space)
}

// judges reports whether there is a key whose rules the messages may evade.
func (s *socket) judges() bool { return s.rec.to.swap || s.rec.ask.who.known }

// control passes a control frame on.
func (s *socket) control(m *held, space []byte) error {
	if m.Opcode == websocket.Close {
		s.left.Store(true)
		if !s.isClosing() {
			s.passUp(m, space)
		}
		return errLeft
	}
	if s.isClosing() {
		return nil
	}
	return s.passUp(m, space)
}

// passUp writes a message to the upstream. What fails there its own side meets
// too.
func (s *socket) passUp(m *held, space []byte) error {
	if len(m.Payload) > len(space) {
		space = s.g.buffers.Get()
		defer s.g.buffers.Put(space)
	}
	if s.upstream.pass(&m.Message, space) != nil {
		s.upstream.conn.Close()
	}
	return nil
}

// ask has a response made: the message goes on when the steps of a request have
// let it. next is a message that was read while it waited.
func (s *socket) ask(r *response, m *held, space []byte) (next *held, err error) {
	r.rec.ask.counted = m.counted
	m.counted = 0
	for s.runs() >= maxRunning {
		select {
		case <-s.freed:
		case <-s.rec.in.Done():
			s.forsake(r)
			return nil, errSevered
		}
	}
	g := r.g
	if g.Scheduler == nil {
		err = g.prepare(r.rec, s)
	} else {
		w := &wait{judged: make(chan struct{})}
		go w.judge(s, func() error { return g.prepare(r.rec, s) })
		next, err = s.await(r, w, space)
		if err == errLeft || err == errSevered || err == io.EOF {
			s.forsake(r)
			return nil, err
		}
	}
	if err != nil {
		s.refuse(r, err)
		return next, nil
	}
	r.rec.answer = s.newAnswer(r.rec)
	r.rec.tap = g.newTap(r.rec)
	r.rec.status = http.StatusOK
	if !s.start(r) {
		return nil, nil
	}
	return next, s.passUp(m, space)
}

// errSevered reports that the client's side has broken.
var errSevered = errors.New("the client's connection has broken")

// wait is the time until the steps of a request have let a response through,
// which may stand in a queue.
type wait struct {
	judged chan struct{}
	err    error // valid once judged is closed

	mu    sync.Mutex
	idles bool // the client's side waits for the start of a frame
	over  bool
}

// judge runs the steps, and interrupts the wait for a frame then.
func (w *wait) judge(s *socket, steps func() error) {
	defer close(w.judged)
	w.err = steps()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.idles {
		s.setReadDeadline(time.Unix(1, 0))
	}
}

// next waits for the start of a frame, and reports false if the steps have
// ended before.
func (w *wait) next(s *socket) bool {
	w.mu.Lock()
	w.idles = !w.over
	w.mu.Unlock()
	if !w.idles {
		return false
	}
	_, err := s.client.from.Peek(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idles = false
	s.setReadDeadline(time.Time{})
	return err == nil || !errors.Is(err, os.ErrDeadlineExceeded)
}

// setReadDeadline sets the deadline of what the client sends.
func (s *socket) setReadDeadline(t time.Time) {
	if conn, ok := s.client.conn.(interface{ SetReadDeadline(time.Time) error }); ok {
		conn.SetReadDeadline(t)
	}
}

// await reads on until the steps have ended. Pings and the like pass. The
// client may cancel the response, or close the connection; any other message
// waits, and is returned.
func (s *socket) await(r *response, w *wait, space []byte) (next *held, err error) {
	for next == nil && w.next(s) {
		m, err := s.readClient()
		if err == nil && m.control {
			err = s.control(m, space)
		}
		if err != nil {
			r.rec.in.end(context.Canceled)
			<-w.judged
			if err != errLeft && err != io.EOF {
				err = errSevered
			}
			return nil, err
		}
		if m.control || !m.Whole {
			continue
		}
		body, failed := dialect.Scan(m.Payload)
		if failed == nil && s.protocol.Asks(body).Kind == dialect.AsksCancel && !s.isJudged(w) {
			s.g.bodies.Add(-m.counted)
			r.rec.in.end(errCancelled)
			<-w.judged
			return nil, errCancelled
		}
		next = m
	}
	<-w.judged
	return next, w.err
}

func (s *socket) isJudged(w *wait) bool {
	select {
	case <-w.judged:
		return true
	default:
		return false
	}
}
