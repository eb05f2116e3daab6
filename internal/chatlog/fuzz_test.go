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
