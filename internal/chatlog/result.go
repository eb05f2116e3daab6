package chatlog

import (
	"strconv"
	"time"

	"forward/internal/dialect"
)

// result makes the line of a result: what openai-forward wrote, then how it went, then what not every answer has.
func (e *encoder) result(r Result) []byte {
	a := r.Answer
	if a == nil {
		a = &dialect.Answer{}
	}
	choices := a.Choices()
	var c dialect.Choice
	if len(choices) > 0 {
		c = choices[0]
	}
	o := object{dst: make([]byte, 0, 512+len(c.Text)+len(c.Reasoning)), open: '{'}
	switch r.Operation {
	case dialect.Embedding:
		o.text("object", "list")
		o.text("model", e.name(a.Model))
	case dialect.Speech: // sound, which is not kept
	case dialect.Completion, dialect.Audio:
		o.key("text")
		o.dst = e.said(o.dst, c)
	default:
		e.assistant(&o, c)
	}
	o.text("uid", r.UID)
	o.int("status", r.Status)
	if r.Operation != dialect.Embedding && r.Operation != dialect.Speech && r.Operation != dialect.Audio {
		e.reason(&o, c.Finish)
	}
	o.key("usage")
	if a.Usage != nil && len(a.Usage.Raw) > 0 {
		o.dst = e.usage(o.dst, a.Usage.Raw)
	} else {
		o.dst = append(o.dst, "null"...)
	}
	o.textOrNull("cache", r.Cache)
	o.key("ms")
	o.dst = strconv.AppendFloat(o.dst, float64(r.Elapsed.Microseconds())/1000, 'f', -1, 64)
	e.accounts(&o, r)
	o.bool("complete", r.Complete)
	if r.Cause != "" {
		o.text("cause", r.Cause)
	}
	if len(choices) > 0 {
		e.particulars(&o, c)
	}
	if len(choices) > 1 {
		e.choices(&o, choices, r.Operation)
	}
	if a.Error != "" && !e.meta {
		o.key("error")
		o.dst = e.text(o.dst, a.Error)
	}
	if a.Truncated {
		o.bool("truncated", true)
	}
	return finish(o.end())
}

// accounts appends what the ledger knows, as far as there is something to know.
func (e *encoder) accounts(o *object, r Result) {
	if r.Key != "" {
		o.text("key", r.Key)
	}
	if r.User != "" {
		o.text("user", e.name(r.User))
	}
	if r.Cost != "" {
		o.text("cost", r.Cost)
	}
	for _, t := range []struct {
		name string
		time time.Duration
	}{{"queue_ms", r.Queued}, {"first_ms", r.First}} {
		if t.time > 0 {
			o.key(t.name)
			o.dst = strconv.AppendFloat(o.dst, float64(t.time.Microseconds())/1000, 'f', -1, 64)
		}
	}
}

// reason appends why an answer ended.
func (e *encoder) reason(o *object, finish string) {
	if finish != "" {
		finish = e.name(finish)
	}
	o.textOrNull("finish_reason", finish)
}

// usage appends the usage object of a provider, who may write into it what he likes.
func (e *encoder) usage(dst []byte, raw []byte) []byte {
	if e.meta || e.redacted {
		return append(dst, e.redactor.Figures(raw)...)
	}
	return e.json(dst, string(raw))
}

// assistant appends what the model said: text, or the list of tool calls, or null.
func (e *encoder) assistant(o *object, c dialect.Choice) {
	o.key("assistant")
	if len(c.ToolCalls) > 0 && !e.meta {
		o.dst = e.calls(o.dst, c.ToolCalls)
	} else {
		o.dst = e.said(o.dst, c)
	}
	o.bool("is_tool_calls", len(c.ToolCalls) > 0)
}

// said appends the text of a choice, or null.
func (e *encoder) said(dst []byte, c dialect.Choice) []byte {
	if c.Text == "" || e.meta {
		return append(dst, "null"...)
	}
	return e.text(dst, c.Text)
}

// calls appends tool calls as the API has them in a message.
func (e *encoder) calls(dst []byte, calls []dialect.ToolCall) []byte {
	list := object{dst: dst, open: '['}
	for _, t := range calls {
		list.next()
		o := object{dst: list.dst, open: '{'}
		if t.ID != "" {
			o.text("id", e.clean(t.ID))
		}
		kind, inside, arguments := t.Type, "function", "arguments"
		switch t.Type {
		case "":
			kind = "function"
		case "custom":
			inside, arguments = "custom", "input"
		}
		o.text("type", e.clean(kind))
		o.key(inside)
		f := object{dst: o.dst, open: '{'}
		f.text("name", e.clean(t.Name))
		f.key(arguments)
		f.dst = e.text(f.dst, t.Arguments)
		o.dst = f.end()
		list.dst = o.end()
	}
	return list.end()
}

// particulars appends what only some choices have: text beside of tool calls, a refusal, reasoning. A meta log tells the
// length of all together.
func (e *encoder) particulars(o *object, c dialect.Choice) {
	if e.meta {
		n := len(c.Text) + len(c.Refusal) + len(c.Reasoning)
		for _, t := range c.ToolCalls {
			n += len(t.Arguments)
		}
		o.int("assistant_bytes", n)
		return
	}
	if c.Text != "" && len(c.ToolCalls) > 0 {
		o.key("content")
		o.dst = e.text(o.dst, c.Text)
	}
	if c.Refusal != "" {
		o.key("refusal")
		o.dst = e.text(o.dst, c.Refusal)
	}
	if c.Reasoning != "" {
		o.key("reasoning")
		o.dst = e.text(o.dst, c.Reasoning)
	}
}

// choices appends all alternatives of an answer that has several, the first as well.
func (e *encoder) choices(o *object, choices []dialect.Choice, op dialect.Operation) {
	o.key("choices")
	list := object{dst: o.dst, open: '['}
	for _, c := range choices {
		list.next()
		one := object{dst: list.dst, open: '{'}
		if op == dialect.Completion {
			one.key("text")
			one.dst = e.said(one.dst, c)
		} else {
			e.assistant(&one, c)
		}
		e.reason(&one, c.Finish)
		e.particulars(&one, c)
		list.dst = one.end()
	}
	o.dst = list.end()
}
