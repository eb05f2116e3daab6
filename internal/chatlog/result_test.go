package chatlog_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

// TestAccounts: the result line has what the ledger knows, and one that is
// not full has pseudonyms for users that are no names.
func TestAccounts(t *testing.T) {
	redactor, err := chatlog.NewRedactor(nil, []byte("salt"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := chatlog.NewRedactor(nil, []byte("pepper"))
	pseudonym := redactor.Name("u@b.org")
	if !strings.HasPrefix(pseudonym, "name-") || pseudonym == other.Name("u@b.org") || redactor.Name("team-7/bob") != "team-7/bob" {
		t.Errorf("pseudonym %q, with another salt %q", pseudonym, other.Name("u@b.org"))
	}
	for content, user := range map[string]string{"full": "u@b.org", "redacted": pseudonym, "meta": pseudonym} {
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir, Content: content, Redactor: redactor})
		l.Result(chatlog.Result{Route: "r", UID: "1", Operation: dialect.Chat, Key: "alice", User: "u@b.org", Cost: "0.25", Queued: 1500 * time.Microsecond, First: time.Second})
		l.Result(chatlog.Result{Route: "r", UID: "2", Operation: dialect.Chat})
		l.Close()
		lines := linesOf(t, filepath.Join(dir, "r/chat/chat.log"))
		for name, want := range map[string]string{"key": "alice", "user": user, "cost": "0.25", "queue_ms": "1.5", "first_ms": "1000"} {
			if got := gjson.Get(lines[0], name).String(); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
			if gjson.Get(lines[1], name).Exists() {
				t.Errorf("%s is in %s", name, lines[1])
			}
		}
	}
}

// TestAudio: the log keeps the text to be spoken and no sound, and the
// transcript of a recording, unless it keeps no text.
func TestAudio(t *testing.T) {
	for content, text := range map[string]string{"full": "hello a@b.org", "redacted": "hello [email]", "meta": ""} {
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir, Content: content})
		l.Request(chatlog.Request{Route: "r", UID: "1", Operation: dialect.Audio, Model: "whisper-1"})
		l.Result(chatlog.Result{Route: "r", UID: "1", Operation: dialect.Audio, Status: 200, Answer: answer(t, dialect.Audio, `{"text":"hello a@b.org"}`)})
		l.Request(chatlog.Request{Route: "r", UID: "2", Operation: dialect.Speech, Body: body(t, `{"model":"tts-1","input":"say","voice":"alloy"}`)})
		l.Result(chatlog.Result{Route: "r", UID: "2", Operation: dialect.Speech, Status: 200, Complete: true})
		l.Close()
		audio, speech := linesOf(t, filepath.Join(dir, "r/audio/audio.log")), linesOf(t, filepath.Join(dir, "r/speech/speech.log"))
		if got := gjson.Get(audio[1], "text").String(); got != text {
			t.Errorf("%s: %q, want %q", content, got, text)
		}
		if got := gjson.Get(speech[0], "input").String(); (got == "say") != (content != "meta") {
			t.Errorf("%s: %s", content, speech[0])
		}
		if gjson.Get(speech[1], "status").Int() != 200 || gjson.Get(speech[1], "text").Exists() {
			t.Errorf("%s: %s", content, speech[1])
		}
	}
}
