package dialect

import (
	"bytes"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// anthropicFolding is a message in the making.
type anthropicFolding struct {
	message fields
	usage   fields // nil when the start tells none
	blocks  []*foldingBlock
	stopped bool // message_delta gave a stop reason
	done    bool // message_stop was seen
}

type foldingBlock struct {
	fields
	text      []byte // of text or thinking, between the quotes
	citations []byte // between the brackets
	input     []byte // pieces of the input's JSON text, each as it is spelled in a JSON string
	closed    bool
}

// anthropicFold joins the events of a complete stream as the official SDKs do. Blocks it does not know are kept as they
// come, whole; a delta, an event or a member of an event that it does not know, and input that is no JSON object because
// the answer was cut at its longest, leave no body.
func anthropicFold(op Operation, events []byte) ([]byte, bool) {
	if op != Messages {
		return openAIFold(op, events)
	}
	var f anthropicFolding
	whole := true
	eachEvent(events, func(_ []byte, ev Event, ok bool) bool {
		if data := bytes.TrimSpace(ev.Data); ok && len(data) > 0 {
			whole = jsonscan.Valid(data) && f.event(jsonscan.View(data))
		}
		return whole
	})
	if !whole || !f.done {
		return nil, false
	}
	content := append(make([]byte, 0, len(events)/2), '[')
	for i, b := range f.blocks {
		if i > 0 {
			content = append(content, ',')
		}
		if content, whole = b.appendTo(content); !whole {
			return nil, false
		}
	}
	f.message.set("content", jsonscan.UnsafeString(append(content, ']')))
	if f.usage != nil {
		f.message.set("usage", f.usage.String())
	}
	return f.message.appendTo(make([]byte, 0, len(content)+1<<10)), true
}

func (f *anthropicFolding) event(root gjson.Result) bool {
	e, ok := fieldsOf(root)
	if !ok || f.done {
		return false
	}
	switch e.get("type") {
	case `"ping"`:
		return true
	case `"message_start"`:
		if f.message != nil || !e.only("type", "message") {
			return false
		}
		f.message, ok = fieldsOf(gjson.Parse(e.get("message")))
		if usage := f.message.get("usage"); ok && !isAbsent(usage) {
			f.usage, ok = fieldsOf(gjson.Parse(usage))
		}
		return ok && f.message.get("content") == "[]"
	case `"content_block_start"`, `"content_block_delta"`, `"content_block_stop"`:
		return f.message != nil && !f.stopped && f.block(e)
	case `"message_delta"`:
		return f.message != nil && f.delta(e)
	case `"message_stop"`:
		f.done = f.stopped && e.only("type")
		return f.done
	}
	return false
}

// block reads an event of a content block. Blocks come one after the other.
func (f *anthropicFolding) block(e fields) (ok bool) {
	n := len(f.blocks)
	if e.get("type") == `"content_block_start"` {
		if !e.only("type", "index", "content_block") || e.get("index") != string(appendInt(nil, int64(n))) || n > 0 && !f.blocks[n-1].closed {
			return false
		}
		b := &foldingBlock{}
		b.fields, ok = fieldsOf(gjson.Parse(e.get("content_block")))
		f.blocks = append(f.blocks, b)
		return ok && f.begin(b)
	}
	if n == 0 || f.blocks[n-1].closed || e.get("index") != string(appendInt(nil, int64(n-1))) {
		return false
	}
	b := f.blocks[n-1]
	if e.get("type") == `"content_block_stop"` {
		b.closed = true
		return e.only("type", "index")
	}
	if !e.only("type", "index", "delta") {
		return false
	}
	delta, ok := fieldsOf(gjson.Parse(e.get("delta")))
	return ok && b.delta(delta)
}

// begin takes what a block has from its start on.
func (f *anthropicFolding) begin(b *foldingBlock) bool {
	switch b.get("type") {
	case `"text"`:
		return b.more(b.get("text")) && b.cited(b.get("citations"))
	case `"thinking"`:
		return b.get("thinking") == "" || b.more(b.get("thinking"))
	case `"fallback"`: // from here on another model answers, and the message is said to be its
		if to := gjson.Get(b.get("to"), "model"); to.Type == gjson.String && to.Str != "" {
			f.message.set("model", to.Raw)
		}
	}
	return true
}

func (b *foldingBlock) cited(citations string) bool {
	if isArrayText(citations) {
		b.citations = append(b.citations, inner(citations)...)
		return true
	}
	return isAbsent(citations)
}

func (b *foldingBlock) delta(d fields) bool {
	kind := b.get("type")
	switch d.get("type") {
	case `"text_delta"`:
		return kind == `"text"` && d.only("type", "text") && b.more(d.get("text"))
	case `"thinking_delta"`:
		return kind == `"thinking"` && d.only("type", "thinking", "estimated_tokens") && b.more(d.get("thinking"))
	case `"signature_delta"`: // SDKs replace what is there, so there should be nothing yet
		if had := b.get("signature"); kind != `"thinking"` || !d.only("type", "signature") || !isString(d.get("signature")) || !isAbsent(had) && had != `""` {
			return false
		}
		b.set("signature", d.get("signature"))
		return true
	case `"citations_delta"`:
		if kind != `"text"` || !d.only("type", "citation") || d.get("citation") == "" {
			return false
		}
		if len(b.citations) > 0 {
			b.citations = append(b.citations, ',')
		}
		b.citations = append(b.citations, d.get("citation")...)
		return true
	case `"input_json_delta"`:
		part := d.get("partial_json")
		if b.get("input") != "{}" || !d.only("type", "partial_json") || !isString(part) {
			return false
		}
		b.input = append(b.input, inner(part)...)
		return true
	case `"compaction_delta"`: // the final value
		if kind != `"compaction"` || !d.only("type", "content", "encrypted_content") {
			return false
		}
		for _, m := range d {
			if m.key != "type" {
				b.set(m.key, m.value)
			}
		}
		return true
	}
	return false
}

// more continues the text of a block.
func (b *foldingBlock) more(raw string) bool {
	if !isString(raw) {
		return false
	}
	b.text = append(b.text, inner(raw)...)
	return true
}

// appendTo writes the block.
func (b *foldingBlock) appendTo(dst []byte) ([]byte, bool) {
	switch b.get("type") {
	case `"text"`:
		b.set("text", `"`+jsonscan.UnsafeString(b.text)+`"`)
		if len(b.citations) > 0 {
			b.set("citations", "["+jsonscan.UnsafeString(b.citations)+"]")
		}
	case `"thinking"`:
		b.set("thinking", `"`+jsonscan.UnsafeString(b.text)+`"`)
	}
	if len(b.input) > 0 {
		input, ok := unquote(`"` + jsonscan.UnsafeString(b.input) + `"`)
		if data := []byte(input); !ok || !jsonscan.Valid(data) || !jsonscan.View(data).IsObject() {
			return nil, false
		}
		b.set("input", input)
	}
	return b.fields.appendTo(dst), b.closed
}

// delta reads a message_delta: its members replace those of the message, except that null says nothing new, and so do
// its counts, which are cumulative.
func (f *anthropicFolding) delta(e fields) bool {
	if n := len(f.blocks); n > 0 && !f.blocks[n-1].closed {
		return false
	}
	delta, ok := fieldsOf(gjson.Parse(e.get("delta")))
	if !ok {
		return false
	}
	for _, m := range e {
		if m.key != "type" && m.key != "delta" && m.key != "usage" {
			lay(&f.message, m)
		}
	}
	for _, m := range delta {
		lay(&f.message, m)
	}
	if raw := e.get("usage"); !isAbsent(raw) {
		more, ok := fieldsOf(gjson.Parse(raw))
		if !ok {
			return false
		}
		for _, m := range more {
			lay(&f.usage, m)
		}
	}
	reason := f.message.get("stop_reason")
	f.stopped = isString(reason) && reason != `""`
	return f.message.get("content") == "[]"
}

// lay puts a member above what is there; null does not hide anything.
func lay(over *fields, m fieldText) {
	if m.value != "null" || over.index(m.key) < 0 {
		over.set(m.key, m.value)
	}
}
