package dialect

import "github.com/tidwall/gjson"

// responsesCutting is a stream in the making.
type responsesCutting struct {
	out    []byte
	most   int   // bytes that may become of it
	events int64 // so far: the next one's sequence_number
	output int64 // index of the item at hand
	item   string
}

// responsesCut cuts a response into the events that the API streams it as: response.created and .in_progress with an
// empty response, for each item its beginning, its parts, their deltas and its end, and the whole response at last.
// Items of kinds that do not come in deltas, known or not, begin as they end.
func responsesCut(body []byte) ([]byte, bool) {
	root, ok := compacted(body)
	if !ok {
		return nil, false
	}
	r, ok := fieldsOf(root)
	if !ok || !finalResponse(r) {
		return nil, false
	}
	output := r.get("output")
	begun := append(fields(nil), r...)
	begun.replace("status", `"in_progress"`)
	begun.replace("output", "[]")
	for _, key := range []string{"usage", "incomplete_details", "completed_at"} {
		begun.replace(key, "null")
	}
	begun.replace("output_text", `""`) // which SDKs add
	c := &responsesCutting{out: make([]byte, 0, 10*len(body)), most: mostOut(len(body))}
	c.event("response.created", `,"response":`+begun.String())
	c.event("response.in_progress", `,"response":`+begun.String())
	if !eachItem(output, c.cutItem) {
		return nil, false
	}
	c.event("response."+inner(r.get("status")), `,"response":`+root.Raw)
	return c.out, len(c.out) <= c.most
}

// cutItem writes the events of one output item.
func (c *responsesCutting) cutItem(v gjson.Result) bool {
	item, ok := fieldsOf(v)
	if !ok || !isString(item.get("type")) {
		return false
	}
	at := `,"output_index":` + string(appendInt(nil, c.output))
	begun := append(fields(nil), item...)
	var inside func() bool
	id := item.get("id")
	if !isString(id) || id == `""` {
		return false // events have to name their item; OpenAI's SDK throws otherwise
	}
	c.item = `,"item_id":` + id + at
	switch item.get("type") {
	case `"message"`:
		content := item.get("content")
		if !isArrayText(content) {
			return false
		}
		begun.replace("content", "[]")
		begun.replace("status", `"in_progress"`)
		inside = func() bool { return c.parts(content) }
	case `"reasoning"`:
		summary, content := item.get("summary"), item.get("content")
		if !isArrayText(summary) || !isAbsent(content) && !isArrayText(content) {
			return false
		}
		begun.replace("summary", "[]")
		if isArrayText(content) {
			begun.replace("content", "[]")
		}
		inside = func() bool { return c.summary(summary) && (!isArrayText(content) || c.parts(content)) }
	case `"function_call"`:
		inside = c.input(item, begun, "arguments", "response.function_call_arguments")
	case `"mcp_call"`:
		inside = c.input(item, begun, "arguments", "response.mcp_call_arguments")
	case `"custom_tool_call"`:
		inside = c.input(item, begun, "input", "response.custom_tool_call_input")
	}
	c.event("response.output_item.added", at+`,"item":`+begun.String())
	if inside != nil && !inside() {
		return false
	}
	c.event("response.output_item.done", at+`,"item":`+v.Raw)
	c.output++
	return true
}

// input empties what a call is given, and returns what writes it in pieces.
func (c *responsesCutting) input(item, begun fields, key, name string) func() bool {
	text := item.get(key)
	if !isString(text) {
		return nil
	}
	begun.replace(key, `""`)
	begun.replace("status", `"in_progress"`)
	if key == "arguments" && !isAbsent(item.get("output")) {
		begun.replace("output", "null") // of an MCP call
	}
	named := ""
	if n := item.get("name"); isString(n) && name == "response.function_call_arguments" {
		named = `,"name":` + n
	}
	return func() bool {
		c.pieces(name+".delta", "", text, "")
		c.event(name+".done", c.item+`,"`+key+`":`+text+named)
		return true
	}
}

