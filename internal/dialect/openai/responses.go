package openai

import (
	"cmp"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// responseEvent reads one event of the responses API, whose data repeats the
// event's name as its type.
func (a reader) responseEvent(root gjson.Result) {
	kind := jsonscan.String(root.Get("type"))
	index, delta := jsonscan.Count(root.Get("output_index")), jsonscan.String(root.Get("delta"))
	switch kind {
	case "response.created":
		r := root.Get("response")
		a.Identify(jsonscan.String(r.Get("id")), jsonscan.String(r.Get("model")))
		a.AddState(r.Get("id"))
		a.AddState(r.Get("conversation.id"))
	case "response.output_text.delta":
		a.Draft(0).AddText(delta)
	case "response.refusal.delta":
		a.Draft(0).AddRefusal(delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		a.Draft(0).AddReasoning("", delta)
	case "response.output_item.added", "response.output_item.done":
		a.responseCall(index, root.Get("item"))
		a.addItem(root.Get("item"))
		if kind == "response.output_item.done" {
			a.AddSealed(root.Get("item.encrypted_content"))
			a.addFee(root.Get("item"))
		}
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		t := a.Draft(0).Call(dialect.CallKey{Index: index})
		t.AddArguments(delta)
	case "response.completed", "response.incomplete", "response.failed":
		a.response(root.Get("response"))
		a.Ended = true
	case "error": // {"type":"error","code":…,"message":…}
		a.Fail(root.Get("error"))
		a.Fail(root)
	default:
		if !strings.HasPrefix(kind, "response.") { // what gateways send, ours among them
			a.Fail(root.Get("error"))
		}
	}
}

// responseCall reads an output item if it is a call of one of the client's
// tools.
func (a reader) responseCall(index int64, item gjson.Result) {
	kind, input := jsonscan.String(item.Get("type")), "arguments"
	switch kind {
	case "function_call":
	case "custom_tool_call":
		input = "input"
	default:
		return
	}
	t := a.Draft(0).Call(dialect.CallKey{Index: index, ID: jsonscan.String(item.Get("call_id")), Name: jsonscan.String(item.Get("name"))})
	t.SetType(kind)
	if t.Empty() { // else they came in deltas
		t.AddArguments(argumentsOf(item.Get(input)))
	}
}

// response reads a response object: a whole body, or what the last event of a
// stream repeats in full.
func (a reader) response(r gjson.Result) {
	a.Identify(jsonscan.String(r.Get("id")), jsonscan.String(r.Get("model")))
	a.AddState(r.Get("id"))
	a.AddState(r.Get("conversation.id"))
	a.SetTier(r.Get("service_tier"))
	output := r.Get("output").Array()
	a.addFees(output, dialect.Memory(r.Get("tools")))
	a.TakeUsage(r.Get("usage"))
	a.Fail(r.Get("error"))
	switch status := jsonscan.String(r.Get("status")); status {
	case "incomplete":
		a.Draft(0).SetFinish(cmp.Or(jsonscan.String(r.Get("incomplete_details.reason")), status))
	case "failed", "cancelled":
		if a.Error == "" {
			a.Error = "the response is " + status
		}
	case "completed":
		a.Draft(0).SetFinish(status)
	} // in_progress and queued: a background response that is not there yet
	c := a.Draft(0)
	hasText := !c.Empty()
	for position, item := range output {
		a.responseCall(int64(position), item)
		a.addItem(item)
		a.AddSealed(item.Get("encrypted_content"))
		if !hasText {
			a.responseItem(c, item)
		}
	}
}

func (a reader) responseItem(c *dialect.Draft, item gjson.Result) {
	for _, part := range item.Get("summary").Array() { // comes before the content in streams too
		c.AddReasoning("", jsonscan.String(part.Get("text")))
	}
	for _, part := range item.Get("content").Array() {
		switch jsonscan.String(part.Get("type")) {
		case "output_text":
			c.AddText(jsonscan.String(part.Get("text")))
		case "refusal":
			c.AddRefusal(jsonscan.String(part.Get("refusal")))
		case "reasoning_text":
			c.AddReasoning("", jsonscan.String(part.Get("text")))
		}
	}
}

// addItem takes the ids of an output item: its own, which later requests refer
// to instead of repeating it, and that of the container in which its code ran.
func (a reader) addItem(item gjson.Result) {
	a.AddState(item.Get("id"))
	a.AddState(item.Get("container_id"))
}

// addFees counts the calls of tools in a whole output, which has again what
// events have shown of it. Code costs by the container that it runs in, not by
// the call, and by the memory of that.
func (a reader) addFees(output []gjson.Result, memory string) {
	if len(output) > 0 {
		a.Fees = nil
	}
	containers := map[string]bool{}
	for _, item := range output {
		if jsonscan.String(item.Get("type")) != "code_interpreter_call" {
			a.addFee(item)
			continue
		}
		id := jsonscan.String(item.Get("container_id"))
		if id == "" || !containers[id] {
			a.AddFee("code_interpreter"+memory, 1)
		}
		containers[id] = true
	}
}

// addFee counts the call of a tool that the provider ran. Of a web search only
// the searches cost, and not the pages opened in it. Sources: "Web search" and
// "Pricing", "Built-in tools".
func (a reader) addFee(item gjson.Result) {
	name, isCall := strings.CutSuffix(jsonscan.String(item.Get("type")), "_call")
	if !isCall || free[name] {
		return
	}
	action := jsonscan.String(item.Get("action.type"))
	if name == "web_search" && action != "" && action != "search" {
		return
	}
	a.AddFee(name, 1)
}

// free are the calls that the client itself runs, and those that cost their
// tokens only.
var free = dialect.Set("function", "custom_tool", "computer", "local_shell", "shell", "apply_patch", "mcp", "tool_search")
