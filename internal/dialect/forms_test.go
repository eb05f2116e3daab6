package dialect_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/framing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The two forms of answers that are no chats: bodies drawn at random survive
// Cut and Fold, and what cannot be distinguished without inventing something
// has no other form.

// oneOf draws one of the given texts of JSON, each a format in which every %s
// becomes a drawn JSON string.
func drawn(t *rapid.T, label string, formats ...string) string {
	format := rapid.SampledFrom(formats).Draw(t, label)
	for strings.Contains(format, "%s") {
		format = strings.Replace(format, "%s", wholeText().Draw(t, label), 1)
	}
	return format
}

// wholeText draws a JSON string as jsonString does, but without halves of
// surrogate pairs.
func wholeText() *rapid.Generator[string] {
	return rapid.Map(jsonString(), func(s string) string { return strings.ReplaceAll(s, `\uD83D`, "") })
}

func list(t *rapid.T, label string, most int, item func() string) string {
	var items []string
	for range rapid.IntRange(0, most).Draw(t, label) {
		items = append(items, item())
	}
	return "[" + strings.Join(items, " ,\n") + "]"
}

func anyMessage(t *rapid.T) string {
	block := func() string {
		return drawn(t, "block", `{"type":"text","text":%s}`, `{"type":"text","text":%s,"citations":null}`, `{"citations":[{"type":"x","cited_text":%s},{"y":1.0}],"type":"text","text":%s}`,
			`{"type":"text","text":%s,"citations":[],"future":{ "x" : %s }}`, `{"type":"thinking","thinking":%s,"signature":"abc="}`, `{"type":"thinking","thinking":%s,"signature":""}`, `{"type":"thinking","thinking":""}`,
			`{"type":"redacted_thinking","data":"x"}`, `{"type":"tool_use","id":"t","name":"f","input":{"a":%s,"b":[1.50,{"c":null}]}}`, `{"type":"tool_use","id":"t","name":"f","input":{}}`,
			`{"type":"server_tool_use","id":"t","name":"f","input":{ "q" : %s }}`, `{"type":"mcp_tool_use","id":"t","name":"f","server_name":"s","input":{"q":1}}`, `{"type":"future","text":%s,"input":{"x":1}}`)
	}
	return object([]string{`"id":"msg_1"`, `"type":"message"`, `"role":"assistant"`, `"model":"m"`, `"content":` + list(t, "blocks", 5, block), `"stop_reason":"end_turn"`},
		optional(t, rapid.SampledFrom([]string{"null", `"stop"`}), "stop_sequence"), optional(t, rapid.SampledFrom([]string{"null", `{"id":"c","expires_at":"x"}`}), "container"), optional(t, jsonValue(), "context_management"),
		optional(t, jsonValue(), "stop_details"), optional(t, jsonValue(), "future"),
		[]string{`"usage":` + object([]string{`"input_tokens":3`, `"output_tokens":4`}, optional(t, rapid.Just("5"), "cache_read_input_tokens"), optional(t, rapid.SampledFrom([]string{"null", `{"thinking_tokens":1}`}), "output_tokens_details"),
			optional(t, rapid.SampledFrom([]string{"null", `{"web_search_requests":1}`}), "server_tool_use"), optional(t, rapid.Just(`"standard"`), "service_tier"), optional(t, jsonValue(), "future"))})
}

