package ollama_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"
	"forward/internal/framing"

	"github.com/google/go-cmp/cmp"
)

var d = ollama.Dialect

func TestIsRegistered(t *testing.T) {
	if got, ok := dialects.ByName("ollama"); !ok || got != d {
		t.Errorf("ByName returns %v, %t", got, ok)
	}
}

func TestOperations(t *testing.T) {
	for _, c := range []struct {
		method, path string
		op           dialect.Operation
		spoken       *dialect.Dialect
	}{
		{"POST", "/api/chat", dialect.Chat, d},
		{"POST", "/ollama/api/ch%61t", dialect.Chat, d},
		{"POST", "/api/generate", dialect.Completion, d},
		{"POST", "/api/embed", dialect.Embedding, d},
		{"POST", "/api/embeddings", dialect.Embedding, d},
		{"GET", "/api/tags", dialect.Models, d},
		{"POST", "/api/show", dialect.Other, d},
		{"GET", "/api/version", dialect.Other, d},
		{"GET", "/api/chat", dialect.Unknown, d},
		{"PUT", "/api/chat", dialect.Unknown, d},
		{"POST", "/api/pull", dialect.Unknown, d},
		{"HEAD", "/", dialect.Other, d},
		{"POST", "/v1/chat/completions", dialect.Chat, openai.Dialect},
		{"POST", "/v1/embeddings", dialect.Embedding, openai.Dialect},
		{"GET", "/v1/models", dialect.Models, openai.Dialect},
	} {
		if op, spoken := dialects.Read(d, c.method, dialect.JudgedPath(c.path)); op != c.op || spoken != c.spoken {
			t.Errorf("%s %s is %q in %s, want %q in %s", c.method, c.path, op, spoken.Name, c.op, c.spoken.Name)
		}
	}
}

func TestRequest(t *testing.T) {
	for _, c := range []struct {
		op   dialect.Operation
		body string
		want dialect.Request
	}{
		{dialect.Chat, `{"model":"llama3.2","messages":[]}`, dialect.Request{Model: "llama3.2", Stream: true}},
		{dialect.Chat, `{"model":"llama3.2","stream":false,"options":{"num_predict":100}}`, dialect.Request{Model: "llama3.2", MaxTokens: 100}},
		{dialect.Completion, `{"model":"m","options":{"num_predict":-1},"keep_alive":"5m"}`, dialect.Request{Model: "m", Stream: true}},
		{dialect.Embedding, `{"model":"all-minilm","input":["a","b"]}`, dialect.Request{Model: "all-minilm"}},
	} {
		b, err := dialect.Scan([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, d.Request(c.op, "/api/chat", "", b)); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
	}
}

// answers are what a server sends, as lines and as the body that they add up
// to.
var answers = map[string]struct {
	op           dialect.Operation
	stream, body string
	want         dialect.Choice
}{
	"chat": {
		dialect.Chat,
		`{"model":"llama3.2","created_at":"2023-08-04T08:52:19.385406455-07:00","message":{"role":"assistant","content":"The"},"done":false}
{"model":"llama3.2","created_at":"2023-08-04T08:52:19.48-07:00","message":{"role":"assistant","content":" sky"},"done":false}
{"model":"llama3.2","created_at":"2023-08-04T08:52:19.5-07:00","message":{"role":"assistant","content":"\u00e9!"},"done":false}
{"model":"llama3.2","created_at":"2023-08-04T19:22:45Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":4883583458,"prompt_eval_count":26,"eval_count":282}
`,
		`{"model":"llama3.2","created_at":"2023-08-04T19:22:45Z","message":{"role":"assistant","content":"The sky\u00e9!"},"done_reason":"stop","done":true,"total_duration":4883583458,"prompt_eval_count":26,"eval_count":282}`,
		dialect.Choice{Text: "The skyé!", Finish: "stop"},
	},
	"thought and tools": {
		dialect.Chat,
		`{"model":"qwen3","created_at":"1","message":{"role":"assistant","content":"","thinking":"Let me"},"done":false}
{"model":"qwen3","created_at":"2","message":{"role":"assistant","content":"","thinking":" look."},"done":false}
{"model":"qwen3","created_at":"3","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Paris"}}}]},"done":false}
{"model":"qwen3","created_at":"4","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Rome"}}}]},"done":false}
{"model":"qwen3","created_at":"5","message":{"role":"assistant","content":""},"done_reason":"length","done":true,"prompt_eval_count":26,"eval_count":282}
`,
		`{"model":"qwen3","created_at":"5","message":{"role":"assistant","content":"","thinking":"Let me look.","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Paris"}}},{"function":{"name":"weather","arguments":{"city":"Rome"}}}]},"done":true,"done_reason":"length","prompt_eval_count":26,"eval_count":282}`,
		dialect.Choice{Reasoning: "Let me look.", Finish: "length", ToolCalls: []dialect.ToolCall{
			{Type: "function", Name: "weather", Arguments: `{"city":"Paris"}`},
			{Type: "function", Name: "weather", Arguments: `{"city":"Rome"}`},
		}},
	},
	"generate by an older server": {
		dialect.Completion,
		`{"model":"llama2","created_at":"1","response":"The","done":false}
{"model":"llama2","created_at":"2","response":" sky","done":false}
{"model":"llama2","created_at":"3","response":"","done":true,"context":[1,2,3],"prompt_eval_count":26,"eval_count":282}
`,
		`{"model":"llama2","created_at":"3","response":"The sky","done":true,"context":[1,2,3],"prompt_eval_count":26,"eval_count":282}`,
		dialect.Choice{Text: "The sky", Finish: "stop"},
	},
}

func read(op dialect.Operation, stream string) *dialect.Answer {
	a := &dialect.Answer{}
	framing.Lines.Each([]byte(stream), func(_ []byte, ev framing.Event, ok bool) bool {
		if ok {
			d.ReadEvent(op, a, ev)
		}
		return true
	})
	return a
}

func TestAnswers(t *testing.T) {
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			stream := read(c.op, c.stream)
			body := &dialect.Answer{}
			if err := d.Body(c.op, body, []byte(c.body)); err != nil {
				t.Fatal(err)
			}
			for form, a := range map[string]*dialect.Answer{"stream": stream, "body": body} {
				if diff := cmp.Diff([]dialect.Choice{c.want}, a.Choices()); diff != "" || !a.Complete() || a.Model == "" {
					t.Errorf("%s: complete: %t, model %q\n%s", form, a.Complete(), a.Model, diff)
				}
				if u := a.Usage; u == nil || u.Input != 26 || u.Output != 282 || u.Total != 308 {
					t.Errorf("%s: usage %+v", form, u)
				}
			}
			for end := range len(c.stream) - 2 {
				if read(c.op, c.stream[:end]).Complete() {
					t.Fatalf("complete after %d of %d bytes", end, len(c.stream))
				}
			}
		})
	}
}

