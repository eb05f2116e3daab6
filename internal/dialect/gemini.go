package dialect

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Gemini is the protocol of generativelanguage.googleapis.com. Source: https://ai.google.dev/api/generate-content;
// everything below /v1beta/openai/ there speaks OpenAI's.
var Gemini = &Dialect{
	Name:            "gemini",
	RequestIDHeader: "X-Request-Id",
	SetCredential:   func(h http.Header, key string) { h.Set("X-Goog-Api-Key", key) },
	Operation:       geminiOperation,
	Request:         geminiRequest,
	Event:           geminiEvent,
	Body:            geminiBody,
	Error:           geminiError,
	ErrorEvent:      func(p Problem) []byte { return dataEvent(geminiError(p)) },
	ErrorHeader:     retryHeader,
	Status:          geminiStatus,
	TransportFields: openAITransportFields,
	VersionHeaders:  []string{"X-Goog-User-Project"},
	Fold:            geminiFold,
	Cut:             geminiCut,
	WithUsage:       openAIWithUsage,
	state:           &geminiState,
	compatible:      geminiCompatible,
}

// geminiMethods maps what stands behind the model's colon.
var geminiMethods = map[string]Operation{
	"generateContent": Generate, "streamGenerateContent": Generate, "countTokens": CountTokens,
	"embedContent": EmbedContent, "batchEmbedContents": EmbedContent,
}

func geminiCompatible(path string) bool {
	return strings.Contains(plainPath(path), "/openai/") || openAIOperation(http.MethodPost, path) != Other
}

func geminiOperation(method, path string) Operation {
	if _, verb := geminiModel(path); method == http.MethodPost && verb != "" {
		return geminiMethods[verb]
	}
	if strings.Contains(path, "/operations/") { // models/M/operations/O, which is no model
		return Other
	}
	return openAIOperation(method, path) // also GET …/models, which both spell the same
}

// geminiModel returns the model of a path and the method behind its colon: …/models/MODEL:METHOD.
func geminiModel(path string) (model, verb string) {
	path = plainPath(path)
	parent, last := cutLast(path)
	_, collection := cutLast(parent)
	name, verb, ok := strings.Cut(last, ":")
	if !ok || collection != "models" && collection != "tunedModels" {
		return "", ""
	}
	if decoded, err := url.PathUnescape(name); err == nil {
		name = decoded
	}
	return name, verb
}

// geminiRequest reads model and stream from the path. Without alt=sse a stream is one JSON array, sent in pieces.
func geminiRequest(op Operation, path, rawQuery string, b *Body) Request {
	if op.openAI() && geminiCompatible(path) {
		return openAIRequest(op, path, rawQuery, b)
	}
	var r Request
	model, verb := geminiModel(path)
	r.Model = model
	query, _ := url.ParseQuery(rawQuery) // what can be read of it
	sse := query.Get("alt") == "sse"
	r.Stream = verb == "streamGenerateContent" || sse
	r.Array = r.Stream && !sse
	if b == nil {
		return r
	}
	r.Caching = caching(b)
	for _, names := range [][3]string{{"generationConfig", "maxOutputTokens", "candidateCount"}, {"generation_config", "max_output_tokens", "candidate_count"}} {
		if config := b.Get(names[0]); config.IsObject() { // protocol buffers' JSON takes both spellings
			r.MaxTokens, r.N = jsonscan.Count(config.Get(names[1])), jsonscan.Count(config.Get(names[2]))
			break
		}
	}
	return r
}

// geminiEvent reads one chunk. There is no end marker: the last chunk has the finish reasons.
func geminiEvent(op Operation, a *Answer, ev Event) {
	if op.openAI() {
		openAIEvent(op, a, ev)
		return
	}
	a.finishing = a.finishing || op.finishes()
	if len(bytes.TrimSpace(ev.Data)) == 0 {
		return
	}
	data := bytes.TrimSpace(ev.Data)
	if data[0] == '[' && jsonscan.Valid(data) { // errors come as an array of one from some of Google's front ends
		geminiChunks(jsonscan.View(data), a)
	} else if root, ok := a.object(data); ok {
		a.candidates(root)
	}
	a.Ended = a.Ended || a.finished()
}

