package dialect_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
)

// sameAnswer reads events both ways, and reports how the two answers differ.
func sameAnswer(d *dialect.Dialect, op dialect.Operation, events []framing.Event) string {
	var plain, quick dialect.Answer
	for i, ev := range events {
		d.ParseEvent(op, &plain, ev)
		d.ReadEvent(op, &quick, ev)
		if p, q := allOf(&plain), allOf(&quick); !reflect.DeepEqual(p, q) {
			return fmt.Sprintf("event %d %q: ParseEvent %+v, ReadEvent %+v", i, ev.Data, p, q)
		}
	}
	return ""
}

// allOf is all that is read of an answer.
func allOf(a *dialect.Answer) []any {
	return []any{a.ID, a.Model, a.Tier, a.Usage, a.Error, a.Ended, a.Truncated, a.State, a.Choices(), a.Finish(), a.Complete()}
}

func TestEventsThatRepeatAreReadAsOthers(t *testing.T) {
	chunk := func(inner string) string { return `{"id":"c","model":"m","choices":[` + inner + `]}` }
	text := func(s string) string {
		return chunk(`{"index":0,"delta":{"content":"` + s + `"},"finish_reason":null}`)
	}
	for name, data := range map[string][]string{
		"text":                   {text("a"), text("b"), text(""), text("c"), text("ö€"), text("d")},
		"escapes":                {text("a"), text(`\n`), text(`b\"c`), text("d"), text(`e\\`), text("f")},
		"text that is a key":     {text("content"), text("delta"), text("index"), text("x"), text("id")},
		"escape beside the text": {`{"system_fingerprint":"A","choices":[{"index":0,"delta":{"content":"\u0041"}}]}`, `{"system_fingerprint":"B","choices":[{"index":0,"delta":{"content":"\u0041"}}]}`},
		"control characters":     {text("a"), text("b\x01"), text("c")},
		"other choice":           {text("a"), text("b"), chunk(`{"index":1,"delta":{"content":"c"}}`), chunk(`{"index":1,"delta":{"content":"d"}}`), text("e")},
		"end":                    {text("a"), text("b"), chunk(`{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}`), chunk(`{"index":0,"delta":{"content":"d"},"finish_reason":"stop"}`)},
		"usage in each":          {`{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}`, `{"choices":[{"delta":{"content":"b"}}],"usage":{"prompt_tokens":2}}`, `{"choices":[{"delta":{"content":"c"}}],"usage":{"prompt_tokens":2}}`, `{"choices":[{"delta":{"content":"d"}}],"usage":{"prompt_tokens":1}}`},
		"obfuscation":            {`{"choices":[{"delta":{"content":"a"}}],"obfuscation":"xyz"}`, `{"choices":[{"delta":{"content":"b"}}],"obfuscation":""}`, `{"choices":[{"delta":{"content":"c"}}],"obfuscation":"\n"}`, `{"choices":[{"delta":{"content":"c"}}],"obfuscation":"c"}`, `{"choices":[{"delta":{"content":"d"}}],"obfuscation":"dd"}`},
		"calls":                  {chunk(`{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"a"}}]}}`), chunk(`{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"b"}}]}}`), chunk(`{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"c"}}]}}`), chunk(`{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"d"}}]}}`)},
		"calls without index":    {chunk(`{"delta":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":"a"}}]}}`), chunk(`{"delta":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":"b"}}]}}`), chunk(`{"delta":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":"c"}}]}}`)},
		"reasoning twice":        {`{"choices":[{"delta":{"reasoning":"a","reasoning_content":"a"}}]}`, `{"choices":[{"delta":{"reasoning":"b","reasoning_content":"b"}}]}`, `{"choices":[{"delta":{"reasoning":"","reasoning_content":"c"}}]}`},
		"cut":                    {text("a"), text("b"), text("c")[:20], text("d")},
		"two objects":            {text("a"), text("b"), text("c") + text("c"), text("d")},
	} {
		var events []framing.Event
		for _, d := range data {
			events = append(events, framing.Event{Data: []byte(d)})
		}
		if diff := sameAnswer(openai.Dialect, dialect.Chat, events); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// FuzzRepeat: whatever the events, reading them by comparison reads the same as
// parsing each.
func FuzzRepeat(f *testing.F) {
	dialects := []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect}
	ops := []dialect.Operation{dialect.Chat, dialect.Responses, dialect.Messages, dialect.Generate}
	for n, d := range dialects {
		files, _ := filepath.Glob("testdata/" + d.Name + "/*.sse")
		for _, file := range files {
			in, _ := os.ReadFile(file)
			for op := range ops {
				f.Add(in, uint(n), uint(op))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, n, m uint) {
		_, events := split(in)
		var often []framing.Event // each event again, with the letters of its strings changed
		for _, ev := range events {
			again := framing.Event{Name: ev.Name, Data: bytes.ReplaceAll(ev.Data, []byte("e"), []byte("i"))}
			often = append(often, ev, ev, again, ev)
		}
		if diff := sameAnswer(dialects[n%3], ops[m%4], often); diff != "" {
			t.Fatal(diff)
		}
	})
}

// BenchmarkRepeat compares both ways of reading a hundred events.
func BenchmarkRepeat(b *testing.B) {
	var events []framing.Event
	for raw := range strings.SplitAfterSeq(string(hundredEvents()), "\n\n") {
		if ev, ok := framing.SSE.Parse([]byte(raw)); ok {
			events = append(events, ev)
		}
	}
	for name, read := range map[string]func(*dialect.Dialect, dialect.Operation, *dialect.Answer, framing.Event){
		"parsed":   (*dialect.Dialect).ParseEvent,
		"compared": (*dialect.Dialect).ReadEvent,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var a dialect.Answer
				for _, ev := range events {
					read(openai.Dialect, dialect.Chat, &a, ev)
				}
				if !a.Complete() {
					b.Fatal("incomplete")
				}
			}
		})
	}
}
