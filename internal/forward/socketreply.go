package forward

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
	"forward/internal/upstream"
	"forward/internal/websocket"
)

// fromUpstream passes the upstream's messages on, and reads them, until it has
// closed its side: nil means with a close frame.
func (s *socket) fromUpstream() error {
	frames := s.upstream.frames
	var m websocket.Message
	for {
		within := frames.Within()
		f, err := frames.Next()
		if err != nil {
			return err
		}
		s.touch()
		if f.Opcode == websocket.Close && within {
			m.Reset() // what has started is not going to be whole
			within = false
		}
		m.Start(f)
		closes := f.Opcode == websocket.Close
		alone := f.Opcode.IsControl() && !within
		if alone {
			m.Opcode = f.Opcode
		}
		err = m.Add(frames, maxHeldEvent)
		if err == nil && !m.Whole && !alone {
			continue
		}
		s.setPassing(true)
		switch err {
		case websocket.ErrTooBig:
			err = s.stream(&m)
		case nil:
			err = s.deliver(&m)
		}
		s.setPassing(false)
		if err != nil {
			return err
		}
		m.Reset()
		if closes {
			return nil
		}
	}
}

// deliver reads a message and passes it on. What it ends is settled before the
// client can know of it, and ask for more.
func (s *socket) deliver(m *websocket.Message) error {
	if s.isClosing() {
		return nil
	}
	if !m.Opcode.IsControl() {
		upstream.ScrubBytes(m.Payload, s.rec.answer.secret)
		s.read(m.Payload, int64(len(m.Payload)))
	}
	space := s.g.buffers.Get()
	defer s.g.buffers.Put(space)
	if s.client.pass(m, space) != nil && !s.isClosing() {
		s.rec.in.end(context.Canceled)
	}
	return nil
}

// stream passes a message on that is too long to be held back, and reads it as
// far as it counts. Its last bytes wait until it is read.
func (s *socket) stream(m *websocket.Message) error {
	frames := s.upstream.frames
	buf := s.g.buffers.Get()
	defer s.g.buffers.Put(buf)
	long := &longMessage{s: s}
	upstream.ScrubBytes(m.Payload, s.rec.answer.secret)
	// The frame that is not whole passes with its rest, or a secret would not
	// be found where it was cut.
	payload := io.MultiReader(bytes.NewReader(m.Cut()), frames)
	long.write(m.Payload)
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.client.broken = true
	err := m.WriteTo(s.client, buf)
	for err == nil {
		err = s.streamFrame(long, payload, buf)
		payload = frames
		if err != nil || !frames.Within() {
			break
		}
		err = s.nextFragment()
	}
	if err == nil {
		s.client.broken = false
	}
	return err
}

