package chatlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

func TestPrint(t *testing.T) {
	tests := []struct{ name, request, reply, want string }{
		{"a chat", `{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi\nyou"}]}`, hello,
			"── 0123abcd · openai · m · alice · 127.0.0.1 · 2026-11-21 12:00:00\nsystem: be brief\nuser: hi\n  you\n" +
				"── 0123abcd · 200 · stop · 1.5 ms · 9+2 tokens · miss\nassistant: Hello!\n"},
		{"only what is new", `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello!"},{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url"}]}]}`, "",
			"── 0123abcd · openai · m · alice · 127.0.0.1 · 2026-11-21 12:00:00\n…: 2 earlier messages\nuser: see\n  <image_url>\n"},
		{"tool calls, reasoning", `{"model":"m","messages":[]}`,
			`{"choices":[{"index":0,"message":{"content":"Well.","reasoning_content":"Hm.","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
			"── 0123abcd · openai · m · alice · 127.0.0.1 · 2026-11-21 12:00:00\n" +
				"── 0123abcd · 200 · tool_calls · 1.5 ms · miss\nreasoning: Hm.\nassistant: Well.\nassistant: f({})\n"},
		{"nothing steers the terminal", `{"model":"\u001b]0;m","messages":[{"role":"user","content":"\u001b[2J\rx\u202ey\u0007\u009b1m\n── fake"}]}`, "",
			"── 0123abcd · openai · ]0;m · alice · 127.0.0.1 · 2026-11-21 12:00:00\nuser: [2Jxy1m\n  ── fake\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var shown strings.Builder
			l := open(t, chatlog.Options{Dir: t.TempDir(), Print: &shown})
			exchange(t, l, "0123456789-0123abcd", tt.request, tt.reply)
			l.Close()
			if diff := cmp.Diff(tt.want, shown.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrintCompletion(t *testing.T) {
	var shown strings.Builder
	l := open(t, chatlog.Options{Dir: t.TempDir(), Print: &shown})
	l.Request(chatlog.Request{Route: "r", UID: "u", Time: noon, Operation: dialect.Completion, Body: body(t, `{"model":"m","prompt":"once"}`)})
	a := answer(t, dialect.Completion, `{"choices":[{"index":0,"text":" upon","finish_reason":"stop"}]}`)
	l.Result(chatlog.Result{Route: "r", UID: "u", Operation: dialect.Completion, Answer: a, Status: 200})
	l.Close()
	if want := "── u · r · m · 2026-11-21 12:00:00\nprompt: once\n── u · 200 · stop · 0 ms\nassistant:  upon\n"; shown.String() != want {
		t.Errorf("%q", shown.String())
	}
}

// TestPrintOnly: PRINT_CHAT without LOG_CHAT shows conversations and writes no
// file.
func TestPrintOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	var shown strings.Builder
	l := open(t, chatlog.Options{Dir: dir, NoFiles: true, Print: &shown})
	exchange(t, l, "u", ask, "")
	l.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) || shown.Len() == 0 {
		t.Errorf("directory: %v; shown %q", err, shown.String())
	}
}
