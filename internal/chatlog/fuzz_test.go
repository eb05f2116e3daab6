package chatlog_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/dialect/openai"
)

// FuzzRequest: whatever a client sends, its request is one line of valid JSON
// in every content mode, with our own fields as we wrote them, and convert
// reads it.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"a\u0040b.org sk-0123456789abc\ud83d"}],"uid":"x"}`))
	f.Add([]byte("{\n\"messages\" : [ \"\xff\" , {\"\":1e5}],\"Uid\":[],\"x\\u0000\":null}"))
	f.Add([]byte(`{"messages":[{"role":"user","content":"4111 1111 1111 1111"}],"extra":{},"a\"b":"c\\"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := dialect.Scan(raw)
		if err != nil {
			return
		}
		for _, content := range []string{"full", "meta", "redacted"} {
			dir := t.TempDir()
			l, err := chatlog.Open(chatlog.Options{Dir: dir, Content: content, Location: time.UTC})
			if err != nil {
				t.Fatal(err)
			}
			l.Request(chatlog.Request{Route: "r", UID: "u", IP: "i", Key: "k", Time: noon, Operation: dialect.Chat, Body: b})
			l.Close()
			line, err := os.ReadFile(filepath.Join(dir, "r/chat/chat.log"))
			if err != nil || bytes.Count(line, []byte{'\n'}) != 1 || !json.Valid(line) || !utf8.Valid(line) {
				t.Fatalf("%s: %q, %v", content, line, err)
			}
			for name, want := range map[string]string{"uid": "u", "ip": "i", "key": "k", "datetime": "2026-11-21 12:00:00"} {
				if got := gjson.GetBytes(line, name).String(); got != want {
					t.Fatalf("%s is %q: %s", name, got, line)
				}
			}
			for _, format := range []string{"openai-forward", "jsonl", "sharegpt", "openai-ft", "csv"} {
				var out bytes.Buffer
				sum, err := chatlog.Convert(t.Context(), &out, chatlog.ConvertOptions{Dir: dir, Format: format})
				if err != nil || sum.Skipped != 0 || sum.Exchanges+sum.Omitted != 1 || !utf8.Valid(out.Bytes()) {
					t.Fatalf("%s: %+v, %v: %q", format, sum, err, out.Bytes())
				}
				if format != "csv" && out.Len() > 0 && !json.Valid(out.Bytes()) {
					t.Fatalf("%s is no JSON: %q", format, out.Bytes())
				}
			}
		}
	})
}

// FuzzAgents: whatever items a conversation of any API has, every format makes
// valid JSON of it.
func FuzzAgents(f *testing.F) {
	f.Add([]byte(`[{"type":"reasoning","summary":[{"text":"x"}]},{"type":"a_call","call_id":"1"},{"type":"a_call_output","call_id":"1","output":{"x":1}},{"type":"x"}]`))
	f.Add([]byte(`[{"role":"assistant","content":[{"type":"tool_use","input":[1]},{"type":"thinking","thinking":"x"},{}]},{"role":"user","content":[{"type":"tool_result","content":[{"type":"image"}]}]}]`))
	f.Add([]byte(`[{"role":"model","parts":[{"functionCall":{"name":"f"}},{"text":"x","thought":true}]},{"parts":[{"functionResponse":{"name":"f","response":{"a":"b"}}},{"inlineData":{"mimeType":"image/png","data":"x"}},{}]}]`))
	f.Add([]byte(`["\ud800",[[]],null,{"role":7,"content":{"a":[{}]},"parts":"x","type":[],"tool_calls":[{}]}]`))
	operations := map[dialect.Operation]string{dialect.Chat: "messages", dialect.Responses: "input", dialect.Messages: "messages", dialect.Generate: "contents"}
	f.Fuzz(func(t *testing.T, items []byte) {
		for op, field := range operations {
			raw := []byte(`{"tools":` + string(items) + `,"` + field + `":` + string(items) + `}`)
			b, err := dialect.Scan(raw)
			if err != nil {
				return
			}
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir})
			var a dialect.Answer
			if err := openai.Dialect.Body(dialect.Chat, &a, []byte(hello)); err != nil {
				t.Fatal(err)
			}
			for _, uid := range []string{"1", "2"} {
				l.Request(chatlog.Request{Route: "r", UID: uid, Time: noon, Operation: op, Body: b})
				l.Result(chatlog.Result{Route: "r", UID: uid, Operation: op, Status: 200, Answer: &a, Complete: true})
			}
			l.Close()
			for _, format := range []string{"openai-forward", "jsonl", "sharegpt", "openai-ft", "csv", "log"} {
				var out bytes.Buffer
				sum, err := chatlog.Convert(t.Context(), &out, chatlog.ConvertOptions{Dir: dir, Format: format, Filter: chatlog.Filter{Dedupe: true}})
				if err != nil || sum.Skipped+sum.Lost != 0 || sum.Exchanges+sum.Omitted+sum.Filtered+sum.Folded != 2 || !utf8.Valid(out.Bytes()) {
					t.Fatalf("%s: %+v, %v: %q", format, sum, err, out.Bytes())
				}
				for line := range bytes.Lines(out.Bytes()) {
					if (format == "jsonl" || format == "openai-ft" || format == "log") && !json.Valid(line) {
						t.Fatalf("%s is no JSON: %q", format, line)
					}
				}
				if (format == "sharegpt" || format == "openai-forward") && !json.Valid(out.Bytes()) {
					t.Fatalf("%s is no JSON: %q", format, out.Bytes())
				}
			}
		}
	})
}
