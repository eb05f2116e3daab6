// Package gemini is the protocol of generativelanguage.googleapis.com. What is
// OpenAI's there, below /v1beta/openai/, is read by package openai.
package gemini

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// Dialect is the protocol of generativelanguage.googleapis.com. Source:
// https://ai.google.dev/api/generate-content; everything below /v1beta/openai/
// there speaks OpenAI's.
var Dialect = &dialect.Dialect{
	Name:            "gemini",
	RequestIDHeader: "X-Request-Id",
	SetCredential:   func(h http.Header, key string) { h.Set("X-Goog-Api-Key", key) },
	VersionHeaders:  []string{"X-Goog-User-Project"},
	TransportFields: openai.Dialect.TransportFields,
	Paths:           paths.WithSockets(&sockets),
	Request:         readRequest,
	PlainForm:       plainForm,
	Event:           readEvent,
	Body:            readBody,
	Fold:            forms.Fold,
	Cut:             forms.Cut,
	WithUsage:       forms.WithUsage,
	Errors:          dialect.Errors{Body: writeError, Event: writeErrorEvent, Header: openai.Dialect.Errors.Header},
	Objects:         &objects,
	Results:         &dialect.Results{Line: readResult, Inline: inlineResults},
	// https://ai.google.dev/gemini-api/docs/openai
	Compatible: &dialect.Compatible{Dialect: openai.Dialect, Base: "/v1beta/openai", Below: "openai",
		Operations: []dialect.Operation{dialect.Chat, dialect.Embedding, dialect.Image, dialect.ImageEdit, dialect.Video}},
	Provider: dialect.Provider{
		MaxBody:   100 << 20, // https://ai.google.dev/gemini-api/docs/file-input-methods
		BaseURL:   "https://generativelanguage.googleapis.com",
		Hosts:     []string{"googleapis.com"},
		Words:     []string{"gemini"},
		Models:    "gemini-*",
		Lists:     &lists,
		PriceName: "google",
		Marks: dialect.Marks{
			Segments: []string{"v[0-9]beta*", "v[0-9]alpha*", "google.ai.generativelanguage.*"},
			Header:   "X-Goog-Api-Key",
		},

		AccountHeaders: []string{"X-Goog-User-Project"},
	},
}

// A reader writes what it reads into an Answer.
type reader struct{ *dialect.Answer }

// modelOf returns the model of a path and the method behind its colon:
// …/models/MODEL:METHOD.
func modelOf(path string) (model, verb string) {
	parent, last := dialect.CutLast(path)
	_, collection := dialect.CutLast(parent)
	name, verb, ok := strings.Cut(last, ":")
	switch dialect.FoldPath(collection) {
	case "models", "tunedmodels", "dynamic", "endpoints":
	default:
		ok = false
	}
	if !ok {
		return "", ""
	}
	if decoded, err := url.PathUnescape(name); err == nil {
		name = decoded
	}
	return name, verb
}

// bounds are those of generationConfig, and of the parameters with which images
// are asked for.
var bounds = dialect.Bounds{
	Tokens:  []string{"maxOutputTokens", "max_output_tokens"},
	Answers: []string{"candidateCount", "candidate_count", "sampleCount", "sample_count"},
}

// readRequest reads model and stream from the path. Without alt=sse a stream is
// one JSON array, sent in pieces.
func readRequest(op dialect.Operation, path, rawQuery string, b *dialect.Body) dialect.Request {
	var r dialect.Request
	model, verb := modelOf(path)
	r.Model = model
	query, _ := url.ParseQuery(rawQuery) // what can be read of it
	sse := query.Get("alt") == "sse"
	r.Stream = strings.EqualFold(verb, "streamGenerateContent") || sse
	r.Array = r.Stream && !sse
	if b == nil {
		return r
	}
	r.Caching = b.Caching()
	for _, key := range []string{"generationConfig", "generation_config", "parameters"} { // protocol buffers' JSON takes both spellings
		if config := b.Get(key); config.IsObject() {
			bounds.Read(&r, config.Get)
		}
	}
	if op == dialect.Realtime {
		r.Model = modelName(jsonscan.String(b.Get("setup").Get("model")))
	}
	r.Media = pieces(op, r.N, b)
	return r
}

// modelName returns the name of a model without its collection, such as models/
// or Vertex' projects/P/locations/L/publishers/google/models/.
func modelName(name string) string {
	return strings.Clone(name[strings.LastIndexByte(name, '/')+1:])
}

// readEvent reads one chunk. There is no end marker: the last chunk has the
// finish reasons.
func readEvent(op dialect.Operation, a *dialect.Answer, ev framing.Event) {
	if op.OpenAI() {
		openai.Dialect.Event(op, a, ev)
		return
	}
	a.Expect(op)
	if len(bytes.TrimSpace(ev.Data)) == 0 {
		return
	}
	data := bytes.TrimSpace(ev.Data)
	if data[0] == '[' && jsonscan.Valid(data) { // errors come as an array of one from some of Google's front ends
		reader{a}.chunks(jsonscan.View(data))
	} else if root, ok := a.Object(data); ok && op == dialect.Realtime {
		reader{a}.live(root)
		return
	} else if ok {
		reader{a}.candidates(root)
	}
	a.Ended = a.Ended || a.Finished()
}

