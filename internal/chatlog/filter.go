package chatlog

import (
	"crypto/sha256"
	"time"
)

// Filter says which exchanges to convert: those that meet all of what is set.
type Filter struct {
	Since  time.Time // begun then or later by the clock on the wall, as logs have no zone: that of Since's own location
	Key    string    // the name of the caller's key
	Model  string    // the model that was asked for
	Dedupe bool      // of exchanges with the same model, conversation and answer only the first
}

// filtering is a filter at work.
type filtering struct {
	Filter
	since int64
	seen  map[[16]byte]struct{}
}

func (f Filter) begin() *filtering {
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

// takes reports whether an exchange that began at a time is wanted. One without a time is not newer than any.
func (f *filtering) takes(x exchange, at int64) bool {
	if !f.Since.IsZero() && at < f.since || f.Key != "" && x.request.Get("key").Str != f.Key || f.Model != "" && x.request.Get("model").Str != f.Model {
		return false
	}
	asked := conversation(x.request)
	if !f.Dedupe || !asked.Exists() || asked.IsObject() || asked.Get("0.bytes").Exists() {
		return true // meta logs tell sizes, and what has the same size is not the same
	}
	said := newObject(nil, layout{})
	said.value("model", x.request.Get("model"))
	said.value("messages", asked)
	said.value("tools", first(x.request, "tools", "functions"))
	said.value("assistant", x.result.Get("assistant"))
	said.value("content", x.result.Get("content"))
	sum := sha256.Sum256(said.end())
	id := [16]byte(sum[:])
	if _, known := f.seen[id]; known {
		return false
	}
	f.seen[id] = struct{}{}
	return true
}
