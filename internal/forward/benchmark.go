package forward

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/framing"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// BenchmarkRoute is BENCHMARK_MODE's canned upstream at /benchmark: a chat
// endpoint inside the gateway, to try it and to measure it without a provider.
// It is a route like any other, so limits, pacing, cache and log apply to it.
func BenchmarkRoute() *upstream.Route {
	return &upstream.Route{
		Name: "benchmark", Prefix: "/benchmark", Dialect: dialects.Default, Open: true,
		Base: &url.URL{Scheme: "http", Host: "benchmark.invalid"}, Transport: &canned{},
	}
}

// cannedAnswers are given in turn.
var cannedAnswers = []string{
	"The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
	"A gateway is at its best when it goes unnoticed.",
	"你好!我是一个预先写好的回答,用来测试转发的速度。",
	"Streams are made of events; each of these words travels in one of its own.",
	"Measure twice, cut once, and print the ratio of what you measured.",
}

// canned is an upstream without a network.
type canned struct{ turn atomic.Uint64 }

// RoundTrip implements http.RoundTripper.
func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	var ask struct {
		Model         string
		Stream        bool
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		Messages json.RawMessage
	}
	if r.Body != nil {
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil && err != io.EOF {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
	}
	if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
		p := dialect.Problem{Status: http.StatusNotFound, Code: "route_not_found", Message: "The benchmark route serves POST /benchmark/v1/chat/completions."}
		return cannedResponse(r, p.Status, "application/json", dialects.Default.Error(p)), nil
	}
	text := cannedAnswers[c.turn.Add(1)%uint64(len(cannedAnswers))]
	in, out := tokens.Count(ask.Model, string(ask.Messages)), tokens.Count(ask.Model, text)
	answer := cannedAnswer{
		head:  fmt.Sprintf(`"id":"chatcmpl-benchmark","created":%d,"model":%s`, time.Now().Unix(), quoted(ask.Model)),
		text:  text,
		usage: fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, in, out, in+out),
	}
	if !ask.Stream {
		return cannedResponse(r, http.StatusOK, "application/json", answer.body()), nil
	}
	return cannedResponse(r, http.StatusOK, "text/event-stream; charset=utf-8", answer.stream(ask.StreamOptions.IncludeUsage)), nil
}

// cannedAnswer is an answer whose members are JSON, but for the text.
type cannedAnswer struct{ head, text, usage string }

func (a *cannedAnswer) body() []byte {
	return fmt.Appendf(nil, `{%s,"object":"chat.completion","choices":[{"index":0,`+
		`"message":{"role":"assistant","content":%s},"logprobs":null,"finish_reason":"stop"}],"usage":%s}`, a.head, quoted(a.text), a.usage)
}

// word matches what is about a token: a word with the space before it, or a
// character of a script without spaces.
var word = regexp.MustCompile(`\s*(\p{Han}|[^\s\p{Han}]+)`)

// stream returns the events of the answer, a word in each.
func (a *cannedAnswer) stream(includeUsage bool) (events []byte) {
	tail := ""
	if includeUsage {
		tail = `,"usage":null`
	}
	send := func(format string, values ...any) {
		chunk := fmt.Appendf(nil, `{%s,"object":"chat.completion.chunk",`, a.head)
		events = framing.SSE.Append(events, fmt.Appendf(chunk, format, values...))
	}
	const choice = `"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]%s}`
	send(choice, `{"role":"assistant","content":""}`, "null", tail)
	for _, w := range word.FindAllString(a.text, -1) {
		send(choice, `{"content":`+quoted(w)+`}`, "null", tail)
	}
	send(choice, "{}", `"stop"`, tail)
	if includeUsage {
		send(`"choices":[],"usage":%s}`, a.usage)
	}
	return framing.SSE.Append(events, []byte("[DONE]"))
}

func cannedResponse(r *http.Request, status int, contentType string, body []byte) *http.Response {
	h := http.Header{"Content-Type": {contentType}}
	length := int64(-1)
	if !strings.HasPrefix(contentType, "text/event-stream") {
		length = int64(len(body))
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return &http.Response{Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, ContentLength: length, Body: io.NopCloser(bytes.NewReader(body)), Request: r}
}
