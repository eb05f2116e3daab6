package chatlog

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// dialogue is a conversation of any API as messages of chat completions. Its
// zero value is an empty one; items of the other APIs are added in order.
type dialogue struct {
	messages []message
	foreign  []string // types of what chat completions have no form for
	calls    int      // so far
}

// message is a message of chat completions, with what the other APIs have
// beside it.
type message struct {
	role      string
	raw       string // the message as it was sent, if nothing of it is read
	parts     []part
	reasoning string
	calls     []toolCall
	answers   string // the id of the call whose output it is
	failed    bool   // the output reports an error
	foreign   string // type of an item that chat completions have no form for
	item      string // that item, JSON
}

// part is a part of a content: text, or JSON as in chat completions.
type part struct{ text, raw string }

// toolCall is a call of a tool.
type toolCall struct {
	id, name, arguments string
	custom              bool // its arguments are free text, and not JSON
	open                bool // its output has not come yet
}

// add appends a message, and leaves out one without anything in it.
func (d *dialogue) add(m message) {
	if !m.empty() {
		d.messages = append(d.messages, m)
	}
}

// empty reports whether a message has nothing in it.
func (m message) empty() bool {
	return m.raw == "" && m.foreign == "" && len(m.parts)+len(m.calls) == 0 && m.answers == "" && m.reasoning == ""
}

// assistant returns the message of the assistant that goes on, or a new one:
// the Responses API has an item for each part of what is one message here.
func (d *dialogue) assistant() *message {
	if n := len(d.messages); n > 0 {
		if last := &d.messages[n-1]; last.role == "assistant" && last.raw == "" && last.foreign == "" {
			return last
		}
	}
	d.messages = append(d.messages, message{role: "assistant"})
	return &d.messages[len(d.messages)-1]
}

// answer appends parts and calls to the message of the assistant that goes on.
// Text behind text is another message.
func (d *dialogue) answer(m message) {
	last := d.assistant()
	if len(m.parts) > 0 && len(last.parts) > 0 && len(last.calls) == 0 {
		d.messages = append(d.messages, message{role: "assistant"})
		last = d.assistant()
	}
	last.parts = append(last.parts, m.parts...)
	last.calls = append(last.calls, m.calls...)
	if last.reasoning != "" && m.reasoning != "" {
		last.reasoning += "\n"
	}
	last.reasoning += m.reasoning
}

// alien appends an item that chat completions have no form for.
func (d *dialogue) alien(kind string, item gjson.Result) {
	d.foreign = append(d.foreign, kind)
	d.add(message{role: "assistant", foreign: kind, item: item.Raw})
}

// call returns a call of a tool with an id, its own or its number.
func (d *dialogue) call(id, name, arguments string) toolCall {
	d.calls++
	if id == "" {
		id = "call_" + strconv.Itoa(d.calls)
	}
	return toolCall{id: id, name: name, arguments: arguments, open: true}
}

// callOf returns the id of the call whose output has a name and perhaps an id:
// the one with the id, else the first of the tool that has no output yet, for
// calls may have none.
func (d *dialogue) callOf(name, id string) string {
	var found *toolCall
	for i := range d.messages {
		for j := range d.messages[i].calls {
			c := &d.messages[i].calls[j]
			if c.open && ((id != "" && c.id == id) || (found == nil && c.name == name)) {
				found = c
			}
		}
	}
	if found == nil {
		return nameOf(id)
	}
	found.open = false
	return found.id
}

// text returns what a message has of text.
func (m message) text() string {
	var texts []string
	for _, p := range m.parts {
		if p.raw == "" {
			texts = append(texts, p.text)
		}
	}
	return strings.Join(texts, "\n")
}

// append appends a message as chat completions have it. A training set has only
// what OpenAI's fine-tuning knows: it has functions alone, and a custom tool is
// one with the argument input.
func (m message) append(dst []byte, l layout, training bool) []byte {
	if m.raw != "" {
		return append(dst, m.raw...)
	}
	o := newObject(dst, l)
	o.text("role", m.role)
	o.key("content")
	o.dst = m.content(o.dst, o.layout)
	if m.reasoning != "" && !training {
		o.text("reasoning", m.reasoning)
	}
	if m.answers != "" {
		o.text("tool_call_id", m.answers)
	}
	if m.failed && !training {
		o.bool("is_error", true)
	}
	if len(m.calls) > 0 {
		o.key("tool_calls")
		list := newArray(o.dst, o.layout)
		for _, c := range m.calls {
			list.next()
			list.dst = c.append(list.dst, list.layout, training)
		}
		o.dst = list.end()
	}
	if m.foreign != "" && !training {
		o.raw(m.foreign, m.item)
	}
	return o.end()
}

// content appends what a message contains: text alone as a string.
func (m message) content(dst []byte, l layout) []byte {
	whole := len(m.parts) > 0 && (len(m.parts) == 1 || m.role != "user")
	for _, p := range m.parts {
		whole = whole && p.raw == ""
	}
	o := newArray(dst, l)
	switch {
	case len(m.parts) == 0:
		return append(dst, "null"...)
	case whole:
		return appendValue(dst, gjson.Result{Type: gjson.String, Str: m.text()}, l)
	}
	for _, p := range m.parts {
		o.next()
		if p.raw != "" {
			o.dst = append(o.dst, p.raw...)
			continue
		}
		text := newObject(o.dst, o.layout)
		text.text("type", "text")
		text.text("text", p.text)
		o.dst = text.end()
	}
	return o.end()
}

// append appends a call as chat completions have it.
func (c toolCall) append(dst []byte, l layout, training bool) []byte {
	o := newObject(dst, l)
	o.text("id", c.id)
	kind, input := "function", "arguments"
	arguments := c.arguments
	switch {
	case c.custom && training:
		arguments = inputOf(arguments)
	case c.custom:
		kind, input = "custom", "input"
	}
	o.text("type", kind)
	o.key(kind)
	f := newObject(o.dst, o.layout)
	f.text("name", c.name)
	f.text(input, arguments)
	o.dst = f.end()
	return o.end()
}

// inputOf returns the arguments of a function in place of a custom tool.
func inputOf(text string) string {
	o := newObject(nil, layout{})
	o.text("input", text)
	return string(o.end())
}
