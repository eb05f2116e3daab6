package anthropic

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/convert"
	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/jsonscan"
)

// forms are the two forms of Anthropic's answers, and of those to OpenAI's
// paths.
var forms = openai.Forms.With(dialect.Messages, messageForm)

// messageForm is the form of a message. Source: "Streaming Messages". The
// official SDKs join a stream in the same way; but an event, a delta or a
// member that is not known leaves no body here.
var messageForm = &convert.Form{
	Events: func() convert.EventReader { return &messageReader{} },
	Write:  writeMessage,
	Body: &convert.Shape{Rest: convert.Last, Fields: []convert.Field{
		{Name: "stop_reason", Rule: convert.Last, Required: true},
		{Name: "usage", Rule: convert.Nested, Shape: &convert.Shape{Rest: convert.Last}}, // cumulative
		{Name: "content", Rule: convert.Keyed, Shape: contentBlock},
	}},
}

// contentBlock is how the pieces of a block are merged. A block of an unknown
// type may have members of these names too, which come whole then.
var contentBlock = &convert.Shape{Rest: convert.Last, Fields: []convert.Field{
	{Name: "index", Rule: convert.Drop},
	{Name: "text", Rule: convert.Join},
	{Name: "thinking", Rule: convert.Join},
	{Name: "citations", Rule: convert.Join},
	{Name: "signature", Rule: convert.Same}, // SDKs replace one, so two leave no body
}}

// messageReader reads the events of a message, whose blocks come one after the
// other.
type messageReader struct {
	started, stopped, ended bool
	blocks                  int            // started so far
	open                    bool           // whether the last one is not stopped
	block                   convert.Object // the last one, as it started
	input                   string         // JSON that it has in deltas, escaped
}

// Ended reports whether message_stop was read.
func (m *messageReader) Ended() bool { return m.ended }

// Piece returns the piece of the message that an event has.
func (m *messageReader) Piece(e convert.Object) (piece string, ok bool) {
	kind := e.Get("type")
	if kind == `"ping"` {
		return "", !m.ended
	}
	if m.ended || m.started == (kind == `"message_start"`) {
		return "", false
	}
	switch kind {
	case `"message_start"`:
		m.started = true
		message, ok := convert.ParseObject(e.Get("message"))
		ok = ok && message.Get("content") == "[]" && e.Only("type", "message")
		return message.String(), ok
	case `"content_block_start"`:
		return m.blockStart(e)
	case `"content_block_delta"`:
		return m.blockDelta(e)
	case `"content_block_stop"`:
		return m.blockStop(e)
	case `"message_delta"`:
		return m.messageDelta(e)
	case `"message_stop"`:
		m.ended = m.stopped && e.Only("type")
	}
	return "", m.ended
}

// inBlock reports whether an event is one of the open block.
func (m *messageReader) inBlock(e convert.Object) bool {
	return m.open && e.Get("index") == strconv.Itoa(m.blocks-1)
}

// blockStart reads the start of a block, which follows the one before.
func (m *messageReader) blockStart(e convert.Object) (piece string, ok bool) {
	block, ok := convert.ParseObject(e.Get("content_block"))
	next := !m.open && !m.stopped && e.Get("index") == strconv.Itoa(m.blocks)
	if !ok || !next || !e.Only("type", "index", "content_block") {
		return "", false
	}
	m.open = true
	m.blocks++
	m.block = block
	ok = block.Get("index") == ""
	block.Set("index", e.Get("index"))
	message := convert.Object{{Name: "content", Value: "[" + block.String() + "]"}}
	if model := fallbackModel(block); model != "" {
		message.Set("model", model)
	}
	return message.String(), ok
}

// fallbackModel returns the model that a fallback block names, "" for any other
// block. That model answers from there on, and readers of a stream take it for
// that of the message.
func fallbackModel(block convert.Object) string {
	model := gjson.Get(block.Get("to"), "model").Raw
	if block.Get("type") != `"fallback"` || !convert.IsText(model) {
		return ""
	}
	return model
}

// deltas are the members that deltas have, and the member of a block each is a
// piece of, with $ in place of its value; "" is for members to be left out.
// block is the type of the blocks that have the delta.
var deltas = map[string]struct {
	block   string
	members map[string]string
}{
	`"text_delta"`:      {`"text"`, map[string]string{"text": `"text":$`}},
	`"citations_delta"`: {`"text"`, map[string]string{"citation": `"citations":[$]`}},
	`"thinking_delta"`:  {`"thinking"`, map[string]string{"thinking": `"thinking":$`, "estimated_tokens": ""}},
	`"signature_delta"`: {`"thinking"`, map[string]string{"signature": `"signature":$`}},
	`"compaction_delta"`: {`"compaction"`, map[string]string{
		"content": `"content":$`, "encrypted_content": `"encrypted_content":$`,
	}},
}

