package dialect

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

func appendInt(dst []byte, i int64) []byte { return strconv.AppendInt(dst, i, 10) }

// cutting is a stream in the making.
type cutting struct {
	op           Operation
	out          []byte
	most         int    // bytes that may become of it
	head, extras string // what every chunk begins with; what the first one has besides
	tail         string // what every chunk but the last ends with

	index, logprobs string // of the choice at hand: its number; its logprobs, "" when it has none
}

// openAICut cuts a chat or completion body into the chunks that an upstream could have sent: for each choice the
// role, the texts in pieces about as long as a token, tool calls by index, the finish reason; then usage, if asked
// for, and [DONE].
func openAICut(op Operation, body []byte, includeUsage bool) ([]byte, bool) {
	if op == Responses {
		return responsesCut(body)
	}
	if op != Chat && op != Completion || !jsonscan.Valid(body) {
		return nil, false
	}
	var compact bytes.Buffer // a data line must not have a line break
	if json.Compact(&compact, body) != nil {
		return nil, false
	}
	root := jsonscan.View(compact.Bytes())
	choices := root.Get("choices")
	if e := root.Get("error"); !choices.IsArray() || e.Exists() && e.Type != gjson.Null {
		return nil, false
	}
	c := &cutting{op: op, out: make([]byte, 0, 8*len(body)), most: mostOut(len(body))}
	usage := c.envelope(root)
	if includeUsage {
		c.tail = `,"usage":null`
	}
	ok := false
	position := int64(0)
	choices.ForEach(func(_, v gjson.Result) bool {
		ok = c.choice(v, position)
		position++
		return ok
	})
	if !ok {
		return nil, false
	}
	if includeUsage && usage.IsObject() {
		c.out = append(append(append(c.out, `data: {`...), c.head...), `"choices":[],"usage":`...)
		c.out = append(append(c.out, usage.Raw...), "}\n\n"...)
	}
	return append(c.out, "data: [DONE]\n\n"...), len(c.out) <= c.most
}

// envelope keeps what is around the choices, and returns the usage.
func (c *cutting) envelope(root gjson.Result) (usage gjson.Result) {
	object := `"object":"text_completion",`
	if c.op == Chat {
		object = `"object":"chat.completion.chunk",`
	}
	var head, extras []byte
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "choices", "object":
		case "usage":
			usage = v
		case "id", "created", "model", "system_fingerprint", "service_tier":
			head = append(append(append(append(head, k.Raw...), ':'), v.Raw...), ',')
			if k.Str == "id" {
				head, object = append(head, object...), ""
			}
		default:
			extras = append(append(append(append(extras, k.Raw...), ':'), v.Raw...), ',')
		}
		return true
	})
	c.head, c.extras = object+string(head), string(extras)
	return usage
}

func (c *cutting) choice(v gjson.Result, position int64) (ok bool) {
	finish, content := v.Get("finish_reason"), v.Get("message")
	if c.op == Completion {
		content = v.Get("text")
		ok = content.Type == gjson.String
	} else {
		ok = content.IsObject()
	}
	if !ok || finish.Type != gjson.String || finish.Str == "" {
		return false
	}
	if i := v.Get("index"); i.Exists() {
		position = jsonscan.Count(i)
	}
	c.index, c.logprobs = string(appendInt(nil, position)), v.Get("logprobs").Raw
	var rest []byte
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "index", "message", "delta", "text", "logprobs", "finish_reason":
		default:
			rest = append(append(append(append(rest, ','), k.Raw...), ':'), v.Raw...)
		}
		return true
	})
	if c.op == Chat {
		if !c.message(content) {
			return false
		}
		c.chunk(`"delta":{}`, c.takeLogprobs(), finish.Raw+string(rest))
	} else {
		c.pieces(`"text":`, content.Raw, "")
		c.chunk(`"text":""`, c.takeLogprobs(), finish.Raw+string(rest))
	}
	return true
}

// takeLogprobs returns the logprobs of the choice, which travel once, as a piece of the first chunk that has text.
func (c *cutting) takeLogprobs() string {
	l := c.logprobs
	if l != "" {
		c.logprobs = "null"
	}
	return l
}

