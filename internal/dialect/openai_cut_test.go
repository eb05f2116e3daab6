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
	"forward/internal/dialect/openai"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// decoded is JSON with its numbers as they are spelled.
func decoded(t interface{ Fatalf(string, ...any) }, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func without(v any, key string) any {
	delete(v.(map[string]any), key)
	return v
}

// jsonString draws the spelling of a JSON string, with every kind of escape,
// and sometimes many words.
func jsonString() *rapid.Generator[string] {
	part := rapid.SampledFrom([]string{"a", "Hello", " world", " ", "\\n", "\\\"", "\\\\", "\\/", "你", "好。", "é", "😀", `\ud83d\ude00`, `\uD83D`, `\u4f60`, `\u0000`,
		"<&>", "data: ", "[DONE]", "{", "}", strings.Repeat("x", 50), strings.Repeat("ab ", 3000), " ", "\x7f"})
	return rapid.Custom(func(t *rapid.T) string {
		return `"` + strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "parts"), "") + `"`
	})
}

// jsonValue draws what an upstream may add that is not known.
func jsonValue() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"null", "true", "1", "0", "-1.50", "12345678901234567890", "1e-7", `"text"`, `""`, `[]`, `[1, {"a":null}]`, `{}`, `{ "x" : { "y" : [ 1.0 ] } }`})
}

func optional(t *rapid.T, g *rapid.Generator[string], key string) (fields []string) {
	if rapid.Bool().Draw(t, "with "+key) {
		fields = append(fields, `"`+key+`":`+g.Draw(t, key))
	}
	return fields
}

func object(fields ...[]string) string {
	var all []string
	for _, f := range fields {
		all = append(all, f...)
	}
	return "{\n " + strings.Join(all, " , ") + "}"
}

func message() *rapid.Generator[string] {
	call := rapid.Custom(func(t *rapid.T) string {
		id := []string{`"id":"call_` + rapid.StringMatching(`[a-z]{4}`).Draw(t, "id") + `"`}
		if rapid.Bool().Draw(t, "custom") {
			return object(id, []string{`"type":"custom"`, `"custom":` + object([]string{`"name":"f"`}, []string{`"input":` + jsonString().Draw(t, "input")})})
		}
		f := object([]string{`"name":` + rapid.SampledFrom([]string{`"f"`, `"g"`, `""`}).Draw(t, "name"), `"arguments":` + jsonString().Draw(t, "arguments")}, optional(t, jsonValue(), "strict"))
		return object(id, []string{`"type":"function"`, `"function":` + f}, optional(t, jsonValue(), "extra_content"))
	})
	return rapid.Custom(func(t *rapid.T) string {
		content := rapid.SampledFrom([]string{"null", "text", "text", `[{"type":"text","text":"x"}]`}).Draw(t, "content")
		if content == "text" {
			content = jsonString().Draw(t, "text")
		}
		fields := [][]string{{`"role":"assistant"`, `"content":` + content}}
		for _, key := range []string{"refusal", "reasoning_content", "reasoning"} {
			fields = append(fields, optional(t, rapid.OneOf(jsonString(), rapid.Just("null")), key))
		}
		if rapid.Bool().Draw(t, "tools") {
			fields = append(fields, []string{`"tool_calls":[` + strings.Join(rapid.SliceOfN(call, 0, 3).Draw(t, "calls"), " , ") + `]`})
		}
		if rapid.Bool().Draw(t, "function_call") {
			fields = append(fields, []string{`"function_call":{"name":"f","arguments":` + jsonString().Draw(t, "function arguments") + `}`})
		}
		return object(append(fields, optional(t, jsonValue(), "annotations"), optional(t, jsonValue(), "audio"))...)
	})
}

