// Package openai is the protocol of api.openai.com, of the many servers that
// speak it too, and of other providers' OpenAI-compatible paths.
package openai

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// Dialect is the protocol of api.openai.com and of the many servers that speak
// it. Source: https://platform.openai.com/docs/api-reference.
var Dialect = &dialect.Dialect{
	Name:            "openai",
	RequestIDHeader: "X-Request-Id",
	SetCredential:   dialect.SetBearer,
	VersionHeaders:  []string{"OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta"},
	TransportFields: transportFields,
	Paths:           paths.WithSockets(&sockets),
	Request:         readRequest,
	PlainForm:       dialect.SamePath,
	Event:           readEvent,
	Padding:         padding,
	Body:            readBody,
	Fold:            Forms.Fold,
	Cut:             Forms.Cut,
	WithUsage:       Forms.WithUsage,
	Errors:          dialect.Errors{Body: writeError, Event: writeErrorEvent, Header: setErrorHeader},
	Objects:         &objects,
	Results:         &dialect.Results{Line: readResult},
	Provider: dialect.Provider{
		BaseURL: "https://api.openai.com",
		Lists:   &lists,
		Hosts:   []string{"openai.com", "openai.azure.com"},
		MaxBody: 256 << 20, // it takes 512 MB of images, which is beyond what any model reads

		AccountHeaders: []string{"Openai-Organization", "Openai-Project", "Chatgpt-Account-Id"},
	},
}

// transportFields leave out what looks similar but does change an answer or
// what happens beside it: store (the client may fetch the answer by its id
// later), service_tier (repeated in the answer, and priced) and
// prompt_cache_retention (only states for how long, but its use is to be
// billed).
var transportFields = []string{
	"stream", "stream_options", "caching", // how it travels
	"user", "metadata", "safety_identifier", "prompt_cache_key", // the caller
}

func readRequest(op dialect.Operation, path, rawQuery string, b *dialect.Body) dialect.Request {
	var r dialect.Request
	if b != nil {
		r = dialect.Request{
			Model:  strings.Clone(jsonscan.String(b.Get("model"))), // a copy: the body must not live as long as a log line
			Stream: b.Get("stream").Type == gjson.True,
			IncludeUsage: b.Get("stream_options").Get("include_usage").Type == gjson.True ||
				b.Get("usage").Get("include").Type == gjson.True, // OpenRouter's
			Caching: b.Caching(),
			User:    strings.Clone(jsonscan.String(b.Get("user"))),
			Store:   stores(op, b),
		}
		boundsOf(op).Read(&r, b.Get)
		if op == dialect.Realtime {
			boundsOf(op).Read(&r, b.Get("response").Get)
		}
		if op == dialect.Completion {
			if prompts := dialect.Prompts(b.Get("prompt")); prompts > 1 {
				r.N = min(max(r.N, 1), dialect.MaxBound) * prompts
			}
		}
		r.Media = pieces(op, path, r.N, b)
		if op == dialect.Moderation && r.Model == "" {
			r.Model = "omni-moderation-latest" // the API's default
		}
	}
	if model := pathModel(path); model != "" {
		r.Model = model
	}
	if op == dialect.Realtime && r.Model == "" {
		query, _ := url.ParseQuery(rawQuery) // what can be read of it
		r.Model = cmp.Or(query.Get("model"), query.Get("deployment"))
	}
	r.Stream = r.Stream || streams(path)
	return r
}

// The bounds of an operation are those that its API has: a field that the
// provider ignores bounds nothing.
var (
	bounds          = dialect.Bounds{Tokens: []string{"max_completion_tokens", "max_tokens", "max_output_tokens"}, Answers: []string{"n", "best_of"}}
	responsesBounds = dialect.Bounds{Tokens: []string{"max_output_tokens"}}
	messagesBounds  = dialect.Bounds{Tokens: []string{"max_tokens"}}
)

func boundsOf(op dialect.Operation) *dialect.Bounds {
	switch op {
	case dialect.Responses, dialect.Realtime:
		return &responsesBounds
	case dialect.Messages:
		return &messagesBounds
	}
	return &bounds
}

// stores reports whether the answer is kept: of the responses API unless the
// request refuses it, of chats only if it asks for it.
func stores(op dialect.Operation, b *dialect.Body) bool {
	switch op {
	case dialect.Chat:
		return b.Get("store").Type == gjson.True
	case dialect.Responses:
		return b.Get("store").Type != gjson.False
	}
	return false
}

// objects are what the provider keeps. Source: API reference; the paths and
// fields of the official SDK's resources.
var objects = dialect.Objects{
	Collections: []string{"files", "batches", "responses", "vector_stores", "assistants", "threads", "jobs", "uploads",
		"containers", "conversations", "evals", "videos", "characters", "skills", "completions", "calls", "sessions"},
	Named: dialect.Set("previous_response_id", "conversation", "file_id", "file_ids", "input_file_id", "training_file", "validation_file",
		"vector_store_ids", "vector_store_id", "container", "container_id", "assistant_id", "thread_id", "eval_id",
		"skill_id", "video", "audio"),
	Marks: []string{"file_id", `"audio"`},
	Made:  dialect.Set("id", "output_file_id", "error_file_id", "result_files", "file", "thread_id", "conversation", "container_id"),
	Lists: []string{"data"},
}