func anyContents(t *rapid.T) string {
	part := func() string {
		return drawn(t, "part", `{"text":%s}`, `{"text":%s}`, `{"text":""}`, `{"text":%s,"thought":true}`, `{"thought":false,"text":%s}`, `{"text":%s,"thoughtSignature":"x"}`, `{"functionCall":{"name":"f","args":{"a":%s,"b":1.50}}}`,
			`{"functionCall":{"id":"1","name":"g","args":{}},"thoughtSignature":"y"}`, `{"inlineData":{"mimeType":"image/png","data":"AA=="}}`, `{"future":[1,{"x":null}]}`, `{}`)
	}
	n := rapid.IntRange(1, 3).Draw(t, "candidates")
	var candidates []string
	for i := range n {
		var index []string
		if n > 1 || rapid.Bool().Draw(t, "with index") {
			index = []string{fmt.Sprintf(`"index":%d`, i)}
		}
		content := rapid.Custom(func(t *rapid.T) string {
			return object(optional(t, rapid.Just(list(t, "parts", 5, part)), "parts"), optional(t, rapid.Just(`"model"`), "role"), optional(t, jsonValue(), "future"))
		})
		candidates = append(candidates, object(optional(t, content, "content"), []string{`"finishReason":"STOP"`}, index, optional(t, jsonValue(), "groundingMetadata"), optional(t, jsonValue(), "tokenCount"),
			optional(t, rapid.SampledFrom([]string{`{}`, `{"chosenCandidates":[]}`, `{"topCandidates":[{"x":1}],"chosenCandidates":[{"token":"a","logProbability":-0.10},{}]}`, `{"logProbabilitySum":-1.0}`, "null"}), "logprobsResult")))
	}
	return object([]string{`"candidates":[` + strings.Join(candidates, ",") + `]`}, optional(t, rapid.Just(`{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7}`), "usageMetadata"),
		optional(t, rapid.Just(`"m"`), "modelVersion"), optional(t, rapid.Just(`"id"`), "responseId"), optional(t, jsonValue(), "future"), optional(t, rapid.Just(`"2025-01-01T00:00:00Z"`), "createTime"))
}

func anyResponse(t *rapid.T) string {
	part := func() string {
		return drawn(t, "part", `{"type":"output_text","text":%s,"annotations":[]}`, `{"type":"output_text","text":%s,"annotations":[{"type":"url_citation","url":%s},{}],"logprobs":[]}`,
			`{"type":"output_text","text":%s,"annotations":[],"logprobs":[{"token":"a","logprob":-0.10}]}`, `{"type":"refusal","refusal":%s}`, `{"type":"future","text":%s}`)
	}
	n := 0
	item := func() string {
		n++
		format := drawn(t, "item", `{"id":"ID","type":"message","status":"completed","role":"assistant","content":PARTS}`, `{"id":"ID","type":"reasoning","summary":[{"type":"summary_text","text":%s}],"encrypted_content":"x"}`,
			`{"id":"ID","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":%s}]}`, `{"id":"ID","type":"function_call","call_id":"c","name":"f","arguments":%s,"status":"completed"}`,
			`{"id":"ID","type":"custom_tool_call","call_id":"c","name":"f","input":%s}`, `{"id":"ID","type":"mcp_call","name":"f","arguments":%s,"output":null,"server_label":"s"}`, `{"id":"ID","type":"web_search_call","status":"completed"}`, `{"id":"ID","type":"future","x":{ "y" : %s }}`)
		format = strings.Replace(format, `"ID"`, fmt.Sprintf(`"item_%d"`, n), 1)
		if before, after, ok := strings.Cut(format, "PARTS"); ok {
			return before + list(t, "parts", 3, part) + after
		}
		return format
	}
	status := rapid.SampledFrom([]string{`"completed"`, `"incomplete"`}).Draw(t, "status")
	return object([]string{`"id":"resp_1"`, `"object":"response"`, `"created_at":1.0`, `"model":"m"`, `"status":` + status, `"output":` + list(t, "items", 5, item)}, optional(t, rapid.Just("null"), "error"),
		optional(t, rapid.Just(`{"reason":"max_output_tokens"}`), "incomplete_details"), optional(t, rapid.Just(`{"input_tokens":3,"output_tokens":4,"total_tokens":7}`), "usage"), optional(t, jsonValue(), "future"))
}

