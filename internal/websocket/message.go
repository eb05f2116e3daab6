package websocket

import (
	"errors"
	"io"
)

// pieceCost is what a frame is counted as beside its payload, in bytes, so that
// empty fragments are bounded too.
const pieceCost = 64

// minSpace is the first space for a payload, in bytes.
const minSpace = 1 << 10

// What Reset keeps, in bytes and frames.
const (
	keptSpace  = 4 << 10
	keptPieces = 4
)

// ErrTooBig reports a message that is longer than is held.
var ErrTooBig = errors.New("the message is too long to be held")

// A Message is held back until it is whole, with the control frames between its
// fragments. The zero value is an empty one, which Add starts.
type Message struct {
	Opcode  Opcode
	Payload []byte // of all its frames, unmasked
	Whole   bool
	pieces  []piece
	control []byte // the payloads of control frames
}

// piece is a frame of a message: its head, and where its payload stands.
type piece struct {
	Frame
	from, to int
}

// Reset makes the message an empty one. It keeps a small buffer.
func (m *Message) Reset() {
	payload := m.Payload[:0]
	if cap(payload) > keptSpace {
		payload = nil
	}
	*m = Message{Payload: payload, pieces: m.pieces[:0]}
	if cap(m.pieces) > keptPieces {
		m.pieces = nil
	}
}

// Size returns what the message takes, in bytes.
func (m *Message) Size() int64 {
	return int64(len(m.Payload)) + int64(len(m.control)) + pieceCost*int64(len(m.pieces))
}

// Start adds a frame without its payload.
func (m *Message) Start(f *Frame) {
	if f.Opcode.IsControl() {
		m.pieces = append(m.pieces, piece{*f, len(m.control), len(m.control)})
		return
	}
	if f.Opcode != Continuation {
		m.Opcode = f.Opcode
	}
	m.pieces = append(m.pieces, piece{*f, len(m.Payload), len(m.Payload)})
}

// Add reads the payload of the frame that r is at, as far as the message stays
// within most bytes: ErrTooBig leaves the rest to be read. Memory grows by what
// comes and not by what is announced.
func (m *Message) Add(r *Reader, most int64) error {
	p := &m.pieces[len(m.pieces)-1]
	control := p.Opcode.IsControl()
	to := &m.Payload
	if control {
		to = &m.control
	}
	for r.at < p.Length {
		space := most - m.Size()
		if space <= 0 {
			return ErrTooBig
		}
		if len(*to) == cap(*to) {
			*to = grow(*to, p.Length-r.at)
		}
		free := (*to)[len(*to):cap(*to)]
		n, err := r.Read(free[:min(int64(len(free)), space)])
		*to = (*to)[:len(*to)+n]
		p.to = len(*to)
		if err != nil {
			return err
		}
	}
	m.Whole = m.Whole || (p.Fin && !control)
	return nil
}

// grow returns p with twice its capacity, or with as much as a frame lacks if
// that is less.
func grow(p []byte, lacks int64) []byte {
	size := max(2*cap(p), minSpace)
	size = min(size, len(p)+int(min(lacks, 1<<40)))
	return append(make([]byte, 0, size), p...)
}

// Cut takes what was read of the last frame's payload out of the message, and
// returns it.
func (m *Message) Cut() []byte {
	p := &m.pieces[len(m.pieces)-1]
	if p.Opcode.IsControl() {
		return nil
	}
	cut := m.Payload[p.from:p.to]
	m.Payload = m.Payload[:p.from]
	p.to = p.from
	return cut
}

// WriteTo writes the frames as they came. Masked payloads are masked through
// space, so that the message is held once.
func (m *Message) WriteTo(w io.Writer, space []byte) error {
	for i := range m.pieces {
		p := &m.pieces[i]
		all := m.Payload
		if p.Opcode.IsControl() {
			all = m.control
		}
		err := p.write(w, all[p.from:p.to], space)
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes a frame. What is short goes out in one write with its head.
func (p *piece) write(w io.Writer, payload, space []byte) error {
	n := copy(space, p.Head())
	at := int64(0)
	for {
		k := copy(space[n:], payload)
		if p.masked {
			xor(space[n:n+k], &p.key, at)
		}
		_, err := w.Write(space[:n+k])
		payload = payload[k:]
		at += int64(k)
		if err != nil || len(payload) == 0 {
			return err
		}
		n = 0
	}
}
