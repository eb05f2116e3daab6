package chatlog_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
)

// TestOtherConversations logs what is no chat completion and reads it back as
// one conversation.
func TestOtherConversations(t *testing.T) {
	tests := []struct {
		op             dialect.Operation
		d              *dialect.Dialect
		request, reply string
	}{
		{dialect.Responses, openai.Dialect, `{"model":"m","instructions":"Be kind.","input":"hi"}`,
			`{"id":"r","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello!"}]}]}`},
		{dialect.Messages, anthropic.Dialect, `{"model":"m","max_tokens":9,"system":"Be kind.","messages":[{"role":"user","content":"hi"}]}`,
			`{"type":"message","role":"assistant","content":[{"type":"text","text":"Hello!"}],"stop_reason":"end_turn"}`},
		{dialect.Generate, gemini.Dialect, `{"systemInstruction":{"parts":[{"text":"Be kind."}]},"contents":[{"parts":[{"text":"hi"}]}]}`,
			`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello!"}]},"finishReason":"STOP"}]}`},
	}
	for _, tt := range tests {
		t.Run(string(tt.op), func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir})
			var a dialect.Answer
			if err := tt.d.Body(tt.op, &a, []byte(tt.reply)); err != nil {
				t.Fatal(err)
			}
			l.Request(chatlog.Request{Route: "r", UID: "u", Time: noon, Operation: tt.op, Body: body(t, tt.request), Model: "m"})
			l.Result(chatlog.Result{Route: "r", UID: "u", Operation: tt.op, Answer: &a, Status: 200, Complete: true})
			l.Close()
			if n := len(linesOf(t, filepath.Join(dir, "r", string(tt.op), string(tt.op)+".log"))); n != 2 {
				t.Fatalf("%d lines", n)
			}
			out, sum := convert(t, chatlog.ConvertOptions{Dir: dir})
			x := gjson.Get(out, "0")
			if got := x.Get("messages|@ugly").Raw; got != `[{"system":"Be kind."},{"user":"hi"}]` || x.Get("assistant").Str != "Hello!" || x.Get("model").Str != "m" {
				t.Errorf("%+v\n%s", sum, out)
			}
			want := `{"messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"hi"},{"role":"assistant","content":"Hello!"}]}` + "\n"
			if out, _ := convert(t, chatlog.ConvertOptions{Dir: dir, Format: "openai-ft"}); out != want {
				t.Errorf("training data %s", out)
			}
		})
	}
}

// TestMetaOfOtherConversations: no word of them is in a meta log.
func TestMetaOfOtherConversations(t *testing.T) {
	for op, ask := range map[dialect.Operation]string{
		dialect.Responses: `{"input":"canary","instructions":"canary"}`,
		dialect.Messages:  `{"system":"canary","messages":[{"role":"user","content":"canary"}]}`,
		dialect.Generate:  `{"systemInstruction":{"parts":[{"text":"canary"}]},"contents":[{"parts":[{"text":"canary"}]}]}`,
	} {
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir, Content: "meta"})
		l.Request(chatlog.Request{Route: "r", UID: "u", Time: noon, Operation: op, Body: body(t, ask)})
		l.Close()
		line := linesOf(t, filepath.Join(dir, "r", string(op), string(op)+".log"))[0]
		if strings.Contains(line, "canary") {
			t.Error(line)
		}
	}
}
