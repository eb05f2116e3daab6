package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"
)

// responses adds an item of the Responses API.
func (d *dialogue) responses(item gjson.Result) {
	kind := item.Get("type").Str
	id := item.Get("call_id").Str
	tool, isCall := strings.CutSuffix(kind, "_call")
	_, isOutput := strings.CutSuffix(kind, "_call_output")
	switch {
	case kind == "message", kind == "" && item.Get("role").Exists():
		m := message{role: item.Get("role").Str, parts: d.responseParts(item.Get("content"))}
		if m.role == "assistant" {
			d.answer(m)
		} else {
			d.add(m)
		}
	case kind == "reasoning":
		texts := append(textsOf(item.Get("summary")), textsOf(item.Get("content"))...)
		d.answer(message{reasoning: strings.Join(texts, "\n")})
	case kind == "function_call":
		d.answer(message{calls: []toolCall{d.call(id, item.Get("name").Str, item.Get("arguments").String())}})
	case kind == "custom_tool_call":
		c := d.call(id, item.Get("name").Str, item.Get("input").String())
		c.custom = true
		d.answer(message{calls: []toolCall{c}})
	case isCall && id != "": // local_shell, shell, apply_patch, computer: tools of the client's own
		d.answer(message{calls: []toolCall{d.call(id, tool, first(item, "action", "operation", "actions").Raw)}})
	case isOutput && id != "":
		d.add(message{role: "tool", answers: id, parts: d.responseParts(item.Get("output"))})
	default: // what the provider's tools did, and what only it can read
		d.alien(nameOf(kind), item)
	}
}

// nameOf returns the name of an item's type, which may be missing.
func nameOf(kind string) string {
	if kind == "" {
		return "item"
	}
	return kind
}

// responseParts returns the parts of a content or an output of the Responses
// API.
func (d *dialogue) responseParts(v gjson.Result) (parts []part) {
	if !v.IsArray() {
		if v.IsObject() {
			v = gjson.Result{Type: gjson.JSON, Raw: "[" + v.Raw + "]"}
		} else {
			return []part{{text: v.String()}}
		}
	}
	v.ForEach(func(_, p gjson.Result) bool {
		text := first(p, "text", "refusal")
		switch kind := p.Get("type").Str; {
		case text.Type == gjson.String:
			parts = append(parts, part{text: text.Str})
		case kind == "input_image" && p.Get("image_url").Type == gjson.String:
			parts = append(parts, imageOf(p.Get("image_url").Str, "", ""))
		case kind == "" || p.Get("outcome").Exists() || p.Get("stdout").Exists(): // of a shell
			parts = append(parts, part{text: p.Raw})
		default:
			parts = append(parts, d.alienPart(kind, p))
		}
		return true
	})
	return parts
}

// alienPart returns a part that chat completions have no form for.
func (d *dialogue) alienPart(kind string, p gjson.Result) part {
	d.foreign = append(d.foreign, nameOf(kind))
	return part{raw: p.Raw}
}

// textsOf returns the texts of a list of parts.
func textsOf(list gjson.Result) (texts []string) {
	list.ForEach(func(_, p gjson.Result) bool {
		if text := p.Get("text").Str; text != "" {
			texts = append(texts, text)
		}
		return true
	})
	return texts
}

// anthropic adds a message of Anthropic's API. Outputs of tools are messages of
// their own, before what the user wrote beside them.
func (d *dialogue) anthropic(item gjson.Result) {
	m := message{role: item.Get("role").Str}
	content := item.Get("content")
	if !content.IsArray() {
		m.parts = []part{{text: content.String()}}
		d.add(m)
		return
	}
	content.ForEach(func(_, block gjson.Result) bool {
		switch kind := block.Get("type").Str; kind {
		case "text":
			m.parts = append(m.parts, part{text: block.Get("text").Str})
		case "image":
			source := block.Get("source")
			m.parts = append(m.parts, imageOf(source.Get("url").Str, source.Get("media_type").Str, source.Get("data").Str))
		case "thinking":
			m.reasoning = strings.TrimPrefix(m.reasoning+"\n"+block.Get("thinking").Str, "\n")
		case "redacted_thinking":
		case "tool_use":
			m.calls = append(m.calls, d.call(block.Get("id").Str, block.Get("name").Str, oneLine(block.Get("input"))))
		case "tool_result":
			d.add(message{role: "tool", answers: block.Get("tool_use_id").Str, parts: d.toolResult(block.Get("content")), failed: block.Get("is_error").Bool()})
		default:
			m.parts = append(m.parts, d.alienPart(kind, block))
		}
		return true
	})
	d.add(m)
}

// toolResult returns the parts of a tool's output in Anthropic's API.
func (d *dialogue) toolResult(content gjson.Result) (parts []part) {
	if !content.IsArray() {
		return []part{{text: content.String()}}
	}
	content.ForEach(func(_, block gjson.Result) bool {
		if block.Get("type").Str == "text" {
			parts = append(parts, part{text: block.Get("text").Str})
		} else { // an output is text
			parts = append(parts, d.alienPart(block.Get("type").Str+" of a tool", block))
		}
		return true
	})
	return parts
}

// gemini adds a content of Google's API, whose calls and outputs may have no
// ids.
func (d *dialogue) gemini(item gjson.Result) {
	m := message{role: geminiRole(item.Get("role").Str)}
	item.Get("parts").ForEach(func(_, p gjson.Result) bool {
		call := first(p, "functionCall", "function_call")
		output := first(p, "functionResponse", "function_response")
		data := first(p, "inlineData", "inline_data")
		kind := first(data, "mimeType", "mime_type").Str
		text := p.Get("text")
		switch {
		case text.Exists() && p.Get("thought").Bool():
			m.reasoning = strings.TrimPrefix(m.reasoning+"\n"+text.Str, "\n")
		case text.Exists():
			m.parts = append(m.parts, part{text: text.Str})
		case call.Exists():
			m.calls = append(m.calls, d.call(call.Get("id").Str, call.Get("name").Str, oneLine(call.Get("args"))))
		case output.Exists():
			id := d.callOf(output.Get("name").Str, output.Get("id").Str)
			d.add(message{role: "tool", answers: id, parts: []part{{text: outputText(output.Get("response"))}}})
		case data.Exists() && strings.HasPrefix(kind, "image/"):
			m.parts = append(m.parts, imageOf("", kind, data.Get("data").Str))
		default:
			m.parts = append(m.parts, d.alienPart(firstName(p), p))
		}
		return true
	})
	d.add(m)
}

// geminiRole returns the name that chat completions have for a role of Gemini.
func geminiRole(role string) string {
	switch role {
	case "model":
		return "assistant"
	case "", "function":
		return "user"
	}
	return role
}

// outputText returns the output of a tool of Google's API: its only text, or
// JSON.
func outputText(response gjson.Result) string {
	text := ""
	n := 0
	response.ForEach(func(_, v gjson.Result) bool {
		n++
		text = v.Str
		return true
	})
	if n == 1 && text != "" {
		return text
	}
	return oneLine(response)
}

// firstName returns the name of an object's first member.
func firstName(v gjson.Result) (name string) {
	v.ForEach(func(k, _ gjson.Result) bool {
		name = k.Str
		return false
	})
	return name
}

// oneLine returns JSON on one line, and an empty object for none.
func oneLine(v gjson.Result) string {
	if !v.Exists() {
		return "{}"
	}
	return string(appendValue(nil, v, layout{}))
}
