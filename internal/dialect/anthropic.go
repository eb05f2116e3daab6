package dialect

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Anthropic is the protocol of api.anthropic.com. Source: https://docs.anthropic.com/en/api, "Messages",
// "Streaming Messages", "Errors"; /v1/chat/completions there speaks OpenAI's.
var Anthropic = &Dialect{
	Name:            "anthropic",
	RequestIDHeader: "Request-Id",
	SetCredential:   func(h http.Header, key string) { h.Set("X-Api-Key", key) },
	Operation:       anthropicOperation,
	Request:         anthropicRequest,
	Event:           anthropicEvent,
	Body:            anthropicBody,
	Error:           anthropicError,
	ErrorEvent:      anthropicErrorEvent,
	ErrorHeader:     anthropicErrorHeader,
	Status:          anthropicStatus,
	TransportFields: openAITransportFields,
	VersionHeaders:  []string{"Anthropic-Version", "Anthropic-Beta"},
	Fold:            anthropicFold,
	Cut:             anthropicCut,
	WithUsage:       openAIWithUsage,
	state:           &anthropicState,
	compatible: func(path string) bool {
		return openAIOperation(http.MethodPost, path) != Other
	},
}

func anthropicOperation(method, path string) Operation {
	path = plainPath(path)
	if method == http.MethodPost {
		if base, ok := strings.CutSuffix(path, "/messages"); ok && isBase(base) {
			return Messages
		}
		if base, ok := strings.CutSuffix(path, "/messages/count_tokens"); ok && isBase(base) {
			return CountTokens
		}
	}
	switch op := openAIOperation(method, path); op {
	case Chat, Embedding, Models:
		return op
	}
	return Other // also the old text completions, which share nothing but their name's end with OpenAI's
}

func anthropicRequest(op Operation, path, rawQuery string, b *Body) Request {
	r := openAIRequest(op, path, rawQuery, b)
	if b != nil && r.User == "" {
		r.User = strings.Clone(jsonscan.String(b.Get("metadata").Get("user_id")))
	}
	return r
}

// anthropicEvent reads one event of a stream: message_start, then content blocks, message_delta, message_stop.
func anthropicEvent(op Operation, a *Answer, ev Event) {
	if op.openAI() {
		openAIEvent(op, a, ev)
		return
	}
	a.finishing = a.finishing || op.finishes()
	if len(ev.Data) == 0 {
		return
	}
	root, ok := a.object(ev.Data)
	if !ok {
		return
	}
	switch jsonscan.String(root.Get("type")) {
	case "message_start":
		m := root.Get("message")
		a.identify(jsonscan.String(m.Get("id")), jsonscan.String(m.Get("model")))
		a.choice(0)
		a.made(m.Get("container.id"))
		a.anthropicUsage(m.Get("usage"))
	case "content_block_start":
		a.block(jsonscan.Count(root.Get("index")), root.Get("content_block"), false)
	case "content_block_delta":
		a.blockDelta(jsonscan.Count(root.Get("index")), root.Get("delta"))
	case "content_block_stop":
		a.blockStopped(jsonscan.Count(root.Get("index")))
	case "message_delta":
		a.stopped(root.Get("delta"))
		a.made(root.Get("delta.container.id"))
		a.anthropicUsage(root.Get("usage"))
	case "message_stop":
		a.Ended = true
	case "error":
		a.fail(root.Get("error"))
	}
}

// block reads a content block. In a stream the input of a tool is an empty object here and comes in deltas.
func (a *Answer) block(index int64, b gjson.Result, whole bool) {
	c := a.choice(0)
	switch kind := jsonscan.String(b.Get("type")); kind {
	case "text":
		a.keep(&c.text, jsonscan.String(b.Get("text")))
	case "thinking":
		a.keep(&c.reasoning, jsonscan.String(b.Get("thinking")))
	case "tool_use", "server_tool_use", "mcp_tool_use":
		t := a.call(c, callKey{index, jsonscan.String(b.Get("id")), jsonscan.String(b.Get("name"))})
		t.kind = either(t.kind, kind)
		if input := b.Get("input"); whole || len(input.Map()) > 0 {
			a.keep(&t.arguments, input.Raw)
		}
	case "fallback": // from here on another model answers, and is to be paid
		if to := jsonscan.String(b.Get("to.model")); to != "" {
			a.Model = clip(to, maxName)
		}
	case "code_execution_tool_result", "bash_code_execution_tool_result":
		b.Get("content.content").ForEach(func(_, output gjson.Result) bool {
			a.made(output.Get("file_id"))
			return true
		})
	}
}