// wholeBody draws the body of a chat or completion.
func wholeBody(op dialect.Operation) *rapid.Generator[string] {
	logprobs := rapid.SampledFrom([]string{"null", `{"content":[{"token":"a","logprob":-1.10,"top_logprobs":[]},{"token":"b","logprob":0}],"refusal":null}`, `{"tokens":["a","b"],"text_offset":[0, 1]}`})
	return rapid.Custom(func(t *rapid.T) string {
		var choices []string
		for i := range rapid.IntRange(1, 3).Draw(t, "choices") {
			content := `"text":` + jsonString().Draw(t, "text")
			if op == dialect.Chat {
				content = `"message":` + message().Draw(t, "message")
			}
			choices = append(choices, object([]string{fmt.Sprintf(`"index":%d`, i), content, `"finish_reason":"stop"`}, optional(t, logprobs, "logprobs"), optional(t, jsonValue(), "content_filter_results")))
		}
		name := map[dialect.Operation]string{dialect.Chat: "chat.completion", dialect.Completion: "text_completion"}[op]
		return object([]string{`"id":"chatcmpl-1"`, `"object":"` + name + `"`, `"created":1741569952`, `"model":"gpt-4o"`},
			optional(t, jsonValue(), "provider"), []string{`"choices":[` + strings.Join(choices, ",") + `]`},
			[]string{`"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"cost":1.10e-5}`},
			optional(t, rapid.SampledFrom([]string{"null", `"fp_1"`}), "system_fingerprint"), optional(t, rapid.Just(`"default"`), "service_tier"))
	})
}

func TestABodySurvivesCutAndFold(t *testing.T) {
	for _, op := range []dialect.Operation{dialect.Chat, dialect.Completion} {
		t.Run(string(op), rapid.MakeCheck(func(t *rapid.T) {
			body := []byte(wholeBody(op).Draw(t, "body"))
			include := rapid.Bool().Draw(t, "include usage")
			events, ok := openai.Dialect.Cut(op, body, include)
			if !ok {
				t.Fatal("not cut")
			}
			checkChunks(t, op, events, include)
			folded, ok := openai.Dialect.Fold(op, events)
			if !ok {
				t.Fatalf("not folded: %s", events)
			}
			want, got := decoded(t, body), decoded(t, folded)
			if !include {
				want = without(want, "usage")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-body +folded)\n%s", diff)
			}

			if bytes.Contains(body, []byte(`\uD83D`)) {
				return // gjson takes a lone surrogate for the half of whatever escape follows it
			}
			var whole dialect.Answer
			if err := openai.Dialect.Body(op, &whole, folded); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(lookAt(&whole), lookAt(read(openai.Dialect, op, events)), trimRaw); diff != "" {
				t.Fatalf("(-body +stream)\n%s", diff)
			}
		}))
	}
}

var trimRaw = cmp.Transformer("Raw", func(r json.RawMessage) string { return strings.Join(strings.Fields(string(r)), "") })

// checkChunks holds a cut stream against what clients may rely on.
func checkChunks(t *rapid.T, op dialect.Operation, events []byte, include bool) {
	raw, list := split(events)
	if len(raw) != len(list) || !bytes.HasSuffix(events, []byte("\n\ndata: [DONE]\n\n")) {
		t.Fatalf("%d events in %d raw ones: %s", len(list), len(raw), events)
	}
	object := map[dialect.Operation]string{dialect.Chat: "chat.completion.chunk", dialect.Completion: "text_completion"}[op]
	for i, ev := range list[:len(list)-1] {
		chunk := decoded(t, ev.Data).(map[string]any)
		usage, has := chunk["usage"]
		last := i == len(list)-2
		choices := chunk["choices"].([]any)
		if chunk["object"] != object || chunk["id"] != "chatcmpl-1" || has != include || (usage != nil) != (include && last) || (len(choices) == 0) != (include && last) {
			t.Fatalf("chunk %d: %s", i, ev.Data)
		}
		if i == 0 && op == dialect.Chat && choices[0].(map[string]any)["delta"].(map[string]any)["role"] != "assistant" {
			t.Fatalf("first chunk: %s", ev.Data)
		}
	}
}

