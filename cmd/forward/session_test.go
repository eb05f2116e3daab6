package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
)

// wire is how the agents of a protocol spell a conversation. Each value is
// JSON.
type wire struct {
	op      dialect.Operation
	dialect *dialect.Dialect
	// head has the members before the conversation, which repeat but for what
	// is different in each turn.
	head func(turn int, system, tools string) string
	list string // the member of the conversation
	// items are what the model answered in a turn and what its tool returned.
	items func(turn int, text, call, result string) []string
	// marked returns an item with the mark for the provider's prompt cache; nil
	// without one.
	marked func(item string) string
	answer func(turn int, text, call string) string
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

var wires = map[string]wire{
	"messages": {
		op: dialect.Messages, dialect: anthropic.Dialect, list: "messages",
		head: func(turn int, system, tools string) string {
			return fmt.Sprintf(`"model":"claude-opus-5-5","max_tokens":32000,"stream":true,"system":[{"type":"text","text":"x-billing: cch=%05x;"},`+
				`{"type":"text","text":%s,"cache_control":{"type":"ephemeral"}}],"tools":%s,"metadata":{"user_id":"user_%064d_session_1"}`, turn*7919, quoted(system), tools, 1)
		},
		items: func(turn int, text, call, result string) []string {
			return []string{
				fmt.Sprintf(`{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"%s"},{"type":"text","text":%s},{"type":"tool_use","id":"toolu_%d","name":"Bash","input":{"command":%s}}]}`, secretText(turn, 400), quoted(text), turn, quoted(call)),
				fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_%d","content":%s}]}`, turn, quoted(result)),
			}
		},
		marked: func(item string) string {
			return strings.TrimSuffix(item, "}]}") + `,"cache_control":{"type":"ephemeral"}}]}`
		},
		answer: func(turn int, text, call string) string {
			return fmt.Sprintf(`{"type":"message","role":"assistant","content":[{"type":"text","text":%s},{"type":"tool_use","id":"toolu_%d","name":"Bash","input":{"command":%s}}],"stop_reason":"tool_use","usage":{"input_tokens":4,"output_tokens":300}}`, quoted(text), turn, quoted(call))
		},
	},
	"responses": {
		op: dialect.Responses, dialect: openai.Dialect, list: "input",
		head: func(_ int, system, tools string) string {
			return fmt.Sprintf(`"model":"gpt-6.2-sol","instructions":%s,"tools":%s,"stream":true,"store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199"`, quoted(system), tools)
		},
		items: func(turn int, text, call, result string) []string {
			return []string{
				fmt.Sprintf(`{"type":"reasoning","summary":[],"content":null,"encrypted_content":"%s"}`, secretText(turn, 1500)),
				fmt.Sprintf(`{"type":"message","role":"assistant","content":[{"type":"output_text","text":%s}]}`, quoted(text)),
				fmt.Sprintf(`{"type":"function_call","name":"shell","arguments":%s,"call_id":"call_%d"}`, quoted(`{"command":`+quoted(call)+`}`), turn),
				fmt.Sprintf(`{"type":"function_call_output","call_id":"call_%d","output":%s}`, turn, quoted(result)),
			}
		},
		answer: func(turn int, text, call string) string {
			return fmt.Sprintf(`{"id":"resp_%d","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":%s}]},{"type":"function_call","name":"shell","arguments":%s,"call_id":"call_%d"}]}`,
				turn, quoted(text), quoted(`{"command":`+quoted(call)+`}`), turn)
		},
	},
	"chat": {
		op: dialect.Chat, dialect: openai.Dialect, list: "messages",
		head: func(_ int, system, tools string) string {
			return fmt.Sprintf(`"model":"qwen3-coder-plus","max_tokens":8000,"stream":true,"tools":%s`, tools)
		},
		items: func(turn int, text, call, result string) []string {
			return []string{
				fmt.Sprintf(`{"role":"assistant","content":%s,"tool_calls":[{"id":"call_%d","type":"function","function":{"name":"run","arguments":%s}}]}`, quoted(text), turn, quoted(`{"command":`+quoted(call)+`}`)),
				fmt.Sprintf(`{"role":"tool","tool_call_id":"call_%d","content":%s}`, turn, quoted(result)),
			}
		},
		answer: func(turn int, text, call string) string {
			return fmt.Sprintf(`{"choices":[{"index":0,"message":{"role":"assistant","content":%s,"tool_calls":[{"id":"call_%d","type":"function","function":{"name":"run","arguments":%s}}]},"finish_reason":"tool_calls"}]}`,
				quoted(text), turn, quoted(`{"command":`+quoted(call)+`}`))
		},
	},
	"generate": {
		op: dialect.Generate, dialect: gemini.Dialect, list: "contents",
		head: func(_ int, system, tools string) string {
			return fmt.Sprintf(`"systemInstruction":{"role":"user","parts":[{"text":%s}]},"tools":[{"functionDeclarations":%s}],"generationConfig":{"temperature":0}`, quoted(system), tools)
		},
		items: func(turn int, text, call, result string) []string {
			return []string{
				fmt.Sprintf(`{"role":"model","parts":[{"text":%s},{"functionCall":{"name":"run_shell_command","args":{"command":%s}},"thoughtSignature":"%s"}]}`, quoted(text), quoted(call), secretText(turn, 600)),
				fmt.Sprintf(`{"role":"user","parts":[{"functionResponse":{"id":"%d","name":"run_shell_command","response":{"output":%s}}}]}`, turn, quoted(result)),
			}
		},
		answer: func(turn int, text, call string) string {
			return fmt.Sprintf(`{"candidates":[{"content":{"role":"model","parts":[{"text":%s},{"functionCall":{"name":"run_shell_command","args":{"command":%s}}}]},"finishReason":"STOP"}]}`, quoted(text), quoted(call))
		},
	},
}

// prose is text that does not repeat.
func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%c%x \"%x\"\n\tif é%d {", 'a'+rune(r.IntN(26)), r.Uint32(), r.Uint32(), r.IntN(1000))
	}
	return b.String()
}

