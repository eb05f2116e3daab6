package dialect

import (
	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// anthropicCutting is a stream in the making.
type anthropicCutting struct {
	out   []byte
	most  int    // bytes that may become of it
	index int64  // of the block at hand
	model string // that the last block of a fallback names
}

// anthropicCut cuts a message into the events that the API streams it as. Source: "Streaming Messages": message_start
// with an empty message, for each block content_block_start, its deltas and content_block_stop, then message_delta with
// what is only known at the end, and message_stop. Blocks of kinds that do not come in deltas, known or not, are whole
// in their content_block_start, as the API sends results of its own tools.
func anthropicCut(op Operation, body []byte, includeUsage bool) ([]byte, bool) {
	if op != Messages {
		return openAICut(op, body, includeUsage)
	}
	root, ok := compacted(body)
	if !ok {
		return nil, false
	}
	m, ok := fieldsOf(root)
	if !ok || m.get("type") != `"message"` || !isArrayText(m.get("content")) || len(m.get("stop_reason")) <= len(`""`) || !isString(m.get("stop_reason")) {
		return nil, false
	}
	usage, ok := fieldsOf(gjson.Parse(m.get("usage")))
	if !ok || isAbsent(usage.get("output_tokens")) {
		return nil, false
	}
	c := &anthropicCutting{out: make([]byte, 0, 8*len(body)), most: mostOut(len(body))}
	content := m.get("content")
	last := messageEnd(m, usage)
	c.event("message_start", `,"message":`+m.String())
	if !eachItem(content, c.block) || c.model != "" && c.model != m.get("model") {
		return nil, false
	}
	c.event("message_delta", last)
	c.event("message_stop", "")
	return c.out, len(c.out) <= c.most
}

// atEnd are the fields of a message that the last delta tells: inside of it, or beside it.
var (
	inMessageDelta     = []string{"stop_reason", "stop_sequence", "stop_details", "container"}
	besideMessageDelta = []string{"context_management", "input_transformations"}
)

// messageEnd takes out of a message what is only known at its end, and returns it as the members of message_delta.
// Counts are cumulative there. Those that grow with the answer begin at nothing.
func messageEnd(m, usage fields) string {
	var delta, beside, final fields
	for _, key := range inMessageDelta {
		if v := m.get(key); v != "" {
			delta.set(key, v)
			m.replace(key, "null")
		}
	}
	for _, key := range besideMessageDelta {
		if v := m.get(key); !isAbsent(v) {
			beside.set(key, v)
			m.replace(key, "null")
		}
	}
	for _, u := range usage {
		switch u.key {
		case "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens":
		case "output_tokens", "output_tokens_details", "server_tool_use", "iterations", "fallback_credit":
		default:
			continue
		}
		if u.value != "null" {
			final.set(u.key, u.value)
		}
	}
	for _, key := range []string{"output_tokens_details", "server_tool_use", "iterations", "fallback_credit"} {
		usage.replace(key, "null")
	}
	usage.replace("output_tokens", "0")
	m.replace("usage", usage.String())
	m.replace("content", "[]")
	last := `,"delta":` + delta.String() + `,"usage":` + final.String()
	for _, b := range beside {
		last += `,"` + b.key + `":` + b.value
	}
	return last
}

// block writes the events of one content block.
func (c *anthropicCutting) block(v gjson.Result) bool {
	b, ok := fieldsOf(v)
	if !ok || !isString(b.get("type")) {
		return false
	}
	var deltas func()
	switch b.get("type") {
	case `"text"`:
		text, citations := b.get("text"), b.get("citations")
		if !isString(text) || !isAbsent(citations) && !isArrayText(citations) {
			return false
		}
		b.replace("text", `""`)
		if isArrayText(citations) {
			b.replace("citations", "[]")
		}
		deltas = func() {
			c.pieces("text_delta", "text", text)
			if isArrayText(citations) {
				eachItem(citations, func(v gjson.Result) bool {
					c.delta(`{"type":"citations_delta","citation":` + v.Raw + `}`)
					return true
				})
			}
		}
	case `"thinking"`:
		thinking, signature := b.get("thinking"), b.get("signature")
		if !isString(thinking) || signature != "" && !isString(signature) {
			return false
		}
		b.replace("thinking", `""`)
		b.replace("signature", `""`)
		deltas = func() {
			c.pieces("thinking_delta", "thinking", thinking)
			if len(signature) > len(`""`) {
				c.delta(`{"type":"signature_delta","signature":` + signature + `}`)
			}
		}
	case `"tool_use"`, `"server_tool_use"`:
		input := b.get("input")
		if !isObjectText(input) {
			return false
		}
		b.replace("input", "{}")
		deltas = func() {
			c.delta(`{"type":"input_json_delta","partial_json":""}`)
			if input != "{}" {
				c.pieces("input_json_delta", "partial_json", string(jsonscan.AppendString(nil, input)))
			}
		}
	}
	if to := gjson.Get(b.get("to"), "model"); b.get("type") == `"fallback"` && to.Type == gjson.String && to.Str != "" {
		c.model = to.Raw // readers of the stream take it for that of the message from here on
	}
	at := `,"index":` + string(appendInt(nil, c.index))
	c.event("content_block_start", at+`,"content_block":`+b.String())
	if deltas != nil {
		deltas()
	}
	c.event("content_block_stop", at)
	c.index++
	return true
}

// pieces writes the deltas of a JSON string.
func (c *anthropicCutting) pieces(kind, key, raw string) {
	text := inner(raw)
	for least := pieceLength(len(text)); text != ""; {
		n := piece(text, least)
		c.delta(`{"type":"` + kind + `","` + key + `":"` + text[:n] + `"}`)
		text = text[n:]
	}
}

func (c *anthropicCutting) delta(delta string) {
	c.event("content_block_delta", `,"index":`+string(appendInt(nil, c.index))+`,"delta":`+delta)
}

func (c *anthropicCutting) event(name, members string) {
	if len(c.out) > c.most {
		return
	}
	c.out = append(append(append(c.out, "event: "...), name...), "\ndata: {\"type\":\""...)
	c.out = append(append(append(append(c.out, name...), '"'), members...), "}\n\n"...)
}
