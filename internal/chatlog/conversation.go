package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// converses reports whether an operation is a conversation in another form than
// that of chat completions. Its lines name it.
func converses(operation string) bool {
	switch dialect.Operation(operation) {
	case dialect.Responses, dialect.Messages, dialect.Generate:
		return true
	}
	return false
}

// grows reports whether the requests of an operation have the conversation so
// far in them.
func grows(op dialect.Operation) bool { return op == dialect.Chat || converses(string(op)) }

// conversation returns the conversation of a request line, of any API, as a
// list of messages of chat completions. The system prompt comes first where an
// API has a field for it, and Gemini's model is the assistant. It does not
// exist if the line has no text.
func conversation(r gjson.Result) gjson.Result {
	d := dialogueOf(r)
	if d == nil {
		return turnsOf(r)
	}
	list := object{open: '['}
	for _, m := range d.messages {
		if m.empty() {
			continue
		}
		list.next()
		list.dst = m.append(list.dst, layout{}, false)
	}
	return jsonscan.View(list.end())
}

// turnsOf returns the field of a request line that has the conversation.
func turnsOf(r gjson.Result) gjson.Result {
	switch dialect.Operation(r.Get("operation").Str) {
	case dialect.Responses:
		return r.Get("input")
	case dialect.Generate:
		return r.Get("contents")
	}
	return r.Get("messages")
}

// dialogueOf reads the conversation of a request line, or returns nil for one
// that has the form of chat completions already, or no text.
func dialogueOf(r gjson.Result) *dialogue {
	turns := turnsOf(r)
	if !r.Get("operation").Exists() || (!turns.IsArray() && turns.Type != gjson.String) {
		return nil
	}
	d := new(dialogue)
	if text := systemText(first(r, "system", "instructions", "systemInstruction", "system_instruction")); text != "" {
		d.add(message{role: "system", parts: []part{{text: text}}})
	}
	if turns.Type == gjson.String {
		d.add(message{role: "user", parts: []part{{text: turns.Str}}})
		return d
	}
	read := d.anthropic
	switch dialect.Operation(r.Get("operation").Str) {
	case dialect.Responses:
		read = d.responses
	case dialect.Generate:
		read = d.gemini
	}
	turns.ForEach(func(_, item gjson.Result) bool {
		if !item.IsObject() || item.Get("bytes").Exists() { // a meta log has sizes
			d.add(message{raw: item.Raw})
			return true
		}
		read(item)
		return true
	})
	return d
}

// systemText returns the text of a system prompt, which is a string, a list of
// parts, or an object that has one.
func systemText(v gjson.Result) string {
	if parts := v.Get("parts"); v.IsObject() && parts.IsArray() {
		v = parts
	}
	if v.IsObject() {
		return ""
	}
	return strings.TrimSpace(plainText(v))
}

// imageOf returns the part of chat completions for an image: its address, or
// its data with a media type.
func imageOf(address, kind, data string) part {
	if address == "" {
		address = data
		if !mediaDigest.MatchString(data) {
			address = "data:" + kind + ";base64," + data
		}
	}
	o := object{open: '{'}
	o.text("type", "image_url")
	o.key("image_url")
	inner := object{dst: o.dst, open: '{'}
	inner.text("url", address)
	o.dst = inner.end()
	return part{raw: string(o.end())}
}
