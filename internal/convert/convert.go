// Package convert turns a streamed answer into the body of the same answer, and
// a body into a stream.
//
// A provider answers in one of two forms, and the cache keeps the one that
// came. A request for the other form is answered from the cache as well, so
// answers are converted: [Form.Fold] joins a stream, [Form.Cut] takes a body
// apart. One engine does either for all protocols. What differs is data, a
// [Form], which the folder of each dialect declares.
//
// Both ways copy JSON as it is spelled, so numbers keep their digits, escapes
// stay escapes, and a surrogate pair whose halves came in two events is whole
// again. Members that a Form does not name survive. Where a conversion would
// have to guess (two values where one is expected, a stream without its end, a
// name that is there twice) it fails, and the cache reports a miss: a wrong
// answer costs more than a second call of the upstream.
package convert

import (
	"bytes"
	"maps"
	"unicode/utf8"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"

	"github.com/tidwall/gjson"
)

// Form describes the two forms of an operation's answer. A Form does not change
// and is safe for concurrent use.
type Form struct {
	Framing framing.Framing // of the stream

	// Body is how the events of a stream are merged into the body.
	Body *Shape

	// End is the data of the event that ends a stream, where that is not JSON.
	End string

	// List and Usage are the members with the answers and with their usage,
	// where usage is sent on demand only, in a last chunk that has no answers.
	List, Usage string

	// Complete reports whether a body is a whole answer, as far as the required
	// fields of Body do not show it. Nil accepts all.
	Complete func(body gjson.Result) bool

	// Events and Write are for protocols whose events are not pieces of the
	// body. Events returns a reader for the events of one stream, Write writes
	// those of a body and reports whether there are any.
	Events func() EventReader
	Write  func(s *Stream, body Object) bool
}

// EventReader translates the events of one stream.
type EventReader interface {
	// Piece returns the piece of the body that an event has, "" for none. ok is
	// false for an event that is not known, or must not be there.
	Piece(event Object) (piece string, ok bool)

	// Ended reports whether the last event was read.
	Ended() bool
}

// Forms are the forms of a dialect's operations. Answers to other operations
// have one form only.
type Forms map[dialect.Operation]*Form

// With returns the forms with another one.
func (all Forms) With(op dialect.Operation, f *Form) Forms {
	all = maps.Clone(all)
	all[op] = f
	return all
}

// Fold is the Fold of a dialect; see [Form.Fold].
func (all Forms) Fold(op dialect.Operation, stream []byte) (body []byte, ok bool) {
	if f := all[op]; f != nil {
		return f.Fold(stream)
	}
	return nil, false
}

// Cut is the Cut of a dialect; see [Form.Cut].
func (all Forms) Cut(op dialect.Operation, body []byte, includeUsage bool) (stream []byte, ok bool) {
	if f := all[op]; f != nil {
		return f.Cut(body, includeUsage)
	}
	return nil, false
}

// WithUsage is the WithUsage of a dialect: unless include is set, it takes the
// chunks that have nothing but usage out of a stream. Chunks that have usage
// beside an answer are the upstream's own way and stay.
func (all Forms) WithUsage(op dialect.Operation, stream []byte, include bool) []byte {
	if f := all[op]; f != nil && f.Usage != "" && !include {
		return f.withoutUsage(stream)
	}
	return stream
}

// Fold joins the events of a complete stream, or of a JSON array of them, to
// the body of the same answer.
func (f *Form) Fold(stream []byte) (body []byte, ok bool) {
	m := merging{form: f, root: &node{}}
	m.root.start(f.Body)
	if f.Events != nil {
		m.events = f.Events()
	}
	if array := bytes.TrimSpace(stream); len(array) > 0 && array[0] == '[' {
		ok = jsonscan.Valid(array)
		for w := jsonscan.Walk(array); ok && w.Next(); {
			ok = m.read([]byte(w.Raw()))
		}
	} else {
		ok = true
		f.Framing.Each(stream, func(_ []byte, ev framing.Event, has bool) bool {
			ok = !has || m.read(bytes.TrimSpace(ev.Data))
			return ok
		})
	}
	ended := m.ended || f.End == ""
	if f.Events != nil {
		ended = m.events.Ended()
	}
	if !ok || !ended {
		return nil, false
	}
	body, ok = m.root.appendTo(make([]byte, 0, len(stream)/2), f.Body)
	return body, ok && (f.Complete == nil || f.Complete(jsonscan.View(body)))
}

// Cut turns a body into a stream that Fold can join. The stream is as short as
// the protocol allows: a text comes in one event, since what is replayed has no
// pace of its own. includeUsage is whether the client demands usage.
func (f *Form) Cut(body []byte, includeUsage bool) (stream []byte, ok bool) {
	if !jsonscan.Valid(body) || !utf8.Valid(body) {
		return nil, false
	}
	// An event's data must not have a line break.
	compact := jsonscan.AppendCompact(make([]byte, 0, len(body)), jsonscan.UnsafeString(body))
	root, ok := ParseObject(jsonscan.UnsafeString(compact))
	if !ok {
		return nil, false
	}
	s := newStream(len(compact))
	if f.Write != nil {
		ok = f.Write(s, root)
	} else {
		ok = f.writeChunks(s, root, includeUsage)
	}
	if !ok || s.full() {
		return nil, false
	}
	// A stream that Fold refuses would be read as something else, or not at
	// all. Chunks have the values of the body; other events are written from
	// parts.
	folded, ok := f.Fold(s.out)
	return s.out, ok && (f.Write == nil || equal(folded, compact))
}

// equal reports whether two bodies differ in nothing but the order of members.
func equal(x, y []byte) bool {
	sortedX, errX := jsonscan.Canonical(x, nil)
	sortedY, errY := jsonscan.Canonical(y, nil)
	return errX == nil && errY == nil && bytes.Equal(sortedX, sortedY)
}
