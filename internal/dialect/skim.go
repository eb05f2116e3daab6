package dialect

import (
	"slices"

	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// A Skim reads an answer of any size and any framing for what it reports of
// itself: usage, model, ids, tier, errors and reasons. It holds no more than a
// few of these members at a time, and no text. It is for answers that are too
// long to be read whole, and for those whose form is not known.
type Skim struct{ reduce jsonscan.Reducer }

// maxSkimmed bounds one member that a skim keeps, in bytes.
const maxSkimmed = 32 << 10

// NewSkim returns a skim of an answer to op, which it writes into a. events
// reports whether the answer is a stream of events.
func (d *Dialect) NewSkim(op Operation, a *Answer, events bool) *Skim {
	return newSkim(func(data []byte) { d.readSkimmed(op, a, data, events) })
}

// SkimWork returns a skim of an answer to op that reports work. each is given
// what the answer, or an event of it, reports, and the answer as it was read so
// far. Both are valid until each returns.
func (d *Dialect) SkimWork(op Operation, events bool, each func(w Work, a *Answer)) *Skim {
	a := &Answer{NoText: true}
	return newSkim(func(data []byte) {
		d.readSkimmed(op, a, data, events)
		if jsonscan.Valid(data) {
			each(ReadWork(jsonscan.View(data)), a)
		}
	})
}

func newSkim(each func(data []byte)) *Skim {
	return &Skim{jsonscan.Reducer{Names: skimmed, Count: itemized, Max: maxSkimmed, Each: each}}
}

// readSkimmed reads the members that are kept of a body or of an event.
func (d *Dialect) readSkimmed(op Operation, a *Answer, data []byte, events bool) {
	if events {
		d.ParseEvent(op, a, framing.Event{Data: data})
	} else if d.ReadBody(op, a, data) != nil && jsonscan.Valid(data) { // for want of the content
		a.describe(jsonscan.View(data))
	}
}

// Write implements io.Writer. It never fails.
func (s *Skim) Write(p []byte) (int, error) { return s.reduce.Write(p) }

// Close ends the answer.
func (s *Skim) Close() error { return s.reduce.Close() }

// skimmed are the members that answers report of themselves, at the top or one
// level down; itemized are lists that are billed by the item.
var (
	skimmed = Set(slices.Concat(usageNames, flatNames, []string{"id", "responseId", "model", "modelVersion", "type", "object", "status", "error",
		"service_tier", "serviceTier", "index", "finish_reason", "finishReason", "stop_reason", "done", "done_reason", "duration", "size", "quality",
		"groundingMetadata", "name", "background", "seconds"})...)
	itemized = Set("data", "predictions")
)
