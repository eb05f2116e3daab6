package dialect

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// maxCandidates bounds the candidates of an answer; the API gives eight at most.
const maxCandidates = 128

// geminiFolding is an answer to generateContent in the making.
type geminiFolding struct {
	top        fields // all but the candidates
	candidates []*foldingCandidate
	chunks     int
}

type foldingCandidate struct {
	fields         // all but the content
	position int64 // index, or 0
	content  fields
	said     bool // there was a content
	parts    []foldingPart
	sounds   int // parts of audio
	tokens   []tokenList
	chunk    int // the last one that told of it
}

// tokenList is a list of the logprobs, its items between the brackets.
type tokenList struct {
	key   string
	items []byte
}

// geminiFold joins the chunks of a complete stream: server-sent events, or the JSON array that a stream without
// alt=sse is. Texts are continued from one chunk to the next if they are of the same kind and have nothing beside them,
// for a part with a thought signature must not be joined with another (https://ai.google.dev/gemini-api/docs/thought-signatures).
// Counts of tokens are cumulative, so the last ones stay. Of what else a chunk has, two different values leave no body.
func geminiFold(op Operation, events []byte) ([]byte, bool) {
	if op != Generate {
		return openAIFold(op, events)
	}
	var f geminiFolding
	whole := true
	if array := bytes.TrimSpace(events); len(array) > 0 && array[0] == '[' {
		whole = jsonscan.Valid(array) && eachItem(jsonscan.UnsafeString(array), f.chunk)
	} else {
		eachEvent(events, func(_ []byte, ev Event, ok bool) bool {
			if data := bytes.TrimSpace(ev.Data); ok && len(data) > 0 {
				whole = jsonscan.Valid(data) && f.chunk(jsonscan.View(data))
			}
			return whole
		})
	}
	if !whole || !f.complete() {
		return nil, false
	}
	return f.body(len(events) / 2)
}

// complete reports whether every candidate has its end, or the prompt was refused and there are none.
func (f *geminiFolding) complete() bool {
	for _, c := range f.candidates {
		if reason := c.get("finishReason"); !isString(reason) || reason == `""` {
			return false
		}
	}
	return len(f.candidates) > 0 || blocked(f.top)
}

func blocked(top fields) bool {
	reason := gjson.Get(top.get("promptFeedback"), "blockReason")
	return reason.Type == gjson.String && reason.Str != ""
}

func (f *geminiFolding) chunk(root gjson.Result) bool {
	all, ok := fieldsOf(root)
	if !ok {
		return false
	}
	f.chunks++
	for _, m := range all {
		switch m.key {
		case "candidates":
			if !isArrayText(m.value) || !eachItem(m.value, f.candidate) {
				return false
			}
		case "usageMetadata":
			f.top.set(m.key, m.value)
		case "createTime":
			if f.top.get(m.key) == "" {
				f.top.set(m.key, m.value)
			}
		case "error":
			return false
		default:
			if !same(&f.top, m) {
				return false
			}
		}
	}
	return true
}

// same adds a member that must not be there with another value.
func same(all *fields, m fieldText) bool {
	had := all.get(m.key)
	if isAbsent(had) {
		all.set(m.key, m.value)
		return true
	}
	return m.value == "null" || m.value == had
}

func (f *geminiFolding) candidate(v gjson.Result) bool {
	all, ok := fieldsOf(v)
	if !ok {
		return false
	}
	position, ok := candidateIndex(all)
	if !ok {
		return false
	}
	c := f.at(position)
	if c == nil || c.chunk == f.chunks { // or two of a chunk that are not told apart
		return false
	}
	c.chunk = f.chunks
	for _, m := range all {
		switch m.key {
		case "content":
			c.said = c.said || m.value != "null"
			ok = m.value == "null" || c.more(gjson.Parse(m.value))
		case "tokenCount":
			c.set(m.key, m.value)
		case "logprobsResult":
			ok = c.logprobs(m)
		default:
			ok = same(&c.fields, m)
		}
		if !ok {
			return false
		}
	}
	return true
}

// candidateIndex returns the number of a candidate. The first one's is often left out.
func candidateIndex(c fields) (int64, bool) {
	raw := c.get("index")
	if raw == "" {
		return 0, true
	}
	n := jsonscan.Count(gjson.Parse(raw))
	return n, raw == string(appendInt(nil, n))
}

func (f *geminiFolding) at(position int64) *foldingCandidate {
	for _, c := range f.candidates {
		if c.position == position {
			return c
		}
	}
	if len(f.candidates) == maxCandidates {
		return nil
	}
	c := &foldingCandidate{position: position}
	f.candidates = append(f.candidates, c)
	return c
}

