package chatlog

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Message is one message of a conversation of any API.
type Message struct {
	Role   string `json:"role"`   // system, user, assistant or tool
	Answer bool   `json:"answer"` // it is of the answer, and not of the question
	Parts  []Part `json:"parts"`
}

// Part is a part of a message. Its type decides which fields it has: text,
// reasoning, tool_call, tool_result, media or other.
type Part struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"`
	ID        *string         `json:"id,omitempty"`
	Name      *string         `json:"name,omitempty"`
	Arguments *string         `json:"arguments,omitempty"`
	Failed    *bool           `json:"failed,omitempty"`
	MediaType *string         `json:"media_type,omitempty"`
	Bytes     *int64          `json:"bytes,omitempty"`
	JSON      json.RawMessage `json:"json,omitempty"`
}

// contentOf returns an exchange as its lines and as a conversation.
func contentOf(x exchange) Content {
	var c Content
	c.Request, c.Truncated = whole(x.request.Raw)
	cut := false
	c.Result, cut = whole(x.result.Raw)
	c.Truncated = c.Truncated || cut
	c.Messages, cut = bounded(append(asked(x.request), answers(x.result)...))
	c.Truncated = c.Truncated || cut
	return c
}

// whole returns a line, or nil and true if it is too long.
func whole(raw string) (json.RawMessage, bool) {
	if raw == "" || len(raw) > MaxContent {
		return nil, raw != ""
	}
	return json.RawMessage(strings.Clone(raw)), false
}

// bounded keeps the last messages that fit, for a conversation grows at its
// end, and cuts texts that are too long alone.
func bounded(list []Message) (kept []Message, cut bool) {
	const maxText = MaxContent / 4
	left := MaxContent
	for i := len(list) - 1; i >= 0; i-- {
		for j := range list[i].Parts {
			p := &list[i].Parts[j]
			for _, text := range []*string{p.Text, p.Arguments} {
				if text == nil {
					continue
				}
				if len(*text) > maxText {
					cut = true
					*text = strings.ToValidUTF8((*text)[:maxText], "")
				}
				left -= len(*text)
			}
			if len(p.JSON) > maxText {
				cut = true
				p.JSON = json.RawMessage(`null`)
			}
			left -= len(p.JSON)
		}
		if left < 0 {
			return list[i+1:], true
		}
	}
	return list, cut
}

// asked returns the messages of a request line.
func asked(r gjson.Result) (list []Message) {
	turns := conversation(r)
	switch {
	case turns.IsArray() && turns.Get("0").IsObject():
		turns.ForEach(func(_, m gjson.Result) bool {
			list = append(list, messageOf(m))
			return true
		})
		return list
	case !turns.Exists() || turns.Type == gjson.Null:
		turns = first(r, "prompt", "input")
	}
	if turns.Exists() && turns.Type != gjson.Null {
		list = append(list, Message{Role: "user", Parts: contentParts(turns)})
	}
	return list
}

// messageOf returns a message of chat completions.
func messageOf(m gjson.Result) Message {
	out := Message{Role: m.Get("role").Str}
	if out.Role == "developer" {
		out.Role = "system"
	}
	if out.Role == "function" {
		out.Role = "tool"
	}
	for _, name := range []string{"reasoning", "reasoning_content"} {
		if text := m.Get(name); text.Type == gjson.String && text.Str != "" {
			out.Parts = append(out.Parts, textPart("reasoning", text.Str))
		}
	}
	content := m.Get("content")
	id := m.Get("tool_call_id").Str
	switch {
	case out.Role == "tool" || id != "":
		out.Role = "tool"
		failed := m.Get("is_error").Bool()
		text := plainText(content)
		if text == "" && content.Type != gjson.Null {
			text = content.Raw
		}
		if content.Type == gjson.String {
			text = content.Str
		}
		text = strings.Clone(text)
		out.Parts = append(out.Parts, Part{Type: "tool_result", ID: clone(id), Text: &text, Failed: &failed})
	case content.Exists() && content.Type != gjson.Null:
		out.Parts = append(out.Parts, contentParts(content)...)
	}
	if text := m.Get("refusal"); text.Type == gjson.String && text.Str != "" {
		out.Parts = append(out.Parts, textPart("text", text.Str))
	}
	out.Parts = append(out.Parts, callParts(m.Get("tool_calls"))...)
	if call := m.Get("function_call"); call.IsObject() {
		out.Parts = append(out.Parts, callPart("", call))
	}
	m.ForEach(func(name, v gjson.Result) bool { // what chat completions have no form for
		switch name.Str {
		case "role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call", "tool_call_id", "is_error", "name", "cache_control":
		default:
			if v.IsObject() {
				out.Parts = append(out.Parts, otherPart(v.Raw))
			}
		}
		return true
	})
	if out.Parts == nil {
		out.Parts = []Part{}
	}
	return out
}