func TestABodySurvivesItsOtherForm(t *testing.T) {
	for op, of := range map[dialect.Operation]struct {
		*dialect.Dialect
		draw func(*rapid.T) string
	}{
		dialect.Messages:  {anthropic.Dialect, anyMessage},
		dialect.Generate:  {gemini.Dialect, anyContents},
		dialect.Responses: {openai.Dialect, anyResponse},
	} {
		t.Run(string(op), rapid.MakeCheck(func(t *rapid.T) {
			body := []byte(of.draw(t))
			events := checkCut(t, of.Dialect, op, body)
			again, _ := of.Fold(op, events)
			checkCut(t, of.Dialect, op, again)
		}))
	}
}

// TestNoFormIsInvented lists streams that have no body and bodies that have no
// stream.
func TestNoFormIsInvented(t *testing.T) {
	start := `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}`
	text := `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	hello := `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}`
	tool := `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`
	closed := `{"type":"content_block_stop","index":0}`
	end := `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`
	stop := `{"type":"message_stop"}`
	input := func(s string) string {
		return `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":` + s + `}}`
	}
	chunk := func(parts, rest string) string {
		return `{"candidates":[{"content":{"parts":[` + parts + `],"role":"model"}` + rest + `}]}`
	}
	item := func(i int) string {
		return fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":{"id":"i%d","type":"future"}}`, i, i)
	}
	done := func(output, rest string) string {
		return `{"type":"response.completed","response":{"id":"r","status":"completed","output":` + output + rest + `}}`
	}
	type stream = []string
	for name, test := range map[string]struct {
		op     dialect.Operation
		events stream
		folds  bool
	}{
		"a message":                    {dialect.Messages, stream{start, text, hello, closed, end, stop}, true},
		"a message without blocks":     {dialect.Messages, stream{start, end, stop}, true},
		"a message with a ping":        {dialect.Messages, stream{start, `{"type":"ping"}`, text, hello, closed, end, stop}, true},
		"no start":                     {dialect.Messages, stream{text, hello, closed, end, stop}, false},
		"two starts":                   {dialect.Messages, stream{start, start, end, stop}, false},
		"no stop":                      {dialect.Messages, stream{start, text, hello, closed, end}, false},
		"no stop reason":               {dialect.Messages, stream{start, text, hello, closed, stop}, false},
		"an open block":                {dialect.Messages, stream{start, text, hello, end, stop}, false},
		"a block in another":           {dialect.Messages, stream{start, text, strings.Replace(text, ":0", ":1", 1), closed, end, stop}, false},
		"a delta after its block":      {dialect.Messages, stream{start, text, closed, hello, end, stop}, false},
		"a delta of no block":          {dialect.Messages, stream{start, hello, closed, end, stop}, false},
		"a delta of another kind":      {dialect.Messages, stream{start, tool, hello, closed, end, stop}, false},
		"a delta from the future":      {dialect.Messages, stream{start, text, strings.Replace(hello, "text_delta", "future_delta", 1), closed, end, stop}, false},
		"more in a delta":              {dialect.Messages, stream{start, text, strings.Replace(hello, `"text":`, `"bold":true,"text":`, 1), closed, end, stop}, false},
		"an event from the future":     {dialect.Messages, stream{start, `{"type":"future"}`, end, stop}, false},
		"an error":                     {dialect.Messages, stream{start, text, hello, closed, `{"type":"error","error":{"type":"overloaded_error"}}`, end, stop}, false},
		"something after the end":      {dialect.Messages, stream{start, end, stop, stop}, false},
		"an input":                     {dialect.Messages, stream{start, tool, input(`"{\"a\":"`), input(`" 1}"`), closed, end, stop}, true},
		"half an input":                {dialect.Messages, stream{start, tool, input(`"{\"a\":"`), closed, end, stop}, false},
		"an input that is no object":   {dialect.Messages, stream{start, tool, input(`"[1]"`), closed, end, stop}, false},
		"an escape in two halves":      {dialect.Messages, stream{start, tool, input(`"{\"a\":\"\ud83d"`), input(`"\ude00\"}"`), closed, end, stop}, true},
		"half an escape":               {dialect.Messages, stream{start, tool, input(`"{\"a\":\"\ud83d\"}"`), closed, end, stop}, false},
		"a name twice":                 {dialect.Messages, stream{start, text, strings.Replace(hello, `"text":`, `"text":"x","text":`, 1), closed, end, stop}, false},
		"contents":                     {dialect.Generate, stream{chunk(`{"text":"a"}`, ``), chunk(`{"text":"b"}`, `,"finishReason":"STOP"`)}, true},
		"contents without an end":      {dialect.Generate, stream{chunk(`{"text":"a"}`, ``)}, false},
		"contents with an error":       {dialect.Generate, stream{chunk(`{"text":"a"}`, `,"finishReason":"STOP"`), `{"error":{"code":503}}`}, false},
		"an array of an error":         {dialect.Generate, stream{chunk(`{"text":"a"}`, `,"finishReason":"STOP"`), `[{"error":{"code":503}}]`}, false},
		"two that are the same":        {dialect.Generate, stream{`{"candidates":[{"content":{},"finishReason":"STOP"},{"content":{},"finishReason":"STOP"}]}`}, false},
		"sound in pieces":              {dialect.Generate, stream{chunk(`{"inlineData":{"mimeType":"audio/pcm","data":"AA=="}}`, ``), chunk(`{"inlineData":{"mimeType":"audio/pcm","data":"BB=="}}`, `,"finishReason":"STOP"`)}, false},
		"a call in pieces":             {dialect.Generate, stream{chunk(`{"functionCall":{"name":"f","willContinue":true}}`, ``), chunk(`{}`, `,"finishReason":"STOP"`)}, false},
		"two values of one thing":      {dialect.Generate, stream{chunk(`{"text":"a"}`, `,"groundingMetadata":{"x":1}`), chunk(`{"text":"b"}`, `,"groundingMetadata":{"x":2},"finishReason":"STOP"`)}, false},
		"a response":                   {dialect.Responses, stream{item(0), item(1), done(`[{"id":"i0"},{"id":"i1"}]`, ``)}, true},
		"a response that leaves out":   {dialect.Responses, stream{item(0), item(1), done(`[{"id":"i0"}]`, ``)}, false},
		"a response without its items": {dialect.Responses, stream{item(0), item(1), done(`[]`, ``)}, true},
		"an item that is not done":     {dialect.Responses, stream{item(0), `{"type":"response.output_text.delta","output_index":1,"delta":"x"}`, done(`[]`, ``)}, false},
		"a response with an error":     {dialect.Responses, stream{done(`[]`, `,"error":{"message":"x"}`)}, false},
		"a response that failed":       {dialect.Responses, stream{`{"type":"response.failed","response":{"status":"failed","output":[]}}`}, false},
		"a response without an end":    {dialect.Responses, stream{item(0)}, false},
		"a response with two ends":     {dialect.Responses, stream{done(`[]`, ``), done(`[]`, ``)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var events []byte
			for _, e := range test.events {
				events = append(events, "data: "+e+"\n\n"...)
			}
			body, ok := dialectOf(test.op).Fold(test.op, events)
			if ok != test.folds || ok && !json.Valid(body) {
				t.Errorf("folds: %t, to %s", ok, body)
			}
		})
	}
	message := `{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`
	contents := `{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}]}`
	response := `{"id":"r","status":"completed","output":[{"id":"i","type":"message","content":[{"type":"output_text","text":"x"}]}]}`
	for name, test := range map[string]struct {
		op       dialect.Operation
		body     string
		from, to string
	}{
		"no JSON":                      {dialect.Messages, message, "{", ""},
		"an error message":             {dialect.Messages, message, `"type":"message"`, `"type":"error"`},
		"no stop reason":               {dialect.Messages, message, `"end_turn"`, `null`},
		"an empty stop reason":         {dialect.Messages, message, `"end_turn"`, `""`},
		"no usage":                     {dialect.Messages, message, `"usage"`, `"abusage"`},
		"a block that is none":         {dialect.Messages, message, `{"type":"text","text":"x"}`, `"x"`},
		"a block of no kind":           {dialect.Messages, message, `"type":"text"`, `"type":null`},
		"an input that is none":        {dialect.Messages, message, `{"type":"text","text":"x"}`, `{"type":"tool_use","id":"t","name":"f","input":null}`},
		"a text that is none":          {dialect.Messages, message, `"text":"x"`, `"text":3`},
		"a key twice":                  {dialect.Messages, message, `"text":"x"`, `"text":"x","text":"y"`},
		"a key twice, escaped":         {dialect.Messages, message, `"text":"x"`, `"text":"x","\u0074ext":"y"`},
		"bytes that are no characters": {dialect.Messages, message, `"x"`, "\"\xff\""},
		"contents without an end":      {dialect.Generate, contents, `"finishReason":"STOP"`, `"index":0`},
		"contents without candidates":  {dialect.Generate, contents, `"candidates"`, `"dates"`},
		"contents with no candidates":  {dialect.Generate, contents, contents, `{"candidates":[]}`},
		"contents with an error":       {dialect.Generate, contents, `{"candidates"`, `{"error":{"code":1},"candidates"`},
		"candidates of the same index": {dialect.Generate, contents, contents, `{"candidates":[{"finishReason":"STOP"},{"finishReason":"STOP"}]}`},
		"parts that are none":          {dialect.Generate, contents, `{"text":"x"}`, `"x"`},
		"a running response":           {dialect.Responses, response, `completed`, `in_progress`},
		"a response with an error":     {dialect.Responses, response, `"status"`, `"error":{},"status"`},
		"an item without id":           {dialect.Responses, response, `"id":"i",`, ``},
		"an item of no kind":           {dialect.Responses, response, `"type":"message",`, ``},
		"a part that is none":          {dialect.Responses, response, `{"type":"output_text","text":"x"}`, `3`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := dialectOf(test.op).Cut(test.op, []byte(test.body), true); !ok {
				t.Fatal("what the test starts with is not cut")
			}
			body := strings.Replace(test.body, test.from, test.to, 1)
			if body == test.body {
				t.Fatal("nothing replaced")
			}
			if events, ok := dialectOf(test.op).Cut(test.op, []byte(body), true); ok {
				t.Errorf("%s was cut to %s", body, events)
			}
		})
	}
}

