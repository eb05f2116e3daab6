package chatlog

import (
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// field is a field of a request line. missing is its value if the request does
// not have it, as JSON; "" leaves the field out.
type field struct{ name, missing string }

// The fields that openai-forward wrote, in its order and with its defaults. It
// had those without a default in some versions only. (Its default of stream for
// completions was true, which is not the API's.)
var (
	chatFields = []field{
		{"functions", ""}, {"function_call", ""}, {"messages", "null"}, {"model", "null"},
		{"stream", "false"}, {"max_tokens", "null"}, {"response_format", ""}, {"n", "1"},
		{"temperature", "1"}, {"top_p", "1"}, {"logit_bias", "null"},
		{"frequency_penalty", "0"}, {"presence_penalty", "0"}, {"seed", ""},
		{"stop", "null"}, {"user", "null"}, {"tools", ""}, {"tool_choice", ""},
	}
	completionFields = []field{
		{"prompt", "null"}, {"model", "null"}, {"stream", "false"}, {"temperature", "1"}, {"user", "null"},
	}
	responsesFields = []field{
		{"instructions", ""}, {"input", "null"}, {"model", "null"}, {"stream", "false"}, {"user", "null"},
	}
	messagesFields = []field{
		{"system", ""}, {"messages", "null"}, {"model", "null"}, {"stream", "false"}, {"max_tokens", ""},
		{"user", "null"},
	}
	generateFields = []field{
		{"systemInstruction", ""}, {"contents", "null"}, {"model", "null"}, {"user", "null"},
	}
	embeddingFields = []field{
		{"input", "null"}, {"model", "null"}, {"encoding_format", `"float"`}, {"user", "null"},
	}
	speechFields = []field{{"input", "null"}, {"model", "null"}, {"voice", ""}, {"user", "null"}}
	audioFields  = []field{} // a form, which is not read
)

// layoutOf returns the fields of an operation that is logged, and nil for
// others.
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

// reserved are the names of the gateway's own fields. A field of a request with
// one of them is put into the object "extra": a client could otherwise write
// its own ip, or a second uid that some readers would believe.
var reserved = []string{
	"ip", "uid", "session", "operation", "queue_ms", "first_ms", "cost", "caching", "datetime", "key", "extra",
	"assistant", "text", "object", "is_tool_calls", "is_function_call",
	"status", "finish_reason", "usage", "cache", "ms", "complete", "cause", "error", "truncated",
	"content", "refusal", "reasoning", "choices", "assistant_bytes", "repeats",
}

func isReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return len(r) == len(name) && strings.EqualFold(r, name) })
}

// request makes the line of a request: the fields of openai-forward, then the
// others of the body in its order, then what the gateway knows. Values keep the
// bytes of the body.
func (e *encoder) request(r Request) []byte {
	var raw []byte
	if r.Body != nil {
		raw = r.Body.Raw()
	}
	size := 512 // defaults and the gateway's own fields need about 350 bytes
	if !e.meta {
		size += len(raw)
	}
	o := object{dst: make([]byte, 0, size), open: '{'}
	fields := layoutOf(r.Operation)
	for _, f := range fields {
		e.field(&o, f, r)
	}
	if !e.meta {
		e.others(&o, fields, jsonscan.View(raw))
	}
	o.text("ip", r.IP)
	o.text("uid", r.UID)
	if r.Session != "" {
		o.text("session", e.name(r.Session))
	}
	if converses(string(r.Operation)) {
		o.text("operation", string(r.Operation))
	}
	if r.Caching {
		o.bool("caching", true)
	}
	o.key("datetime")
	o.dst = append(o.dst, '"')
	o.dst = r.Time.In(e.location).AppendFormat(o.dst, time.DateTime)
	o.dst = append(o.dst, '"')
	o.textOrNull("key", r.Key)
	return finish(o.end())
}

// field appends a field of the operation.
func (e *encoder) field(o *object, f field, r Request) {
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
		o.raw(f.name, f.missing)
	}
}

// others appends the fields of a body that the operation does not list.
func (e *encoder) others(o *object, fields []field, body gjson.Result) {
	extra := object{open: '{'}
	body.ForEach(func(k, v gjson.Result) bool {
		name := k.Str
		to := o
		switch {
		case name == "caching" || slices.ContainsFunc(fields, func(f field) bool { return f.name == name }):
			return true // the gateway's own, or appended before
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