// geminiBody reads a body: one object, or the array of chunks of a stream without alt=sse.
func geminiBody(op Operation, a *Answer, body []byte) error {
	if op.openAI() {
		return openAIBody(op, a, body)
	}
	a.finishing = a.finishing || op.finishes()
	if !jsonscan.Valid(body) {
		a.broken = true
		return fmt.Errorf("reading the answer to %s: %w", op, errNotAnAnswer)
	}
	found := false
	root := jsonscan.View(body)
	if root.IsObject() {
		found = a.candidates(root) || op != Generate
	} else if root.IsArray() {
		found = geminiChunks(root, a)
	}
	if !found && a.Error == "" {
		return fmt.Errorf("reading the answer to %s: %w", op, errNotAnAnswer)
	}
	a.Ended = true
	return nil
}

// geminiChunks reads the chunks of an array, and reports whether any of them has some of an answer.
func geminiChunks(array gjson.Result, a *Answer) (found bool) {
	array.ForEach(func(_, chunk gjson.Result) bool {
		found = a.candidates(chunk) || found
		return true
	})
	return found
}

// candidates reads one chunk and reports whether it has any of what an answer consists of.
func (a *Answer) candidates(root gjson.Result) (found bool) {
	if !root.IsObject() {
		return false
	}
	a.identify(jsonscan.String(root.Get("responseId")), jsonscan.String(root.Get("modelVersion")))
	a.fail(root.Get("error"))
	if blocked := jsonscan.String(root.Get("promptFeedback.blockReason")); blocked != "" {
		a.choice(0).finish, found = clip(blocked, maxName), true // the answer to a blocked prompt has no candidates
	}
	for position, v := range root.Get("candidates").Array() {
		if !v.IsObject() {
			continue
		}
		index := int64(position)
		if i := v.Get("index"); i.Exists() {
			index = jsonscan.Count(i)
		}
		c := a.choice(index)
		found = true
		for _, part := range v.Get("content.parts").Array() {
			a.part(c, part)
		}
		if s := jsonscan.String(v.Get("finishReason")); s != "" {
			c.finish = clip(s, maxName)
		}
	}
	a.geminiUsage(root.Get("usageMetadata"))
	return found
}

func (a *Answer) part(c *choice, part gjson.Result) {
	if f := part.Get("functionCall"); f.IsObject() { // always whole
		t := a.call(c, callKey{int64(len(c.calls)), jsonscan.String(f.Get("id")), jsonscan.String(f.Get("name"))})
		t.kind = "functionCall"
		a.keep(&t.arguments, f.Get("args").Raw)
	}
	if text := jsonscan.String(part.Get("text")); part.Get("thought").Bool() {
		a.keep(&c.reasoning, text)
	} else {
		a.keep(&c.text, text)
	}
}

// geminiUsage reads usageMetadata, which each chunk repeats and the last one has in full. Thoughts and what tools put
// into the prompt are counted beside candidates and prompt there, but billed as output and input.
func (a *Answer) geminiUsage(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	u := Usage{
		Input:      jsonscan.Count(v.Get("promptTokenCount")) + jsonscan.Count(v.Get("toolUsePromptTokenCount")),
		Total:      jsonscan.Count(v.Get("totalTokenCount")),
		CachedRead: jsonscan.Count(v.Get("cachedContentTokenCount")),
		Reasoning:  jsonscan.Count(v.Get("thoughtsTokenCount")),
	}
	u.Output = jsonscan.Count(v.Get("candidatesTokenCount")) + u.Reasoning
	u.AudioOutput = audioTokens(v.Get("candidatesTokensDetails"))
	u.Audio = audioTokens(v.Get("promptTokensDetails")) + audioTokens(v.Get("toolUsePromptTokensDetails")) + u.AudioOutput
	a.tier(v.Get("serviceTier"))
	a.used(u, v.Raw)
}

// audioTokens adds up the audio of a list of {modality, tokenCount}.
func audioTokens(list gjson.Result) (n int64) {
	list.ForEach(func(_, d gjson.Result) bool {
		if jsonscan.String(d.Get("modality")) == "AUDIO" {
			n += jsonscan.Count(d.Get("tokenCount"))
		}
		return true
	})
	return n
}
