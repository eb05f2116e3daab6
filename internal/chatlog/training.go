package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"
)

// learnable reports whether an exchange is of use as training data: the text of
// the request is there (meta logs have none), and the answer is whole. One that
// ended for its length or was filtered is not.
func learnable(x exchange) bool {
	if x.request.Get("operation").Exists() {
		return false // other APIs spell tools and parts in other ways
	}
	answer := x.result.Get("assistant")
	if answer.Type == gjson.Null || answer.Raw == `""` || x.result.Get("complete").Type == gjson.False {
		return false
	}
	if status := x.result.Get("status"); status.Exists() && status.Int() != 200 {
		return false
	}
	switch x.result.Get("finish_reason").Str {
	case "length", "content_filter":
		return false
	}
	messages := x.request.Get("messages")
	n := 0
	whole := messages.IsArray()
	messages.ForEach(func(_, m gjson.Result) bool {
		n++
		whole = whole && m.Get("role").Str != "" && first(m, "content", "tool_calls", "function_call").Exists()
		return whole
	})
	return whole && n > 0
}

// appendFineTuning appends a line for OpenAI's fine-tuning: the messages as
// they were sent, with the answer as the last one.
func appendFineTuning(dst []byte, x exchange) ([]byte, bool) {
	if !learnable(x) || mediaDigest.MatchString(x.request.Get("messages").Raw) {
		return dst, false // OpenAI would take a digest for the address of an image
	}
	o := newObject(dst, layout{})
	o.key("messages")
	list := newArray(o.dst, o.layout)
	x.request.Get("messages").ForEach(func(_, m gjson.Result) bool {
		list.next()
		list.dst = appendValue(list.dst, m, list.layout)
		return true
	})
	list.next()
	list.dst = appendAnswer(list.dst, x.result, list.layout)
	o.dst = list.end()
	for _, name := range []string{"tools", "functions"} {
		if v := first(x.request, name); v.Exists() {
			o.value(name, v)
		}
	}
	return o.end(), true
}

// appendAnswer appends a result as a message of the assistant.
func appendAnswer(dst []byte, result gjson.Result, l layout) []byte {
	answer := result.Get("assistant")
	o := newObject(dst, l)
	o.text("role", "assistant")
	switch {
	case answer.Get("0.type").Str == "function_call": // OpenAI's form before there were tools
		o.value("content", result.Get("content"))
		o.value("function_call", answer.Get("0.function"))
	case answer.IsArray():
		o.value("content", result.Get("content"))
		o.value("tool_calls", answer)
	case answer.IsObject():
		o.value("content", gjson.Result{})
		o.value("function_call", answer)
	default:
		o.value("content", answer)
	}
	return o.end()
}

// appendShareGPT appends a conversation in the form that ShareGPT made common,
// with LLaMA-Factory's names for tools.
func appendShareGPT(dst []byte, x exchange) ([]byte, bool) {
	if !learnable(x) {
		return dst, false
	}
	o := newObject(dst, element)
	o.value("id", x.request.Get("uid"))
	if tools := first(x.request, "tools", "functions"); tools.Exists() {
		o.text("tools", string(appendValue(nil, tools, layout{})))
	}
	o.key("conversations")
	turns := newArray(o.dst, o.layout)
	turn := func(from, value string) {
		turns.next()
		t := newObject(turns.dst, turns.layout)
		t.text("from", from)
		t.text("value", value)
		turns.dst = t.end()
	}
	x.request.Get("messages").ForEach(func(_, m gjson.Result) bool {
		shareTurn(turn, m)
		return true
	})
	shareTurn(turn, gjson.ParseBytes(appendAnswer(nil, x.result, layout{})))
	o.dst = turns.end()
	return o.end(), true
}

// shareTurn passes a message to turn, in two parts if it has both text and tool
// calls.
func shareTurn(turn func(from, value string), m gjson.Result) {
	text := plainText(m.Get("content"))
	switch role := m.Get("role").Str; role {
	case "system", "developer":
		turn("system", text)
	case "user":
		turn("human", text)
	case "tool", "function":
		turn("observation", text)
	case "assistant":
		calls := first(m, "tool_calls", "function_call")
		if text != "" || !calls.Exists() {
			turn("gpt", text)
		}
		if calls.Exists() {
			turn("function_call", string(appendValue(nil, calls, layout{})))
		}
	default:
		turn(role, text)
	}
}

// plainText returns the text of a content, or of its parts, with <image_url>
// for an image and so on.
func plainText(content gjson.Result) string {
	if !content.IsArray() {
		return content.String()
	}
	var parts []string
	content.ForEach(func(_, part gjson.Result) bool {
		if text := first(part, "text", "refusal"); text.Exists() {
			parts = append(parts, text.String())
		} else if kind := part.Get("type").Str; kind != "" {
			parts = append(parts, "<"+kind+">")
		}
		return true
	})
	return strings.Join(parts, "\n")
}
