// Package ollama is the native protocol of an Ollama server, below /api. The
// OpenAI-compatible paths of the server, below /v1, are read by package openai.
//
// Its operations are those of OpenAI in another form: a stream, which is the
// default, is one JSON object a line, and a body is the object that the lines
// add up to. Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
package ollama

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// Dialect is the protocol of Ollama. A server wants no credential; proxies
// before it take a bearer token. Nothing that it makes is kept for the account
// of a key.
var Dialect = &dialect.Dialect{
	Name:            "ollama",
	RequestIDHeader: "X-Request-Id",
	SetCredential:   dialect.SetBearer,
	TransportFields: []string{"stream", "caching", "keep_alive"},
	Paths:           paths,
	Request:         readRequest,
	PlainForm:       dialect.SamePath,
	Framings:        []framing.Framing{framing.Lines},
	Event:           readEvent,
	Padding:         []dialect.Padding{{Before: `"created_at":"`}},
	Body:            readBody,
	Fold:            forms.Fold,
	Cut:             forms.Cut,
	WithUsage:       forms.WithUsage,
	Errors:          dialect.Errors{Body: writeError, Event: writeErrorEvent, Header: openai.Dialect.Errors.Header},
	Objects:         &dialect.Objects{},
	Compatible:      &dialect.Compatible{Dialect: openai.Dialect, Base: "/v1"},
	Provider:        dialect.Provider{MaxBody: 256 << 20, Beside: true, Lists: &lists},
}

// paths are the operations below /api. What is free neither runs a model nor
// loads one.
var paths = dialect.NewPaths(map[dialect.Operation]string{
	dialect.Chat: `
		POST api/chat`,
	dialect.Completion: `
		POST api/generate`,
	dialect.Embedding: `
		POST api/embed
		POST api/embeddings`,
	dialect.Models: `
		GET api/tags`,
	dialect.Other: `
		GET api/version
		GET api/ps
		POST api/show
		POST api/copy
		DELETE api/delete
		GET,POST api/blobs/*`,
})

// readRequest reads a request. A stream is the default; embeddings have none.
func readRequest(op dialect.Operation, _, _ string, b *dialect.Body) dialect.Request {
	if b == nil {
		return dialect.Request{}
	}
	r := dialect.Request{
		Model:   strings.Clone(jsonscan.String(b.Get("model"))),
		Stream:  op.AnswersText() && b.Get("stream").Type != gjson.False,
		Caching: b.Caching(),
	}
	bounds.Read(&r, b.Get("options").Get)
	return r
}

var bounds = dialect.Bounds{Tokens: []string{"num_predict"}}

// writeError writes {"error":message}.
func writeError(p dialect.Problem) []byte {
	return append(jsonscan.AppendString([]byte(`{"error":`), p.Message), '}')
}

// writeErrorEvent writes the error as a line of a stream, as the server does
// when it fails behind its header.
func writeErrorEvent(p dialect.Problem) []byte {
	return framing.Lines.Append(nil, writeError(p))
}
