package chatlog

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// encoder makes lines with one content. It is safe for concurrent use.
type encoder struct {
	meta     bool // no text
	redacted bool
	media    bool      // what is no text is written whole, and not as its digest
	redactor *Redactor // not nil if meta or redacted
	location *time.Location
	secrets  []string // credentials of the exchange, which no line contains
}

// value appends a value of a request body as the content demands.
func (e *encoder) value(dst []byte, name string, v gjson.Result) []byte {
	switch {
	case (e.meta || e.redacted) && (name == "model" || name == "user") && v.Type == gjson.String:
		return jsonscan.AppendString(dst, e.name(v.Str))
	case e.meta:
		return e.appendMeta(dst, name, v)
	}
	raw := v.Raw
	if !e.media {
		raw = withoutMedia(raw, name)
	}
	return e.json(dst, raw)
}

// json appends JSON of a client or a model, with its strings cleaned.
func (e *encoder) json(dst []byte, raw string) []byte {
	switch {
	case e.redacted:
		return appendCleaned(dst, raw, e.clean, e.redactor.Text)
	case e.suspicious(raw):
		return appendCleaned(dst, raw, e.clean, nil)
	}
	return appendOneLine(dst, raw)
}

// suspicious reports whether JSON may contain a key, literally or in escapes.
// Most has none and is not taken apart.
func (e *encoder) suspicious(raw string) bool {
	if strings.Contains(raw, keyPrefix) || strings.Contains(raw, `\u00`) || strings.Contains(raw, `\/`) {
		return true
	}
	return slices.ContainsFunc(e.secrets, func(secret string) bool {
		return len(secret) >= minSecret && strings.Contains(raw, secret)
	})
}

// text appends a text of a client or a model as a string. It must not be called
// for meta logs.
func (e *encoder) text(dst []byte, s string) []byte { return jsonscan.AppendString(dst, e.clean(s)) }

// clean returns a text of a client or a model without keys of the gateway and
// the credentials of the exchange, redacted if the content demands it.
func (e *encoder) clean(s string) string {
	if !e.media {
		s = withoutMediaURLs(s)
	}
	s = WithoutKeys(s, e.secrets)
	if e.redacted {
		s = e.redactor.Text(s)
	}
	return s
}

// name returns what is written for the name of a user, a model or a reason.
func (e *encoder) name(s string) string {
	s = WithoutKeys(s, e.secrets)
	if e.meta || e.redacted {
		s = e.redactor.Name(s)
	}
	return s
}

// appendMeta appends what a meta log keeps of a value: numbers and booleans,
// and the roles and sizes of messages.
func (e *encoder) appendMeta(dst []byte, name string, v gjson.Result) []byte {
	switch {
	case name == "messages" && v.IsArray():
		list := object{dst: dst, open: '['}
		v.ForEach(func(_, m gjson.Result) bool {
			list.next()
			o := object{dst: list.dst, open: '{'}
			o.text("role", knownRole(m.Get("role").Str))
			o.int("bytes", sizeOf(m.Get("content")))
			if calls := int(m.Get("tool_calls.#").Int()); calls > 0 {
				o.int("tool_call_count", calls)
			}
			list.dst = o.end()
			return true
		})
		return list.end()
	case v.Type == gjson.String, v.IsObject(), v.IsArray():
		o := object{dst: dst, open: '{'}
		o.int("bytes", sizeOf(v))
		return o.end()
	}
	return appendCleaned(dst, v.Raw, e.redactor.Name, e.redactor.Text)
}

// knownRole returns role if it is one of the protocol's, and "other" for other
// text, which a client can put there.
func knownRole(role string) string {
	switch role {
	case "system", "developer", "user", "assistant", "tool", "function":
		return role
	}
	return "other"
}

// sizeOf returns the length of a text, or of the JSON of another value.
func sizeOf(v gjson.Result) int {
	switch v.Type {
	case gjson.String:
		return len(v.Str)
	case gjson.Null:
		return 0
	}
	return len(v.Raw)
}

// finish makes a line of an object: valid UTF-8, for strict readers, and a line
// end. It holds no more memory than the line needs, for the queue counts that.
func finish(dst []byte) []byte {
	if cap(dst) > 2*len(dst)+blobBytes { // there was media
		dst = append(make([]byte, 0, len(dst)+1), dst...)
	}
	if !utf8.Valid(dst) {
		dst = []byte(strings.ToValidUTF8(string(dst), "\uFFFD"))
	}
	return append(dst, '\n')
}
