package chatlog_test

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
)

// TestRedaction checks what is replaced and what stays. Both sides are JSON
// strings, as they are in the body and in the log.
func TestRedaction(t *testing.T) {
	image := "data:image/png;base64," + base64.StdEncoding.EncodeToString(make([]byte, 3000)) + "/4111111111111111/"
	tests := []struct{ name, in, want string }{
		{"keys", `"sk-proj-abc_DEF-123456, fk-0123456789abcdef; (rk-0123456789)"`, `"[secret], [secret]; ([secret])"`},
		{"Google, AWS, GitHub, Slack", `"AIzaSyA0123456789-0123456789_0123456789 AKIAIOSFODNN7EXAMPLE ghp_0123456789abcdefABCD xoxb-123456789-abc"`, `"[secret] [secret] [secret] [secret]"`},
		{"token", `"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"`, `"Bearer [secret]"`},
		{"words with a k and a dash", `"task-force risk-management desk-top sk-8 ask-anything-you-like high-tech"`, ""},
		{"address", `"write to j.doe+x@mail.example.org, please"`, `"write to [email], please"`},
		{"address of other letters", `"почта@пример.рф"`, `"[email]"`},
		{"no address", `"@team a@b 3 @ 5.00"`, ""},
		{"spelled by escapes", `"a\u0040b.org"`, `"[email]"`},
		{"spelled by escapes 2", `"\u0073\u006b-0123456789"`, `"[secret]"`},
		{"escapes that hide nothing stay", `"\u4f60 \/ \ud83d\ude00 \n"`, ""},
		{"cards", `"4111111111111111 / 5500-0000-0000-0004 / 3400 000000 00009"`, `"[card] / [card] / [card]"`},
		{"no card", `"1234567890123456, 0123456789012345678901234567890, 1763712000000"`, ""},
		{"phones", `"+1 (415) 555-0100, +8613800138000, (415) 555-0100, 415.555.0100, 13800138000"`, `"[phone], [phone], [phone], [phone], [phone]"`},
		{"no phones", `"2026-11-21 15:27:12, 192.168.100.100, 1000000000, 12345-6789, +5"`, ""},
		{"names in objects", `{"a@b.org":{"x":["a@b.org",1]}}`, `{"[email]":{"x":["[email]",1]}}`},
		{"inside of JSON inside of a string", `"{\"to\": \"a@b.org\"}"`, `"{\"to\": \"[email]\"}"`},
		{"images", `"` + image + `"`, ""},
		{"no image", `"data:x;base64,` + strings.Repeat("a ", 600) + `a@b.org"`, `"data:x;base64,` + strings.Repeat("a ", 600) + `[email]"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.in
			}
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir, Content: "redacted", KeepMedia: true})
			exchange(t, l, "u", `{"messages":[{"role":"user","content":`+tt.in+`}]}`, "")
			l.Close()
			if got := gjson.Get(linesOf(t, filepath.Join(dir, "openai/chat/chat.log"))[0], "messages.0.content").Raw; got != tt.want {
				t.Errorf("%.200s\n got %.200s\nwant %.200s", tt.in, got, tt.want)
			}
		})
	}
}