func (a *Answer) blockDelta(index int64, d gjson.Result) {
	c := a.choice(0)
	switch jsonscan.String(d.Get("type")) {
	case "text_delta":
		a.keep(&c.text, jsonscan.String(d.Get("text")))
	case "thinking_delta":
		a.keep(&c.reasoning, jsonscan.String(d.Get("thinking")))
	case "input_json_delta":
		a.keep(&a.call(c, callKey{index: index}).arguments, jsonscan.String(d.Get("partial_json")))
	}
}

// blockStopped ends a call, whose input may have been none at all.
func (a *Answer) blockStopped(index int64) {
	for _, c := range a.choices {
		for _, t := range c.calls {
			if t.index == index && len(t.arguments) == 0 {
				a.keep(&t.arguments, "{}")
			}
		}
	}
}

func (a *Answer) stopped(v gjson.Result) {
	if s := jsonscan.String(v.Get("stop_reason")); s != "" {
		a.choice(0).finish = clip(s, maxName)
	}
}

// anthropicUsage reads usage, which is cumulative: message_start tells the input, message_delta the output so far and,
// in newer versions, the input again. What an object does not name stays as it was.
func (a *Answer) anthropicUsage(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	raw := v.Raw
	if a.Usage != nil && len(a.Usage.Raw) > 0 {
		raw = mergeObjects(string(a.Usage.Raw), v.Raw)
	}
	all := gjson.Parse(raw)
	u := Usage{
		CachedRead:  jsonscan.Count(all.Get("cache_read_input_tokens")),
		CachedWrite: jsonscan.Count(all.Get("cache_creation_input_tokens")),
		Output:      jsonscan.Count(all.Get("output_tokens")),

		CachedWriteHour: jsonscan.Count(all.Get("cache_creation.ephemeral_1h_input_tokens")),
		Reasoning:       jsonscan.Count(all.Get("output_tokens_details.thinking_tokens")),
	}
	a.tier(all.Get("service_tier"))
	u.Input = jsonscan.Count(all.Get("input_tokens")) + u.CachedRead + u.CachedWrite
	a.used(u, raw)
}

// mergeObjects lays the members of over, except null ones, above those of base.
func mergeObjects(base, over string) string {
	var n node
	for _, raw := range []string{base, over} {
		gjson.Parse(raw).ForEach(func(k, v gjson.Result) bool {
			n.member(k.Str).replace(v)
			return true
		})
	}
	n.kind = isObject
	return string(n.append(nil))
}

func anthropicBody(op Operation, a *Answer, body []byte) error {
	if op.openAI() {
		return openAIBody(op, a, body)
	}
	a.finishing = a.finishing || op.finishes()
	root, ok := a.object(body)
	if !ok {
		return fmt.Errorf("reading the answer to %s: %w", op, errNotAnAnswer)
	}
	a.fail(root.Get("error"))
	if op == Messages && a.Error == "" {
		content := root.Get("content")
		if !content.IsArray() {
			return fmt.Errorf("reading the answer to %s: %w", op, errNotAnAnswer)
		}
		a.identify(jsonscan.String(root.Get("id")), jsonscan.String(root.Get("model")))
		a.choice(0)
		for i, b := range content.Array() {
			a.block(int64(i), b, true)
		}
		a.stopped(root)
		a.made(root.Get("container.id"))
		a.anthropicUsage(root.Get("usage"))
	}
	a.Ended = true
	return nil
}