// message cuts a message: what does not come in pieces goes out with the role.
func (c *cutting) message(m gjson.Result) (ok bool) {
	first := []byte(`"delta":{`)
	type text struct{ key, raw string }
	var texts []text
	var calls, call gjson.Result
	m.ForEach(func(k, v gjson.Result) bool {
		value := v.Raw
		switch k.Str {
		case "content", "reasoning_content", "reasoning", "refusal":
			if v.Type == gjson.String && value != `""` {
				texts = append(texts, text{k.Raw, value})
				if value = `""`; k.Str == "refusal" { // not to look like one
					value = "null"
				}
			}
		case "tool_calls":
			if v.IsArray() && v.Get("0").Exists() {
				calls = v
				return true
			}
		case "function_call":
			if v.IsObject() {
				call = v
				return true
			}
		}
		if len(first) > len(`"delta":{`) {
			first = append(first, ',')
		}
		first = append(append(append(first, k.Raw...), ':'), value...)
		return true
	})
	c.chunk(string(first)+"}", nullOf(c.logprobs), "null")
	for _, answer := range []bool{false, true} { // models think first
		for _, t := range texts {
			if (t.key == `"content"` || t.key == `"refusal"`) == answer {
				c.pieces(`"delta":{`+t.key+":", t.raw, "}")
			}
		}
	}
	if call.Exists() {
		const before = `"delta":{"function_call":{`
		c.callOf(call, "arguments", [3]string{before, before, "}}"})
	}
	return c.toolCalls(calls)
}

// nullOf returns what stands for logprobs in a chunk that has none of them.
func nullOf(logprobs string) string {
	if logprobs == "" {
		return ""
	}
	return "null"
}

func (c *cutting) toolCalls(calls gjson.Result) (ok bool) {
	ok = true
	at := int64(0)
	calls.ForEach(func(_, t gjson.Result) bool {
		if ok = t.IsObject(); !ok {
			return false
		}
		before := `"delta":{"tool_calls":[{"index":` + string(appendInt(nil, at))
		at++
		var rest []byte
		var name, input string
		var f gjson.Result
		t.ForEach(func(k, v gjson.Result) bool {
			switch {
			case k.Str == "index":
			case k.Str == "function" && v.IsObject():
				name, input, f = k.Raw, "arguments", v
			case k.Str == "custom" && v.IsObject():
				name, input, f = k.Raw, "input", v
			default:
				rest = append(append(append(append(rest, ','), k.Raw...), ':'), v.Raw...)
			}
			return true
		})
		if f.Exists() {
			c.callOf(f, input, [3]string{before + string(rest) + "," + name + ":{", before + "," + name + ":{", "}}]}"})
		} else {
			c.chunk(before+string(rest)+"}]}", nullOf(c.logprobs), "null")
		}
		return true
	})
	return ok
}

// callOf cuts the function of a call: first its name and whatever else it has, then its input in pieces. around is
// what stands before the first, before each piece, and behind all of them.
func (c *cutting) callOf(f gjson.Result, input string, around [3]string) {
	var first []byte
	var key, text string
	f.ForEach(func(k, v gjson.Result) bool {
		value := v.Raw
		if k.Str == input && v.Type == gjson.String && key == "" {
			key, text, value = k.Raw, value, `""`
		}
		if len(first) > 0 {
			first = append(first, ',')
		}
		first = append(append(append(first, k.Raw...), ':'), value...)
		return true
	})
	c.chunk(around[0]+string(first)+around[2], nullOf(c.logprobs), "null")
	if key != "" {
		c.pieces(around[1]+key+":", text, around[2])
	}
}

// chunk writes one chunk; finish is the finish reason and what may follow it in the choice.
func (c *cutting) chunk(payload, logprobs, finish string) {
	if len(c.out) > c.most {
		return
	}
	b := append(append(append(c.out, `data: {`...), c.head...), c.extras...)
	c.extras = ""
	b = append(append(append(b, `"choices":[{"index":`...), c.index...), ',')
	b = append(b, payload...)
	if logprobs != "" {
		b = append(append(b, `,"logprobs":`...), logprobs...)
	}
	b = append(append(b, `,"finish_reason":`...), finish...)
	b = append(append(b, `}]`...), c.tail...)
	c.out = append(b, "}\n\n"...)
}