// streamFrame passes the payload of the frame on.
func (s *socket) streamFrame(long *longMessage, payload io.Reader, buf []byte) error {
	frames := s.upstream.frames
	from := upstream.NewScrubber(io.NopCloser(payload), s.rec.answer.secret)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			long.write(buf[:n])
			if err == nil && frames.Left() == 0 && !frames.Within() {
				long.end()
			}
			_, failed := s.client.Write(buf[:n])
			if failed != nil {
				s.rec.in.end(context.Canceled)
				return failed
			}
			s.touch()
		}
		if err == io.EOF {
			if !frames.Within() {
				long.end()
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// nextFragment passes the head of the next fragment on, and the control frames
// before it.
func (s *socket) nextFragment() error {
	frames := s.upstream.frames
	for {
		f, err := frames.Next()
		if err != nil {
			return err
		}
		s.touch()
		_, err = s.client.Write(f.Head())
		if err != nil || !f.Opcode.IsControl() {
			return err
		}
		if f.Opcode == websocket.Close {
			return io.ErrUnexpectedEOF
		}
		payload, err := io.ReadAll(frames)
		if err != nil {
			return err
		}
		_, err = s.client.Write(payload)
		if err != nil {
			return err
		}
	}
}

// longMessage is a message that passes while it comes. It is read whole as far
// as it is short, and else scanned.
type longMessage struct {
	s    *socket
	size int64
	data []byte
	skim *dialect.Skim // nil: data has all of it
	kept []byte        // what a skim has kept
	over bool
}

// write takes the next bytes.
func (l *longMessage) write(p []byte) {
	l.size += int64(len(p))
	if l.skim == nil && len(l.data)+len(p) <= maxEvent {
		l.data = append(l.data, p...)
		return
	}
	if l.skim == nil {
		l.skim = dialect.NewMessageSkim(func(data []byte) { l.kept = append(l.kept[:0], data...) })
		l.skim.Write(l.data)
		l.data = nil
	}
	l.skim.Write(p)
}

// end reads the message.
func (l *longMessage) end() {
	if l.over {
		return
	}
	l.over = true
	if l.skim != nil {
		l.skim.Close()
		l.data = l.kept
	}
	l.s.readMessage(l.data, l.size, l.skim != nil)
}

// read reads a message of the upstream's on the side.
func (s *socket) read(data []byte, size int64) { s.readMessage(data, size, false) }

// readMessage reads a message, or what a skim has kept of it, of size bytes.
func (s *socket) readMessage(data []byte, size int64, skimmed bool) {
	if !jsonscan.Valid(data) {
		return
	}
	root := jsonscan.View(data)
	about := s.protocol.Reports(root)
	switch about.Kind {
	case dialect.ReportsNothing:
		return
	case dialect.ReportsSession:
		s.setSession(about)
		return
	case dialect.ReportsInput:
		s.recordInput(root, data, size)
		return
	}
	r := s.find(about)
	if r == nil {
		if about.Kind != dialect.ReportsStart && about.Kind != dialect.ReportsEnd {
			return
		}
		r = s.startUnasked()
		if r == nil {
			return
		}
	}
	if about.Kind == dialect.ReportsStart {
		r.started = true
		r.id = about.Response
	}
	if about.Kind == dialect.ReportsError && !r.started && about.Status >= 400 {
		r.rec.answer.res.StatusCode = about.Status
		r.rec.status = about.Status
	}
	r.rec.tap.message(data, size, skimmed)
	if about.Kind == dialect.ReportsEnd || about.Kind == dialect.ReportsError {
		s.finish(r)
	}
}

// find returns the running response that a message is about; nil: none. An
// error that names a message is about that one, and one that names none is
// about what has not started.
func (s *socket) find(about dialect.Reported) *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first *response
	for _, r := range s.running {
		switch {
		case about.Kind == dialect.ReportsError:
			if about.Event != "" && about.Event == r.event {
				return r
			}
			if first == nil && (about.Event == "" || r.event == "") && (!r.started || s.protocol.Operation == dialect.Responses) {
				first = r
			}
		case about.Response != "" && r.id == about.Response:
			return r
		case first == nil && (r.id == "" || about.Response == "" || about.Kind == dialect.ReportsPart):
			first = r
		}
	}
	return first
}

// startUnasked opens the account of a response that the server has started by
// itself. Where the caller may have none, the connection is closed.
func (s *socket) startUnasked() *response {
	r := s.newResponse(nil, dialect.Asked{})
	err := r.g.prepare(r.rec, s)
	r.rec.answer = s.newAnswer(r.rec)
	if r.rec.to.demand == nil { // it was not judged as far as that
		r.rec.to = s.rec.to
		r.rec.to.model = r.rec.ask.session.model
		r.rec.to.demand = r.g.newDemand(r.rec.ask, r.rec.to.route, r.rec.to.model)
	}
	r.rec.tap = r.g.newTap(r.rec)
	r.rec.status = http.StatusOK
	s.mu.Lock()
	s.running = append(s.running, r)
	s.mu.Unlock()
	if err != nil {
		s.shut(websocket.PolicyViolation, problemOf(err).Message, err)
	}
	return r
}

// recordInput records what the reading of sound has cost, as a request of its
// own.
func (s *socket) recordInput(root gjson.Result, data []byte, size int64) {
	if !root.Get("usage").Exists() {
		return
	}
	r := s.newResponse(nil, dialect.Asked{})
	a := r.rec.ask
	a.session.model = a.session.transcriber
	if s.identify(r.g, a) != nil {
		a.from = s.rec.ask.from
		a.who = s.rec.ask.who
	}
	a.from.op = dialect.Audio
	a.read()
	r.rec.to = s.rec.to
	r.rec.to.model = a.session.transcriber
	r.rec.to.demand = r.g.newDemand(a, r.rec.to.route, r.rec.to.model)
	r.rec.answer = s.newAnswer(r.rec)
	r.rec.tap = r.g.newTap(r.rec)
	r.rec.status = http.StatusOK
	r.rec.tap.message(data, size, false)
	r.rec.tap.finish()
	r.rec.tap.err = io.EOF
	s.settle(r)
}
