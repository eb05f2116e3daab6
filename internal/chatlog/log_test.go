package chatlog_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

const hello = `{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`

// TestContract holds the two lines to what contract and README of the gateway
// promise, to the byte.
func TestContract(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, Location: time.FixedZone("", 8*3600)})
	exchange(t, l, "u1", `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"stream":true}`, hello)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"messages":[{"role":"user","content":"hi"}],"model":"gpt-4o-mini","stream":true,"max_tokens":null,"n":1,"temperature":1,"top_p":1,` +
			`"logit_bias":null,"frequency_penalty":0,"presence_penalty":0,"stop":null,"user":null,"ip":"127.0.0.1","uid":"u1",` +
			`"datetime":"2026-11-21 20:00:00","key":"alice"}`,
		`{"assistant":"Hello!","is_tool_calls":false,"uid":"u1","status":200,"finish_reason":"stop",` +
			`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"cache":"miss","ms":1.5,"complete":true}`,
	}
	if diff := cmp.Diff(want, linesOf(t, filepath.Join(dir, "openai/chat/chat.log"))); diff != "" {
		t.Error(diff)
	}
}

func TestRequestLine(t *testing.T) {
	defaults := `"stream":false,"max_tokens":null,"n":1,"temperature":1,"top_p":1,"logit_bias":null,"frequency_penalty":0,"presence_penalty":0,"stop":null,`
	end := `"ip":"127.0.0.1","uid":"u","datetime":"2026-11-21 12:00:00","key":null}`
	tests := []struct {
		name, body string
		edit       func(*chatlog.Request)
		want       string
	}{
		{"other fields in the order they were sent", `{"zeta":{"a":[1]},"model":"m","messages":[],"max_completion_tokens":5,"metadata":null}`, nil,
			`{"messages":[],"model":"m",` + defaults + `"user":null,"zeta":{"a":[1]},"max_completion_tokens":5,"metadata":null,` + end},
		{"functions first, tools after user", `{"tool_choice":"auto","tools":[],"functions":[{}],"function_call":"auto","messages":[],"model":"m","response_format":{"type":"text"},"seed":7}`, nil,
			`{"functions":[{}],"function_call":"auto","messages":[],"model":"m","stream":false,"max_tokens":null,"response_format":{"type":"text"},` +
				`"n":1,"temperature":1,"top_p":1,"logit_bias":null,"frequency_penalty":0,"presence_penalty":0,"seed":7,"stop":null,"user":null,` +
				`"tools":[],"tool_choice":"auto",` + end},
		{"values stay as they were spelled", `{"model":"m","messages":[{"role":"user","content":"\u0068i <b> \ud83d\ude00","n":1.50e1}],"temperature":0.10}`, nil,
			`{"messages":[{"role":"user","content":"\u0068i <b> \ud83d\ude00","n":1.50e1}],"model":"m","stream":false,"max_tokens":null,"n":1,"temperature":0.10,` +
				`"top_p":1,"logit_bias":null,"frequency_penalty":0,"presence_penalty":0,"stop":null,"user":null,` + end},
		{"pretty printed bodies become one line", "{\r\n  \"model\" : \"m\",\n  \"messages\": [\n    {\"role\": \"user\", \"content\": \"a \\\" \\n b\"}\n  ]\n}", nil,
			`{"messages":[{"role":"user","content":"a \" \n b"}],"model":"m",` + defaults + `"user":null,` + end},
		{"no client can write fields of ours", `{"model":"m","messages":[],"ip":"6.6.6.6","UID":"x","status":200,"assistant":"no"}`, nil,
			`{"messages":[],"model":"m",` + defaults + `"user":null,"extra":{"ip":"6.6.6.6","UID":"x","status":200,"assistant":"no"},` + end},
		{"the caching flag is the gateway's", `{"model":"m","messages":[],"caching":true}`, func(r *chatlog.Request) { r.Caching = true },
			`{"messages":[],"model":"m",` + defaults + `"user":null,"ip":"127.0.0.1","uid":"u","caching":true,"datetime":"2026-11-21 12:00:00","key":null}`},
		{"model and user from elsewhere", `{"messages":[]}`, func(r *chatlog.Request) { r.Model, r.User = "azure", "bob" },
			`{"messages":[],"model":"azure",` + defaults + `"user":"bob",` + end},
		{"nothing can end a line early", `{"messages":[],"model":"m","user":"a\nb"}`, func(r *chatlog.Request) { r.Key = "x\n{\"fake\":1}" },
			`{"messages":[],"model":"m",` + defaults + `"user":"a\nb","ip":"127.0.0.1","uid":"u","datetime":"2026-11-21 12:00:00","key":"x\n{\"fake\":1}"}`},
		{"what is not UTF-8 is replaced", "{\"messages\":[\"\xff\"],\"model\":\"m\"}", nil, `{"messages":["` + "\uFFFD" + `"],"model":"m",` + defaults + `"user":null,` + end},
		{"completion", `{"prompt":["a","b"],"model":"m","suffix":"s"}`, func(r *chatlog.Request) { r.Operation = dialect.Completion },
			`{"prompt":["a","b"],"model":"m","stream":false,"temperature":1,"user":null,"suffix":"s",` + end},
		{"embedding", `{"input":"a","model":"m"}`, func(r *chatlog.Request) { r.Operation = dialect.Embedding },
			`{"input":"a","model":"m","encoding_format":"float","user":null,` + end},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir})
			r := chatlog.Request{Route: "openai", UID: "u", IP: "127.0.0.1", Time: noon, Operation: dialect.Chat, Body: body(t, tt.body)}
			if tt.edit != nil {
				tt.edit(&r)
			}
			l.Request(r)
			l.Close()
			name := string(r.Operation)
			if diff := cmp.Diff([]string{tt.want}, linesOf(t, filepath.Join(dir, "openai", name, name+".log"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResultLine(t *testing.T) {
	const done = "data: [DONE]\n\n"
	tests := []struct {
		name  string
		op    dialect.Operation
		reply string // a body, a stream, or nothing
		edit  func(*chatlog.Result)
		want  string
	}{
		{"stream with a usage chunk", dialect.Chat,
			`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}` + "\n\n" +
				`data: {"choices":[],"usage":{"prompt_tokens":1,` + "\ndata: " + `"completion_tokens":2}}` + "\n\n" + done, nil,
			`{"assistant":"Hello","is_tool_calls":false,"uid":"u","status":200,"finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":2},"cache":"miss","ms":12,"complete":true}`},
		{"parallel tool calls beside text", dialect.Chat,
			`data: {"choices":[{"index":0,"delta":{"content":"Let me see.","tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\""}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}` + "\n\n" + done, nil,
			`{"assistant":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}],` +
				`"is_tool_calls":true,"uid":"u","status":200,"finish_reason":"tool_calls","usage":null,"cache":"miss","ms":12,"complete":true,"content":"Let me see."}`},
		{"aborted", dialect.Chat, `data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}` + "\n\n", func(r *chatlog.Result) { r.Cause = "client_gone"; r.Status = 499 },
			`{"assistant":"Hel","is_tool_calls":false,"uid":"u","status":499,"finish_reason":null,"usage":null,"cache":"miss","ms":12,"complete":false,"cause":"client_gone"}`},
		{"nothing came", dialect.Chat, "", func(r *chatlog.Result) { r.Status, r.Cause, r.Answer = 502, "upstream_reset", nil; r.Cache = "" },
			`{"assistant":null,"is_tool_calls":false,"uid":"u","status":502,"finish_reason":null,"usage":null,"cache":null,"ms":12,"complete":false,"cause":"upstream_reset"}`},
		{"refusal and reasoning", dialect.Chat, `{"choices":[{"index":0,"message":{"content":null,"refusal":"No.","reasoning_content":"Hm."},"finish_reason":"stop"}]}`, nil,
			`{"assistant":null,"is_tool_calls":false,"uid":"u","status":200,"finish_reason":"stop","usage":null,"cache":"miss","ms":12,"complete":true,"refusal":"No.","reasoning":"Hm."}`},
		{"several choices", dialect.Chat, `{"choices":[{"index":1,"message":{"content":"B"},"finish_reason":"length"},{"index":0,"message":{"content":"A"},"finish_reason":"stop"}]}`, nil,
			`{"assistant":"A","is_tool_calls":false,"uid":"u","status":200,"finish_reason":"stop","usage":null,"cache":"miss","ms":12,"complete":true,` +
				`"choices":[{"assistant":"A","is_tool_calls":false,"finish_reason":"stop"},{"assistant":"B","is_tool_calls":false,"finish_reason":"length"}]}`},
		{"error inside of a 200", dialect.Chat, `data: {"error":{"message":"overloaded"}}` + "\n\n", nil,
			`{"assistant":null,"is_tool_calls":false,"uid":"u","status":200,"finish_reason":null,"usage":null,"cache":"miss","ms":12,"complete":false,"error":"overloaded"}`},
		{"more than is kept", dialect.Chat, hello, func(r *chatlog.Result) { r.Answer.Truncated = true },
			`{"assistant":"Hello!","is_tool_calls":false,"uid":"u","status":200,"finish_reason":"stop","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11},"cache":"miss","ms":12,"complete":true,"truncated":true}`},
		{"completion", dialect.Completion, `{"choices":[{"index":0,"text":"A","finish_reason":"stop"},{"index":1,"text":"B","finish_reason":"stop"}]}`, nil,
			`{"text":"A","uid":"u","status":200,"finish_reason":"stop","usage":null,"cache":"miss","ms":12,"complete":true,"choices":[{"text":"A","finish_reason":"stop"},{"text":"B","finish_reason":"stop"}]}`},
		{"embedding without its vectors", dialect.Embedding, `{"object":"list","data":[{"index":0,"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":1,"total_tokens":1}}`, nil,
			`{"object":"list","model":"e","uid":"u","status":200,"usage":{"prompt_tokens":1,"total_tokens":1},"cache":"miss","ms":12,"complete":true}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, chatlog.Options{Dir: dir})
			a := answer(t, tt.op, "data: {}\n\n")
			if tt.reply != "" {
				a = answer(t, tt.op, tt.reply)
			}
			r := chatlog.Result{Route: "openai", UID: "u", Operation: tt.op, Answer: a, Status: 200, Cache: "miss", Elapsed: 12 * time.Millisecond, Complete: a.Complete()}
			if tt.edit != nil {
				tt.edit(&r)
			}
			l.Result(r)
			l.Close()
			name := string(tt.op)
			if diff := cmp.Diff([]string{tt.want}, linesOf(t, filepath.Join(dir, "openai", name, name+".log"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestContentModes sends canaries through every field there is and looks for
// them in all files.
func TestContentModes(t *testing.T) {
	const prompt = "canaryPrompt"
	secrets := []string{"sk-canary0123456789", "AIzaSyCanary0123456789canary0123456789", "canary@mail.example.org", "4111 1111 1111 1111", "+1 (415) 555-0100", "415-555-0100", "13800138000"}
	all := prompt + " " + strings.Join(secrets, " , ")
	quoted, _ := json.Marshal(all)
	escaped := strings.ReplaceAll(string(quoted), "@", `\u0040`)
	escaped = strings.ReplaceAll(escaped, "sk-", `\u0073k-`)
	ask := strings.ReplaceAll(`{"model":"m","messages":[{"role":"user","content":X},{"role":"user","content":[{"type":"text","text":X}]},
		{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":X}}]}],"tools":[{"description":X}],
		"stop":[X],"metadata":{"x":X},"response_format":{"schema":X},X:1,"prediction":X,"status":X,"prompt":X,"input":X}`, "X", escaped)
	reply := strings.ReplaceAll(`{"choices":[{"index":0,"message":{"content":X,"refusal":X,"reasoning_content":X,
		"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":X}}]},"finish_reason":"stop"},
		{"index":1,"message":{"content":X},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`, "X", escaped)
	tests := []struct {
		content string
		prompt  bool
		secrets bool
	}{{"full", true, true}, {"redacted", true, false}, {"meta", false, false}}
	for _, tt := range tests {
		t.Run(tt.content, func(t *testing.T) {
			dir := t.TempDir()
			var shown strings.Builder
			l := open(t, chatlog.Options{Dir: dir, Content: tt.content, Print: &shown})
			b := body(t, ask)
			for _, op := range []dialect.Operation{dialect.Chat, dialect.Completion, dialect.Embedding} {
				l.Request(chatlog.Request{Route: "r", UID: "4111111111111111", Time: noon, Operation: op, Body: b})
				a := answer(t, dialect.Chat, reply)
				a.Error = all
				l.Result(chatlog.Result{Route: "r", UID: "4111111111111111", Operation: op, Answer: a, Status: 200})
			}
			l.Close()
			text := shown.String()
			for _, op := range []string{"chat", "completion", "embedding"} {
				for _, line := range allLines(t, filepath.Join(dir, "r", op)) {
					if gjson.Get(line, "uid").Str != "4111111111111111" {
						t.Errorf("uid is gone: %s", line)
					}
					// Unescaped, as a reader of the log would see it.
					for _, s := range flatten(gjson.Parse(line)) {
						text += "\n" + s
					}
				}
			}
			if strings.Contains(text, prompt) != tt.prompt {
				t.Errorf("prompt in the log: %v", !tt.prompt)
			}
			for _, s := range secrets {
				if strings.Contains(text, s) != tt.secrets {
					t.Errorf("%s in the log: %v\n%s", s, !tt.secrets, text)
				}
			}
		})
	}
}

// flatten returns all strings in a JSON value.
func flatten(v gjson.Result) (all []string) {
	if v.Type == gjson.String {
		return []string{v.Str}
	}
	if v.IsObject() || v.IsArray() {
		v.ForEach(func(k, v gjson.Result) bool {
			all = append(append(all, k.Str), flatten(v)...)
			return true
		})
	}
	return all
}

func TestMetaHasRolesAndSizes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir, Content: "meta"})
	exchange(t, l, "u", `{"model":"m","user":"bob","messages":[{"role":"system","content":"12345"},{"role":"evil text","content":null,"tool_calls":[{},{}]}],"stream":true,"max_tokens":5}`, hello)
	l.Close()
	lines := linesOf(t, filepath.Join(dir, "openai/chat/chat.log"))
	for path, want := range map[string]string{
		"messages": `[{"role":"system","bytes":5},{"role":"other","bytes":0,"tool_call_count":2}]`,
		"model":    `"m"`, "user": `"bob"`, "stream": "true", "max_tokens": "5", "temperature": "1", "key": `"alice"`,
	} {
		if got := gjson.Get(lines[0], path).Raw; got != want {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	if got := gjson.Get(lines[1], "assistant_bytes").Int(); got != 6 {
		t.Errorf("assistant_bytes is %d", got)
	}
}

// TestRoutesLogApart: in openai-forward only the last of several prefixes was
// logged, into the files of all.
func TestRoutesLogApart(t *testing.T) {
	dir := t.TempDir()
	l := open(t, chatlog.Options{Dir: dir})
	want := map[string]string{"openai": "openai", "/": "openai", "/a/b": "a_b", "../../etc": "etc", "gemini": "gemini", "智谱": "智谱", ".": "openai"}
	for route := range want {
		l.Request(chatlog.Request{Route: route, UID: route, Operation: dialect.Chat})
	}
	l.Request(chatlog.Request{Route: "never", UID: "x", Operation: dialect.Image}) // is not logged
	l.Close()
	for route, name := range want {
		raw, _ := os.ReadFile(filepath.Join(dir, name, "chat/chat.log"))
		if uid, _ := json.Marshal(route); !strings.Contains(string(raw), `"uid":`+string(uid)) {
			t.Errorf("%s is not in %s", route, name)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 5 {
		t.Errorf("directories: %v", entries)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]chatlog.Options{
		"unknown content": {Dir: dir, Content: "some"},
		"not a directory": {Dir: file},
		"below of a file": {Dir: filepath.Join(file, "x")},
	} {
		if l, err := chatlog.Open(o); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		} else {
			t.Log(err)
		}
	}
}

func TestAfterClose(t *testing.T) {
	var logged strings.Builder
	l := open(t, chatlog.Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.Request(chatlog.Request{Route: "r", Operation: dialect.Chat})
	}
	if l.Dropped() != 100 || strings.Count(logged.String(), "\n") != 1 {
		t.Errorf("dropped %d, logged %q", l.Dropped(), logged.String())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
