package upstreamtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// protocol is whose shapes an answer is written in.
type protocol int

const (
	openai protocol = iota
	anthropic
	gemini
)

// answer is the model's answer before a protocol gives it a shape. It is a
// function of the request and of the request's number, so equal requests get
// equal text under different ids, and a cached answer differs from a second
// call.
type answer struct {
	id        string
	model     string
	text      string
	refusal   string
	reasoning string
	calls     []toolCall
	cut       bool // the length limit was reached
	choices   int
	in, out   int // tokens: words, which is near enough for a toy

	cached, written, written1h, thoughts int // further tokens, beside in and out
}

type toolCall struct{ id, name, arguments string }

// contents are the models with a special answer.
func contents() map[string]func(*answer) {
	return map[string]func(*answer){
		"refusal":       func(a *answer) { a.refusal, a.text = "I cannot help with that.", "" },
		"reasoning":     func(a *answer) { a.reasoning = "The user greets me, so I greet back." },
		"finish-length": func(a *answer) { a.cut = true },
		"empty":         func(a *answer) { a.text = "" },
	}
}

// compose returns the answer to the request's last message.
func (x *exchange) compose() answer {
	if x.loop {
		return x.composeLoop()
	}
	prompt := x.prompt()
	a := answer{
		id: fmt.Sprint(x.rec.Seq), model: x.model(), text: "You said: " + prompt, choices: max(1, int(x.field("n").Int())),
		in: len(strings.Fields(prompt)),
	}
	if change, ok := contents()[a.model]; ok {
		change(&a)
	}
	if results := x.toolResults(); len(results) > 0 {
		a.text = "The tools say: " + strings.Join(results, ", ")
	} else {
		x.callTools(&a, prompt)
	}
	a.out = len(strings.Fields(a.text + a.refusal + a.reasoning))
	for _, c := range a.calls {
		a.out += len(c.arguments)
	}
	return a
}

// callTools calls every function that the request offers, in parallel.
func (x *exchange) callTools(a *answer, prompt string) {
	for i, name := range x.toolNames() {
		a.calls = append(a.calls, toolCall{id: fmt.Sprintf("call_%s_%d", a.id, i), name: name, arguments: marshal(obj{"query": prompt, "number": i})})
		a.text = ""
	}
}

// toolResults are what the functions returned that the answer before called:
// the messages, parts or items at the end of the conversation that hold
// results.
func (x *exchange) toolResults() []string {
	var out []string
	for _, m := range x.field("messages").Array() {
		switch {
		case m.Get("role").Str == "tool":
			out = append(out, plain(m.Get("content")))
		default: // Anthropic's results are blocks of a message of the user; any other message starts a new turn
			out = nil
			for _, b := range m.Get(`content.#(type=="tool_result")#.content`).Array() {
				out = append(out, plain(b))
			}
		}
	}
	for _, r := range x.field("contents.@reverse.0.parts.#.functionResponse.response").Array() {
		out = append(out, r.Raw)
	}
	for _, item := range x.field("input").Array() {
		if item.Get("type").Str != "function_call_output" {
			out = nil
			continue
		}
		out = append(out, item.Get("output").String())
	}
	return out
}

// prompt is the text of the last message or input, in any protocol.
func (x *exchange) prompt() string {
	for _, path := range []string{"messages.@reverse.0.content", "input", "prompt", "contents.@reverse.0.parts.0.text"} {
		if v := x.field(path); v.Exists() {
			return plain(v)
		}
	}
	return ""
}

// plain is a string, or the text of the last part of a list of parts or
// messages.
func plain(v gjson.Result) string {
	if !v.IsArray() {
		return v.String()
	}
	last := v.Get("@reverse.0")
	if c := last.Get("content"); c.Exists() {
		return plain(c)
	}
	if t := last.Get("text"); t.Exists() {
		return t.String()
	}
	return last.String()
}

// toolNames are the functions that the request offers; all of them are called,
// in parallel.
func (x *exchange) toolNames() []string {
	for _, path := range []string{"tool_choice", "tool_choice.type", "toolConfig.functionCallingConfig.mode"} {
		if strings.EqualFold(x.field(path).String(), "none") {
			return nil
		}
	}
	var names []string
	for _, path := range []string{"tools.#.function.name", "tools.#.name", "tools.0.functionDeclarations.#.name"} {
		for _, n := range x.field(path).Array() {
			names = append(names, n.String())
		}
	}
	return names
}

