package ollama

import (
	"cmp"
	"fmt"

	"github.com/tidwall/gjson"

	"forward/internal/convert"
	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// readEvent reads a line of a stream. The last one is marked, and has the
// reason and the usage.
func readEvent(op dialect.Operation, a *dialect.Answer, ev framing.Event) {
	a.Expect(op)
	if root, ok := a.Object(ev.Data); ok {
		read(a, root)
		a.Ended = a.Ended || root.Get("done").Bool()
	}
}

// readBody reads a body: the object that the lines of a stream add up to, or
// vectors.
func readBody(op dialect.Operation, a *dialect.Answer, body []byte) error {
	a.Expect(op)
	if op == dialect.Models || op == dialect.Other {
		a.Ended = true // nothing in it is read
		return nil
	}
	root, ok := a.Object(body)
	if !ok {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	read(a, root)
	answered := root.Get("done").Bool()
	if op.Embeds() {
		answered = root.Get("embeddings").IsArray() || root.Get("embedding").IsArray()
	}
	if !answered && a.Error == "" {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	a.Ended = true
	return nil
}

// read reads a line or a body. A chat has its text in a message, a completion
// beside the rest. Calls of tools are whole, and their arguments an object.
func read(a *dialect.Answer, root gjson.Result) {
	a.Identify("", jsonscan.String(root.Get("model")))
	a.Fail(root.Get("error"))
	message := root.Get("message")
	if message.Exists() || root.Get("response").Exists() {
		c := a.Draft(0)
		c.AddReasoning("thinking", jsonscan.String(root.Get("thinking")))
		c.AddReasoning("thinking", jsonscan.String(message.Get("thinking")))
		c.AddText(jsonscan.String(root.Get("response")))
		c.AddText(jsonscan.String(message.Get("content")))
		message.Get("tool_calls").ForEach(func(_, call gjson.Result) bool {
			f := call.Get("function")
			t := c.NewCall(jsonscan.String(call.Get("id")), jsonscan.String(f.Get("name")))
			t.SetType("function")
			t.AddArguments(f.Get("arguments").Raw)
			return true
		})
		if root.Get("done").Bool() {
			c.SetFinish(cmp.Or(jsonscan.String(root.Get("done_reason")), "stop")) // older servers send no reason
		}
	}
	a.SearchUsage(root) // the last line has it; some servers leave out the count of a prompt that was evaluated before
}

// forms are the two forms of an answer: lines, and the object that they add up
// to.
var forms = convert.Forms{
	dialect.Chat:       form(convert.Field{Name: "message", Rule: convert.Nested, Shape: message}),
	dialect.Completion: form(convert.Field{Name: "response", Rule: convert.Text}, convert.Field{Name: "thinking", Rule: convert.Text}),
}

var message = &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
	{Name: "role", Rule: convert.First},
	{Name: "content", Rule: convert.Text},
	{Name: "thinking", Rule: convert.Text},
	{Name: "tool_calls", Rule: convert.List},
}}

// form returns the form of an answer with its text in the given fields.
func form(text ...convert.Field) *convert.Form {
	return &convert.Form{
		Framing: framing.Lines,
		Body: &convert.Shape{Rest: convert.Last, Fields: append(text,
			convert.Field{Name: "model", Rule: convert.First},
			convert.Field{Name: "error", Rule: convert.Refuse},
		)},
		Complete: func(body gjson.Result) bool { return body.Get("done").Bool() },
	}
}