// dialectOf returns the dialect whose own operation op is.
func dialectOf(op dialect.Operation) *dialect.Dialect {
	switch op {
	case dialect.Messages:
		return anthropic.Dialect
	case dialect.Generate:
		return gemini.Dialect
	}
	return openai.Dialect
}

// TestAnArrayOfChunksFolds turns a stream without alt=sse, which is one JSON
// array, into the same body as its events.
func TestAnArrayOfChunksFolds(t *testing.T) {
	for _, name := range []string{"generate-text.sse", "generate-candidates.sse", "generate-logprobs.sse"} {
		in, err := os.ReadFile("testdata/gemini/" + name)
		if err != nil {
			t.Fatal(err)
		}
		want, ok := gemini.Dialect.Fold(dialect.Generate, in)
		if !ok {
			t.Fatal("not folded")
		}
		array, ok := framing.JSONArray(in)
		if !ok || !json.Valid(array) {
			t.Fatalf("no array: %s", array)
		}
		if got, ok := gemini.Dialect.Fold(dialect.Generate, array); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: got %s\nwant %s", name, got, want)
		}
		var a dialect.Answer
		if err := gemini.Dialect.Body(dialect.Generate, &a, array); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(lookAt(read(gemini.Dialect, dialect.Generate, in)), lookAt(&a)); diff != "" {
			t.Error(diff)
		}
	}
	if array, ok := framing.JSONArray([]byte("data: {}\n\ndata: [DONE\n\n")); ok {
		t.Errorf("an array of broken JSON: %s", array)
	}
}