func TestCut(t *testing.T) {
	body, err := os.ReadFile("testdata/openai/chat-tools.json")
	if err != nil {
		t.Fatal(err)
	}
	body = bytes.Replace(body, []byte(`"content":null`), []byte(`"content":"Let me see."`), 1)
	body = bytes.Replace(body, []byte(`"choices"`), []byte(`"provider":{ "name": "x"}, "choices"`), 1)
	events, ok := openai.Dialect.Cut(dialect.Chat, body, true)
	if !ok {
		t.Fatal("not cut")
	}
	golden(t, "testdata/openai/chat-tools.json.cut", events)
}

func TestCutRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "<html>", "no choices": `{"id":"x"}`, "empty choices": `{"choices":[]}`, "an error": `{"choices":[{"index":0,"message":{},"finish_reason":"stop"}],"error":{"message":"no"}}`,
		"no finish reason": `{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":null}]}`, "no message": `{"choices":[{"index":0,"finish_reason":"stop"}]}`,
		"calls that are none": `{"choices":[{"index":0,"message":{"tool_calls":["x"]},"finish_reason":"stop"}]}`, "an array": `[]`,
	} {
		if events, ok := openai.Dialect.Cut(dialect.Chat, []byte(body), false); ok {
			t.Errorf("%s: %s", name, events)
		}
	}
	if _, ok := openai.Dialect.Cut(dialect.Embedding, []byte(`{"choices":[{"index":0,"message":{},"finish_reason":"stop"}]}`), false); ok {
		t.Error("cut an embedding")
	}
}

