package openai

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// padding is random text against readers of the encrypted line, and a count
// (API reference, "stream_options.include_obfuscation" and "Streaming events").
var padding = []dialect.Padding{{Before: `"obfuscation":"`}, {Before: `"sequence_number":`, Number: true}}

// A reader writes what it reads into an Answer.
type reader struct{ *dialect.Answer }

// readEvent reads one chunk of a stream. Sources: API reference, "The chat
// completion chunk object" and "Streaming events"; what other servers do
// otherwise is noted where it is handled.
func readEvent(op dialect.Operation, a *dialect.Answer, ev framing.Event) {
	a.Expect(op)
	data := bytes.TrimSpace(ev.Data)
	switch {
	case len(data) == 0: // a keep-alive of some servers
		return
	case string(data) == "[DONE]":
		a.Ended = true
		return
	}
	root, ok := a.Object(data)
	switch {
	case !ok:
	case op == dialect.Responses:
		reader{a}.responseEvent(root)
	case op == dialect.Realtime:
		reader{a}.realtimeEvent(root)
	case op == dialect.Audio && root.Get("transcript").Exists():
		reader{a}.inputTranscript(root)
	case op == dialect.Speech || op == dialect.Audio || op == dialect.Image || op == dialect.ImageEdit:
		reader{a}.mediaEvent(root)
	default:
		reader{a}.chunk(root)
	}
}

