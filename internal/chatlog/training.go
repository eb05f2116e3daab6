package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"
)

// learnable reports whether an exchange can teach a model something: what was asked is there (in meta logs it is not), and
// the answer was given whole. What ended for its length or was filtered is not.
func learnable(x exchange) bool {
	if x.request.Get("operation").Exists() {
		return false // other APIs spell tools and parts in other ways
	}
	said := x.result.Get("assistant")
	if said.Type == gjson.Null || said.Raw == `""` || x.result.Get("complete").Type == gjson.False {
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
	n, whole := 0, messages.IsArray()
	messages.ForEach(func(_, m gjson.Result) bool {
		n++
		whole = whole && m.Get("role").Str != "" && first(m, "content", "tool_calls", "function_call").Exists()
		return whole
	})
	return whole && n > 0
}

// appendFineTuning appends a line for OpenAI's fine-tuning: the messages as they were sent, and the answer as the last.
func appendFineTuning(dst []byte, x exchange) ([]byte, bool) {
	if !learnable(x) {
		return dst, false
	}
	o := newObject(dst, layout{})
	o.key("messages")
	list := newObject(o.dst, o.layout)
	list.open = '['
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

// appendAnswer appends a result as the message that the model said.
func appendAnswer(dst []byte, result gjson.Result, l layout) []byte {
	said := result.Get("assistant")
	o := newObject(dst, l)
	o.text("role", "assistant")
	switch {
	case said.Get("0.type").Str == "function_call": // OpenAI's form before there were tools
		o.value("content", result.Get("content"))
		o.value("function_call", said.Get("0.function"))
	case said.IsArray():
		o.value("content", result.Get("content"))
		o.value("tool_calls", said)
	case said.IsObject():
		o.value("content", gjson.Result{})
		o.value("function_call", said)
	default:
		o.value("content", said)
	}
	return o.end()
}

// appendShareGPT appends a conversation in the form that ShareGPT made common, with the names for tools that LLaMA-Factory
// gave it.
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
	turns := newObject(o.dst, o.layout)
	turns.open = '['
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

// shareTurn tells a message as one turn, or as two when there is text beside of tool calls.
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

// plainText returns the text of a content: itself, or that of its parts, where <image_url> stands for a part that is an
// image and so on.
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