func TestFoldRefusesWhatItWouldHaveToInvent(t *testing.T) {
	chunk := func(delta, finish string) string {
		return `data: {"id":"1","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}` + "\n\n"
	}
	const done = "data: [DONE]\n\n"
	whole := chunk(`{"content":"a"}`, `"stop"`)
	for name, stream := range map[string]string{
		"nothing":             "",
		"no end":              whole,
		"no choices":          done,
		"no finish reason":    chunk(`{"content":"a"}`, "null") + done,
		"one of two finishes": whole + `data: {"choices":[{"index":1,"delta":{"content":"b"}}]}` + "\n\n" + done,
		"an error":            whole + `data: {"error":{"message":"x"}}` + "\n\n" + done,
		"no JSON":             chunk(`{"content":"a"}`, "null") + "data: oops\n\n" + whole + done,
		"audio in pieces":     chunk(`{"audio":{"data":"AA=="}}`, "null") + chunk(`{"audio":{"data":"BB=="}}`, `"stop"`) + done,
		"text, then parts":    chunk(`{"content":"a"}`, "null") + chunk(`{"content":[{"type":"text"}]}`, `"stop"`) + done,
		"a message":           `data: {"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n" + done,
	} {
		if body, ok := openai.Dialect.Fold(dialect.Chat, []byte(stream)); ok {
			t.Errorf("%s: %s", name, body)
		}
	}
	if _, ok := openai.Dialect.Fold(dialect.Chat, []byte(whole+"data: [DONE]")); !ok {
		t.Error("a missing last blank line")
	}
	if _, ok := openai.Dialect.Fold(dialect.Responses, []byte(whole+done)); ok {
		t.Error("folded a response")
	}
}

func TestFoldKeepsSpelling(t *testing.T) {
	stream := `data: {"id":"1","created":1e9,"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}` + "\n\n" +
		`data: {"id":"1","choices":[{"index":0,"delta":{"content":"\ude00 <\u003c\/"},"finish_reason":"stop"}],"usage":{"cost":0.10}}` + "\n\ndata: [DONE]\n\n"
	body, ok := openai.Dialect.Fold(dialect.Chat, []byte(stream))
	want := `{"id":"1","object":"chat.completion","created":1e9,"choices":[{"index":0,"message":{"role":"assistant","content":"\ud83d\ude00 <\u003c\/"},"finish_reason":"stop"}],"usage":{"cost":0.10}}`
	if !ok || string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestWithUsage(t *testing.T) {
	in, err := os.ReadFile("testdata/openai/chat-text.sse")
	if err != nil {
		t.Fatal(err)
	}
	d := openai.Dialect
	usage := in[bytes.LastIndex(in[:bytes.LastIndex(in, []byte("data: [DONE]"))], []byte("data: ")):bytes.LastIndex(in, []byte("data: [DONE]"))]
	bare := bytes.Replace(in, usage, nil, 1)
	if got := d.WithUsage(dialect.Chat, in, false); !bytes.Equal(got, bare) || len(got) == len(in) {
		t.Errorf("got %s", got)
	}
	if got := d.WithUsage(dialect.Chat, usage, false); len(got) != 0 {
		t.Errorf("the usage event alone left %s", got)
	}
	for name, same := range map[string][]byte{"included": d.WithUsage(dialect.Chat, in, true), "another operation": d.WithUsage(dialect.Responses, in, false)} {
		if !bytes.Equal(same, in) {
			t.Errorf("%s: changed", name)
		}
	}
	for _, same := range []string{`{"choices":[],"usage":null}`, `{"choices":[{"index":0}],"usage":{"total_tokens":1}}`, `{"usage":{"total_tokens":1}}`, `{"choices":[],"x":"\"usage\""}`, `"usage"`} {
		if got := d.WithUsage(dialect.Chat, []byte("data: "+same+"\n\n"), false); len(got) == 0 {
			t.Errorf("%s was dropped", same)
		}
	}
	for _, name := range []string{"chat-reasoning.sse", "chat-openrouter.sse", "chat-azure.sse", "chat-cut.sse"} {
		in, _ := os.ReadFile(filepath.Join("testdata/openai", name))
		if got := d.WithUsage(dialect.Chat, in, false); !bytes.Equal(got, in) {
			t.Errorf("%s: changed", name)
		}
	}
}

// FuzzFold: what folds is valid JSON, and cutting and folding it again changes
// nothing.
func FuzzFold(f *testing.F) {
	files, _ := filepath.Glob("testdata/openai/c*.sse")
	for _, file := range files {
		in, _ := os.ReadFile(file)
		f.Add(in, strings.Contains(file, "/completion-"))
	}
	f.Fuzz(func(t *testing.T, in []byte, completion bool) {
		op := dialect.Chat
		if completion {
			op = dialect.Completion
		}
		body, ok := openai.Dialect.Fold(op, in)
		if !ok {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("folded to %s", body)
		}
		if !read(openai.Dialect, op, in).Complete() {
			t.Fatalf("folded, but not complete: %q", in)
		}
		events, ok := openai.Dialect.Cut(op, body, true)
		if !ok {
			return // texts that are no strings
		}
		_, list := split(events)
		for _, ev := range list[:len(list)-1] {
			if !json.Valid(ev.Data) {
				t.Fatalf("cut to %s", ev.Data)
			}
		}
	})
}

// FuzzCut: what is cut are valid events.
func FuzzCut(f *testing.F) {
	files, _ := filepath.Glob("testdata/openai/c*.json")
	for _, file := range files {
		in, _ := os.ReadFile(file)
		f.Add(in, strings.Contains(file, "/completion-"))
	}
	f.Fuzz(func(t *testing.T, in []byte, completion bool) {
		op := dialect.Chat
		if completion {
			op = dialect.Completion
		}
		events, ok := openai.Dialect.Cut(op, in, true)
		if !ok {
			return
		}
		_, list := split(events)
		if string(list[len(list)-1].Data) != "[DONE]" {
			t.Fatalf("ends with %s", list[len(list)-1].Data)
		}
		for _, ev := range list[:len(list)-1] {
			if !json.Valid(ev.Data) {
				t.Fatalf("%s was cut to %s", in, ev.Data)
			}
		}
	})
}

func BenchmarkFold(b *testing.B) {
	stream := hundredEvents()
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := openai.Dialect.Fold(dialect.Chat, stream); !ok {
			b.Fatal("not folded")
		}
	}
}