// readBody reads a whole body.
func readBody(op dialect.Operation, a *dialect.Answer, body []byte) error {
	a.Expect(op)
	switch op {
	case dialect.Speech, dialect.Models, dialect.Other:
		a.Ended = true // nothing in there that the gateway reads
		return nil
	case dialect.Audio:
		reader{a}.transcript(body)
		return nil
	}
	root, ok := a.Object(body)
	if !ok {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	choices := false
	switch op {
	case dialect.Responses:
		reader{a}.response(root)
	case dialect.Image, dialect.ImageEdit:
		reader{a}.chunk(root)
		reader{a}.images(root)
	default:
		choices = reader{a}.chunk(root)
	}
	if a.Error == "" && !answers(op, root, choices) {
		return fmt.Errorf("reading the answer to %s: %w", op, dialect.ErrNotAnAnswer)
	}
	a.Ended = true
	return nil
}

// answers reports whether a body has the member without which it is no answer
// to the operation.
func answers(op dialect.Operation, root gjson.Result, choices bool) bool {
	switch op {
	case dialect.Chat, dialect.Completion:
		return choices
	case dialect.Embedding, dialect.Image, dialect.ImageEdit:
		return root.Get("data.0").Exists()
	case dialect.Moderation:
		return root.Get("results").IsArray()
	case dialect.Responses:
		return root.Get("output").IsArray()
	}
	return true
}

// transcript reads the answer to an audio file: JSON, or the text itself when
// text, srt or vtt was asked for.
func (a reader) transcript(body []byte) {
	a.Ended = true
	if !jsonscan.Valid(body) || !jsonscan.View(body).IsObject() {
		a.Draft(0).AddText(jsonscan.UnsafeString(body))
		return
	}
	root := jsonscan.View(body)
	a.Draft(0).AddText(jsonscan.String(root.Get("text")))
	a.Fail(root.Get("error"))
	a.Identify("", jsonscan.String(root.Get("model")))
	a.TakeUsage(root.Get("usage"))
	if a.Usage == nil {
		a.duration(root.Get("duration"))
	}
}

// duration takes the length of the sound that verbose transcripts state, as a
// number or as text, where they have no usage.
func (a reader) duration(v gjson.Result) {
	seconds, err := strconv.ParseFloat(v.String(), 64)
	if err == nil && seconds > 0 && seconds < 1e9 {
		a.SetUsage(dialect.Usage{Seconds: seconds}, "")
	}
}

// chunk reads a chat or completion chunk, or a whole body, which differs in
// "message" for "delta", and reports whether it has choices.
func (a reader) chunk(root gjson.Result) (choices bool) {
	for p := jsonscan.WalkValue(root); p.Next(); {
		switch p.Key {
		case "id":
			a.Identify(jsonscan.String(p.Value()), "")
		case "model":
			a.Identify("", jsonscan.String(p.Value()))
		case "choices":
			choices = p.First() == '['
			a.readChoices(&p)
		case "usage":
			a.TakeUsage(p.Value())
		case "service_tier":
			a.SetTier(p.Value())
		case "error":
			a.Fail(p.Value())
		}
	}
	return choices
}

// each calls f for the items of an array, and for anything else as if it were
// the only one.
func each(v gjson.Result, f func(item gjson.Result, position int64)) {
	if !v.IsArray() {
		if v.Type != gjson.Null {
			f(v, 0)
		}
		return
	}
	position := int64(0)
	for p := jsonscan.WalkValue(v); p.Next(); position++ {
		f(p.Value(), position)
	}
}

func (a reader) readChoices(p *jsonscan.Walker) {
	if p.First() == '{' {
		a.readChoice(p, 0)
		return
	}
	choices := p.Enter()
	for position := int64(0); choices.Next(); position++ {
		if choices.First() == '{' {
			a.readChoice(&choices, position)
		}
	}
	p.Leave(&choices)
}

func (a reader) readChoice(of *jsonscan.Walker, position int64) {
	c := a.Draft(indexOf(of.Enter(), position))
	p := of.Enter()
	for p.Next() {
		switch p.Key {
		case "delta":
			a.readMessage(c, &p, false)
		case "message":
			a.readMessage(c, &p, true)
		case "text":
			c.AddText(a.textOf(&p))
		case "finish_reason":
			c.SetFinish(jsonscan.String(p.Value()))
		case "usage": // Moonshot sends usage of streams here
			a.TakeUsage(p.Value())
		}
	}
	of.Leave(&p)
}

// textOf is the string that a part is, if its text is wanted.
func (a reader) textOf(p *jsonscan.Walker) string {
	if a.NoText || p.First() != '"' {
		return ""
	}
	return jsonscan.String(p.Value())
}

// indexOf is the member "index", or the position in its list.
func indexOf(p jsonscan.Walker, position int64) int64 {
	for p.Next() {
		if p.Key == "index" {
			if i := p.Value(); i.Type == gjson.Number {
				position = jsonscan.Count(i)
			}
			break
		}
	}
	return position
}

func (a reader) readMessage(c *dialect.Draft, of *jsonscan.Walker, whole bool) {
	if of.First() != '{' {
		return
	}
	p := of.Enter()
	for p.Next() {
		switch p.Key {
		case "content":
			if p.First() == '[' {
				a.content(c, p.Value())
			} else {
				c.AddText(a.textOf(&p))
			}
		case "refusal":
			c.AddRefusal(a.textOf(&p))
		case "reasoning_content": // DeepSeek's name; vLLM and OpenRouter write reasoning, and some servers send both
			c.AddReasoning("reasoning_content", a.textOf(&p))
		case "reasoning":
			c.AddReasoning("reasoning", a.textOf(&p))
		case "tool_calls":
			a.readCalls(c, p.Value(), whole)
		case "function_call":
			a.readFunctionCall(c, p.Value())
		case "audio":
			if p.First() == '{' {
				a.readAudio(c, p.Value())
			}
		}
	}
	of.Leave(&p)
}

func (a reader) readCalls(c *dialect.Draft, v gjson.Result, whole bool) {
	each(v, func(t gjson.Result, position int64) { a.readCall(c, t, whole, position) })
}

// readFunctionCall reads OpenAI's form of calls before tools.
func (a reader) readFunctionCall(c *dialect.Draft, v gjson.Result) {
	if v.IsObject() {
		t := c.Call(dialect.CallKey{Name: jsonscan.String(v.Get("name"))})
		t.SetType("function_call")
		t.AddArguments(argumentsOf(v.Get("arguments")))
	}
}

func (a reader) readAudio(c *dialect.Draft, v gjson.Result) {
	c.AddText(jsonscan.String(v.Get("transcript")))
	a.AddState(v.Get("id")) // by which the next request refers to the sound
}

// content reads text, or parts of text and thought as Mistral sends them.
func (a reader) content(c *dialect.Draft, v gjson.Result) {
	if !v.IsArray() {
		return
	}
	v.ForEach(func(_, part gjson.Result) bool {
		c.AddText(jsonscan.String(part.Get("text")))
		part.Get("thinking").ForEach(func(_, thought gjson.Result) bool {
			c.AddReasoning("", jsonscan.String(thought.Get("text")))
			return true
		})
		return true
	})
}

func (a reader) readCall(c *dialect.Draft, v gjson.Result, whole bool, position int64) {
	if !v.IsObject() {
		return
	}
	index := int64(-1)
	if i := v.Get("index"); i.Type == gjson.Number {
		index = jsonscan.Count(i)
	} else if whole {
		index = position
	}
	f, input := v.Get("function"), "arguments"
	if custom := v.Get("custom"); custom.Exists() {
		f, input = custom, "input"
	}
	t := c.Call(dialect.CallKey{Index: index, ID: jsonscan.String(v.Get("id")), Name: jsonscan.String(f.Get("name"))})
	t.SetType(jsonscan.String(v.Get("type")))
	t.AddArguments(argumentsOf(f.Get(input)))
}

// argumentsOf returns the arguments of a call, which some servers send as an
// object and not as text.
func argumentsOf(v gjson.Result) string {
	if v.IsObject() {
		return v.Raw
	}
	return jsonscan.String(v)
}
