package dialect

import (
	"bytes"
	"slices"
)

// Event is one server-sent event: its name and its data, several data lines joined by a newline.
type Event struct {
	Name string
	Data []byte
}

// maxKept is how much memory an empty Splitter keeps for later events, in bytes.
const maxKept = 64 << 10

// Splitter cuts a stream of server-sent events at its blank lines without changing a byte: all raw events and the
// pending rest together are the input. Lines end with LF, CRLF or CR (HTML standard, section 9.2.5), where a CR
// at the end of what was fed waits for the next byte. The zero value is ready; Feed, then Next until it has no more.
// Each byte is looked at a constant number of times, however the input was cut. Not safe for concurrent use.
type Splitter struct {
	buf   []byte
	start int // of the current event
	line  int // start of the current line
	lf    int // no LF in buf[line:lf], and none beyond is known unless buf[lf] is one
	cr    int // the same for CR
}

// Feed appends bytes of the stream.
func (s *Splitter) Feed(p []byte) {
	s.makeRoom()
	s.buf = append(s.buf, p...)
}

// makeRoom forgets events that were returned, as far as that costs less than it is worth.
func (s *Splitter) makeRoom() {
	switch rest := len(s.buf) - s.start; {
	case rest == 0 && cap(s.buf) > maxKept:
		*s = Splitter{}
	case s.start > 0 && s.start >= rest: // moves no more than was consumed before
		copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:rest]
		s.line, s.lf, s.cr = s.line-s.start, max(s.lf-s.start, 0), max(s.cr-s.start, 0)
		s.start = 0
	}
}

// Space returns room for at least n bytes of the stream, to be read into; Filled then tells how many came. Together they are Feed
// without a copy.
func (s *Splitter) Space(n int) []byte {
	s.makeRoom()
	s.buf = slices.Grow(s.buf, n)
	return s.buf[len(s.buf):cap(s.buf)]
}

// Filled appends the first n bytes of what Space returned.
func (s *Splitter) Filled(n int) { s.buf = s.buf[:len(s.buf)+n] }

// Next returns the next whole event with its blank line. It is valid until the next Feed. Comments and stray blank
// lines are events of their own, which ParseEvent does not take for any.
func (s *Splitter) Next() (raw []byte, ok bool) {
	for {
		s.lf, s.cr = s.find(s.lf, '\n'), s.find(s.cr, '\r')
		end, next := s.lf, s.lf+1
		if s.cr < s.lf {
			if s.cr+1 == len(s.buf) {
				return nil, false
			}
			if end, next = s.cr, s.cr+1; s.buf[next] == '\n' {
				next++
			}
		}
		if end == len(s.buf) {
			return nil, false
		}
		blank := end == s.line
		s.line = next
		if blank {
			raw, s.start = s.buf[s.start:next:next], next
			return raw, true
		}
	}
}

// find moves the cursor at to the next c at or behind the start of the line, or to the end of what was fed.
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

// Pending returns the bytes of an event that is not whole yet. They are valid until the next Feed.
func (s *Splitter) Pending() []byte { return s.buf[s.start:] }

// Reset forgets everything that was fed.
func (s *Splitter) Reset() { *s = Splitter{} }

// ParseEvent reads a raw event. ok is false when it has no data line, as comments and blank lines have none. A missing
// blank line at the end is not minded. The data aliases raw unless it has several lines.
func ParseEvent(raw []byte) (ev Event, ok bool) {
	raw = bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))
	lines := 0
	for pos, lf := 0, -1; pos < len(raw); {
		if lf < pos { // searched once for many lines that end with CR
			if lf = bytes.IndexByte(raw[pos:], '\n'); lf < 0 {
				lf = len(raw)
			} else {
				lf += pos
			}
		}
		end, next := lf, lf+1
		if cr := bytes.IndexByte(raw[pos:lf], '\r'); cr >= 0 {
			end, next = pos+cr, pos+cr+1 // of CRLF an empty line is left over, which says nothing here
		}
		name, value, _ := bytes.Cut(raw[pos:end], []byte{':'})
		pos = next
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		switch string(name) {
		case "event":
			ev.Name = string(value)
		case "data":
			if lines++; lines == 1 {
				ev.Data = value
				continue
			}
			if lines == 2 { // no longer a part of raw
				ev.Data = append(make([]byte, 0, len(ev.Data)+len(value)+len(raw)-min(pos, len(raw))+1), ev.Data...)
			}
			ev.Data = append(append(ev.Data, '\n'), value...)
		}
	}
	return ev, lines > 0
}

// eachEvent calls f with the events of a whole stream, including a last one without its blank line, until f is false.
func eachEvent(events []byte, f func(raw []byte, ev Event, ok bool) bool) {
	s := Splitter{buf: events}
	for {
		raw, more := s.Next()
		if !more {
			raw = s.Pending()
		}
		if len(raw) > 0 {
			if ev, ok := ParseEvent(raw); !f(raw, ev, ok) {
				return
			}
		}
		if !more {
			return
		}
	}
}
