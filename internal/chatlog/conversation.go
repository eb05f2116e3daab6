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
// list of messages. The system prompt comes first where an API has a field for
// it, and Gemini's model is the assistant. It does not exist if the line has no
// text.
func conversation(r gjson.Result) gjson.Result {
	var turns gjson.Result
	switch dialect.Operation(r.Get("operation").Str) {
	case dialect.Responses:
		turns = r.Get("input")
	case dialect.Generate:
		turns = r.Get("contents")
	default:
		turns = r.Get("messages")
	}
	if !r.Get("operation").Exists() || (!turns.IsArray() && turns.Type != gjson.String) {
		return turns
	}
	list := object{open: '['}
	system := first(r, "system", "instructions", "systemInstruction")
	if text := systemText(system); text != "" {
		appendMessage(&list, "system", text)
	}
	if turns.Type == gjson.String {
		appendMessage(&list, "user", turns.Str)
		return jsonscan.View(list.end())
	}
	turns.ForEach(func(_, m gjson.Result) bool {
		if parts := m.Get("parts"); parts.Exists() {
			appendMessage(&list, geminiRole(m.Get("role").Str), plainText(parts))
			return true
		}
		list.next()
		list.dst = append(list.dst, m.Raw...)
		return true
	})
	return jsonscan.View(list.end())
}

// geminiRole returns the name that chat completions have for a role of Gemini.
func geminiRole(role string) string {
	switch role {
	case "model":
		return "assistant"
	case "":
		return "user"
	}
	return role
}

func appendMessage(list *object, role, text string) {
	list.next()
	m := object{dst: list.dst, open: '{'}
	m.text("role", role)
	m.text("content", text)
	list.dst = m.end()
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
