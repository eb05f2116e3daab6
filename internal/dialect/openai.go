package dialect

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// OpenAI is the protocol of api.openai.com and of the many servers that speak it.
// Source: https://platform.openai.com/docs/api-reference.
var OpenAI = &Dialect{
	Name:            "openai",
	RequestIDHeader: "X-Request-Id",
	SetCredential:   setBearer,
	Operation:       openAIOperation,
	Request:         openAIRequest,
	Event:           openAIEvent,
	Body:            openAIBody,
	Error:           openAIError,
	ErrorEvent:      openAIErrorEvent,
	ErrorHeader:     retryHeader,
	Status:          func(p Problem) int { return p.Status },
	TransportFields: openAITransportFields,
	VersionHeaders:  []string{"OpenAI-Organization", "OpenAI-Project", "OpenAI-Beta"},
	Fold:            openAIFold,
	Cut:             openAICut,
	WithUsage:       openAIWithUsage,
	state:           &openAIState,
}

// openAITransportFields leave out what looks similar but does change an answer or what happens beside it: store (the
// client may fetch the answer by its id later), service_tier (said in the answer, and priced) and
// prompt_cache_retention (only says for how long, but its use is to be billed).
var openAITransportFields = []string{
	"stream", "stream_options", "caching", // how it travels
	"user", "metadata", "safety_identifier", "prompt_cache_key", // who asks
}

// openAIPaths maps the end of a path to the operation of a POST there; a longer end wins.
var openAIPaths = []struct {
	end string
	op  Operation
}{
	{"/chat/completions", Chat},
	{"/images/generations", Image},
	{"/images/edits", ImageEdit},
	{"/images/variations", ImageEdit},
	{"/audio/speech", Speech},
	{"/audio/transcriptions", Audio},
	{"/audio/translations", Audio},
	{"/completions", Completion},
	{"/embeddings", Embedding},
	{"/responses", Responses},
	{"/moderations", Moderation},
}

func openAIOperation(method, path string) Operation {
	path = plainPath(path)
	switch method {
	case http.MethodPost:
		for _, p := range openAIPaths {
			if base, ok := strings.CutSuffix(path, p.end); ok {
				if isBase(base) {
					return p.op
				}
				return Other
			}
		}
	case http.MethodGet:
		if base, id, ok := strings.Cut(path, "/models"); ok && isBase(base) && (id == "" || len(id) > 1 && id[0] == '/') {
			return Models
		}
	}
	return Other
}

// isBase reports whether path may stand before the API's own paths: nothing, a version, the name of the API, or the
// deployment of Azure and its ancestor, the engine. Without this, /v1/threads/T/responses would be taken for one.
func isBase(path string) bool {
	parent, last := cutLast(path)
	switch last {
	case "", "openai", "api", "beta", "inference", "compat", "models":
		return true
	}
	if _, above := cutLast(parent); above == "deployments" || above == "engines" {
		return true
	}
	return isVersion(last)
}

// isVersion reports whether a segment is v1, v4, v1beta, v2alpha3 and the like.
func isVersion(segment string) bool {
	digits, ok := strings.CutPrefix(segment, "v")
	rest := strings.TrimLeft(digits, "0123456789")
	if !ok || rest == digits {
		return false
	}
	switch strings.TrimRight(rest, "0123456789") {
	case "", "alpha", "beta":
		return true
	}
	return false
}

func cutLast(path string) (parent, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// plainPath decodes the escapes that change nothing (RFC 3986, section 2.3: letters, digits, -._~) and the colon, so
// that a path cannot be spelled past the rules for its operation. What is sent on is the path as it came.
func plainPath(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	out := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if c, err := url.PathUnescape(path[i : i+3]); err == nil && (isUnreserved(c[0]) || c[0] == ':') {
				out = append(out, c[0])
				i += 2
				continue
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}

func isUnreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func openAIRequest(op Operation, path, _ string, b *Body) Request {
	var r Request
	if b != nil {
		r = Request{
			Model:        strings.Clone(jsonscan.String(b.Get("model"))), // a copy: the body must not live as long as a log line
			Stream:       b.Get("stream").Type == gjson.True,
			IncludeUsage: b.Get("stream_options").Get("include_usage").Type == gjson.True,
			Caching:      caching(b),
			MaxTokens:    jsonscan.Count(b.Get("max_completion_tokens")),
			N:            jsonscan.Count(b.Get("n")),
			User:         strings.Clone(jsonscan.String(b.Get("user"))),
			Store:        stores(op, b),
		}
		for _, key := range []string{"max_tokens", "max_output_tokens"} {
			if r.MaxTokens == 0 {
				r.MaxTokens = jsonscan.Count(b.Get(key))
			}
		}
	}
	if model := deployment(path); model != "" {
		r.Model = model
	}
	return r
}

// stores reports whether the answer is kept: of the responses API unless told otherwise, of chats only when told.
func stores(op Operation, b *Body) bool {
	switch op {
	case Chat:
		return b.Get("store").Type == gjson.True
	case Responses:
		return b.Get("store").Type != gjson.False
	}
	return false
}

// caching reads the gateway's own field.
func caching(b *Body) *bool {
	v := b.Get("caching")
	if !v.IsBool() {
		return nil
	}
	want := v.Bool()
	return &want
}

// deployment returns the model that an Azure path names. Azure obeys it and not the body.
func deployment(path string) string {
	path = plainPath(path)
	for _, mark := range []string{"/deployments/", "/engines/"} {
		if _, rest, ok := strings.Cut(path, mark); ok {
			name, _, _ := strings.Cut(rest, "/")
			if decoded, err := url.PathUnescape(name); err == nil {
				return decoded
			}
			return name
		}
	}
	return ""
}
