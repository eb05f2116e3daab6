package dialect_test

import (
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
	"forward/internal/dialects"
	"forward/internal/framing"

	"github.com/google/go-cmp/cmp"
)

func Example() {
	body, _ := dialect.Scan([]byte(`{"model":"gpt-4o-mini","caching":true,"stream":true}`))
	d := openai.Dialect
	op := d.Operation("POST", "/v1/chat/completions")
	ask := d.Request(op, "/v1/chat/completions", "", body)
	fmt.Println(op, ask.Model, ask.Stream, *ask.Caching)
	fmt.Printf("%s\n", body.Without("caching"))

	var split framing.Splitter
	var answer dialect.Answer
	for _, piece := range []string{
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\ndata: {\"cho",
		"ices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	} {
		split.Feed([]byte(piece))
		for raw, ok := split.Next(); ok; raw, ok = split.Next() {
			if event, ok := framing.SSE.Parse(raw); ok {
				d.Event(op, &answer, event)
			}
		}
	}
	fmt.Println(answer.Choices()[0].Text, answer.Finish(), answer.Complete())
	fmt.Printf("error:\n  %s\n", d.Error(dialect.Problem{Status: 429, Code: "queue_full", Message: "The queue is full."}))
	// Output:
	// chat gpt-4o-mini true true
	// {"model":"gpt-4o-mini","stream":true}
	// Hello stop true
	// error:
	//   {"error":{"message":"The queue is full.","type":"requests","param":null,"code":"queue_full"}}
}

func TestTextIsBounded(t *testing.T) {
	a := dialect.Answer{MaxText: 10}
	event := func(delta string) {
		openai.Dialect.Event(dialect.Chat, &a, framing.Event{Data: []byte(`{"choices":[{"index":0,"delta":` + delta + `}]}`)})
	}
	event(`{"content":"12345"}`)
	event(`{"reasoning":"678"}`)
	if a.Truncated {
		t.Error("truncated too early")
	}
	event(`{"content":"x你"}`)
	event(`{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}`)
	event(`{},"finish_reason":"stop"`)
	openai.Dialect.Event(dialect.Chat, &a, framing.Event{Data: []byte("[DONE]")})
	want := []dialect.Choice{{Text: "12345x", Reasoning: "678", Finish: "stop", ToolCalls: []dialect.ToolCall{{ID: "x", Name: "f"}}}}
	if diff := cmp.Diff(want, a.Choices()); diff != "" || !a.Truncated || !a.Complete() {
		t.Errorf("truncated %t, complete %t\n%s", a.Truncated, a.Complete(), diff)
	}
}

func TestManyPartsAreBounded(t *testing.T) {
	var a dialect.Answer
	for i := range 5000 {
		openai.Dialect.Event(dialect.Chat, &a, framing.Event{Data: fmt.Appendf(nil, `{"choices":[{"index":%d,"delta":{}},{"index":0,"delta":{"tool_calls":[{"index":%d}]}}]}`, i, i)})
	}
	if c := a.Choices(); len(c) > 1024 || len(c[0].ToolCalls) > 1024 || !a.Truncated {
		t.Errorf("%d choices, %d calls", len(c), len(c[0].ToolCalls))
	}
}

func TestHostileNumbersAndIndexes(t *testing.T) {
	var a dialect.Answer
	for _, data := range []string{
		`{"choices":[{"index":-5,"delta":{"content":"a"}},{"index":1e300,"delta":{"content":"b"}},{"index":"x","delta":{}},7,null,[]]}`,
		`{"choices":{"index":0},"usage":{"prompt_tokens":-7,"completion_tokens":1e300,"total_tokens":"9"},"id":7,"model":null}`,
		`{"choices":[{"delta":[1]},{"delta":{"tool_calls":[1,{"index":-1},{"function":7}],"function_call":"x","content":{"a":1}}}]}`,
	} {
		openai.Dialect.Event(dialect.Chat, &a, framing.Event{Data: []byte(data)})
	}
	if u := a.Usage; u.Input != 0 || u.Output != 1<<53 || u.Total < 0 {
		t.Errorf("usage %+v", u)
	}
	if a.Choices()[0].Text != "a" {
		t.Errorf("choices %+v", a.Choices())
	}
}

// TestAnswersDoNotAliasEvents overwrites each event after it was read, as the
// reader's buffer will.
func TestAnswersDoNotAliasEvents(t *testing.T) {
	for _, name := range []string{"openai/chat-tools.sse", "openai/responses-text.sse", "anthropic/messages-tools.sse", "gemini/generate-tools.sse", "openai/chat-error.sse"} {
		in, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := dialects.ByName(filepath.Dir(name))
		word, _, _ := strings.Cut(filepath.Base(name), "-")
		want := lookAt(read(d, dialect.Operation(word), in))
		var a dialect.Answer
		_, events := split(in)
		for _, ev := range events {
			d.Event(dialect.Operation(word), &a, ev)
			for i := range ev.Data {
				ev.Data[i] = '#'
			}
		}
		if diff := cmp.Diff(want, lookAt(&a)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAnUnreadableEventLeavesTheAnswerIncomplete(t *testing.T) {
	const good = `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n"
	for name, test := range map[string]struct {
		stream   string
		complete bool
	}{
		"whole":        {good + "data: [DONE]\n\n", true},
		"only DONE":    {"data: [DONE]\n\n", false},
		"empty data":   {"data:\n\n" + good + "data: [DONE]\n\n", true},
		"broken JSON":  {"data: {\"choices\":[\n\n" + good + "data: [DONE]\n\n", false},
		"HTML":         {good + "data: <html>\n\ndata: [DONE]\n\n", false},
		"depth bomb":   {"data: " + strings.Repeat("[", 1<<20) + "\n\n" + good + "data: [DONE]\n\n", false},
		"null error":   {`data: {"choices":[],"error":null}` + "\n\n" + good + "data: [DONE]\n\n", true},
		"error, DONE":  {good + `data: {"error":"boom"}` + "\n\ndata: [DONE]\n\n", false},
		"error object": {good + `data: {"error":{"code":"x"}}` + "\n\ndata: [DONE]\n\n", false},
	} {
		if a := read(openai.Dialect, dialect.Chat, []byte(test.stream)); a.Complete() != test.complete {
			t.Errorf("%s: complete is %t, error %q", name, a.Complete(), a.Error)
		}
	}
}

func TestBodyRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		d    *dialect.Dialect
		op   dialect.Operation
		body string
	}{
		"HTML":                   {openai.Dialect, dialect.Chat, "<html>"},
		"cut":                    {openai.Dialect, dialect.Chat, `{"choices":[`},
		"no choices":             {openai.Dialect, dialect.Chat, `{"id":"x"}`},
		"no vectors":             {openai.Dialect, dialect.Embedding, `{"data":[]}`},
		"no output":              {openai.Dialect, dialect.Responses, `{"status":"completed"}`},
		"no results":             {openai.Dialect, dialect.Moderation, `{}`},
		"an array":               {openai.Dialect, dialect.Embedding, `[]`},
		"no content":             {anthropic.Dialect, dialect.Messages, `{"id":"x"}`},
		"anthropic HTML":         {anthropic.Dialect, dialect.Messages, `<html>`},
		"no candidates":          {gemini.Dialect, dialect.Generate, `{"x":1}`},
		"empty array":            {gemini.Dialect, dialect.Generate, `[]`},
		"gemini cut":             {gemini.Dialect, dialect.Generate, `[{"candidates":[]}`},
		"compatible, no choices": {gemini.Dialect, dialect.Chat, `{"candidates":[{"index":0,"finishReason":"STOP"}]}`},
	} {
		var a dialect.Answer
		if err := test.d.Body(test.op, &a, []byte(test.body)); err == nil || a.Complete() {
			t.Errorf("%s: error %v, complete %t", name, err, a.Complete())
		}
	}
}

func TestBodiesThatAreNotLookedInto(t *testing.T) {
	for _, op := range []dialect.Operation{dialect.Speech, dialect.Models, dialect.Other} {
		var a dialect.Answer
		if err := openai.Dialect.Body(op, &a, []byte("\xff\xf3")); err != nil || !a.Complete() {
			t.Errorf("%q: %v", op, err)
		}
	}
	var a dialect.Answer
	if err := openai.Dialect.Body(dialect.Audio, &a, []byte("WEBVTT\n\nHello.")); err != nil || a.Choices()[0].Text != "WEBVTT\n\nHello." || !a.Complete() {
		t.Errorf("%v %+v", err, a.Choices())
	}
}

func TestMistralPartsAreRead(t *testing.T) {
	var a dialect.Answer
	err := openai.Dialect.Body(dialect.Chat, &a, []byte(`{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"yes"}]},"finish_reason":"stop"}]}`))
	if want := []dialect.Choice{{Text: "yes", Reasoning: "hm", Finish: "stop"}}; err != nil || !cmp.Equal(a.Choices(), want) {
		t.Errorf("%v %+v", err, a.Choices())
	}
}

func TestCallsOfCompatibleServers(t *testing.T) {
	call := func(id, name, arguments string) dialect.ToolCall {
		return dialect.ToolCall{ID: id, Name: name, Arguments: arguments}
	}
	for name, test := range map[string]struct {
		stream bool
		calls  []string
		want   []dialect.ToolCall
	}{
		"a body without ids and indexes": {false, []string{`[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":{"a":1.0}}}]`},
			[]dialect.ToolCall{call("", "f", "{}"), call("", "f", `{"a":1.0}`)}},
		"a stream without names and indexes": {true, []string{`[{"id":"a","function":{"arguments":"1"}}]`, `[{"id":"b","function":{"arguments":"2"}}]`, `[{"function":{"arguments":"3"}}]`},
			[]dialect.ToolCall{call("a", "", "1"), call("b", "", "23")}},
		"the later index first": {true, []string{`[{"index":1,"id":"b","function":{"name":"g","arguments":"1"}},{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]`, `[{"index":1,"function":{"arguments":"3"}}]`},
			[]dialect.ToolCall{call("a", "f", "2"), call("b", "g", "13")}},
		"the name in every delta": {true, []string{`[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]`, `[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]`},
			[]dialect.ToolCall{call("a", "f", "12")}},
	} {
		t.Run(name, func(t *testing.T) {
			var stream, body dialect.Answer
			if test.stream {
				var all strings.Builder
				for _, c := range test.calls {
					fmt.Fprintf(&all, `data: {"choices":[{"index":0,"delta":{"tool_calls":%s}}]}`+"\n\n", c)
				}
				all.WriteString(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\ndata: [DONE]\n\n")
				stream = *read(openai.Dialect, dialect.Chat, []byte(all.String()))
				if diff := cmp.Diff(test.want, stream.Choices()[0].ToolCalls); diff != "" {
					t.Error(diff)
				}
				folded, _ := openai.Dialect.Fold(dialect.Chat, []byte(all.String()))
				test.calls = []string{string(folded)}
			} else {
				test.calls[0] = `{"choices":[{"index":0,"message":{"tool_calls":` + test.calls[0] + `},"finish_reason":"tool_calls"}]}`
			}
			if err := openai.Dialect.Body(dialect.Chat, &body, []byte(test.calls[0])); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, body.Choices()[0].ToolCalls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReasoningInTwoFieldsIsKeptOnce(t *testing.T) {
	a := read(openai.Dialect, dialect.Chat, []byte(`data: {"choices":[{"delta":{"reasoning":"","reasoning_content":"a"}}]}`+"\n\n"+`data: {"choices":[{"delta":{"reasoning":"b","reasoning_content":"b"}}]}`+"\n\n"))
	if got := a.Choices()[0].Reasoning; got != "ab" {
		t.Errorf("got %q", got)
	}
}

func TestResponsesThatDidNotComplete(t *testing.T) {
	for status, want := range map[string]string{"failed": "the response is failed", "cancelled": "the response is cancelled", "in_progress": "", "queued": ""} {
		var a dialect.Answer
		err := openai.Dialect.Body(dialect.Responses, &a, []byte(`{"id":"r","status":"`+status+`","error":null,"output":[]}`))
		if err != nil || a.Error != want || a.Complete() {
			t.Errorf("%s: %v %+v", status, err, a)
		}
	}
}

// fuzzRead: no input makes a dialect panic, and what is kept is bounded.
func fuzzRead(f *testing.F, d *dialect.Dialect, ops ...dialect.Operation) {
	files, _ := filepath.Glob("testdata/" + d.Name + "/*.*")
	for _, file := range files {
		if in, _ := os.ReadFile(file); strings.HasSuffix(file, ".sse") || strings.HasSuffix(file, ".json") {
			for i := range ops {
				f.Add(in, uint(i))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, n uint) {
		op := ops[n%uint(len(ops))]
		answers := make([]dialect.Answer, 3)
		for i := range answers {
			answers[i].MaxText = 100
		}
		_, events := split(in)
		for _, ev := range events {
			d.Event(op, &answers[0], ev)
		}
		d.Event(op, &answers[1], framing.Event{Data: in})
		d.Body(op, &answers[2], in)
		for i := range answers {
			a := &answers[i]
			kept := 0
			for _, c := range a.Choices() {
				kept += len(c.Text) + len(c.Refusal) + len(c.Reasoning)
				for _, call := range c.ToolCalls {
					kept += len(call.Arguments)
				}
			}
			if kept > 100 || a.Complete() && (!a.Ended || a.Error != "") {
				t.Fatalf("kept %d bytes: %+v", kept, a)
			}
			if u := a.Usage; u != nil && (u.Input < 0 || u.Output < 0 || u.Total < 0 || !json.Valid(u.Raw)) {
				t.Fatalf("usage %+v", u)
			}
		}
	})
}

func FuzzOpenAI(f *testing.F) {
	fuzzRead(f, openai.Dialect, dialect.Chat, dialect.Completion, dialect.Responses, dialect.Embedding, dialect.Audio, dialect.Other)
}

func FuzzAnthropic(f *testing.F) {
	fuzzRead(f, anthropic.Dialect, dialect.Messages, dialect.CountTokens, dialect.Chat)
}

func FuzzGemini(f *testing.F) {
	fuzzRead(f, gemini.Dialect, dialect.Generate, dialect.EmbedContent, dialect.CountTokens, dialect.Chat)
}

// hundredEvents is a stream of a hundred chunks as OpenAI sends them.
func hundredEvents() []byte {
	var b strings.Builder
	for i := range 98 {
		fmt.Fprintf(&b, `data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_b8bc95a0ac","choices":[{"index":0,"delta":{"content":" token%d"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"Zr4kZr4k"}`+"\n\n", i)
	}
	b.WriteString(`data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n")
	return []byte(b.String())
}

// BenchmarkStream reads a hundred events that come in pieces of 4 KB.
func BenchmarkStream(b *testing.B) {
	stream := hundredEvents()
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		var s framing.Splitter
		var a dialect.Answer
		for rest := stream; len(rest) > 0; rest = rest[min(4096, len(rest)):] {
			s.Feed(rest[:min(4096, len(rest))])
			for raw, ok := s.Next(); ok; raw, ok = s.Next() {
				if ev, ok := framing.SSE.Parse(raw); ok {
					openai.Dialect.Event(dialect.Chat, &a, ev)
				}
			}
		}
		if !a.Complete() {
			b.Fatal("incomplete")
		}
	}
}
