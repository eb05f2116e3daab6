package openai

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/convert"
	"forward/internal/jsonscan"
)

// responseForm is the form of a response. The last event of a stream has the
// whole response.
var responseForm = &convert.Form{
	Body:   &convert.Shape{Rest: convert.Last},
	End:    "[DONE]", // of some compatible servers
	Events: func() convert.EventReader { return &responseReader{} },
	Write:  writeResponse,
	Complete: func(r gjson.Result) bool {
		status := r.Get("status").Raw
		ended := status == `"completed"` || status == `"incomplete"`
		return ended && r.Get("output").IsArray() && convert.IsAbsent(r.Get("error").Raw)
	},
}

// responseReader takes the response out of the last event. Some servers leave
// its output empty there; then the output is put together from the items that
// are done. There is no body if the response failed, or if its last event lacks
// items that there were events of.
type responseReader struct {
	items     []string // that are done
	seen      int      // items that there were events of
	unordered bool     // whether items were done out of order
	ended     bool
}

// Ended reports whether the response was read.
func (r *responseReader) Ended() bool { return r.ended }

// Piece returns the response, if the event has it.
func (r *responseReader) Piece(e convert.Object) (piece string, ok bool) {
	index, err := strconv.Atoi(e.Get("output_index"))
	if err == nil {
		r.seen = max(r.seen, index+1)
	}
	if r.ended {
		return "", false
	}
	switch e.Get("type") {
	case "", `"error"`, `"response.failed"`:
		return "", false
	case `"response.output_item.done"`:
		item := e.Get("item")
		r.unordered = r.unordered || err != nil || index != len(r.items)
		r.items = append(r.items, item)
		return "", jsonscan.IsObject(item)
	case `"response.completed"`, `"response.incomplete"`:
		r.ended = true
		response, ok := convert.ParseObject(e.Get("response"))
		n := len(convert.Items(response.Get("output")))
		if n == 0 && !r.unordered && len(r.items) == r.seen {
			response.Set("output", "["+strings.Join(r.items, ",")+"]")
			n = r.seen
		}
		return response.String(), ok && n == r.seen
	}
	return "", true
}

// writeResponse writes response.created and response.in_progress with an empty
// response, the events of each item, and the whole response at last.
func writeResponse(s *convert.Stream, r convert.Object) bool {
	status := r.Get("status")
	output := r.Get("output")
	if !convert.IsText(status) || !jsonscan.IsArray(output) {
		return false
	}
	s.Numbered = true
	started := slices.Clone(r)
	started.Reset(`"in_progress"`, "status")
	started.Reset("[]", "output")
	started.Reset("null", "usage", "incomplete_details", "completed_at")
	started.Reset(`""`, "output_text") // which SDKs add
	s.Event("response.created", `,"response":`+started.String())
	s.Event("response.in_progress", `,"response":`+started.String())
	ok := outputItems.Write(s, output, "")
	s.Event("response."+convert.Inner(status), `,"response":`+r.String())
	return ok
}

// outputItems are the items of a response, with the parts of those that clients
// read while they come. OpenAI's SDK throws on events that do not name their
// item.
var outputItems = &convert.Blocks{
	Start: "response.output_item.added", Stop: "response.output_item.done", Repeat: true,
	Name: "item", Index: "output_index", ID: "item_id",
	Types: map[string][]convert.Part{
		"message":          {running, listOf("content", contents, true)},
		"reasoning":        {listOf("summary", summaries, true), listOf("content", contents, false)},
		"function_call":    {running, delta("arguments", "function_call_arguments"), namedDone},
		"mcp_call":         {running, delta("arguments", mcp), done("arguments", mcp), {Name: "output", Empty: "null"}},
		"custom_tool_call": {running, delta("input", custom), done("input", custom)},
	},
}

// The events of calls, without response. before and .delta or .done behind.
const (
	mcp    = "mcp_call_arguments"
	custom = "custom_tool_call_input"
)

// running is the status of an item that has started.
var running = convert.Part{Name: "status", Empty: `"in_progress"`}

// listOf returns the part of an item that is a list of blocks.
func listOf(name string, blocks *convert.Blocks, required bool) convert.Part {
	return convert.Part{Name: name, Kind: convert.InBlocks, Empty: "[]", Required: required, Blocks: blocks}
}

var contents = &convert.Blocks{
	Start: "response.content_part.added", Stop: "response.content_part.done", Repeat: true,
	Name: "part", Index: "content_index",
	Types: map[string][]convert.Part{
		"output_text": {
			scored(delta("text", "output_text")),
			{Name: "annotations", Kind: convert.Listed, Empty: "[]",
				Event: "response.output_text.annotation.added", Data: `,"annotation_index":$number,"annotation":$value`},
			scored(done("text", "output_text")),
			{Name: "logprobs", Empty: "[]"},
		},
		"refusal":        {delta("refusal", "refusal"), done("refusal", "refusal")},
		"reasoning_text": {delta("text", "reasoning_text"), done("text", "reasoning_text")},
	},
}

var summaries = &convert.Blocks{
	Start: "response.reasoning_summary_part.added", Stop: "response.reasoning_summary_part.done", Repeat: true,
	Name: "part", Index: "summary_index",
	Types: map[string][]convert.Part{
		"summary_text": {delta("text", "reasoning_summary_text"), done("text", "reasoning_summary_text")},
	},
}

// delta is the event with a text, which comes in one piece.
func delta(name, event string) convert.Part {
	return convert.Part{Name: name, Kind: convert.AsString, Empty: `""`,
		Event: "response." + event + ".delta", Data: `,"delta":$value`}
}

// done is the event that repeats a text at its end.
func done(name, event string) convert.Part {
	return convert.Part{Name: name, Kind: convert.AsString, Empty: `""`,
		Event: "response." + event + ".done", Data: `,"` + name + `":$value`}
}

// namedDone is the end of a function's arguments, with its name.
var namedDone = convert.Part{Name: "arguments", Kind: convert.AsString, Empty: `""`,
	Event: "response.function_call_arguments.done", Data: `,"arguments":$value,"name":$with`,
	With: convert.Member{Name: "name", Value: "null"}}

// scored adds the logprobs of a text to the event, which the text must have.
func scored(p convert.Part) convert.Part {
	p.Data += `,"logprobs":$with`
	p.With = convert.Member{Name: "logprobs", Value: "[]"}
	p.Required = true
	return p
}
