package chatlog_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

// TestFindAcrossRotations logs the turns of a session into small files, which
// are compressed, and finds each by its time: whole, though its line refers to
// earlier ones.
func TestFindAcrossRotations(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, MaxSize: 6000})
	var history []string
	start := time.Now()
	for i := range 30 {
		history = append(history, fmt.Sprintf(`{"role":"user","content":"question %d %s"}`, i, strings.Repeat("long ", 20)))
		exchange(t, l, fmt.Sprint("u", i), `{"model":"m","messages":[`+strings.Join(history, ",")+`]}`, hello)
		history = append(history, `{"role":"assistant","content":"Hello!"}`)
		time.Sleep(2 * time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if asides, _ := filepath.Glob(filepath.Join(dir, "openai/chat/chat.*.log*")); len(asides) < 3 {
		t.Fatalf("only %v were set aside", asides)
	}
	for i := range 30 {
		w := chatlog.Wanted{Dir: dir, Route: "openai", Operation: dialect.Chat, UID: fmt.Sprint("u", i), Time: start}
		c, err := chatlog.Find(t.Context(), w)
		if err != nil || len(c.Messages) != 2*i+2 || c.Truncated || !c.Messages[2*i+1].Answer || *c.Messages[2*i+1].Parts[0].Text != "Hello!" ||
			!strings.HasPrefix(*c.Messages[2*i].Parts[0].Text, fmt.Sprintf("question %d ", i)) {
			t.Errorf("u%d: %d messages, truncated %t, %v", i, len(c.Messages), c.Truncated, err)
		}
	}
	for _, w := range []chatlog.Wanted{
		{Dir: dir, Route: "openai", Operation: dialect.Chat, UID: "none", Time: start},
		{Dir: dir, Route: "other", Operation: dialect.Chat, UID: "u1", Time: start},
		{Dir: dir, Route: "openai", Operation: dialect.Chat, UID: "u0", Time: start.Add(time.Hour)},
	} {
		if _, err := chatlog.Find(t.Context(), w); !errors.Is(err, chatlog.ErrNotFound) {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

// TestFindBounds looks for a request that is longer than what is shown.
func TestFindBounds(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	exchange(t, l, "u", `{"model":"m","messages":[{"role":"system","content":"first"},{"role":"user","content":"`+strings.Repeat("x", 2<<20)+`"},{"role":"user","content":"last"}]}`, hello)
	l.Close()
	c, err := chatlog.Find(t.Context(), chatlog.Wanted{Dir: dir, Route: "openai", Operation: dialect.Chat, UID: "u", Time: noon})
	if err != nil || c.Request != nil || c.Result == nil || !c.Truncated || len(c.Messages) != 4 || len(*c.Messages[1].Parts[0].Text) > chatlog.MaxContent {
		t.Errorf("%d messages, truncated %t, %v", len(c.Messages), c.Truncated, err)
	}
}

// TestTranscript shows each kind of part.
func TestTranscript(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	image := "data:image/png;base64," + strings.Repeat("iVBORw0KGgo", 20)
	exchange(t, l, "u", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"`+image+`"}},{"type":"odd","x":1}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"42"}]}`, hello)
	l.Close()
	c, err := chatlog.Find(t.Context(), chatlog.Wanted{Dir: dir, Route: "openai", Operation: dialect.Chat, UID: "u", Time: noon})
	if err != nil || len(c.Messages) != 4 {
		t.Fatalf("%+v, %v", c.Messages, err)
	}
	var kinds []string
	for _, m := range c.Messages {
		for _, p := range m.Parts {
			kinds = append(kinds, m.Role+" "+p.Type)
		}
	}
	if got := strings.Join(kinds, ", "); got != "user text, user media, user other, assistant tool_call, tool tool_result, assistant text" {
		t.Error(got)
	}
	if p := c.Messages[0].Parts[1]; *p.MediaType != "image/png" || *p.Bytes == 0 {
		t.Errorf("%+v", p)
	}
	if p := c.Messages[2].Parts[0]; *p.Text != "42" || *p.ID != "c1" || *p.Failed {
		t.Errorf("%+v", p)
	}
}
