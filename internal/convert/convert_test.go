package convert_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/convert"
	"forward/internal/framing"

	"github.com/tidwall/gjson"
)

// lines is the form of an answer that is streamed as one JSON object a line.
var lines = &convert.Form{
	Framing: framing.Lines,
	Body: &convert.Shape{Rest: convert.Last, Fields: []convert.Field{
		{Name: "response", Rule: convert.Text, Default: `""`},
		{Name: "created_at", Rule: convert.First},
	}},
	Complete: func(body gjson.Result) bool { return body.Get("done").Raw == "true" },
}

func ExampleForm_Fold() {
	stream := `{"created_at":"1","response":"Hel","done":false}
{"created_at":"2","response":"lo","done":false}
{"created_at":"3","response":"","done":true,"eval_count":2}
`
	body, ok := lines.Fold([]byte(stream))
	fmt.Println(ok, string(body))
	again, ok := lines.Cut(body, false)
	fmt.Print(ok, " ", string(again))
	// Output:
	// true {"response":"Hello","created_at":"1","done":true,"eval_count":2}
	// true {"response":"Hello","created_at":"1","done":true,"eval_count":2}
}

// chatLines is the form of a chat that is streamed in lines.
var chatLines = &convert.Form{
	Framing: framing.Lines,
	Body: &convert.Shape{Rest: convert.Last, Fields: []convert.Field{
		{Name: "created_at", Rule: convert.First},
		{Name: "message", Rule: convert.Nested, Shape: &convert.Shape{Rest: convert.Join, Fields: []convert.Field{
			{Name: "role", Rule: convert.First},
		}}},
		{Name: "error", Rule: convert.Refuse},
	}},
	Complete: func(body gjson.Result) bool { return body.Get("done").Raw == "true" },
}

// TestLines folds streams of lines, and cuts what they fold to.
func TestLines(t *testing.T) {
	const (
		hm   = `{"created_at":"1","message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}` + "\n"
		hel  = `{"created_at":"2","message":{"role":"assistant","content":"Hel"},"done":false}` + "\n"
		call = `{"created_at":"3","message":{"role":"assistant","content":"lo","tool_calls":[{"function":{"name":"f","arguments":{"a":1.50}}}]},"done":false}` + "\n"
		end  = `{"created_at":"4","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":3}`
		body = `{"created_at":"1","message":{"role":"assistant","content":"Hello","thinking":"Hm","tool_calls":[{"function":{"name":"f","arguments":{"a":1.50}}}]},"done":true,"done_reason":"stop","eval_count":3}`
	)
	for name, test := range map[string]struct{ stream, want string }{
		"whole":           {hm + hel + call + end + "\n", body},
		"no last break":   {hm + hel + call + end, body},
		"CRLF":            {strings.ReplaceAll(hm+hel+call+end, "\n", "\r\n"), body},
		"one line":        {body, body},
		"no end":          {hm + hel + call, ""},
		"half an end":     {hm + hel + call + end[:40], ""},
		"an error":        {hm + hel + `{"error":"out of memory"}` + "\n" + end, ""},
		"no JSON":         {hm + "oops\n" + end, ""},
		"nothing":         {"", ""},
		"text and number": {hm + `{"message":{"content":1}}` + "\n" + end, ""},
	} {
		got, ok := chatLines.Fold([]byte(test.stream))
		if ok != (test.want != "") || (ok && string(got) != test.want) {
			t.Errorf("%s folds: %t, to %s", name, ok, got)
		}
		if !ok {
			continue
		}
		stream, ok := chatLines.Cut(got, false)
		if !ok || string(stream) != body+"\n" {
			t.Errorf("%s is cut: %t, to %s", name, ok, stream)
		}
	}
}

