package dialect

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// folding is a chat or completion body in the making.
type folding struct {
	op      Operation
	top     node // all but choices
	choices []*foldingChoice
	done    bool // [DONE] was seen
}

type foldingChoice struct {
	index   int64
	message node // of a chat
	text    node // of a completion
	rest    node // finish_reason, logprobs, and what else a server adds
}

// openAIFold joins the chunks of a complete stream. Fields it does not know survive: those of a chunk or a choice with
// their last value, those of a message if joining them is plain; else there is no body, for a wrong one is worse.
func openAIFold(op Operation, events []byte) ([]byte, bool) {
	if op == Responses {
		return responsesFold(events)
	}
	if op != Chat && op != Completion {
		return nil, false
	}
	f := &folding{op: op}
	f.top.kind = isObject
	f.top.member("id")
	f.top.member("object")
	f.top.member("created")
	f.top.member("model")
	whole := true
	eachEvent(events, func(_ []byte, ev Event, ok bool) bool {
		data := bytes.TrimSpace(ev.Data)
		switch {
		case !ok || len(data) == 0:
		case string(data) == "[DONE]":
			f.done = true
		case !jsonscan.Valid(data) || !f.chunk(jsonscan.View(data)):
			whole = false
		}
		return whole && !f.done
	})
	if !whole || !f.done || len(f.choices) == 0 {
		return nil, false
	}
	for _, c := range f.choices {
		if c.rest.member("finish_reason").kind != isOther {
			return nil, false
		}
	}
	return f.body(len(events) / 4), true
}

func (f *folding) chunk(root gjson.Result) (ok bool) {
	if !root.IsObject() {
		return false
	}
	ok = true
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "choices":
			v.ForEach(func(_, c gjson.Result) bool {
				ok = f.choice(c)
				return ok
			})
		case "error":
			ok = v.Type == gjson.Null
		case "object", "obfuscation": // the latter is random padding of chunks
		case "usage":
			if v.IsObject() {
				f.top.member("usage").replace(v)
			}
		case "id", "created", "model": // empty in Azure's first chunk, which only tells what the filter found
			f.top.member(k.Str).once(v)
		default:
			f.top.member(k.Str).replace(v)
		}
		return ok
	})
	return ok
}

func (f *folding) choice(v gjson.Result) (ok bool) {
	if !v.IsObject() {
		return false
	}
	c := f.at(jsonscan.Count(v.Get("index")))
	ok = c != nil
	v.ForEach(func(k, v gjson.Result) bool {
		switch {
		case !ok:
		case k.Str == "index":
		case k.Str == "message": // a server's own way of streaming
			ok = !v.IsObject()
		case k.Str == "delta" && v.IsObject():
			ok = c.message.addMembers(v)
		case k.Str == "delta":
		case k.Str == "text":
			ok = c.text.add(k.Str, v)
		case k.Str == "logprobs":
			ok = c.rest.member(k.Str).add(k.Str, v)
		case k.Str == "finish_reason" && v.Type == gjson.String && v.Str == "": // some servers' null
		case k.Str == "finish_reason" && v.Type != gjson.String && v.Type != gjson.Null: // no reason at all: not to be remembered as one
			ok = false
		default:
			c.rest.member(k.Str).replace(v)
		}
		return ok
	})
	return ok
}

func (f *folding) at(index int64) *foldingChoice {
	for _, c := range f.choices {
		if c.index == index {
			return c
		}
	}
	if len(f.choices) == maxParts {
		return nil
	}
	c := &foldingChoice{index: index}
	c.message.kind, c.rest.kind = isObject, isObject
	f.choices = append(f.choices, c)
	return c
}

// body writes what was joined. size is a guess of its length in bytes.
func (f *folding) body(size int) []byte {
	object := "text_completion"
	if f.op == Chat {
		object = "chat.completion"
	}
	out := append(make([]byte, 0, size), '{')
	usage := (*node)(nil)
	for _, m := range f.top.members {
		switch {
		case m.key == "object":
			out = append(append(append(out, `"object":"`...), object...), `",`...)
		case m.key == "usage":
			usage = &m.node
		case m.kind != unset:
			out = append(jsonscan.AppendString(out, m.key), ':')
			out = append(m.node.append(out), ',')
		}
	}
	out = append(out, `"choices":[`...)
	slices.SortStableFunc(f.choices, func(x, y *foldingChoice) int { return cmp.Compare(x.index, y.index) })
	for i, c := range f.choices {
		if i > 0 {
			out = append(out, ',')
		}
		out = c.append(out, f.op)
	}
	out = append(out, ']')
	if usage != nil {
		out = usage.append(append(out, `,"usage":`...))
	}
	return append(out, '}')
}

func (c *foldingChoice) append(out []byte, op Operation) []byte {
	index := node{kind: isOther, text: appendInt(nil, c.index)}
	content := member{key: "text", node: c.text}
	if op == Chat {
		m := &c.message
		if !m.has("role") {
			m.members = slices.Insert(m.members, 0, &member{key: "role", node: node{kind: isText, text: []byte("assistant")}})
		}
		if !m.has("content") {
			m.members = slices.Insert(m.members, 1, &member{key: "content", node: node{kind: isNull}})
		}
		content = member{key: "message", node: *m}
	} else if content.kind == unset || content.kind == isNull {
		content.kind = isText
	}
	c.rest.members = slices.Insert(c.rest.members, 0, &member{key: "index", node: index}, &content)
	return c.rest.append(out)
}

// openAIWithUsage drops the chunk that only tells usage: no choices, and a usage object. Chunks that tell usage beside
// choices are the upstream's own way and stay.
func openAIWithUsage(op Operation, events []byte, include bool) []byte {
	if include || op != Chat && op != Completion || !bytes.Contains(events, []byte(`"usage"`)) {
		return events
	}
	var out []byte
	from, at := 0, 0 // what is not copied yet begins at from
	eachEvent(events, func(raw []byte, ev Event, ok bool) bool {
		start := at
		at += len(raw)
		if ok && onlyUsage(ev.Data) {
			out = append(out, events[from:start]...)
			from = at
		}
		return true
	})
	if from == 0 {
		return events
	}
	return append(out, events[from:]...)
}

func onlyUsage(data []byte) bool {
	if !bytes.Contains(data, []byte(`"usage"`)) || !jsonscan.Valid(data) {
		return false
	}
	root := jsonscan.View(data)
	choices := root.Get("choices")
	return choices.IsArray() && !choices.Get("0").Exists() && root.Get("usage").IsObject()
}
