package forward_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/keys"
)

// anyProvider answers in the form of the path: OpenAI's two, Anthropic's and
// Gemini's.
func anyProvider(w http.ResponseWriter, r *http.Request) {
	stream := false
	if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream":true`) || strings.Contains(r.URL.Path, "streamGenerateContent") {
		stream = true
	}
	answer := chatBody
	event := events(true)
	switch {
	case strings.HasSuffix(r.URL.Path, "/messages"):
		answer = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":9,"output_tokens":3}}`
		event = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n" +
			"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n" +
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	case strings.HasSuffix(r.URL.Path, "/responses"):
		answer = `{"id":"resp_1","object":"response","status":"completed","model":"gpt-4o-mini","output":[],"usage":{"input_tokens":9,"output_tokens":3,"total_tokens":12}}`
		event = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" + answer + "}\n\n"
	case strings.Contains(r.URL.Path, "enerateContent"):
		answer = `{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":3,"totalTokenCount":12},"modelVersion":"gemini-x"}`
		event = "data: " + answer + "\n\n"
	}
	if stream {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, event)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, answer)
}

// TestSessions sends the names that agents give their sessions, and finds each
// in the ledger, in both lines of the chat log and in the access log. The
// agents' own headers reach the upstream, the gateway's own does not.
func TestSessions(t *testing.T) {
	long := strings.Repeat("x", 300)
	const chat, messages, responses, generate = "/v1/chat/completions", "/anthropic/v1/messages", "/v1/responses", "/gemini/v1beta/models/gemini-x:generateContent"
	const text = `"messages":[{"role":"user","content":"hi"}]`
	for name, c := range map[string]struct {
		path, body    string
		header, value string
		want          string
	}{
		"the gateway's own header": {chat, `{"model":"m",` + text + `}`, "X-Forward-Session", "run-42", "run-42"},
		"Claude Code":              {messages, `{"model":"m","max_tokens":9,` + text + `}`, "X-Claude-Code-Session-Id", "cc-1", "cc-1"},
		"Claude Code, streamed":    {messages, `{"model":"m","stream":true,"max_tokens":9,` + text + `}`, "X-Claude-Code-Session-Id", "cc-1", "cc-1"},
		"Claude Code before it had a header": {messages,
			`{"model":"m","max_tokens":9,"metadata":{"user_id":"user_0a_account_1b_session_2c-3d"},` + text + `}`, "", "", "2c-3d"},
		"Claude Code with JSON in its user": {messages,
			`{"model":"m","max_tokens":9,"metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"2c\"}"},` + text + `}`, "", "", "2c"},
		"a user is no session":         {messages, `{"model":"m","max_tokens":9,"metadata":{"user_id":"bob"},` + text + `}`, "", "", ""},
		"Codex":                        {responses, `{"model":"m","input":"hi"}`, "session_id", "cx-1", "cx-1"},
		"Codex, streamed":              {responses, `{"model":"m","input":"hi","stream":true}`, "conversation_id", "cx-2", "cx-2"},
		"Codex in its body":            {responses, `{"model":"m","input":"hi","prompt_cache_key":"cx-3"}`, "", "", "cx-3"},
		"metadata":                     {chat, `{"model":"m","metadata":{"session_id":"s-1"},` + text + `}`, "", "", "s-1"},
		"Gemini":                       {generate, `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`, "X-Session-Id", "g-1", "g-1"},
		"Gemini, streamed":             {strings.Replace(generate, ":generate", ":streamGenerate", 1) + "?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`, "X-Session-Id", "g-1", "g-1"},
		"the own one before all":       {chat, `{"model":"m","prompt_cache_key":"other",` + text + `}`, "X-Forward-Session", "mine", "mine"},
		"a long one of a vendor's":     {chat, `{"model":"m",` + text + `}`, "X-Session-Id", long, "sha256:"},
		"a vendor's with control text": {chat, `{"model":"m","prompt_cache_key":"a\u0007b",` + text + `}`, "", "", "sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			ledger, rows := accounting(t)
			dir := t.TempDir()
			log := must(chatlog.Open(chatlog.Options{Dir: dir}))(t)
			b := start(t, anyProvider, func(s *setup) { ledger(s); s.all = true; s.ChatLog = log })
			headers := []string{}
			if c.header != "" {
				headers = []string{c.header, c.value}
			}
			b.do("POST", c.path, c.body, headers...).want(t, 200)
			got := rows(b)
			if len(got) != 1 || !named(got[0].Session, c.want) {
				t.Fatalf("%d rows, session %q, want %q", len(got), got[0].Session, c.want)
			}
			session := got[0].Session
			if seen, _ := b.last(); c.header != "" {
				reached := seen.Header.Get(c.header)
				if strings.HasPrefix(c.header, "X-Forward-") != (reached == "") || (reached != "" && reached != c.value) {
					t.Errorf("%s went upstream as %q", c.header, reached)
				}
			}
			if session != "" && !strings.Contains(b.logged(), " session="+session) {
				t.Errorf("the access log has no session %q:\n%s", session, b.logged())
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			want := 2
			if session == "" {
				want = 0
			}
			if n := strings.Count(chatLines(t, dir), `"session":"`+session+`"`); n != want {
				t.Errorf("%d lines of the chat log have the session, want %d:\n%s", n, want, chatLines(t, dir))
			}
		})
	}
}

// named reports whether a session is as expected; of a digest only the start is
// compared.
func named(session, want string) bool {
	if strings.HasPrefix(want, "sha256:") {
		return strings.HasPrefix(session, "sha256:") && len(session) == len("sha256:")+32
	}
	return session == want
}

// chatLines returns all lines of a chat log.
func chatLines(t *testing.T, dir string) (lines string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".log") {
			text, _ := os.ReadFile(path)
			lines += string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestTags sends tags beside those of the key.
func TestTags(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a,", 16)+"b=1", ",")
	distinct := ""
	for i := range 17 {
		distinct += fmt.Sprintf("n%d=1,", i)
	}
	for name, c := range map[string]struct {
		own    []string // of the key
		header string
		status int
		want   []string
	}{
		"none":                              {nil, "", 200, nil},
		"of the key":                        {[]string{"team=search"}, "", 200, []string{"team=search"}},
		"of the request":                    {nil, "team=search, run=42", 200, []string{"team=search", "run=42"}},
		"of both":                           {[]string{"team=search"}, "run=42,nightly", 200, []string{"team=search", "run=42", "nightly"}},
		"the key's value stays":             {[]string{"team=search"}, "team=other,run=42", 200, []string{"team=search", "run=42"}},
		"the same again":                    {[]string{"team=search"}, "team=search,team=search", 200, []string{"team=search"}},
		"a word of the key takes no value":  {[]string{"prod"}, "prod=no", 200, []string{"prod"}},
		"a request may give several values": {nil, "run=1,run=2,run=1", 200, []string{"run=1", "run=2"}},
		"empty parts":                       {nil, " , ,a,", 200, []string{"a"}},
		"a credential in a tag":             {nil, "key=fk-alice", 200, []string{"key=[secret]"}},
		"too long":                          {nil, strings.Repeat("x", 65), 400, nil},
		"quotes":                            {nil, `a"b`, 400, nil},
		"too many":                          {nil, distinct, 400, nil},
		"too many, though the same":         {nil, many, 400, nil},
		"no UTF-8":                          {nil, "a\xff", 400, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ledger, rows := accounting(t)
			b := start(t, provider, func(s *setup) {
				ledger(s)
				s.keys = []keys.Key{{Name: "alice", Secret: keys.NewSecret("fk-alice"), Policy: keys.Policy{Tags: c.own}}}
			})
			for _, stream := range []string{"", `,"stream":true`} {
				a := b.chat(stream, "X-Forward-Tags", c.header)
				if c.status == 400 {
					a.want(t, 400, "invalid_tags", "X-Forward-Tags: team=search,run=42")
					continue
				}
				a.want(t, 200)
				if seen, _ := b.last(); seen.Header.Get("X-Forward-Tags") != "" {
					t.Error("the tags went upstream")
				}
			}
			for _, r := range rows(b) {
				want := c.want
				if c.status == 400 {
					want = c.own
				}
				if !slices.Equal(r.Tags, want) {
					t.Errorf("tags %q, want %q", r.Tags, want)
				}
			}
		})
	}
}

// TestOwnLabelsAreChecked sends names of sessions that cannot be written down.
func TestOwnLabelsAreChecked(t *testing.T) {
	b := start(t, provider, nil)
	for _, session := range []string{strings.Repeat("x", 257), "a\xff"} {
		b.chat("", "X-Forward-Session", session).want(t, 400, "invalid_session", "X-Forward-Session: run-42")
	}
	b.chat("", "X-Forward-Session", strings.Repeat("x", 256)).want(t, 200)
	// The caller is known first: a wrong key is the error that counts.
	b.chat("", "X-Forward-Tags", strings.Repeat("x", 65), "Authorization", "Bearer fk-wrong").want(t, 401)
}
