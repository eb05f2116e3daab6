package dialect

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// WorkState is how far the provider is with a piece of work.
type WorkState int

// The states.
const (
	NoWork  WorkState = iota // the answer reports no work
	Pending                  // the provider goes on after the answer
	Done                     // it has ended or was stopped; what was done until then may be billed
	Failed                   // it has ended without a result, and costs nothing
)

// Work is what an answer reports of work that its provider does after it: a
// response in the background, a video, a run, a long-running operation.
type Work struct {
	ID     string // the last segment of the paths that ask for it
	State  WorkState
	Stays  bool         // it goes on when the connection breaks that streams it
	Object gjson.Result // that reports it, in the answer
}

// workStates maps the words of providers. Sources: OpenAI's API reference, "The
// response object", "The video object" and "The run object"; Azure's "Video
// generation jobs". Other words are no state.
var workStates = map[string]WorkState{
	"queued": Pending, "in_progress": Pending, "pending": Pending, "processing": Pending, "running": Pending, "starting": Pending,
	"preprocessing": Pending, "notstarted": Pending, "not_started": Pending, "submitted": Pending, "requires_action": Pending,
	"cancelling": Pending,
	"completed":  Done, "succeeded": Done, "incomplete": Done, "done": Done, "success": Done,
	"cancelled": Done, "canceled": Done, "expired": Done,
	"failed": Failed, "error": Failed,
}

// ReadWork reads an answer or the data of an event, by its shape: an object
// with an id and a status, or a long-running operation with a name and done
// (https://google.aip.dev/151). Batches are no work in this sense: they report
// no usage of their own.
func ReadWork(root gjson.Result) Work {
	v := root
	if response := root.Get("response"); response.Get("status").Type == gjson.String {
		v = response // an event of the responses API
	}
	if !v.IsObject() {
		return Work{}
	}
	name := jsonscan.String(v.Get("name"))
	if strings.HasPrefix(name, "operations/") || strings.Contains(name, "/operations/") {
		return Work{ID: lastSegment(name), State: operationState(v), Object: v}
	}
	id := jsonscan.String(v.Get("id"))
	state := workStates[strings.ToLower(jsonscan.String(v.Get("status")))]
	kind := jsonscan.String(v.Get("object"))
	if id == "" || len(id) > maxName || state == NoWork || kind == "batch" {
		return Work{}
	}
	stays := v.Get("background").Type == gjson.True || kind == "thread.run"
	return Work{ID: lastSegment(id), State: state, Stays: stays, Object: v}
}

// operationState is the state of a long-running operation.
func operationState(v gjson.Result) WorkState {
	switch {
	case v.Get("error").IsObject():
		return Failed
	case v.Get("done").Type == gjson.True:
		return Done
	}
	return Pending
}

// lastSegment returns a copy of what stands behind the last slash of an id.
func lastSegment(id string) string {
	_, last := CutLast(id)
	if len(last) > maxName {
		return ""
	}
	return strings.Clone(last)
}

// NamesOf returns the segments of a judged path, without a method behind a
// colon. One of them may be the id of a piece of work.
func NamesOf(path string) []string {
	path, _, _ = strings.Cut(path, ":")
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}
