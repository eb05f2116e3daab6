package chatlog

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// exchange is a request and its result as the log has them. The result of an
// unanswered one does not exist.
type exchange struct{ request, result gjson.Result }

// format defines how a sequence of exchanges is written.
type format struct {
	open, between, close string
	empty                string // in place of close if there are no exchanges
	// append appends an exchange, or returns why it does not fit the format.
	append func(dst []byte, x exchange) ([]byte, string)
}

// formats are the formats by name. The map is never changed.
var formats = map[string]format{
	"openai-forward": array(appendForward),
	"sharegpt":       array(appendShareGPT),
	"jsonl":          rows("", appendJoined),
	"log":            {append: appendLines},
	"openai-ft":      rows("", appendFineTuning),
	"csv":            rows(csvHeader, appendCSV),
}

// array is one JSON array, indented by two spaces.
func array(appendTo func([]byte, exchange) ([]byte, string)) format {
	return format{open: "[", between: ",", close: "\n]\n", empty: "]\n", append: func(dst []byte, x exchange) ([]byte, string) {
		return appendTo(element.line(dst), x)
	}}
}

// element is the layout of an exchange in an array.
var element = layout{indent: "  ", level: 1}

// rows is one line for each exchange.
func rows(header string, appendTo func([]byte, exchange) ([]byte, string)) format {
	return format{open: header, append: func(dst []byte, x exchange) ([]byte, string) {
		dst, reason := appendTo(dst, x)
		return append(dst, '\n'), reason
	}}
}

// appendForward appends the eight fields of openai-forward, named as in its
// README.
func appendForward(dst []byte, x exchange) ([]byte, string) {
	r := x.request
	o := newObject(dst, element)
	o.value("datetime", r.Get("datetime"))
	o.value("ip", first(r, "ip", "forwarded-for"))
	o.value("model", r.Get("model"))
	if t := r.Get("temperature"); t.Exists() {
		o.value("temperature", t)
	} else {
		o.raw("temperature", "1")
	}
	o.key("messages")
	o.dst = appendMessages(o.dst, conversation(r), o.layout)
	o.value("functions", first(r, "functions", "tools"))
	o.value("is_function_call", first(x.result, "is_function_call", "is_tool_calls"))
	o.value("assistant", x.result.Get("assistant"))
	return o.end(), ""
}

// first returns the first of several members that exists and is not null.
func first(v gjson.Result, names ...string) gjson.Result {
	for _, name := range names {
		if m := v.Get(name); m.Exists() && m.Type != gjson.Null {
			return m
		}
	}
	return gjson.Result{}
}

// appendMessages appends messages as {role: content} objects, each followed by
// the other members of the message.
func appendMessages(dst []byte, messages gjson.Result, l layout) []byte {
	if !messages.IsArray() {
		return append(dst, "null"...)
	}
	list := newArray(dst, l)
	messages.ForEach(func(_, m gjson.Result) bool {
		list.next()
		o := newObject(list.dst, list.layout)
		role := m.Get("role").Str
		if role == "" {
			role = "unknown"
		}
		if !m.IsObject() { // text without a role
			o.value(role, m)
			list.dst = o.end()
			return true
		}
		o.value(role, m.Get("content"))
		m.ForEach(func(k, v gjson.Result) bool {
			if k.Str != "role" && k.Str != "content" && k.Str != role {
				o.value(k.Str, v)
			}
			return true
		})
		list.dst = o.end()
		return true
	})
	return list.end()
}

// appendLines appends the lines of an exchange as they were before what repeats
// in them became references.
func appendLines(dst []byte, x exchange) ([]byte, string) {
	dst = append(append(dst, x.request.Raw...), '\n')
	if x.result.Exists() && x.result.Raw != x.request.Raw {
		dst = append(append(dst, x.result.Raw...), '\n')
	}
	return dst, ""
}

// appendJoined appends all fields of the request and then those that only the
// result has.
func appendJoined(dst []byte, x exchange) ([]byte, string) {
	o := newObject(dst, layout{})
	var names []string
	take := func(k, v gjson.Result) bool {
		if !slices.Contains(names, k.Str) {
			names = append(names, k.Str)
			o.value(k.Str, v)
		}
		return true
	}
	x.request.ForEach(take)
	x.result.ForEach(take)
	if !slices.Contains(names, "assistant") {
		o.value("assistant", gjson.Result{})
	}
	return o.end(), ""
}

const csvHeader = "datetime,key,user,ip,model,temperature,messages,assistant,finish_reason,status," +
	"prompt_tokens,completion_tokens,cache,ms,complete,uid\n"

// appendCSV appends a row of the table.
func appendCSV(dst []byte, x exchange) ([]byte, string) {
	r := x.request
	a := x.result
	usage := a.Get("usage")
	cells := [...]gjson.Result{
		r.Get("datetime"), r.Get("key"), r.Get("user"), first(r, "ip", "forwarded-for"),
		r.Get("model"), r.Get("temperature"), conversation(r),
		a.Get("assistant"), a.Get("finish_reason"), a.Get("status"),
		first(usage, "prompt_tokens", "input_tokens"), first(usage, "completion_tokens", "output_tokens"),
		a.Get("cache"), a.Get("ms"), a.Get("complete"), r.Get("uid"),
	}
	for i, c := range cells {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCell(dst, c)
	}
	return dst, ""
}

// appendCell appends a value as a CSV cell. Text that starts like a formula
// gets a ' before it, for a spreadsheet would run it.
func appendCell(dst []byte, v gjson.Result) []byte {
	var text string
	switch {
	case v.Type == gjson.String:
		text = v.Str
		if text != "" && strings.IndexByte("=+-@\t\r\n", text[0]) >= 0 {
			text = "'" + text
		}
	case v.IsObject() || v.IsArray():
		text = string(appendValue(nil, v, layout{}))
	case v.Type != gjson.Null:
		text = v.Raw
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !strings.ContainsAny(text, ",\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(text, `"`, `""`)...)
	return append(dst, '"')
}
