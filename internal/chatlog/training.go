package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// unlearnable returns why an exchange is of no use as training data, "" if it
// is: the text of the request must be there (meta logs have none), and the
// answer be whole. One that ended for its length or was filtered is not.
func unlearnable(x exchange) string {
	answer := x.result.Get("assistant")
	if answer.Type == gjson.Null || answer.Raw == `""` || x.result.Get("complete").Type == gjson.False {
		return "no whole answer"
	}
	if status := x.result.Get("status"); status.Exists() && status.Int() != 200 {
		return "no whole answer"
	}
	if endsEarly(x.result.Get("finish_reason").Str) {
		return "no whole answer"
	}
	if first(x.request, "previous_response_id", "conversation").Exists() && x.request.Get("operation").Exists() {
		return "turns that only the provider has"
	}
	messages := turnsOf(x.request)
	if x.request.Get("operation").Exists() && messages.Type == gjson.String {
		return ""
	}
	n := 0
	whole := messages.IsArray()
	messages.ForEach(func(_, m gjson.Result) bool {
		n++
		if x.request.Get("operation").Exists() {
			whole = m.IsObject() && !m.Get("bytes").Exists()
		} else {
			whole = m.Get("role").Str != "" && first(m, "content", "tool_calls", "function_call").Exists()
		}
		return whole
	})
	if !whole || n == 0 {
		return "messages without text"
	}
	return ""
}

// endsEarly reports whether an answer with a finish reason is not whole, in the
// words of each API.
func endsEarly(reason string) bool {
	switch reason {
	case "length", "content_filter",
		"max_tokens", "model_context_window_exceeded", "pause_turn",
		"incomplete", "max_output_tokens",
		"MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL",
		"UNEXPECTED_TOOL_CALL":
		return true
	}
	return false
}

// lesson returns the messages of an exchange, the answer as the last one, in
// the form of chat completions, or why there is none.
func lesson(x exchange) (messages gjson.Result, reason string) {
	if reason := unlearnable(x); reason != "" {
		return messages, reason
	}
	list := object{open: '['}
	d := dialogueOf(x.request)
	if d == nil {
		turnsOf(x.request).ForEach(func(_, m gjson.Result) bool {
			list.next()
			list.dst = append(list.dst, m.Raw...)
			return true
		})
		list.next()
		list.dst = appendAnswer(list.dst, x.result, layout{})
		return jsonscan.View(list.end()), ""
	}
	d.reply(x.result)
	if len(d.foreign) > 0 {
		return messages, d.foreign[0]
	}
	for _, m := range d.messages {
		if len(m.parts)+len(m.calls) > 0 {
			list.next()
			list.dst = m.append(list.dst, layout{}, true)
		}
	}
	return jsonscan.View(list.end()), ""
}

// reply adds the answer of a result line.
func (d *dialogue) reply(result gjson.Result) {
	m := message{role: "assistant"}
	text := result.Get("assistant")
	if text.IsArray() {
		text.ForEach(func(_, v gjson.Result) bool {
			f := first(v, "function", "custom")
			c := d.call(v.Get("id").Str, f.Get("name").Str, first(f, "arguments", "input").Str)
			switch kind := v.Get("type").Str; kind {
			case "custom", "custom_tool_call":
				c.custom = true
			case "server_tool_use", "mcp_tool_use":
				d.foreign = append(d.foreign, kind)
			}
			m.calls = append(m.calls, c)
			return true
		})
		text = result.Get("content")
	}
	if text.Type == gjson.String {
		m.parts = []part{{text: text.Str}}
	}
	d.messages = append(d.messages, m)
}

// appendFineTuning appends a line for OpenAI's fine-tuning: the messages as
// they were sent, with the answer as the last one.
func appendFineTuning(dst []byte, x exchange) ([]byte, string) {
	messages, reason := lesson(x)
	if reason != "" {
		return dst, reason
	}
	if mediaDigest.MatchString(messages.Raw) { // OpenAI would take it for the address of an image
		return dst, "media that are only digests"
	}
	o := newObject(dst, layout{})
	o.value("messages", messages)
	if v := toolsOf(x.request, "tools"); v.Exists() {
		o.value("tools", v)
		if v := parallel(x.request); v.Exists() {
			o.value("parallel_tool_calls", v)
		}
	}
	if v := first(x.request, "functions"); v.Exists() {
		o.value("functions", v)
	}
	return o.end(), ""
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
func appendShareGPT(dst []byte, x exchange) ([]byte, string) {
	messages, reason := lesson(x)
	if reason != "" {
		return dst, reason
	}
	o := newObject(dst, element)
	o.value("id", x.request.Get("uid"))
	if tools := toolsOf(x.request, "tools", "functions"); tools.Exists() {
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
	messages.ForEach(func(_, m gjson.Result) bool {
		shareTurn(turn, m)
		return true
	})
	o.dst = turns.end()
	return o.end(), ""
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
