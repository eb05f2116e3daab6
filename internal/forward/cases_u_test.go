package forward_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/ledger"
)

// countedCase is a request, an answer to it and the counts of its row.
type countedCase struct {
	path, body, contentType string // of the request; chat of a word by default
	kind, answer            string // Content-Type and body of the answer, application/json by default
	input, output           int64
	estimated               bool
	is                      func(ledger.Row) bool // more that has to hold; may be nil
}

const (
	shortChat  = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`
	streamChat = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	shortForm  = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\nxyz\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n--b--\r\n"
	multipartB = "multipart/form-data; boundary=b"
)

// TestWhatAnswersCost: each answer reaches the client as it is, and its row has
// the right counts, with nothing else switched on than the ledger.
func TestWhatAnswersCost(t *testing.T) {
	transcript := `{"text":"hello","usage":{"type":"tokens","input_tokens":1000,"output_tokens":500,"total_tokens":1500,"input_token_details":{"audio_tokens":1000}}}`
	for name, c := range map[string]countedCase{
		"B03 a transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, answer: transcript, input: 1000, output: 500,
			is: func(r ledger.Row) bool { return r.Usage.Audio == 1000 }},
		"B03 a streamed transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, kind: "text/event-stream",
			answer: "data: {\"type\":\"transcript.text.delta\",\"delta\":\"hello\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"hello\",\"usage\":{\"input_tokens\":1000,\"output_tokens\":500,\"total_tokens\":1500}}\n\n", input: 1000, output: 500},
		"B03 a verbose transcription": {path: "/v1/audio/transcriptions", body: shortForm, contentType: multipartB, answer: `{"text":"hello","duration":"8.5"}`,
			is: func(r ledger.Row) bool { return r.Usage.Seconds == 8.5 }},
		"B03 an edited picture": {path: "/v1/images/edits", body: shortForm, contentType: multipartB, answer: `{"data":[{"b64_json":"A"}],"usage":{"input_tokens":70,"output_tokens":200,"total_tokens":270}}`, input: 70, output: 200},
		"B03 a streamed edit": {path: "/v1/images/edits", body: shortForm, contentType: multipartB, kind: "text/event-stream",
			answer: "event: image_edit.completed\ndata: {\"type\":\"image_edit.completed\",\"b64_json\":\"A\",\"usage\":{\"input_tokens\":70,\"output_tokens\":200}}\n\n", input: 70, output: 200},
		"B12 reasoning beside the completion": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,"completion_tokens_details":{"reasoning_tokens":2809}}}`,
			input: 10120, output: 4308},
		"B51 usage after tool calls": {body: streamChat, kind: "text/event-stream",
			answer: "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", input: 9, output: 3},
		"M6 no usage": {answer: `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 300) + `"},"finish_reason":"stop"}]}`,
			input: 8, output: 301, estimated: true},
		"M6 no prompt beside an answer of hundreds": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":300,"total_tokens":300}}`,
			input: 8, output: 300, estimated: true},
		"M6 no completion beside a text": {answer: `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 300) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":0}}`,
			input: 9, output: 301, estimated: true},
		"M6 no prompt in a stream": {body: streamChat, kind: "text/event-stream",
			answer: chunk(`{"content":"Hello"}`, `"stop"`) + "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":300}}\n\ndata: [DONE]\n\n", input: 8, output: 300, estimated: true},
		"M6 vectors without usage": {path: "/v1/embeddings", body: `{"model":"text-embedding-3-small","input":"hello world"}`,
			answer: `{"object":"list","data":[{"embedding":[0.1]}]}`, input: 2, estimated: true},
		"F12 only the answer names the model": {body: `{"messages":[{"role":"user","content":"hi"}]}`, answer: strings.Replace(chatBody, "mini-2024", "mini-2024-07-18", 1), input: 9, output: 3,
			is: func(r ledger.Row) bool {
				return r.Model == "" && r.Answered == "gpt-4o-mini-2024-07-18" && r.Priced && r.Cost == 9*150+3*600
			}},
		"usage one level down": {answer: `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"result":{"usage":{"prompt_tokens":9,"completion_tokens":3}}}`, input: 9, output: 3},
	} {
		t.Run(name, func(t *testing.T) { c.check(t) })
	}
}

func (c countedCase) check(t *testing.T) {
	accounts, rows := accounting(t)
	b := start(t, func(w http.ResponseWriter, r *http.Request) {
		if c.kind == "" {
			c.kind = "application/json"
		}
		w.Header().Set("Content-Type", c.kind)
		io.WriteString(w, c.answer)
	}, accounts)
	if c.path == "" {
		c.path = "/v1/chat/completions"
	}
	if c.body == "" {
		c.body = shortChat
	}
	if c.contentType == "" {
		c.contentType = "application/json"
	}
	a := b.do("POST", c.path, c.body, "Content-Type", c.contentType)
	if a.StatusCode != 200 || a.body != c.answer || a.err != nil {
		t.Errorf("%d %v, %.300s", a.StatusCode, a.err, a.body)
	}
	got := rows(b)
	if len(got) != 1 {
		t.Fatalf("%d rows", len(got))
	}
	r := got[0]
	if r.Usage.Input != c.input || r.Usage.Output != c.output || r.Estimated != c.estimated || c.is != nil && !c.is(r) {
		t.Errorf("%d+%d, estimated %v; want %d+%d, %v\n%+v", r.Usage.Input, r.Usage.Output, r.Estimated, c.input, c.output, c.estimated, r)
	}
}