// pieces cuts text into the deltas of a stream, one word each.
func pieces(text string) []string {
	if text == "" {
		return nil
	}
	return strings.SplitAfter(text, " ")
}

// halves cuts a tool call's arguments in two, so that parallel calls arrive
// interleaved.
func halves(s string) [2]string { return [2]string{s[:len(s)/2], s[len(s)/2:]} }

// obj is a JSON object; its keys come out sorted.
type obj = map[string]any

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps, strings and numbers of this package come here
	}
	return string(b)
}

// dialect returns the protocol that the client expects, by the path and, where
// providers share one, by the headers.
func (x *exchange) dialect() protocol {
	path := x.r.URL.Path
	switch {
	case strings.Contains(path, "/messages") || x.r.Header.Get("Anthropic-Version") != "":
		return anthropic
	case x.r.Header.Get("X-Goog-Api-Key") != "" || strings.Contains(path, "/v1beta/") && !strings.Contains(path, "/openai/"):
		return gemini
	}
	return openai
}

// operation answers one kind of request.
type operation struct {
	method, path string // "*" in the path is one segment; what stands before the path is the base URL's business
	answer       func(*exchange) reply
}

// operations is what the upstream can do when it behaves.
func operations() []operation {
	return []operation{
		{"POST", "/chat/completions", (*exchange).chat},
		{"POST", "/completions", (*exchange).completion},
		{"POST", "/embeddings", (*exchange).embeddings},
		{"POST", "/moderations", (*exchange).moderation},
		{"POST", "/responses", (*exchange).responses},
		{"POST", "/images/generations", (*exchange).image},
		{"POST", "/audio/speech", (*exchange).speech},
		{"POST", "/audio/transcriptions", (*exchange).transcription},
		{"POST", "/audio/translations", (*exchange).transcription},
		{"POST", "/upload/*/files", (*exchange).resumableUpload},
		{"POST", "/files", (*exchange).upload},
		{"GET", "/files", (*exchange).listFiles},
		{"GET", "/files/*/content", (*exchange).fileContent},
		{"GET", "/files/*", (*exchange).file},
		{"DELETE", "/files/*", (*exchange).deleteFile},
		{"POST", "/messages", (*exchange).messages},
		{"POST", "/messages/count_tokens", (*exchange).countTokens},
		{"POST", "/messages/batches", (*exchange).messageBatch},
		{"GET", "/messages/batches", (*exchange).messageBatches},
		{"GET", "/messages/batches/*", (*exchange).messageBatch},
		{"POST", "/models/*:generateContent", (*exchange).generate},
		{"POST", "/models/*:streamGenerateContent", (*exchange).generate},
		{"POST", "/models/*:countTokens", (*exchange).generateCount},
		{"POST", "/models/*:embedContent", (*exchange).embedContent},
		{"POST", "/models/*:batchEmbedContents", (*exchange).batchEmbedContents},
		{"GET", "/models", (*exchange).models},
		{"GET", "/models/*", (*exchange).models},
		{"GET", "/responses", (*exchange).responsesSocket},
		{"GET", "/realtime", (*exchange).realtime},
	}
}

// ordinary is the healthy answer to the request. A path that is no operation is
// answered by what came in, without its headers: enough to see that a request
// arrived whole.
func (x *exchange) ordinary() reply {
	if x.socket {
		return x.responses()
	}
	for _, op := range operations() {
		if op.method == x.r.Method && matches(op.path, x.r.URL.Path) {
			return op.answer(x)
		}
	}
	q := x.s.copyOf(x.rec)
	return jsonReply(http.StatusOK, marshal(obj{"method": q.Method, "uri": q.URI, "bytes": q.BodySize, "sha256": q.BodySHA256}))
}

// matches compares whole segments from the end of path.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern[1:], "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(got) < len(want) {
		return false
	}
	got = got[len(got)-len(want):]
	for i, w := range want {
		rest, wild := strings.CutPrefix(w, "*")
		if wild && !strings.HasSuffix(got[i], rest) || !wild && w != got[i] {
			return false
		}
	}
	return true
}