// logprobs joins the lists of tokens, as long as nothing else is there.
func (c *foldingCandidate) logprobs(m fieldText) bool {
	all, ok := fieldsOf(gjson.Parse(m.value))
	if !ok || !all.only("topCandidates", "chosenCandidates") {
		return same(&c.fields, m) // a sum, say, which only one chunk may tell
	}
	if c.get(m.key) == "" {
		c.set(m.key, "{}") // a place for them
	}
	for _, list := range all {
		if !isArrayText(list.value) {
			return false
		}
		i := slices.IndexFunc(c.tokens, func(t tokenList) bool { return t.key == list.key })
		if i < 0 {
			i = len(c.tokens)
			c.tokens = append(c.tokens, tokenList{key: list.key})
		}
		if items := strings.TrimSpace(inner(list.value)); items != "" {
			if len(c.tokens[i].items) > 0 {
				c.tokens[i].items = append(c.tokens[i].items, ',')
			}
			c.tokens[i].items = append(c.tokens[i].items, items...)
		}
	}
	return c.get(m.key) == "{}"
}

// more reads the content of a chunk.
func (c *foldingCandidate) more(v gjson.Result) bool {
	all, ok := fieldsOf(v)
	if !ok {
		return false
	}
	for _, m := range all {
		if m.key != "parts" {
			if !same(&c.content, m) {
				return false
			}
			continue
		}
		if !isArrayText(m.value) {
			return false
		}
		c.content.set("parts", "[]") // a place for them
		first := true
		if !eachItem(m.value, func(v gjson.Result) bool {
			ok := c.part(v, first)
			first = false
			return ok
		}) {
			return false
		}
	}
	return true
}

// part takes one part; the first one of a chunk may continue the last one of the chunk before.
func (c *foldingCandidate) part(v gjson.Result, first bool) bool {
	p, ok := partOf(v)
	if !ok || len(c.parts) == 8*maxParts {
		return false
	}
	if kind := jsonscan.String(v.Get("inlineData.mimeType")); strings.HasPrefix(kind, "audio/") {
		if c.sounds++; c.sounds > 1 { // one sound in pieces, which cannot be told from two
			return false
		}
	}
	if call := v.Get("functionCall"); call.Get("willContinue").Exists() || call.Get("partialArgs").Exists() {
		return false // arguments in pieces
	}
	if n := len(c.parts); first && n > 0 && p.raw == "" {
		if last := &c.parts[n-1]; last.raw == "" && last.thought == p.thought {
			last.text = append(last.text, p.text...)
			return true
		}
		if len(p.text) == 0 { // only there because each chunk has to have something
			return true
		}
	}
	c.parts = append(c.parts, p)
	return true
}

// body writes what was joined. size is a guess of its length in bytes.
func (f *geminiFolding) body(size int) ([]byte, bool) {
	out := append(make([]byte, 0, size), '{')
	if len(f.candidates) > 0 {
		slices.SortStableFunc(f.candidates, func(x, y *foldingCandidate) int { return cmp.Compare(x.position, y.position) })
		out = append(out, `"candidates":[`...)
		for i, c := range f.candidates {
			if i > 0 {
				out = append(out, ',')
			}
			out = c.appendTo(out)
		}
		out = append(out, ']')
	}
	for _, m := range f.top {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(jsonscan.AppendString(out, m.key), ':'), m.value...)
	}
	return append(out, '}'), true
}

func (c *foldingCandidate) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	if c.said {
		dst = append(dst, `"content":{`...)
		for i, m := range c.content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(jsonscan.AppendString(dst, m.key), ':')
			if m.key != "parts" {
				dst = append(dst, m.value...)
				continue
			}
			dst = append(dst, '[')
			for i, p := range c.parts {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = p.appendTo(dst)
			}
			dst = append(dst, ']')
		}
		dst = append(dst, `},`...)
	}
	for i, m := range c.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonscan.AppendString(dst, m.key), ':')
		if m.key == "logprobsResult" && c.tokens != nil {
			dst = appendTokens(dst, c.tokens)
		} else {
			dst = append(dst, m.value...)
		}
	}
	return append(dst, '}')
}

func appendTokens(dst []byte, lists []tokenList) []byte {
	for i, list := range lists {
		dst = append(dst, "{,"[min(i, 1)])
		dst = append(append(append(jsonscan.AppendString(dst, list.key), ":["...), list.items...), ']')
	}
	return append(dst, '}')
}