// blockDelta reads a piece of the open block.
func (m *messageReader) blockDelta(e convert.Object) (piece string, ok bool) {
	delta, ok := convert.ParseObject(e.Get("delta"))
	if !ok || !m.inBlock(e) || !e.Only("type", "index", "delta") {
		return "", false
	}
	if input := delta.Get("partial_json"); delta.Get("type") == `"input_json_delta"` && jsonscan.IsString(input) {
		m.input += convert.Inner(input)
		return "", m.block.Get("input") == "{}" && delta.Only("type", "partial_json")
	}
	known := deltas[delta.Get("type")]
	ok = known.block != "" && known.block == m.block.Get("type")
	piece = `{"content":[{"index":` + e.Get("index")
	for _, member := range delta {
		format, isKnown := known.members[member.Name]
		ok = ok && (isKnown || member.Name == "type")
		if before, after, found := strings.Cut(format, "$"); found {
			piece += "," + before + member.Value + after
		}
	}
	return piece + "}]}", ok
}

// blockStop reads the end of the open block, at which its input is whole. There
// is no input if the JSON is not: the answer was cut at its longest then.
func (m *messageReader) blockStop(e convert.Object) (piece string, ok bool) {
	ok = m.inBlock(e) && e.Only("type", "index")
	m.open = false
	if m.input == "" {
		return "", ok
	}
	input, whole := jsonscan.Unquote(`"` + m.input + `"`)
	m.input = ""
	whole = whole && jsonscan.Valid([]byte(input)) && jsonscan.IsObject(strings.TrimSpace(input))
	return `{"content":[{"index":` + e.Get("index") + `,"input":` + input + `}]}`, ok && whole
}

// messageDelta reads what is known at the end only, which the event has in its
// delta and beside it.
func (m *messageReader) messageDelta(e convert.Object) (piece string, ok bool) {
	delta, ok := convert.ParseObject(e.Get("delta"))
	_, message := e.Split("type", "delta")
	for _, member := range delta {
		message.Set(member.Name, member.Value)
	}
	m.stopped = m.stopped || convert.IsText(message.Get("stop_reason"))
	return message.String(), ok && !m.open && message.Get("content") == ""
}

// The fields of a message that message_delta has: in its delta, beside it, and
// in its usage. Of these counts, those that grow are not known at the start.
var (
	inDelta     = []string{"stop_reason", "stop_sequence", "stop_details", "container"}
	besideDelta = []string{"context_management", "input_transformations"}
	constant    = []string{"input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}
	growing     = []string{"output_tokens_details", "server_tool_use", "iterations", "fallback_credit"}
)

// writeMessage writes message_start with an empty message, the events of each
// block, message_delta with what is known at the end, and message_stop.
func writeMessage(s *convert.Stream, m convert.Object) bool {
	usage, ok := convert.ParseObject(m.Get("usage"))
	content := m.Get("content")
	if !ok || m.Get("type") != `"message"` || !jsonscan.IsArray(content) {
		return false
	}
	delta, _ := m.Split(inDelta...)
	beside, _ := m.Split(besideDelta...)
	counts, _ := usage.Split(slices.Concat(constant, growing, []string{"output_tokens"})...)
	counts = slices.DeleteFunc(counts, func(c convert.Member) bool { return c.Value == "null" })
	var end convert.Object
	end.Set("delta", delta.String())
	end.Set("usage", counts.String())
	end = append(end, beside...)

	usage.Reset("null", growing...)
	usage.Reset("0", "output_tokens")
	start := slices.Clone(m)
	start.Reset("null", slices.Concat(inDelta, besideDelta)...)
	start.Reset(usage.String(), "usage")
	start.Reset("[]", "content")
	s.Event("message_start", `,"message":`+start.String())
	ok = blocks.Write(s, content, "")
	s.Event("message_delta", ","+convert.Inner(end.String()))
	s.Event("message_stop", "")
	return ok
}

// blocks are the content blocks of a message. Blocks of a type that is not
// listed, known or not, are whole at their start, as the API sends the results
// of its own tools.
var blocks = &convert.Blocks{
	Start: "content_block_start", Stop: "content_block_stop",
	Name: "content_block", Index: "index",
	Types: map[string][]convert.Part{
		"text": {
			required(delta("text", convert.AsString, `""`, `{"type":"text_delta","text":$value}`)),
			delta("citations", convert.Listed, "[]", `{"type":"citations_delta","citation":$value}`),
		},
		"thinking": {
			required(delta("thinking", convert.AsString, `""`, `{"type":"thinking_delta","thinking":$value}`)),
			delta("signature", convert.AsString, `""`, `{"type":"signature_delta","signature":$value}`),
		},
		"tool_use":        {toolInput},
		"server_tool_use": {toolInput},
	},
}

var toolInput = required(delta("input", convert.AsText, "{}", `{"type":"input_json_delta","partial_json":$value}`))

// delta returns the part of a block that is sent in a delta.
func delta(name string, kind convert.Kind, empty, data string) convert.Part {
	return convert.Part{Name: name, Kind: kind, Empty: empty, Event: "content_block_delta", Data: `,"delta":` + data}
}

// required returns a part that a block must have.
func required(p convert.Part) convert.Part {
	p.Required = true
	return p
}
