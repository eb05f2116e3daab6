package chatlog

import (
	"strconv"
	"time"

	"forward/internal/dialect"
)

// result makes the line of a result: the fields of openai-forward, then how the
// request ended, then what not every answer has.
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
	e.answer(&o, r.Operation, a.Model, c)
	o.text("uid", r.UID)
	if r.Session != "" {
		o.text("session", e.name(r.Session))
	}
	o.int("status", r.Status)
	if r.Operation != dialect.Embedding && r.Operation != dialect.Speech && r.Operation != dialect.Audio {
		e.reason(&o, c.Finish)
	}
	e.usage(&o, a.Usage)
	o.textOrNull("cache", r.Cache)
	milliseconds(&o, "ms", r.Elapsed)
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

// answer appends the answer of the first choice, in the form of the operation.
func (e *encoder) answer(o *object, op dialect.Operation, model string, c dialect.Choice) {
	switch op {
	case dialect.Embedding:
		o.text("object", "list")
		o.text("model", e.name(model))
	case dialect.Speech: // sound, which is not kept
	case dialect.Completion, dialect.Audio:
		o.key("text")
		o.dst = e.choiceText(o.dst, c)
	default:
		e.assistant(o, c)
	}
}

// assistant appends the answer of a model: text, or the list of tool calls, or
// null.
func (e *encoder) assistant(o *object, c dialect.Choice) {
	o.key("assistant")
	if len(c.ToolCalls) > 0 && !e.meta {
		o.dst = e.calls(o.dst, c.ToolCalls)
	} else {
		o.dst = e.choiceText(o.dst, c)
	}
	o.bool("is_tool_calls", len(c.ToolCalls) > 0)
}

// choiceText appends the text of a choice, or null.
func (e *encoder) choiceText(dst []byte, c dialect.Choice) []byte {
	if c.Text == "" || e.meta {
		return append(dst, "null"...)
	}
	return e.text(dst, c.Text)
}

// calls appends tool calls in the form that they have in a message.
func (e *encoder) calls(dst []byte, calls []dialect.ToolCall) []byte {
	list := object{dst: dst, open: '['}
	for _, t := range calls {
		list.next()
		o := object{dst: list.dst, open: '{'}
		if t.ID != "" {
			o.text("id", e.clean(t.ID))
		}
		kind := t.Type
		if kind == "" {
			kind = "function"
		}
		inside := "function"
		arguments := "arguments"
		if kind == "custom" {
			inside = "custom"
			arguments = "input"
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

// reason appends why an answer ended.
func (e *encoder) reason(o *object, finish string) {
	if finish != "" {
		finish = e.name(finish)
	}
	o.textOrNull("finish_reason", finish)
}

// usage appends the usage object of a provider, which may contain any JSON.
func (e *encoder) usage(o *object, u *dialect.Usage) {
	switch {
	case u == nil || len(u.Raw) == 0:
		o.raw("usage", "null")
	case e.meta || e.redacted:
		o.raw("usage", string(e.redactor.Figures(u.Raw)))
	default:
		o.key("usage")
		o.dst = e.json(o.dst, string(u.Raw))
	}
}

// accounts appends what the ledger knows of the request.
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
	if r.ListPrice != "" {
		o.text("list_price", r.ListPrice)
	}
	if r.Queued > 0 {
		milliseconds(o, "queue_ms", r.Queued)
	}
	if r.First > 0 {
		milliseconds(o, "first_ms", r.First)
	}
}

// milliseconds appends a duration, exact to the microsecond.
func milliseconds(o *object, name string, d time.Duration) {
	o.key(name)
	o.dst = strconv.AppendFloat(o.dst, float64(d.Microseconds())/1000, 'f', -1, 64)
}

// particulars appends what only some choices have: text beside tool calls, a
// refusal, reasoning. A meta log has the length of all together.
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

// choices appends all choices of an answer with several, the first included.
func (e *encoder) choices(o *object, choices []dialect.Choice, op dialect.Operation) {
	o.key("choices")
	list := object{dst: o.dst, open: '['}
	for _, c := range choices {
		list.next()
		one := object{dst: list.dst, open: '{'}
		if op == dialect.Completion {
			one.key("text")
			one.dst = e.choiceText(one.dst, c)
		} else {
			e.assistant(&one, c)
		}
		e.reason(&one, c.Finish)
		e.particulars(&one, c)
		list.dst = one.end()
	}
	o.dst = list.end()
}