// parts writes the parts of a content: texts, refusals and raw reasoning in pieces, all else whole.
func (c *responsesCutting) parts(content string) bool {
	index := int64(0)
	return eachItem(content, func(v gjson.Result) bool {
		part, ok := fieldsOf(v)
		if !ok || !isString(part.get("type")) {
			return false
		}
		at := `,"content_index":` + string(appendInt(nil, index))
		index++
		begun := append(fields(nil), part...)
		var inside func()
		switch part.get("type") {
		case `"output_text"`:
			if !isString(part.get("text")) {
				return false
			}
			begun.replace("text", `""`)
			for _, list := range []string{"annotations", "logprobs"} {
				if isArrayText(part.get(list)) {
					begun.replace(list, "[]")
				}
			}
			inside = func() { c.outputText(part, at) }
		case `"refusal"`:
			inside = c.text(part, begun, at, [2]string{"refusal", "response.refusal"})
		case `"reasoning_text"`:
			inside = c.text(part, begun, at, [2]string{"text", "response.reasoning_text"})
		}
		c.event("response.content_part.added", c.item+at+`,"part":`+begun.String())
		if inside != nil {
			inside()
		}
		c.event("response.content_part.done", c.item+at+`,"part":`+v.Raw)
		return true
	})
}

// outputText writes a text with its logprobs and annotations. With logprobs it stays in one piece, for which of them
// belong to which part of it cannot be told in general.
func (c *responsesCutting) outputText(part fields, at string) {
	text, logprobs := part.get("text"), part.get("logprobs")
	if isArrayText(logprobs) && logprobs != "[]" {
		c.event("response.output_text.delta", c.item+at+`,"delta":`+text+`,"logprobs":`+logprobs)
	} else {
		logprobs = "[]"
		c.pieces("response.output_text.delta", at, text, `,"logprobs":[]`)
	}
	if list := part.get("annotations"); isArrayText(list) {
		index := int64(0)
		eachItem(list, func(v gjson.Result) bool {
			c.event("response.output_text.annotation.added", c.item+at+`,"annotation_index":`+string(appendInt(nil, index))+`,"annotation":`+v.Raw)
			index++
			return true
		})
	}
	c.event("response.output_text.done", c.item+at+`,"text":`+text+`,"logprobs":`+logprobs)
}

// text empties the text of a part, and returns what writes it in pieces. names are its field and its events.
func (c *responsesCutting) text(part, begun fields, at string, names [2]string) func() {
	text := part.get(names[0])
	if !isString(text) {
		return nil
	}
	begun.replace(names[0], `""`)
	return func() {
		c.pieces(names[1]+".delta", at, text, "")
		c.event(names[1]+".done", c.item+at+`,"`+names[0]+`":`+text)
	}
}

// summary writes the summary of a reasoning.
func (c *responsesCutting) summary(summary string) bool {
	index := int64(0)
	return eachItem(summary, func(v gjson.Result) bool {
		part, ok := fieldsOf(v)
		if !ok || !isString(part.get("type")) {
			return false
		}
		at := `,"summary_index":` + string(appendInt(nil, index))
		index++
		begun := append(fields(nil), part...)
		inside := c.text(part, begun, at, [2]string{"text", "response.reasoning_summary_text"})
		c.event("response.reasoning_summary_part.added", c.item+at+`,"part":`+begun.String())
		if inside != nil {
			inside()
		}
		c.event("response.reasoning_summary_part.done", c.item+at+`,"part":`+v.Raw)
		return true
	})
}

// pieces writes the deltas of a JSON string.
func (c *responsesCutting) pieces(name, at, raw, rest string) {
	text := inner(raw)
	for least := pieceLength(len(text)); text != ""; {
		n := piece(text, least)
		c.event(name, c.item+at+`,"delta":"`+text[:n]+`"`+rest)
		text = text[n:]
	}
}

func (c *responsesCutting) event(name, members string) {
	if len(c.out) > c.most {
		return
	}
	c.out = append(append(append(c.out, "event: "...), name...), "\ndata: {\"type\":\""...)
	c.out = append(append(append(c.out, name...), `","sequence_number":`...), appendInt(nil, c.events)...)
	c.out = append(append(c.out, members...), "}\n\n"...)
	c.events++
}
