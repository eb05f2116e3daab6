// Package dialect holds the few facts of each provider's protocol that the gateway reads or writes: where the
// credential sits, which path is which operation, what a request asks, what an answer says, and how an error is
// written before and inside a stream.
//
// A dialect is a struct of function fields rather than an interface: it has no state, nobody else implements it, and
// a reader sees at once what differs between two of them. What differs per route is data of the route, so no other
// package switches on a provider's name.
//
// Nothing here rewrites a byte that a client or an upstream sent. JSON is scanned, not decoded: encoding/json matches
// keys case-insensitively and takes the last duplicate, so {"model":"o1-pro","Model":"cheap"} would slip past a rule
// about models; [Scan] refuses it. Answers are read on the side into an [Answer], which is bounded whatever an upstream
// sends. Only the cache makes new bytes, when it turns a stream into a body (Fold) or a body into a stream (Cut);
// both copy JSON text as it is spelled, so that numbers and escapes survive.
package dialect

import (
	"net/http"
	"time"

	"forward/internal/framing"
)

// Operation is what a request wants, as far as the gateway cares.
type Operation string

// The operations. The OpenAI ones are also returned by the other dialects for their OpenAI-compatible paths.
const (
	Other        Operation = ""              // any path the dialect does not know
	Chat         Operation = "chat"          // POST …/chat/completions
	Completion   Operation = "completion"    // POST …/completions
	Embedding    Operation = "embedding"     // POST …/embeddings
	Responses    Operation = "responses"     // POST …/responses
	Moderation   Operation = "moderation"    // POST …/moderations
	Image        Operation = "image"         // POST …/images/generations
	ImageEdit    Operation = "image_edit"    // POST …/images/edits and …/images/variations, multipart
	Speech       Operation = "speech"        // POST …/audio/speech
	Audio        Operation = "audio"         // POST …/audio/transcriptions and translations, multipart
	Models       Operation = "models"        // GET …/models and …/models/ID
	Messages     Operation = "messages"      // Anthropic: POST …/messages
	CountTokens  Operation = "count_tokens"  // Anthropic: POST …/messages/count_tokens, Gemini: …:countTokens
	Generate     Operation = "generate"      // Gemini: POST …:generateContent and …:streamGenerateContent
	EmbedContent Operation = "embed_content" // Gemini: POST …:embedContent and …:batchEmbedContents
)

// Parsed reports whether the request body of the operation is JSON that the gateway reads.
func (op Operation) Parsed() bool {
	switch op {
	case Other, Audio, ImageEdit, Models:
		return false
	}
	return true
}

// finishes reports whether a complete answer of the operation has a finish reason.
func (op Operation) finishes() bool {
	switch op {
	case Chat, Completion, Responses, Messages, Generate:
		return true
	}
	return false
}

// OpenAI reports whether answers of the operation have OpenAI's form in every
// dialect.
func (op Operation) OpenAI() bool {
	switch op {
	case Messages, CountTokens, Generate, EmbedContent:
		return false
	}
	return true
}

// Request is what a request asks for. Absent and unusable values are zero.
type Request struct {
	Model                string
	Stream, IncludeUsage bool
	Caching              *bool // the gateway's own field; nil when absent
	MaxTokens            int64 // output tokens per answer
	N                    int64 // answers wanted
	User                 string
	Array                bool // the stream is to come as one JSON array and not as events; see framing.JSONArray
	Store                bool // the provider keeps the answer, to be had again by its id
}

// Problem is an error of the gateway's own, before a dialect has put it into words. Code is one of the codes of the
// README; RetryAfter is written where the dialect's body has a place for it.
type Problem struct {
	Status               int
	Code, Message, Param string
	RequestID            string
	RetryAfter           time.Duration
	Type                 string // overrides OpenAI's error type ("requests", "tokens"); the other dialects derive theirs
}

// Dialect is one provider's protocol. Its functions are safe for concurrent use and never nil, except where said.
type Dialect struct {
	Name            string // "openai", "anthropic" or "gemini"
	RequestIDHeader string // the response header in which SDKs look for the request id

	// SetCredential puts an API key where the provider's own paths want it. See also SetCredentialFor.
	SetCredential func(h http.Header, key string)

	// Operation tells what a request wants. path is the escaped path on the upstream's side, after the route prefix;
	// base paths before the API's own (/v1, /openai/v1, /openai/deployments/X, /v1beta/openai) are tolerated.
	Operation func(method, path string) Operation

	// Request reads what is asked; b may be nil.
	Request func(op Operation, path, rawQuery string, b *Body) Request

	// Event reads one event of a streamed answer. What it does not understand it ignores.
	Event func(op Operation, a *Answer, ev framing.Event)

	// Body reads a whole answer that is not streamed. An error says that body is not what the operation answers.
	Body func(op Operation, a *Answer, body []byte) error

	// Error writes a whole error body, application/json.
	Error func(p Problem) []byte

	// ErrorEvent writes the error as an event of a started stream, with its blank line.
	ErrorEvent func(p Problem) []byte

	// ErrorHeader sets the headers by which the dialect's SDKs read an error: request id, whether to try again.
	ErrorHeader func(h http.Header, p Problem)

	// Status is the HTTP status that the provider itself would use for p, where it differs from p.Status: Anthropic
	// answers 529 when overloaded.
	Status func(p Problem) int

	// TransportFields are the fields of a request body that do not change what is answered, only how it travels or
	// whom it is attributed to. Two requests that differ in nothing else may share a remembered answer.
	TransportFields []string

	// VersionHeaders are the request headers that change what a request means.
	VersionHeaders []string

	// Fold turns a complete stream of raw events into the valid body of the same answer. ok is false for streams that
	// are not complete, carry an error or cannot be joined without inventing something.
	Fold func(op Operation, events []byte) (body []byte, ok bool)

	// Cut turns a body into a valid stream that folds back to it.
	Cut func(op Operation, body []byte, includeUsage bool) (events []byte, ok bool)

	// WithUsage takes the usage-only chunk out of a stream when include is false. It adds nothing: without such a
	// chunk, and when include is true, it returns events itself.
	WithUsage func(op Operation, events []byte, include bool) []byte

	// Objects are what the provider keeps for the account of an API key.
	Objects *Objects

	// OpenAI is the dialect of the provider's OpenAI-compatible paths, and
	// Compatible reports whether path is one of them. Both are nil in the
	// dialect of OpenAI itself.
	OpenAI     *Dialect
	Compatible func(path string) bool

	// PlainForm returns the path and query by which a request would be asked
	// for without a stream, where the two forms differ there and not in the
	// body. So both can share a remembered answer.
	PlainForm func(op Operation, path, rawQuery string) (plain, query string)
}

// SetCredentialFor puts an API key where the upstream path wants it: OpenAI-compatible paths of any provider take a
// bearer token. (Google refuses an API key in Authorization on its own paths, and documents nothing else on these.)
func (d *Dialect) SetCredentialFor(path string, h http.Header, key string) {
	if d.Compatible != nil && d.Compatible(path) {
		SetBearer(h, key)
		return
	}
	d.SetCredential(h, key)
}

// SetBearer sets the bearer token of a request.
func SetBearer(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) }

// SamePath is the PlainForm of dialects whose requests ask for streams in
// their bodies.
func SamePath(_ Operation, path, rawQuery string) (plain, query string) { return path, rawQuery }
