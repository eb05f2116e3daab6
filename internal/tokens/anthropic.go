package tokens

import "strings"

// The rules for Anthropic's messages are not published. These reproduce the examples of its documentation ("Token
// counting", "Using the Messages API") to within some tokens.
const (
	claudeMessage = 4 // around a message, its role included
	claudeAnswer  = 3

	// The system prompt that comes with tools: https://docs.claude.com, "Tool use", "Pricing", for all models since 3.7.
	claudeTools       = 346 // tool_choice auto or none
	claudeToolsForced = 313 // tool_choice any or tool
)

// messages adds a request of Anthropic's messages API.
func (r *request) messages(json string) {
	r.inexact = true
	r.add(claudeAnswer)
	tools, forced := false, false
	for c := walk(json); c.next(); {
		switch c.key {
		case "system":
			r.blocks(c.value)
		case "messages":
			for m := walk(c.value); m.next(); {
				r.add(claudeMessage)
				for f := walk(m.value); f.next(); {
					if f.key == "content" {
						r.blocks(f.value)
					}
				}
			}
		case "tools": // as JSON, without the longer spelling of what the API itself reads
			for tool := walk(c.value); tool.next(); {
				tools = true
				r.raw(tool.value)
			}
		case "tool_choice":
			for f := walk(c.value); f.next(); {
				forced = forced || f.key == "type" && (f.value == `"any"` || f.value == `"tool"`)
			}
		default:
			r.option(c.key, c.value)
		}
	}
	switch {
	case tools && forced:
		r.add(claudeToolsForced)
	case tools:
		r.add(claudeTools)
	}
}

// blocks adds a text or a list of blocks.
func (r *request) blocks(value string) {
	if isString(value) {
		r.string(value)
		return
	}
	for c := walk(value); c.next(); {
		r.block(c.value, true)
	}
}

// block adds a block: text, thinking, image, document, tool_use, tool_result. Signatures, encrypted thinking and ids are
// not counted. The thinking of earlier turns is counted, though some models do not read it again.
func (r *request) block(value string, outer bool) {
	kind, source := "", ""
	for c := walk(value); c.next(); {
		switch c.key {
		case "type":
			kind = inner(c.value)
		case "source":
			source = c.value
		case "text", "thinking", "name", "title", "context":
			r.string(c.value)
		case "input":
			r.raw(c.value)
		case "content": // of a tool's result, or of a document made of blocks
			if isString(c.value) {
				r.string(c.value)
				continue
			}
			for b := walk(c.value); outer && b.next(); {
				r.block(b.value, false)
			}
		}
	}
	if source != "" {
		r.source(kind, source)
	}
}

// source adds where an image or a document comes from: base64, url, file, text or content.
func (r *request) source(kind, value string) {
	data, media, text := "", "", ""
	for c := walk(value); c.next(); {
		switch c.key {
		case "type":
			if c.value == `"text"` {
				text = "text"
			}
		case "media_type":
			media = inner(c.value)
		case "data":
			data = c.value
		case "content":
			if isString(c.value) {
				r.string(c.value)
			}
			for b := walk(c.value); b.next(); {
				r.block(b.value, false)
			}
			text = "content"
		}
	}
	switch {
	case text == "content":
	case text == "text" || strings.HasPrefix(media, "text/"):
		r.string(data)
	case kind == "image":
		r.add(claudeTokens(r.measure(inner(data)), r.model))
	default:
		r.document(inner(data), claudePage)
	}
}