// readBody reads a body: one object, or the array of chunks of a stream without
// alt=sse.
func readBody(op dialect.Operation, a *dialect.Answer, body []byte) error {
	if op == dialect.Image && (reader{a}).predictions(body) {
		return nil
	}
	if op.OpenAI() {
		return openai.Dialect.Body(op, a, body)
	}
	a.Expect(op)
	root, ok := a.Value(body)
	if !ok {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	found := false
	if root.IsObject() {
		found = reader{a}.candidates(root) || op != dialect.Generate
	} else if root.IsArray() {
		found = reader{a}.chunks(root)
	}
	if !found && a.Error == "" {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	a.Ended = true
	return nil
}

// chunks reads the chunks of an array, and reports whether any of them has some
// of an answer.
func (a reader) chunks(array gjson.Result) (found bool) {
	array.ForEach(func(_, chunk gjson.Result) bool {
		found = a.candidates(chunk) || found
		return true
	})
	return found
}

// candidates reads one chunk and reports whether it has any of what an answer
// consists of.
func (a reader) candidates(root gjson.Result) (found bool) {
	if !root.IsObject() {
		return false
	}
	a.Identify(jsonscan.String(root.Get("responseId")), jsonscan.String(root.Get("modelVersion")))
	a.Fail(root.Get("error"))
	if blocked := jsonscan.String(root.Get("promptFeedback.blockReason")); blocked != "" {
		a.Draft(0).SetFinish(blocked) // the answer to a blocked prompt has no candidates
		found = true
	}
	for position, v := range root.Get("candidates").Array() {
		if !v.IsObject() {
			continue
		}
		index := int64(position)
		if i := v.Get("index"); i.Exists() {
			index = jsonscan.Count(i)
		}
		c := a.Draft(index)
		found = true
		for _, part := range v.Get("content.parts").Array() {
			a.part(c, part)
		}
		c.SetFinish(jsonscan.String(v.Get("finishReason")))
		a.searches(v.Get("groundingMetadata"))
	}
	a.TakeUsage(root.Get("usageMetadata")) // repeated in each chunk, and in full in the last one
	return found
}

// searches counts the searches that an answer rests on. Several chunks may
// repeat them. Source: https://ai.google.dev/gemini-api/docs/pricing,
// "Grounding with Google Search" and "with Google Maps".
func (a reader) searches(by gjson.Result) {
	queries := int64(len(by.Get("webSearchQueries").Array()))
	maps := false
	for _, chunk := range by.Get("groundingChunks").Array() {
		maps = maps || chunk.Get("maps").Exists()
		if chunk.Get("web").Exists() {
			queries = max(queries, 1)
		}
	}
	if queries > 0 {
		a.RaiseFee("google_search", queries)
	}
	if maps {
		a.RaiseFee("google_maps", 1)
	}
}

// predictions reads an answer of Imagen, and reports whether body is one.
// Images that a filter has held back are listed too, without an image, and cost
// nothing. Sources: https://ai.google.dev/gemini-api/docs/imagen; Vertex AI's
// reference, "Imagen API", "Response body".
func (a reader) predictions(body []byte) bool {
	list := jsonscan.View(body).Get("predictions")
	if !list.Exists() || !jsonscan.Valid(body) {
		return false
	}
	n := jsonscan.Count(list) // of a long answer only their number is kept, see dialect.Skim
	if list.IsArray() {
		for _, v := range list.Array() {
			if v.Get("bytesBase64Encoded").Exists() || v.Get("gcsUri").Exists() {
				n++
			}
		}
	}
	if n > 0 {
		a.SetUsage(dialect.Usage{Media: dialect.Media{Images: n}}, "")
	}
	a.Ended = true
	return true
}

func (a reader) part(c *dialect.Draft, part gjson.Result) {
	if f := part.Get("functionCall"); f.IsObject() { // always whole
		t := c.NewCall(jsonscan.String(f.Get("id")), jsonscan.String(f.Get("name")))
		t.SetType("functionCall")
		t.AddArguments(f.Get("args").Raw)
	}
	if text := jsonscan.String(part.Get("text")); part.Get("thought").Bool() {
		c.AddReasoning("", text)
	} else {
		c.AddText(text)
	}
}

// objects are what the provider keeps. Source: https://ai.google.dev/api,
// "Files", "Caching", "Batch API", "File search", "Interactions".
var objects = dialect.Objects{
	Collections: []string{"files", "cachedContents", "batches", "fileSearchStores", "tunedModels", "corpora", "operations", "interactions"},
	Named: dialect.Set("cachedContent", "cached_content", "fileUri", "file_uri", "fileName", "file_name", "fileSearchStoreNames",
		"file_search_store_names", "previous_interaction_id", "previousInteractionId"),
	Marks: []string{"cachedContent", "cached_content", "fileUri", "file_uri", "ileSearchStore", "ile_search_store"},
	Made:  dialect.Set("name", "file", "id"),
	Deep: []string{"response.responsesFile", "metadata.output.responsesFile",
		"response.generateVideoResponse.generatedSamples.#.video.uri"},
	Starts:    []string{"batchGenerateContent", "asyncBatchEmbedContent", "predictLongRunning"},
	Lists:     []string{"files", "cachedContents", "batches", "operations", "fileSearchStores", "tunedModels"},
	Qualified: true,
}

// plainForm leads :streamGenerateContent?alt=sse to :generateContent, whose
// stream it is.
func plainForm(op dialect.Operation, path, rawQuery string) (plain, query string) {
	const stream = ":streamgeneratecontent"
	if op != dialect.Generate || !strings.HasSuffix(dialect.FoldPath(path), stream) {
		return path, rawQuery
	}
	var kept []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair != "" && pair != "alt=sse" && pair != "alt=json" {
			kept = append(kept, pair)
		}
	}
	return path[:len(path)-len(stream)] + ":generateContent", strings.Join(kept, "&")
}
