package forward_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
)

// logging gives a bench a chat log and returns what reads its lines, after
// closing it.
func logging(t *testing.T, more func(*setup)) (change func(*setup), lines func(route string) []map[string]any) {
	dir := t.TempDir()
	log := must(chatlog.Open(chatlog.Options{Dir: dir}))(t)
	t.Cleanup(func() { log.Close() })
	return func(s *setup) {
			s.ChatLog = log
			if more != nil {
				more(s)
			}
		}, func(route string) (lines []map[string]any) {
			log.Close()
			text := must(os.ReadFile(filepath.Join(dir, route, "chat", "chat.log")))(t)
			for line := range strings.Lines(string(text)) {
				var m map[string]any
				if err := json.Unmarshal([]byte(line), &m); err != nil {
					t.Errorf("%v: %s", err, line)
				}
				lines = append(lines, m)
			}
			return lines
		}
}

func TestChatsAreLogged(t *testing.T) {
	for _, fields := range []string{"", `,"stream":true`} {
		change, lines := logging(t, nil)
		b := start(t, provider, change)
		b.chat(fields).want(t, 200)
		b.chat("", "Authorization", "Bearer fk-eve").want(t, 401) // never reached the model: no line
		b.gateway.Wait(time.Second)                               // the second line comes after the last byte
		got := lines("openai")
		if len(got) != 2 {
			t.Fatalf("%d lines", len(got))
		}
		asked, answered := got[0], got[1]
		if asked["model"] != "gpt-4o-mini" || asked["key"] != "alice" || asked["uid"] != answered["uid"] || asked["ip"] != "127.0.0.1" {
			t.Errorf("request line %v", asked)
		}
		if answered["assistant"] != "Hello there!" || answered["key"] != "alice" || answered["first_ms"] == nil || answered["complete"] != true || answered["finish_reason"] != "stop" || answered["status"] != 200.0 {
			t.Errorf("result line %v", answered)
		}
		if fields == "" && answered["usage"] == nil {
			t.Errorf("no usage in %v", answered)
		}
	}
}

func TestBrokenChatsAreLoggedAsBroken(t *testing.T) {
	change, lines := logging(t, nil)
	b := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Write([]byte(chunk(`{"content":"Hel"}`, "null")))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, change)
	b.chat(`,"stream":true`)
	eventually(t, func() bool { return strings.Contains(b.log.String(), "upstream_reset") })
	b.gateway.Wait(time.Second)
	got := lines("openai")
	if len(got) != 2 || got[1]["assistant"] != "Hel" || got[1]["complete"] != false || got[1]["cause"] != "upstream_reset" {
		t.Errorf("lines %v", got)
	}
}

func TestCachedChatsAreLogged(t *testing.T) {
	change, lines := logging(t, caching(memoryCache(t)))
	b := start(t, provider, change)
	b.chat(`,"caching":true`)
	b.chat(`,"caching":true`)
	b.gateway.Wait(time.Second)
	got := lines("openai")
	if len(got) != 4 || got[1]["cache"] != "miss" || got[3]["cache"] != "hit" || got[3]["assistant"] != "Hello there!" || got[3]["complete"] != true {
		t.Errorf("lines %v", got)
	}
}
