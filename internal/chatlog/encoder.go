package chatlog

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// encoder makes lines with one content. Safe for concurrent use.
type encoder struct {
	meta     bool // no text
	redacted bool
	redactor *Redactor
	location *time.Location
	secrets  []string // of the exchange: they are in no line
}

// with returns an encoder that keeps the credentials of an exchange out.
func (e *encoder) with(secrets []string) *encoder {
	own := *e
	own.secrets = secrets
	return &own
}

// field is a field of a request line, and what it is when the request does not have it: JSON, or "" for a field that is
// not there then.
type field struct{ name, missing string }

// The fields that openai-forward wrote, in its order and with its defaults; those without a default it had only in some
// versions. (Its default of stream for completions was true, which is not so.)
var (
	chatFields = []field{
		{"functions", ""}, {"function_call", ""}, {"messages", "null"}, {"model", "null"}, {"stream", "false"},
		{"max_tokens", "null"}, {"response_format", ""}, {"n", "1"}, {"temperature", "1"}, {"top_p", "1"}, {"logit_bias", "null"},
		{"frequency_penalty", "0"}, {"presence_penalty", "0"}, {"seed", ""}, {"stop", "null"}, {"user", "null"}, {"tools", ""},
		{"tool_choice", ""},
	}
	completionFields = []field{{"prompt", "null"}, {"model", "null"}, {"stream", "false"}, {"temperature", "1"}, {"user", "null"}}
	responsesFields  = []field{{"instructions", ""}, {"input", "null"}, {"model", "null"}, {"stream", "false"}, {"user", "null"}}
	messagesFields   = []field{{"system", ""}, {"messages", "null"}, {"model", "null"}, {"stream", "false"}, {"max_tokens", ""}, {"user", "null"}}
	generateFields   = []field{{"systemInstruction", ""}, {"contents", "null"}, {"model", "null"}, {"user", "null"}}
	speechFields     = []field{{"input", "null"}, {"model", "null"}, {"voice", ""}, {"user", "null"}}
	audioFields      = []field{} // a form, of which nothing is read
	embeddingFields  = []field{{"input", "null"}, {"model", "null"}, {"encoding_format", `"float"`}, {"user", "null"}}
)

// layoutOf returns the fields of an operation that is logged, and nil for the others.
func layoutOf(op dialect.Operation) []field {
	switch op {
	case dialect.Chat:
		return chatFields
	case dialect.Completion:
		return completionFields
	case dialect.Embedding:
		return embeddingFields
	case dialect.Speech:
		return speechFields
	case dialect.Audio:
		return audioFields
	case dialect.Responses:
		return responsesFields
	case dialect.Messages:
		return messagesFields
	case dialect.Generate:
		return generateFields
	}
	return nil
}

// reserved are the names that lines have for what the gateway says. A request that has such a field finds it in the object
// "extra": else a client could write its own ip, or a second uid that some readers would believe.
var reserved = []string{
	"ip", "uid", "operation", "queue_ms", "first_ms", "cost", "caching", "datetime", "key", "extra", "assistant", "text", "object", "is_tool_calls", "is_function_call",
	"status", "finish_reason", "usage", "cache", "ms", "complete", "cause", "error", "truncated", "content", "refusal",
	"reasoning", "choices", "assistant_bytes",
}

func isReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return len(r) == len(name) && strings.EqualFold(r, name) })
}

