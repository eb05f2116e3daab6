package dialect

import (
	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// geminiCutting is a stream in the making.
type geminiCutting struct {
	out    []byte
	most   int    // bytes that may become of it
	tail   string // what every chunk ends with
	extras string // what the first one has besides

	rest  fields // of the candidate at hand: all but its content
	role  string // what its content has besides parts, each with a comma before it
	parts []byte // of the chunk in the making, between the brackets
}

// geminiCut cuts a body into chunks: of each candidate the texts in pieces about as long as a token, other parts whole,
// and with the last piece the finish reason and all else that is known of the candidate. The last chunk of all tells
// usage. Where geminiFold would join two parts that the body keeps apart, both are in one chunk.
func geminiCut(op Operation, body []byte, includeUsage bool) ([]byte, bool) {
	if op != Generate {
		return openAICut(op, body, includeUsage)
	}
	root, ok := compacted(body)
	if !ok {
		return nil, false
	}
	top, ok := fieldsOf(root)
	if !ok || !isAbsent(top.get("error")) {
		return nil, false
	}
	c := &geminiCutting{out: make([]byte, 0, 8*len(body)), most: mostOut(len(body))}
	candidates := top.get("candidates")
	if candidates == "" { // the prompt was refused, and all is said at once
		c.write(root.Raw)
		return c.out, blocked(top)
	}
	usage := c.envelope(top)
	if !isArrayText(candidates) || candidates == "[]" || !apart(candidates) {
		return nil, false
	}
	left := len(gjson.Parse(candidates).Array())
	ok = eachItem(candidates, func(v gjson.Result) bool {
		if left--; left > 0 {
			return c.candidate(v, "")
		}
		return c.candidate(v, usage)
	})
	return c.out, ok && len(c.out) <= c.most
}

// apart reports whether candidates can be told apart in chunks of their own.
func apart(candidates string) bool {
	seen := make(map[int64]bool)
	return eachItem(candidates, func(v gjson.Result) bool {
		all, ok := fieldsOf(v)
		if !ok {
			return false
		}
		i, ok := candidateIndex(all)
		if ok = ok && !seen[i] && len(seen) < maxCandidates; ok {
			seen[i] = true
		}
		return ok
	})
}

// envelope keeps what is around the candidates, and returns the usage with a comma before it.
func (c *geminiCutting) envelope(top fields) (usage string) {
	for _, m := range top {
		text := "," + string(jsonscan.AppendString(nil, m.key)) + ":" + m.value
		switch m.key {
		case "candidates":
		case "usageMetadata":
			usage = text
		case "modelVersion", "responseId":
			c.tail += text
		default:
			c.extras += text
		}
	}
	return usage
}

// candidate writes the chunks of one candidate; last is what its last chunk tells besides.
func (c *geminiCutting) candidate(v gjson.Result, last string) bool {
	all, ok := fieldsOf(v)
	if !ok || !isString(all.get("finishReason")) || all.get("finishReason") == `""` {
		return false
	}
	c.rest, c.role, c.parts = nil, "", nil
	content, parts := all.get("content"), ""
	for _, m := range all {
		if m.key != "content" {
			c.rest = append(c.rest, m)
		}
	}
	if content != "" {
		members, ok := fieldsOf(gjson.Parse(content))
		if !ok {
			return false
		}
		for _, m := range members {
			if m.key == "parts" {
				parts = m.value
			} else {
				c.role += "," + string(jsonscan.AppendString(nil, m.key)) + ":" + m.value
			}
		}
	}
	switch {
	case isArrayText(parts):
		if !c.cutParts(parts) {
			return false
		}
	case parts != "":
		return false
	}
	c.chunk(content != "", parts != "", c.rest, last)
	return true
}

// cutParts writes chunks for all but the end of a candidate's parts, which stays in c.parts.
func (c *geminiCutting) cutParts(parts string) bool {
	var before *foldingPart
	n := 0
	return eachItem(parts, func(v gjson.Result) bool {
		p, ok := partOf(v)
		if n++; !ok || n > 8*maxParts {
			return false
		}
		if before != nil && !(p.raw == "" && (len(p.text) == 0 || before.raw == "" && before.thought == p.thought)) {
			c.flush()
		}
		before = &p
		if p.raw != "" || len(p.text) == 0 {
			c.part(p)
			return true
		}
		text := string(p.text)
		for least := pieceLength(len(text)); ; c.flush() {
			n := piece(text, least)
			c.part(foldingPart{text: []byte(text[:n]), thought: p.thought})
			if text = text[n:]; text == "" {
				return true
			}
		}
	})
}

func (c *geminiCutting) part(p foldingPart) {
	if len(c.parts) > 0 {
		c.parts = append(c.parts, ',')
	}
	c.parts = p.appendTo(c.parts)
}

// flush writes a chunk with the parts so far.
func (c *geminiCutting) flush() {
	var index fields
	if i := c.rest.get("index"); i != "" {
		index.set("index", i)
	}
	c.chunk(true, true, index, "")
}

// chunk writes a chunk of the candidate at hand, with its parts so far and the given other members.
func (c *geminiCutting) chunk(content, parts bool, rest fields, last string) {
	if len(c.out) > c.most {
		return
	}
	b := []byte(`{"candidates":[{`)
	if content {
		b = append(b, `"content":{`...)
		if parts {
			b = append(append(append(b, `"parts":[`...), c.parts...), ']')
			b = append(b, c.role...)
		} else if c.role != "" {
			b = append(b, c.role[1:]...)
		}
		b = append(b, '}')
	}
	for i, m := range rest {
		if i > 0 || content {
			b = append(b, ',')
		}
		b = append(append(jsonscan.AppendString(b, m.key), ':'), m.value...)
	}
	b = append(append(append(b, `}]`...), last...), c.tail...)
	b = append(append(b, c.extras...), '}')
	c.parts, c.extras = c.parts[:0], ""
	c.write(jsonscan.UnsafeString(b))
}

func (c *geminiCutting) write(data string) {
	c.out = append(append(append(c.out, "data: "...), data...), "\r\n\r\n"...)
}