// secretText stands for what only the provider can read.
func secretText(turn, n int) string {
	r := rand.New(rand.NewPCG(uint64(turn), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[r.IntN(64)]
	}
	return string(b)
}

// agentTools are as long as those of a coding agent.
func agentTools(r *rand.Rand, op dialect.Operation) string {
	form := map[dialect.Operation]string{
		dialect.Messages:  `{"name":"tool_%d","description":%s,"input_schema":%s}`,
		dialect.Responses: `{"type":"function","name":"tool_%d","description":%s,"strict":false,"parameters":%s}`,
		dialect.Chat:      `{"type":"function","function":{"name":"tool_%d","description":%s,"parameters":%s}}`,
		dialect.Generate:  `{"name":"tool_%d","description":%s,"parametersJsonSchema":%s}`,
	}[op]
	var list []string
	for i := range 20 {
		schema := fmt.Sprintf(`{"type":"object","properties":{"command":{"type":"string","description":%s}},"required":["command"]}`, quoted(prose(r, 300)))
		list = append(list, fmt.Sprintf(form, i, quoted(prose(r, 2200)), schema))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// session calls f with the request and the answer of each turn of an agent's
// session, and returns how many bytes were new in it: the first request whole,
// and the items that were added.
func (w wire) session(turns int, f func(turn int, request, reply string)) (fresh int) {
	r := rand.New(rand.NewPCG(1, 2))
	system := prose(r, 20_000)
	tools := agentTools(r, w.op)
	item := func(role, text string) string {
		switch w.op {
		case dialect.Generate:
			return fmt.Sprintf(`{"role":%q,"parts":[{"text":%s}]}`, role, quoted(text))
		case dialect.Chat:
			return fmt.Sprintf(`{"role":%q,"content":%s}`, role, quoted(text))
		}
		return fmt.Sprintf(`{"role":%q,"content":[{"type":"text","text":%s}]}`, role, quoted(text))
	}
	items := []string{item("user", "Fix the bug. "+prose(r, 3000))}
	if w.op == dialect.Chat {
		items = append([]string{item("system", system)}, items...)
	}
	for turn := range turns {
		sent := append([]string(nil), items...)
		if w.marked != nil {
			for i := max(0, len(sent)-3); i < len(sent); i += 2 {
				sent[i] = w.marked(sent[i])
			}
		}
		request := "{" + w.head(turn, system, tools) + `,"` + w.list + `":[` + strings.Join(sent, ",") + `]}`
		if turn == 0 {
			fresh += len(request)
		}
		text, call, result := prose(r, 400), prose(r, 500), prose(r, 3000)
		f(turn, request, w.answer(turn, text, call))
		next := w.items(turn, text, call, result)
		if turn < turns-1 {
			fresh += len(strings.Join(next, ","))
		}
		items = append(items, next...)
	}
	return fresh
}

// TestSessionIsWrittenOnce logs 100 turns of an agent in each protocol. The log
// has at most three times the bytes that were new, and `forward convert`
// restores each line as a log without references has it.
func TestSessionIsWrittenOnce(t *testing.T) {
	for name, w := range wires {
		t.Run(name, func(t *testing.T) {
			logs := make(map[bool]string) // by KeepRepeats
			fresh := 0
			for _, keep := range []bool{false, true} {
				logs[keep] = t.TempDir()
				l, err := chatlog.Open(chatlog.Options{Dir: logs[keep], KeepRepeats: keep, Location: time.UTC})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				fresh = w.session(100, func(turn int, request, reply string) {
					logTurn(t, l, w, fmt.Sprintf("req_%026d", turn), request, reply)
				})
				if err := l.Close(); err != nil || l.Dropped() > 0 {
					t.Fatal(err, l.Dropped())
				}
			}
			path := filepath.Join("openai", string(w.op), string(w.op)+".log")
			short := contents(t, filepath.Join(logs[false], path))
			whole := contents(t, filepath.Join(logs[true], path))
			t.Logf("new %d, log %d (%.2f times), whole %d", fresh, len(short), float64(len(short))/float64(fresh), len(whole))
			if len(short) > 3*fresh {
				t.Errorf("the log has %d bytes for %d new ones", len(short), fresh)
			}
			restored, stderr, err := execute("convert", logs[false], "-o", "-", "--format", "log")
			if err != nil || !strings.Contains(stderr, "100 conversations from 1 files\n") {
				t.Fatalf("%v, %s", err, stderr)
			}
			if restored != string(whole) {
				t.Error("what was restored of the log differs from what was logged")
			}
		})
	}
}

// TestTurnsAreFolded converts a session of each protocol in which the agent
// also asks for a title, a second agent works, and an answer is asked for
// again. --dedupe leaves the whole conversation and what is none of its turns.
func TestTurnsAreFolded(t *testing.T) {
	for name, w := range wires {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := chatlog.Open(chatlog.Options{Dir: dir, Location: time.UTC})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			last := ""
			w.session(20, func(turn int, request, reply string) {
				last = request
				switch turn {
				case 0:
					logTurn(t, l, w, "title", request, w.answer(0, "A title", "none"))
				case 10:
					logTurn(t, l, w, "other answer", request, w.answer(10, "Something else", "false"))
				}
				logTurn(t, l, w, fmt.Sprint("turn ", turn), request, reply)
				logTurn(t, l, w, fmt.Sprint("second ", turn), strings.Replace(request, "Fix the bug.", "Read the code.", 1), reply)
			})
			l.Close()
			out, stderr, err := execute("convert", dir, "-o", "-", "--format", "jsonl", "--dedupe")
			if err != nil || !strings.Contains(stderr, "4 conversations from 1 files, 38 turns that a later one has") {
				t.Errorf("%v, %s", err, stderr)
			}
			var uids []string
			for line := range strings.Lines(out) {
				uids = append(uids, gjson.Get(line, "uid").Str)
			}
			if got := strings.Join(uids, ", "); got != "title, other answer, turn 19, second 19" {
				t.Errorf("left are %s", got)
			}
			lessons, stderr, err := execute("convert", dir, "-o", "-", "--format", "openai-ft", "--dedupe", "--session", "one")
			lines := strings.Split(strings.TrimSpace(lessons), "\n")
			if err != nil || len(lines) != 4 {
				t.Fatalf("%v, %s", err, stderr)
			}
			main := gjson.Parse(lines[2])
			if n := main.Get("messages.#").Int(); n != 2+2*19+1 {
				t.Errorf("%d messages of %.2000s", n, last)
			}
			for _, path := range []string{"messages.2.tool_calls.0.function.arguments", "messages.3.content", "messages.40.tool_calls.0.function.name", "tools.19.function.description"} {
				if main.Get(path).Str == "" {
					t.Errorf("no %s in %.300s", path, lines[2])
				}
			}
			if main.Get("messages.3.role").Str != "tool" || main.Get("messages.3.tool_call_id").Str != main.Get("messages.2.tool_calls.0.id").Str {
				t.Errorf("the output %s is not of the call %s", main.Get("messages.3.tool_call_id"), main.Get("messages.2.tool_calls.0.id"))
			}
			if out, _, _ := execute("convert", dir, "-o", "-", "--session", "two"); out != "[]\n" {
				t.Errorf("another session has %s", out)
			}
		})
	}
}

// logTurn logs a turn of a session and its answer, one after the other, so that
// two logs of a session are equal.
func logTurn(t testing.TB, l *chatlog.Log, w wire, uid, request, reply string) {
	t.Helper()
	b, err := dialect.Scan([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	var a dialect.Answer
	if err := w.dialect.Body(w.op, &a, []byte(reply)); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	l.Request(chatlog.Request{Route: "openai", UID: uid, IP: "127.0.0.1", Key: "alice", Time: at, Operation: w.op, Body: b, Model: "m", Session: "one"})
	l.Result(chatlog.Result{Route: "openai", UID: uid, Operation: w.op, Answer: &a, Status: 200, Complete: true})
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(raw, []byte("\n")) {
		t.Fatalf("%s: %v", path, err)
	}
	return raw
}