// request makes the line of a request: the fields of openai-forward, then what else the body has in the order in which it
// was sent, then what the gateway knows. Values are the body's bytes.
func (e *encoder) request(r Request) []byte {
	var raw []byte
	if r.Body != nil {
		raw = r.Body.Raw()
	}
	room := 512 // the defaults and what the gateway says need about 350 bytes
	if !e.meta {
		room += len(raw)
	}
	o := object{dst: make([]byte, 0, room), open: '{'}
	fields := layoutOf(r.Operation)
	for _, f := range fields {
		var v gjson.Result
		if r.Body != nil {
			v = r.Body.Get(f.name)
		}
		switch {
		case v.Exists():
			o.key(f.name)
			o.dst = e.value(o.dst, f.name, v)
		case f.name == "model" && r.Model != "":
			o.text(f.name, e.name(r.Model))
		case f.name == "user" && r.User != "":
			o.text(f.name, e.name(r.User))
		case f.missing != "":
			o.key(f.name)
			o.dst = append(o.dst, f.missing...)
		}
	}
	if !e.meta {
		e.others(&o, fields, view(raw))
	}
	o.text("ip", r.IP)
	o.text("uid", r.UID)
	if converses(string(r.Operation)) {
		o.text("operation", string(r.Operation))
	}
	if r.Caching {
		o.bool("caching", true)
	}
	o.key("datetime")
	o.dst = append(r.Time.In(e.location).AppendFormat(append(o.dst, '"'), time.DateTime), '"')
	o.textOrNull("key", r.Key)
	return finish(o.end())
}

// others appends the fields of a body that are not in the operation's list.
func (e *encoder) others(o *object, fields []field, body gjson.Result) {
	extra := object{open: '{'}
	body.ForEach(func(k, v gjson.Result) bool {
		name := k.Str
		to := o
		switch {
		case name == "caching" || slices.ContainsFunc(fields, func(f field) bool { return f.name == name }):
			return true // the gateway's own, or there already
		case isReserved(name):
			to = &extra
		}
		to.key(e.clean(name))
		to.dst = e.value(to.dst, name, v)
		return true
	})
	if extra.n > 0 {
		o.key("extra")
		o.dst = append(o.dst, extra.end()...)
	}
}

// value appends a value of a body as the content wants it.
func (e *encoder) value(dst []byte, name string, v gjson.Result) []byte {
	switch {
	case (e.meta || e.redacted) && (name == "model" || name == "user") && v.Type == gjson.String:
		return appendString(dst, e.name(v.Str))
	case e.meta:
		return e.appendMeta(dst, name, v)
	}
	return e.json(dst, v.Raw)
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

// suspicious reports whether a key may be in JSON, in its own letters or in escapes. Most has none, and is not taken apart.
func (e *encoder) suspicious(raw string) bool {
	return strings.Contains(raw, keyPrefix) || strings.Contains(raw, `\u00`) || strings.Contains(raw, `\/`) ||
		slices.ContainsFunc(e.secrets, func(secret string) bool { return len(secret) >= minSecret && strings.Contains(raw, secret) })
}

// text appends text of a client or a model as a string, which in meta logs it must not be called for.
func (e *encoder) text(dst []byte, s string) []byte { return appendString(dst, e.clean(s)) }

// clean returns text of a client or a model without what is not to be kept: keys of the gateway never are.
func (e *encoder) clean(s string) string {
	if s = WithoutKeys(s, e.secrets); e.redacted {
		s = e.redactor.Text(s)
	}
	return s
}

// name returns what stands for the name of a user, a model or a reason.
func (e *encoder) name(s string) string {
	if s = WithoutKeys(s, e.secrets); e.meta || e.redacted {
		s = e.redactor.Name(s)
	}
	return s
}

// appendMeta appends what a meta log tells of a value: numbers and booleans, and who said how much.
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

// knownRole returns role if it is one: it is a client's text like any other.
func knownRole(role string) string {
	switch role {
	case "system", "developer", "user", "assistant", "tool", "function":
		return role
	}
	return "other"
}

// sizeOf returns the length of a text, or of the JSON of anything else.
func sizeOf(v gjson.Result) int {
	switch v.Type {
	case gjson.String:
		return len(v.Str)
	case gjson.Null:
		return 0
	}
	return len(v.Raw)
}

// finish makes a line of an object: valid UTF-8, for strict readers, and a line end.
func finish(dst []byte) []byte {
	if !utf8.Valid(dst) {
		dst = []byte(strings.ToValidUTF8(string(dst), "\uFFFD"))
	}
	return append(dst, '\n')
}

// view reads valid JSON where it is: gjson.ParseBytes copies it, which for a body with images is megabytes.
func view(raw []byte) gjson.Result {
	return gjson.Parse(unsafe.String(unsafe.SliceData(raw), len(raw)))
}