// TestRules merges the values that two or three events give a field. "-" is an
// event without the field, "" a fold that fails.
func TestRules(t *testing.T) {
	inner := &convert.Shape{Rest: convert.Join, Fields: []convert.Field{{Name: "name", Rule: convert.First}}}
	for _, test := range []struct {
		name   string
		rule   convert.Rule
		values []string
		want   string
	}{
		{"same, once", convert.Same, []string{"1.50", "-"}, `{"x":1.50}`},
		{"same, after null", convert.Same, []string{"null", `"a"`, "null"}, `{"x":"a"}`},
		{"same, after nothing", convert.Same, []string{`""`, `"a"`, `""`}, `{"x":"a"}`},
		{"same, twice", convert.Same, []string{"1", "1.0"}, ""},
		{"first", convert.First, []string{"0", `"a"`, `"b"`}, `{"x":"a"}`},
		{"last", convert.Last, []string{"1", "2", "null"}, `{"x":2}`},
		{"last, then empty", convert.Last, []string{`{"a":1}`, "{}"}, `{"x":{"a":1}}`},
		{"last, only null", convert.Last, []string{"null"}, `{"x":null}`},
		{"latest, only null", convert.Latest, []string{"null", "null"}, `{}`},
		{"latest", convert.Latest, []string{"1", "null"}, `{"x":1}`},
		{"text", convert.Text, []string{`"\ud83d"`, "null", `"\ude00 \/"`}, `{"x":"\ud83d\ude00 \/"}`},
		{"text of a number", convert.Text, []string{`"a"`, "1"}, ""},
		{"list", convert.List, []string{"[1, 2]", "[ ]", "[ 3 ]"}, `{"x":[1, 2,3]}`},
		{"list of a text", convert.List, []string{"[1]", `"a"`}, ""},
		{"join texts", convert.Join, []string{`"a"`, `"b"`}, `{"x":"ab"}`},
		{"join text and list", convert.Join, []string{`"a"`, `["b"]`}, ""},
		{"nested", convert.Nested, []string{`{"name":"f","a":"1"}`, `{"name":"g","a":"2"}`}, `{"x":{"name":"f","a":"12"}}`},
		{"nested, a name twice", convert.Nested, []string{`{"a":"1","\u0061":"2"}`}, ""},
		{"nested, half a name", convert.Nested, []string{`{"\ud83d":"1"}`}, ""},
		{"nested in a text", convert.Nested, []string{`{"a":1}`, `"b"`}, ""},
		{"keyed", convert.Keyed, []string{`[{"index":1,"a":"1"}]`, `[{"index":0,"a":"2"},{"index":1,"a":"3"}]`}, `{"x":[{"index":0,"a":"2"},{"index":1,"a":"13"}]}`},
		{"keyed, without an index", convert.Keyed, []string{`[{"a":"1"}]`, `[{"a":"2"}]`}, `{"x":[{"a":"12"}]}`},
		{"keyed, twice in an event", convert.Keyed, []string{`[{"a":"1"},{"a":"2"}]`}, ""},
		{"keyed, by no number", convert.Keyed, []string{`[{"index":-1}]`}, ""},
		{"keyed, of no objects", convert.Keyed, []string{`[1]`}, ""},
		{"drop", convert.Drop, []string{"1", "2"}, `{}`},
		{"refuse null", convert.Refuse, []string{"null"}, `{}`},
		{"refuse", convert.Refuse, []string{"1"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			form := &convert.Form{Body: &convert.Shape{Fields: []convert.Field{{Name: "x", Rule: test.rule, Shape: inner}}}}
			var stream strings.Builder
			for _, value := range test.values {
				if value == "-" {
					stream.WriteString("data: {}\n\n")
				} else {
					stream.WriteString(`data: {"x":` + value + "}\n\n")
				}
			}
			body, ok := form.Fold([]byte(stream.String()))
			if got := string(body); ok != (test.want != "") || (ok && got != test.want) {
				t.Errorf("folds: %t, to %s", ok, body)
			}
		})
	}
}

// TestAnAnswerHasItsFields checks what a body must have, and what it has
// without being sent it.
func TestAnAnswerHasItsFields(t *testing.T) {
	form := &convert.Form{End: "[DONE]", Body: &convert.Shape{Fields: []convert.Field{
		{Name: "role", Rule: convert.First, Default: `"assistant"`},
		{Name: "delta", As: "message", Rule: convert.Text, Default: "null"},
		{Name: "finish", Required: true},
	}}}
	for stream, want := range map[string]string{
		`{"finish":"stop"}`:                             `{"role":"assistant","message":null,"finish":"stop"}`,
		`{"finish":"stop","delta":"a","role":"system"}`: `{"role":"system","message":"a","finish":"stop"}`,
		`{"delta":"a"}`:                                 "",
		`{"finish":""}`:                                 "",
		`{"finish":1}`:                                  "",
		`{"finish":null}`:                               "",
	} {
		body, ok := form.Fold([]byte("data: " + stream + "\n\ndata: [DONE]\n\ndata: what follows\n\n"))
		if ok != (want != "") || (ok && string(body) != want) {
			t.Errorf("%s folds: %t, to %s", stream, ok, body)
		}
		if body, ok := form.Fold([]byte("data: " + stream + "\n\n")); ok {
			t.Errorf("folds without its end, to %s", body)
		}
	}
}

// TestManyMembersAndItemsAreRefused: both are searched one by one.
func TestManyMembersAndItemsAreRefused(t *testing.T) {
	many := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ",")
	}
	form := &convert.Form{Body: &convert.Shape{Fields: []convert.Field{{Name: "x", Rule: convert.Keyed, Shape: &convert.Shape{}}}}}
	for n, folds := range map[int]bool{256: true, 257: false} {
		if _, ok := form.Fold([]byte("data: {" + many(n, `"m%d":1`) + "}\n\n")); ok != folds {
			t.Errorf("%d members: %t", n, ok)
		}
	}
	for n, folds := range map[int]bool{1024: true, 1025: false} {
		if _, ok := form.Fold([]byte(`data: {"x":[` + many(n, `{"index":%d}`) + "]}\n\n")); ok != folds {
			t.Errorf("%d items: %t", n, ok)
		}
	}
}