// contentParts returns the parts of a content: a string, or a list.
func contentParts(v gjson.Result) (parts []Part) {
	switch {
	case v.Type == gjson.String:
		return []Part{stringPart(v.Str)}
	case !v.IsArray():
		return []Part{otherPart(v.Raw)}
	}
	v.ForEach(func(_, p gjson.Result) bool {
		address := first(p, "image_url.url", "image_url", "input_audio.data", "file.file_data", "source.data", "audio.data")
		switch text := p.Get("text"); {
		case p.Type == gjson.String:
			parts = append(parts, stringPart(p.Str))
		case text.Type == gjson.String && !address.Exists():
			parts = append(parts, stringPart(text.Str))
		case address.Type == gjson.String:
			kind, n, ok := mediaOf(address.Str)
			if !ok {
				parts = append(parts, otherPart(p.Raw))
				break
			}
			parts = append(parts, Part{Type: "media", MediaType: &kind, Bytes: &n})
		default:
			parts = append(parts, otherPart(p.Raw))
		}
		return true
	})
	return parts
}

// mediaOf returns the media type and the size of a digest or a data URL.
func mediaOf(text string) (kind string, bytes int64, ok bool) {
	if mediaDigest.MatchString(text) {
		kind, rest, _ := strings.Cut(strings.TrimLeft(text, "["), ", ")
		size, _, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseInt(size, 10, 64)
		return strings.Clone(kind), n, err == nil
	}
	head, data, found := strings.Cut(text, mediaMark)
	if kind, isData := strings.CutPrefix(head, "data:"); isData && found {
		return strings.Clone(kind), int64(len(data) * 3 / 4), true
	}
	return "", 0, false
}

// callParts returns the calls of tools of a list.
func callParts(calls gjson.Result) (parts []Part) {
	calls.ForEach(func(_, v gjson.Result) bool {
		parts = append(parts, callPart(v.Get("id").Str, first(v, "function", "custom")))
		return true
	})
	return parts
}

func callPart(id string, f gjson.Result) Part {
	return Part{Type: "tool_call", ID: clone(id), Name: clone(f.Get("name").Str), Arguments: clone(first(f, "arguments", "input").String())}
}

// answers returns the messages of a result line, one for each choice.
func answers(r gjson.Result) (list []Message) {
	add := func(c gjson.Result) {
		m := Message{Role: "assistant", Answer: true, Parts: []Part{}}
		text := func(kind, name string) {
			if v := c.Get(name); v.Type == gjson.String && v.Str != "" {
				m.Parts = append(m.Parts, textPart(kind, v.Str))
			}
		}
		text("reasoning", "reasoning")
		text("text", "content")
		text("text", "text")
		text("text", "assistant")
		text("text", "refusal")
		if calls := c.Get("assistant"); calls.IsArray() {
			m.Parts = append(m.Parts, callParts(calls)...)
		}
		text("text", "error")
		if len(m.Parts) > 0 {
			list = append(list, m)
		}
	}
	if choices := r.Get("choices"); choices.IsArray() {
		choices.ForEach(func(_, c gjson.Result) bool { add(c); return true })
		return list
	}
	if r.Exists() {
		add(r)
	}
	return list
}

// stringPart returns a text, or the media that it is.
func stringPart(text string) Part {
	if kind, n, ok := mediaOf(text); ok && !strings.ContainsAny(text, "\n") && utf8.RuneCountInString(text) < 200 {
		return Part{Type: "media", MediaType: &kind, Bytes: &n}
	}
	return textPart("text", text)
}

func textPart(kind, text string) Part { return Part{Type: kind, Text: clone(text)} }

func otherPart(raw string) Part {
	return Part{Type: "other", JSON: json.RawMessage(strings.Clone(raw))}
}

// clone returns a copy of a text, which may be a part of a buffer.
func clone(text string) *string {
	text = strings.Clone(text)
	return &text
}
