package chatlog

import (
	"crypto/sha256"
	"time"
)

// Filter selects the exchanges to convert: those that match each field that is
// set. The zero value selects all.
type Filter struct {
	// Since selects exchanges that started then or later. Logs have no time
	// zone, so it counts as a local time in its own location.
	Since   time.Time
	Key     string // the name of the caller's key
	Session string // the client's name for its conversation
	Model   string // the requested model
	// Dedupe selects only the first of exchanges with equal model, conversation
	// and answer, and of the turns of a conversation only the last.
	Dedupe bool
}

// filtering is a filter with its state in one conversion.
type filtering struct {
	Filter
	since int64
	seen  map[[16]byte]struct{}
}

func (f Filter) start() *filtering {
	w := &filtering{Filter: f}
	if !f.Since.IsZero() {
		_, offset := f.Since.Zone()
		w.since = f.Since.Unix() + int64(offset)
	}
	if f.Dedupe {
		w.seen = make(map[[16]byte]struct{})
	}
	return w
}

// selects reports whether an exchange that started at a time has what the
// filter wants. One without a time is older than any Since.
func (f *filtering) selects(x exchange, at int64) bool {
	if !f.Since.IsZero() && at < f.since {
		return false
	}
	if f.Key != "" && x.request.Get("key").Str != f.Key {
		return false
	}
	if f.Model != "" && x.request.Get("model").Str != f.Model {
		return false
	}
	return f.Session == "" || x.request.Get("session").Str == f.Session
}

// takes reports whether an exchange is selected, given that it was not folded.
func (f *filtering) takes(x exchange, at int64) bool {
	return f.selects(x, at) && (!f.Dedupe || f.isNew(x))
}

// isNew reports whether no equal exchange was taken before. Exchanges of meta
// logs always are: equal sizes do not make them equal.
func (f *filtering) isNew(x exchange) bool {
	asked := conversation(x.request)
	if !asked.Exists() || asked.IsObject() || asked.Get("0.bytes").Exists() {
		return true
	}
	o := newObject(nil, layout{})
	o.value("model", x.request.Get("model"))
	o.value("messages", asked)
	o.value("tools", first(x.request, "tools", "functions"))
	o.value("assistant", x.result.Get("assistant"))
	o.value("content", x.result.Get("content"))
	sum := sha256.Sum256(o.end())
	id := [16]byte(sum[:])
	_, known := f.seen[id]
	f.seen[id] = struct{}{}
	return !known
}