// TestFormsOfAnAnswer turns streams into bodies and bodies into streams.
func TestFormsOfAnAnswer(t *testing.T) {
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			folded, ok := d.Fold(c.op, []byte(c.stream))
			if diff := cmp.Diff(parsed(t, []byte(c.body)), parsed(t, folded)); !ok || diff != "" {
				t.Errorf("folded to %s\n%s", folded, diff)
			}
			cut, ok := d.Cut(c.op, []byte(c.body), true)
			if diff := cmp.Diff([]dialect.Choice{c.want}, read(c.op, string(cut)).Choices()); !ok || diff != "" {
				t.Errorf("cut to %s\n%s", cut, diff)
			}
			if _, ok := d.Fold(c.op, []byte(c.stream[:len(c.stream)/2])); ok {
				t.Error("folded half of a stream")
			}
		})
	}
}

func parsed(t *testing.T, body []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return v
}

func TestEmbeddings(t *testing.T) {
	for body, tokens := range map[string]int64{
		`{"model":"all-minilm","embeddings":[[0.01,-0.02]],"prompt_eval_count":8}`: 8,
		`{"embedding":[0.5670403838157654]}`:                                       -1,
	} {
		var a dialect.Answer
		if err := d.Body(dialect.Embedding, &a, []byte(body)); err != nil || !a.Complete() {
			t.Errorf("%s: %v", body, err)
		}
		if (tokens < 0) != (a.Usage == nil) || (a.Usage != nil && a.Usage.Input != tokens) {
			t.Errorf("%s: usage %+v", body, a.Usage)
		}
	}
}

func TestErrors(t *testing.T) {
	stream := read(dialect.Chat, `{"model":"m","message":{"role":"assistant","content":"a"},"done":false}`+"\n"+`{"error":"an error was encountered while running the model"}`+"\n")
	if stream.Error != "an error was encountered while running the model" || stream.Complete() {
		t.Errorf("error %q, complete: %t", stream.Error, stream.Complete())
	}
	var a dialect.Answer
	if err := d.Body(dialect.Chat, &a, []byte(`{"error":"model 'x' not found"}`)); err != nil || a.Error != "model 'x' not found" || a.Complete() {
		t.Errorf("%v, error %q", err, a.Error)
	}
	if err := d.Body(dialect.Chat, &dialect.Answer{}, []byte(`{"model":"m"}`)); err == nil {
		t.Error("a body without an answer is accepted")
	}
	p := dialect.Problem{Status: 429, Code: "queue_full", Message: `The "queue" is full.`}
	if got := string(d.Error(p)); got != `{"error":"The \"queue\" is full."}` {
		t.Errorf("wrote %s", got)
	}
	if got := read(dialect.Chat, string(d.ErrorEvent(p))); got.Error != p.Message {
		t.Errorf("the event reads as %q", got.Error)
	}
}

func TestFraming(t *testing.T) {
	for contentType, want := range map[string]string{
		"application/x-ndjson":            "1 true",
		"application/json; charset=utf-8": "0 false",
		"text/event-stream":               "0 false",
	} {
		f, ok := d.Framing(http.Header{"Content-Type": {contentType}})
		if got := fmt.Sprint(int(f), ok); got != want {
			t.Errorf("%s: %s, want %s", contentType, got, want)
		}
	}
}
