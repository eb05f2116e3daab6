package dialect

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// responseEvent reads one event of the responses API, whose data repeats the event's name as its type.
func (a *Answer) responseEvent(root gjson.Result) {
	kind := jsonscan.String(root.Get("type"))
	index, delta := jsonscan.Count(root.Get("output_index")), jsonscan.String(root.Get("delta"))
	switch kind {
	case "response.created":
		r := root.Get("response")
		a.identify(jsonscan.String(r.Get("id")), jsonscan.String(r.Get("model")))
		a.made(r.Get("id"))
		a.madeConversation(r.Get("conversation"))
	case "response.output_text.delta":
		a.keep(&a.choice(0).text, delta)
	case "response.refusal.delta":
		a.keep(&a.choice(0).refusal, delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		a.keep(&a.choice(0).reasoning, delta)
	case "response.output_item.added", "response.output_item.done":
		a.responseCall(index, root.Get("item"))
		a.madeItem(root.Get("item"))
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		t := a.call(a.choice(0), callKey{index: index})
		a.keep(&t.arguments, delta)
	case "response.completed", "response.incomplete", "response.failed":
		a.response(root.Get("response"))
		a.Ended = true
	case "error": // {"type":"error","code":…,"message":…}
		a.fail(root.Get("error"))
		a.fail(root)
	default:
		if !strings.HasPrefix(kind, "response.") { // what gateways send, ours among them
			a.fail(root.Get("error"))
		}
	}
}

// responseCall reads an output item if it is a call of one of the client's tools.
func (a *Answer) responseCall(index int64, item gjson.Result) {
	kind, input := jsonscan.String(item.Get("type")), "arguments"
	switch kind {
	case "function_call":
	case "custom_tool_call":
		input = "input"
	default:
		return
	}
	t := a.call(a.choice(0), callKey{index, jsonscan.String(item.Get("call_id")), jsonscan.String(item.Get("name"))})
	t.kind = either(t.kind, kind)
	if len(t.arguments) == 0 { // else they came in deltas
		a.keep(&t.arguments, argumentsOf(item.Get(input)))
	}
}

// response reads a response object: a whole body, or what the last event of a stream says again in full.
func (a *Answer) response(r gjson.Result) {
	a.identify(jsonscan.String(r.Get("id")), jsonscan.String(r.Get("model")))
	a.made(r.Get("id"))
	a.madeConversation(r.Get("conversation"))
	a.tier(r.Get("service_tier"))
	a.openAIUsage(r.Get("usage"))
	a.fail(r.Get("error"))
	switch status := jsonscan.String(r.Get("status")); status {
	case "incomplete":
		c := a.choice(0)
		c.finish = clip(jsonscan.String(r.Get("incomplete_details.reason")), maxName)
		c.finish = either(c.finish, status)
	case "failed", "cancelled":
		if a.Error == "" {
			a.Error = "the response is " + status
		}
	case "completed":
		a.choice(0).finish = clip(status, maxName)
	} // in_progress and queued: a background response that is not there yet
	c := a.choice(0)
	told := len(c.text)+len(c.refusal)+len(c.reasoning) > 0
	for position, item := range r.Get("output").Array() {
		a.responseCall(int64(position), item)
		a.madeItem(item)
		if !told {
			a.responseItem(c, item)
		}
	}
}

func (a *Answer) responseItem(c *choice, item gjson.Result) {
	for _, part := range item.Get("summary").Array() { // comes before the content in streams too
		a.keep(&c.reasoning, jsonscan.String(part.Get("text")))
	}
	for _, part := range item.Get("content").Array() {
		switch jsonscan.String(part.Get("type")) {
		case "output_text":
			a.keep(&c.text, jsonscan.String(part.Get("text")))
		case "refusal":
			a.keep(&c.refusal, jsonscan.String(part.Get("refusal")))
		case "reasoning_text":
			a.keep(&c.reasoning, jsonscan.String(part.Get("text")))
		}
	}
}