// TestAStreamIsBounded cuts bodies with a long id, which must not be repeated
// in thousands of events.
func TestAStreamIsBounded(t *testing.T) {
	text := strings.Repeat("ab ", 8<<10)
	part := `{"type":"output_text","text":"x"}`
	for op, body := range map[dialect.Operation]string{
		dialect.Chat:      `{"id":"ID","choices":[{"index":0,"message":{"role":"assistant","content":"` + text + `"},"finish_reason":"stop"}]}`,
		dialect.Generate:  `{"responseId":"ID","candidates":[{"content":{"parts":[{"text":"` + text + `"}]},"finishReason":"STOP"}]}`,
		dialect.Responses: `{"status":"completed","output":[{"id":"ID","type":"message","content":[` + strings.Repeat(part+",", 4000) + part + `]}]}`,
	} {
		if _, ok := dialectOf(op).Cut(op, []byte(strings.Replace(body, "ID", "x", 1)), true); !ok {
			t.Errorf("%s with a short id is not cut", op)
		}
		body = strings.Replace(body, "ID", strings.Repeat("x", 300<<10), 1)
		if events, _ := dialectOf(op).Cut(op, []byte(body), true); len(events) > 4*len(body) {
			t.Errorf("%d bytes of %s became %d", len(body), op, len(events))
		}
	}
}

