package tokens

import (
	"strings"

	"forward/internal/jsonscan"
)

// The rules for Anthropic's messages are not published. These reproduce the
// examples of its documentation ("Token counting", "Using the Messages API") to
// within some tokens.
const (
	claudeMessage = 4 // around a message, its role included
	claudeAnswer  = 3

	// The system prompt that comes with tools: https://docs.claude.com, "Tool
	// use", "Pricing", for all models since 3.7.
	claudeTools       = 346 // tool_choice auto or none
	claudeToolsForced = 313 // tool_choice any or tool
)

// messages adds a request of Anthropic's messages API.
func (r *request) messages(json string) {
	r.inexact = true
	r.add(claudeAnswer)
	tools, forced := false, false
	for c := jsonscan.WalkString(json); c.Next(); {
		switch c.Key {
		case "system":
			r.blocks(c.Raw())
		case "messages":
			for m := c.Enter(); m.Next(); {
				r.add(claudeMessage)
				for f := m.Enter(); f.Next(); {
					if f.Key == "content" {
						r.blocks(f.Raw())
					}
				}
			}
		case "tools": // as JSON, without the longer spelling of what the API itself reads
			for tool := c.Enter(); tool.Next(); {
				tools = true
				r.raw(tool.Raw())
			}
		case "tool_choice":
			for f := c.Enter(); f.Next(); {
				forced = forced || (f.Key == "type" && (f.Raw() == `"any"` || f.Raw() == `"tool"`))
			}
		default:
			r.option(c.Key, c.Raw())
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
	if jsonscan.IsString(value) {
		r.string(value)
		return
	}
	for c := jsonscan.WalkString(value); c.Next(); {
		r.block(c.Raw(), true)
	}
}

// block adds a block: text, thinking, image, document, tool_use, tool_result.
// Signatures, encrypted thinking and ids are not counted. The thinking of
// earlier turns is counted, though some models do not read it again.
func (r *request) block(value string, outer bool) {
	kind, source := "", ""
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "type":
			kind = jsonscan.Inner(c.Raw())
		case "source":
			source = c.Raw()
		case "text", "thinking", "name", "title", "context":
			r.string(c.Raw())
		case "input":
			r.raw(c.Raw())
		case "content": // of a tool's result, or of a document made of blocks
			if jsonscan.IsString(c.Raw()) {
				r.string(c.Raw())
				continue
			}
			for b := c.Enter(); outer && b.Next(); {
				r.block(b.Raw(), false)
			}
		}
	}
	if source != "" {
		r.source(kind, source)
	}
}

// source adds the source of an image or a document: base64, url, file, text or
// content.
func (r *request) source(kind, value string) {
	data, media, text := "", "", ""
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "type":
			if c.Raw() == `"text"` {
				text = "text"
			}
		case "media_type":
			media = jsonscan.Inner(c.Raw())
		case "data":
			data = c.Raw()
		case "content":
			if jsonscan.IsString(c.Raw()) {
				r.string(c.Raw())
			}
			for b := c.Enter(); b.Next(); {
				r.block(b.Raw(), false)
			}
			text = "content"
		}
	}
	switch {
	case text == "content":
	case text == "text" || strings.HasPrefix(media, "text/"):
		r.string(data)
	case kind == "image":
		r.add(claudeTokens(r.measure(jsonscan.Inner(data)), r.model))
	default:
		r.document(jsonscan.Inner(data), claudePage)
	}
}
