package framing

import (
	"bytes"
	"slices"
)

// maxKept is how much memory an empty Splitter keeps for later events, in
// bytes.
const maxKept = 64 << 10

// Splitter cuts a stream into raw events: lines, or server-sent events at their
// blank lines. Lines of server-sent events end with LF, CRLF or CR (HTML
// standard, section 9.2.5); a CR at the end of the input waits for the next
// byte. Each byte is looked at a constant number of times, however the input
// was cut.
//
// The zero value splits server-sent events and is ready: Feed, then Next until
// it has no more. Not safe for concurrent use.
type Splitter struct {
	Framing Framing

	buf   []byte
	start int // of the current event
	line  int // start of the current line
	lf    int // no LF in buf[line:lf], and none beyond is known unless buf[lf] is one
	cr    int // the same for CR
}

// Feed appends bytes of the stream.
func (s *Splitter) Feed(p []byte) {
	s.forget()
	s.buf = append(s.buf, p...)
}

// Space returns a buffer for at least n bytes of the stream. Filled then takes
// those that were read into it. Together they are Feed without a copy.
func (s *Splitter) Space(n int) []byte {
	s.forget()
	s.buf = slices.Grow(s.buf, n)
	return s.buf[len(s.buf):cap(s.buf)]
}

// Filled appends the first n bytes of what Space returned.
func (s *Splitter) Filled(n int) { s.buf = s.buf[:len(s.buf)+n] }

// forget drops events that were returned, as far as that costs less than it
// saves.
func (s *Splitter) forget() {
	switch rest := len(s.buf) - s.start; {
	case rest == 0 && cap(s.buf) > maxKept:
		s.Reset()
	case s.start > 0 && s.start >= rest: // moves no more than was consumed before
		copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:rest]
		s.line -= s.start
		s.lf = max(s.lf-s.start, 0)
		s.cr = max(s.cr-s.start, 0)
		s.start = 0
	}
}

// Next returns the next whole event with its end. It is valid until the next
// Feed or Space. Comments and stray blank lines are events of their own, in
// which Parse finds no data.
func (s *Splitter) Next() (raw []byte, ok bool) {
	for {
		s.lf = s.find(s.lf, '\n')
		end, next := s.lf, s.lf+1
		if s.Framing != Lines {
			s.cr = s.find(s.cr, '\r')
			if s.cr < s.lf {
				if s.cr+1 == len(s.buf) {
					return nil, false
				}
				if end, next = s.cr, s.cr+1; s.buf[next] == '\n' {
					next++
				}
			}
		}
		if end == len(s.buf) {
			return nil, false
		}
		closed := end == s.line || s.Framing != SSE
		s.line = next
		if closed {
			raw, s.start = s.buf[s.start:next:next], next
			return raw, true
		}
	}
}

// find moves the cursor at to the next c at or behind the start of the line, or
// to the end of the input.
func (s *Splitter) find(at int, c byte) int {
	at = max(at, s.line)
	if at < len(s.buf) && s.buf[at] != c {
		if i := bytes.IndexByte(s.buf[at:], c); i >= 0 {
			return at + i
		}
		return len(s.buf)
	}
	return at
}

// Pending returns the bytes of an event that is not whole yet. They are valid
// until the next Feed or Space.
func (s *Splitter) Pending() []byte { return s.buf[s.start:] }

// Reframe changes the framing of what is pending and of all that follows.
func (s *Splitter) Reframe(f Framing) {
	*s = Splitter{Framing: f, buf: s.buf, start: s.start, line: s.start, lf: s.start, cr: s.start}
}

// Drop forgets most of the event that is not whole yet, so that a long one does
// not fill the memory. Next returns its rest, which starts with the last kept
// bytes of those that were pending.
func (s *Splitter) Drop() (kept int) {
	kept = min(len(s.Pending()), 2) // enough to know whether a line is empty, and a CRLF
	cut := len(s.buf) - kept
	line := max(s.line-cut, 0)
	copy(s.buf, s.buf[cut:])
	*s = Splitter{Framing: s.Framing, buf: s.buf[:kept], line: line}
	return kept
}

// Reset drops the input so far.
func (s *Splitter) Reset() { *s = Splitter{Framing: s.Framing} }
