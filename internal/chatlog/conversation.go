package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// converses reports whether an operation is a conversation that is not spelled as a chat completion is. Its lines name it.
func converses(operation string) bool {
	switch dialect.Operation(operation) {
	case dialect.Responses, dialect.Messages, dialect.Generate:
		return true
	}
	return false
}

// conversation returns what a request line says as a list of messages, whichever API it was sent to: the system's words that
// an API has in a field of their own come first, Gemini's model is the assistant. It does not exist if the line has no text.
func conversation(r gjson.Result) gjson.Result {
	var said gjson.Result
	switch dialect.Operation(r.Get("operation").Str) {
	case dialect.Responses:
		said = r.Get("input")
	case dialect.Generate:
		said = r.Get("contents")
	default:
		said = r.Get("messages")
	}
	system := first(r, "system", "instructions", "systemInstruction")
	if !r.Get("operation").Exists() || !said.IsArray() && said.Type != gjson.String {
		return said
	}
	list := object{open: '['}
	if text := wordsOf(system); text != "" {
		appendMessage(&list, "system", text)
	}
	if said.Type == gjson.String {
		appendMessage(&list, "user", said.Str)
		return view(list.end())
	}
	said.ForEach(func(_, m gjson.Result) bool {
		if parts := m.Get("parts"); parts.Exists() {
			role := m.Get("role").Str
			switch role {
			case "model":
				role = "assistant"
			case "":
				role = "user"
			}
			appendMessage(&list, role, plainText(parts))
			return true
		}
		list.next()
		list.dst = append(list.dst, m.Raw...)
		return true
	})
	return view(list.end())
}

func appendMessage(list *object, role, text string) {
	list.next()
	m := object{dst: list.dst, open: '{'}
	m.text("role", role)
	m.text("content", text)
	list.dst = m.end()
}

// wordsOf returns the text of what the system says: a string, a list of parts, or an object that has one.
func wordsOf(v gjson.Result) string {
	if parts := v.Get("parts"); v.IsObject() && parts.IsArray() {
		v = parts
	}
	if v.IsObject() {
		return ""
	}
	return strings.TrimSpace(plainText(v))
}
