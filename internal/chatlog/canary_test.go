package chatlog_test

import (
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

// TestCanariesStayOut: what must not be kept is in no line of a meta or a
// redacted log, of any conversation that is logged.
func TestCanariesStayOut(t *testing.T) {
	canaries := []string{"canary@mail.example.org", "4111111111111111", "sk-canary0123456789"}
	text := strings.Join(canaries, " ")
	for _, content := range []string{"full", "meta", "redacted"} {
		for _, op := range []dialect.Operation{dialect.Chat, dialect.Completion, dialect.Embedding, dialect.Speech, dialect.Audio, dialect.Responses, dialect.Messages, dialect.Generate} {
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir, Content: content})
			ask := strings.ReplaceAll(`{"messages":[{"role":"user","content":"X"}],"system":"X","prompt":"X","input":"X","instructions":"X","contents":[{"parts":[{"text":"X"}]}],"X":1}`, "X", text)
			l.Request(chatlog.Request{Route: "r", UID: "u", Time: noon, Operation: op, Body: body(t, ask)})
			l.Result(chatlog.Result{Route: "r", UID: "u", Operation: op, Status: 200,
				Answer: answer(t, dialect.Chat, `{"choices":[{"index":0,"message":{"content":"`+text+`"},"finish_reason":"stop"}]}`)})
			l.Close()
			all := strings.Join(linesOf(t, filepath.Join(dir, "r", string(op), string(op)+".log")), "\n")
			for _, c := range canaries {
				if strings.Contains(all, c) != (content == "full") {
					t.Errorf("%s, %s: %s in\n%s", content, op, c, all)
				}
			}
		}
	}
}