// FuzzForms: whatever folds is valid JSON, is complete as a stream and reads
// the same; whatever is cut folds back to it.
func FuzzForms(f *testing.F) {
	for op, word := range map[dialect.Operation]string{dialect.Messages: "anthropic/messages", dialect.Generate: "gemini/generate", dialect.Responses: "openai/responses"} {
		files, _ := filepath.Glob("testdata/" + word + "-*")
		for _, file := range files {
			if in, _ := os.ReadFile(file); !strings.HasSuffix(file, ".golden") {
				f.Add(string(op), in)
			}
		}
	}
	f.Fuzz(func(t *testing.T, word string, in []byte) {
		op := dialect.Operation(word)
		if op != dialect.Messages && op != dialect.Generate && op != dialect.Responses {
			return
		}
		d := dialectOf(op)
		if body, ok := d.Fold(op, in); ok {
			if !json.Valid(body) {
				t.Fatalf("folded to %q", body)
			}
			if array := bytes.HasPrefix(bytes.TrimSpace(in), []byte("[")); !array && !read(d, op, in).Complete() {
				t.Fatalf("folded, but not complete: %q", in)
			}
			if events, ok := d.Cut(op, body, true); ok {
				sameForms(t, d, op, body, events)
			}
		}
		if events, ok := d.Cut(op, in, true); ok {
			sameForms(t, d, op, in, events)
		}
	})
}

func sameForms(t *testing.T, d *dialect.Dialect, op dialect.Operation, body, events []byte) {
	raw, list := split(events)
	if len(raw) != len(list) {
		t.Fatalf("%d events in %d raw ones: %q", len(list), len(raw), events)
	}
	for _, ev := range list {
		if !json.Valid(ev.Data) {
			t.Fatalf("cut to %q", ev.Data)
		}
	}
	folded, ok := d.Fold(op, events)
	if !ok {
		t.Fatalf("cut, but not folded again: %q", events)
	}
	if diff := cmp.Diff(decoded(t, body), decoded(t, folded)); diff != "" {
		t.Fatalf("%s\n%q", diff, events)
	}
}

func BenchmarkForms(b *testing.B) {
	for op, file := range map[dialect.Operation]string{dialect.Messages: "anthropic/messages-rich.json", dialect.Generate: "gemini/generate-rich.json", dialect.Responses: "openai/responses-rich.json"} {
		body, err := os.ReadFile("testdata/" + file)
		if err != nil {
			b.Fatal(err)
		}
		d := dialectOf(op)
		events, _ := d.Cut(op, body, true)
		b.Run("cut/"+string(op), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d.Cut(op, body, true)
			}
		})
		b.Run("fold/"+string(op), func(b *testing.B) {
			b.SetBytes(int64(len(events)))
			b.ReportAllocs()
			for b.Loop() {
				d.Fold(op, events)
			}
		})
	}
}
