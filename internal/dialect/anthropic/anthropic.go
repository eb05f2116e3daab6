// Package anthropic is the protocol of api.anthropic.com. What is OpenAI's
// there, /v1/chat/completions, is read by package openai.
package anthropic

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// Dialect is the protocol of api.anthropic.com. Source:
// https://docs.anthropic.com/en/api, "Messages", "Streaming Messages",
// "Errors"; /v1/chat/completions there speaks OpenAI's.
var Dialect = &dialect.Dialect{
	Name:            "anthropic",
	RequestIDHeader: "Request-Id",
	SetCredential:   func(h http.Header, key string) { h.Set("X-Api-Key", key) },
	VersionHeaders:  []string{"Anthropic-Version", "Anthropic-Beta"},
	TransportFields: openai.Dialect.TransportFields,
	Paths:           paths,
	Request:         readRequest,
	PlainForm:       dialect.SamePath,
	Event:           readEvent,
	Body:            readBody,
	Fold:            forms.Fold,
	Cut:             forms.Cut,
	WithUsage:       forms.WithUsage,
	Errors:          dialect.Errors{Body: writeError, Event: writeErrorEvent, Header: setErrorHeader, Status: status},
	Objects:         &objects,
	Results:         &dialect.Results{Line: readResult},
	// https://docs.anthropic.com/en/api/openai-sdk
	Compatible: &dialect.Compatible{Dialect: openai.Dialect, Base: "/v1", Operations: []dialect.Operation{dialect.Chat}},
	Provider: dialect.Provider{
		MaxBody:   32 << 20, // https://docs.anthropic.com/en/api/overview, "Request size limits"
		BaseURL:   "https://api.anthropic.com",
		Hosts:     []string{"anthropic.com"},
		Words:     []string{"anthropic", "claude"},
		Models:    "claude-*",
		Lists:     &lists,
		Marks:     dialect.Marks{Header: "Anthropic-Version", Slot: "X-Api-Key"},
		Beside:    true,                                          // https://docs.vllm.ai, "Anthropic Messages API"; https://openrouter.ai/docs; Ollama, LM Studio
		Addresses: []string{"results_url", "data.#.results_url"}, // of batches; the SDKs send their key there
	},
}

func readRequest(op dialect.Operation, path, rawQuery string, b *dialect.Body) dialect.Request {
	r := openai.Dialect.Request(op, path, rawQuery, b)
	if b != nil && r.User == "" {
		r.User = strings.Clone(jsonscan.String(b.Get("metadata").Get("user_id")))
	}
	if b != nil && op == dialect.Messages {
		r.Terms.Speed = dialect.Word(b.Get("speed"), "")
		r.Terms.Geo = dialect.Word(b.Get("inference_geo"), "")
	}
	return r
}

// A reader writes what it reads into an Answer.
type reader struct{ *dialect.Answer }

// readEvent reads one event of a stream: message_start, then content blocks,
// message_delta, message_stop.
func readEvent(op dialect.Operation, a *dialect.Answer, ev framing.Event) {
	if op.OpenAI() {
		openai.Dialect.Event(op, a, ev)
		return
	}
	a.Expect(op)
	if len(ev.Data) == 0 {
		return
	}
	root, ok := a.Object(ev.Data)
	if !ok {
		return
	}
	r := reader{a}
	switch jsonscan.String(root.Get("type")) {
	case "message_start":
		m := root.Get("message")
		a.Identify(jsonscan.String(m.Get("id")), jsonscan.String(m.Get("model")))
		a.Draft(0)
		a.AddState(m.Get("container.id"))
		a.MergeUsage(m.Get("usage"))
		if a.Usage != nil {
			a.Usage.Early = true
		}
	case "content_block_start":
		r.block(jsonscan.Count(root.Get("index")), root.Get("content_block"), false)
	case "content_block_delta":
		r.blockDelta(jsonscan.Count(root.Get("index")), root.Get("delta"))
	case "content_block_stop":
		a.EndCall(jsonscan.Count(root.Get("index")), "{}") // the input may have been none at all
	case "message_delta":
		r.stopped(root.Get("delta"))
		a.AddState(root.Get("delta.container.id"))
		a.MergeUsage(root.Get("usage"))
	case "message_stop":
		a.Ended = true
	case "error":
		a.Fail(root.Get("error"))
	}
}

// block reads a content block. In a stream the input of a tool is an empty
// object here and comes in deltas.
func (a reader) block(index int64, b gjson.Result, whole bool) {
	c := a.Draft(0)
	switch kind := jsonscan.String(b.Get("type")); kind {
	case "text":
		c.AddText(jsonscan.String(b.Get("text")))
	case "thinking":
		c.AddReasoning("", jsonscan.String(b.Get("thinking")))
	case "tool_use", "server_tool_use", "mcp_tool_use":
		t := c.Call(dialect.CallKey{Index: index, ID: jsonscan.String(b.Get("id")), Name: jsonscan.String(b.Get("name"))})
		t.SetType(kind)
		if input := b.Get("input"); whole || len(input.Map()) > 0 {
			t.AddArguments(input.Raw)
		}
	case "fallback": // from here on another model answers, and is to be paid
		a.SetModel(jsonscan.String(b.Get("to.model")))
	case "code_execution_tool_result", "bash_code_execution_tool_result":
		b.Get("content.content").ForEach(func(_, output gjson.Result) bool {
			a.AddState(output.Get("file_id"))
			return true
		})
	}
}

func (a reader) blockDelta(index int64, d gjson.Result) {
	c := a.Draft(0)
	switch jsonscan.String(d.Get("type")) {
	case "text_delta":
		c.AddText(jsonscan.String(d.Get("text")))
	case "thinking_delta":
		c.AddReasoning("", jsonscan.String(d.Get("thinking")))
	case "input_json_delta":
		c.Call(dialect.CallKey{Index: index}).AddArguments(jsonscan.String(d.Get("partial_json")))
	}
}

func (a reader) stopped(v gjson.Result) {
	if s := jsonscan.String(v.Get("stop_reason")); s != "" {
		a.Draft(0).SetFinish(s)
	}
}

func readBody(op dialect.Operation, a *dialect.Answer, body []byte) error {
	if op.OpenAI() {
		return openai.Dialect.Body(op, a, body)
	}
	a.Expect(op)
	root, ok := a.Object(body)
	if !ok {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	a.Fail(root.Get("error"))
	if op == dialect.Messages && a.Error == "" {
		r := reader{a}
		content := root.Get("content")
		if !content.IsArray() {
			return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
		}
		a.Identify(jsonscan.String(root.Get("id")), jsonscan.String(root.Get("model")))
		a.Draft(0)
		for i, b := range content.Array() {
			r.block(int64(i), b, true)
		}
		r.stopped(root)
		a.AddState(root.Get("container.id"))
		a.MergeUsage(root.Get("usage"))
	}
	a.Ended = true
	return nil
}

// objects are what the provider keeps. Source: API reference, "Files", "Message
// Batches", "Skills", "Code execution tool" and the official SDK's beta
// resources.
var objects = dialect.Objects{
	Collections: []string{"files", "batches", "skills", "agents", "sessions", "environments", "deployments", "deployment_runs",
		"memory_stores", "vaults", "dreams", "threads"},
	Named: dialect.Set("file_id", "container", "skill_id", "agent", "agent_id", "environment_id", "session_id", "vault_ids",
		"memory_store_id"),
	Marks: []string{"file_id", "skill_id", `"container"`},
	Made:  dialect.Set("id"),
	Lists: []string{"data"},
}
