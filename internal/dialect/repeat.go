package dialect

import (
	"bytes"
	"cmp"
	"slices"

	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// ReadEvent reads one event of a stream into an answer, as Event does. Most events of a stream differ from the one before in a piece
// of text and in nothing else that counts, and those are not parsed but compared.
func (d *Dialect) ReadEvent(op Operation, a *Answer, ev framing.Event) {
	if a.repeats(ev) {
		return
	}
	a.pieces = 0
	d.Event(op, a, ev)
	a.learn(ev)
}

// shape is an event that did nothing but append one piece of text, and may do so again: everything else in it has been said
// and can be said any number of times, such as the answer's id.
type shape struct {
	name  string
	holes []hole
	rest  []byte  // behind the last hole
	to    *[]byte // where the text went; nil: there is no such event
}

// hole is where events of one shape differ, and what stands before it.
type hole struct {
	before []byte
	number bool // or the inside of a string
	text   bool // the piece; what is in other holes is nothing that is read
	at     int
}

// unread are members that change from event to event and that nobody reads: padding against those who listen on the line, and a
// count (API reference, "stream_options.include_obfuscation" and "Streaming events").
var unread = [...]struct {
	member []byte
	number bool
}{{[]byte(`"obfuscation":"`), false}, {[]byte(`"sequence_number":`), true}}

// repeats reports whether the event has the shape of the one before, and takes its text.
func (a *Answer) repeats(ev framing.Event) bool {
	s := &a.shape
	if s.to == nil || ev.Name != s.name {
		return false
	}
	var text []byte
	rest := ev.Data
	for i := range s.holes {
		h := &s.holes[i]
		if !bytes.HasPrefix(rest, h.before) {
			return false
		}
		rest = rest[len(h.before):]
		n := holeLen(rest, h.number)
		if n < 0 {
			return false
		}
		if h.text {
			text = rest[:n]
		}
		rest = rest[n:]
	}
	if !bytes.Equal(rest, s.rest) {
		return false
	}
	a.keep(s.to, jsonscan.UnsafeString(text))
	return true
}

// holeLen is how long the number is with which data begins, or the string that stands there as itself, without an escape (RFC 8259,
// sections 6 and 7); -1 for none.
func holeLen(data []byte, number bool) int {
	if !number {
		n := bytes.IndexByte(data, '"')
		if n < 0 || !plain(data[:n]) {
			return -1
		}
		return n
	}
	n := 0
	for n < len(data) && '0' <= data[n] && data[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && data[0] == '0' {
		return -1
	}
	return n
}

// plain reports whether text stands in a JSON string as itself.
func plain(text []byte) bool {
	for _, c := range text {
		if c < 0x20 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// learn takes the shape of an event that was read, if it can have one: without an escape every string stands there as itself.
func (a *Answer) learn(ev framing.Event) {
	s := &a.shape
	s.to = nil
	if a.pieces != 1 || a.broken || a.Truncated || bytes.IndexByte(ev.Data, '\\') >= 0 {
		return
	}
	text := (*a.pieceTo)[len(*a.pieceTo)-a.piece:]
	at := bytes.Index(ev.Data, text)
	end := at + len(text)
	// Where it is found twice, one of the two may be something else.
	if at < 1 || end == len(ev.Data) || ev.Data[at-1] != '"' || ev.Data[end] != '"' || !plain(text) || bytes.Contains(ev.Data[at+1:], text) {
		return
	}
	s.holes = append(s.holes[:0], hole{text: true, at: at})
	for _, u := range unread {
		if i := bytes.Index(ev.Data, u.member); i >= 0 {
			s.holes = append(s.holes, hole{number: u.number, at: i + len(u.member)})
		}
	}
	slices.SortFunc(s.holes, func(a, b hole) int { return cmp.Compare(a.at, b.at) })
	data, from := bytes.Clone(ev.Data), 0
	for i := range s.holes {
		h := &s.holes[i]
		n := holeLen(data[h.at:], h.number)
		if n < 0 || h.at < from {
			return
		}
		h.before, from = data[from:h.at], h.at+n
	}
	s.rest, s.name, s.to = data[from:], ev.Name, a.pieceTo
}
