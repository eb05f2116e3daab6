package tokens

import (
	"strings"

	"forward/internal/jsonscan"
)

// perContent is what a turn of Gemini costs besides its text: "The quick brown
// fox jumps over the lazy dog." has 10 tokens as a text and 11 as a prompt in
// https://ai.google.dev/api/tokens.
const perContent = 1

// gemini adds a request of generateContent or embedContent. Protocol buffers'
// JSON takes names in camel case and with underlines. The tokenizer is not
// published; o200k_base is near it.
func (r *request) gemini(json string) {
	r.inexact = true
	for c := jsonscan.WalkString(json); c.Next(); {
		switch c.Key {
		case "contents", "content", "systemInstruction", "system_instruction":
			if jsonscan.IsArray(c.Raw()) {
				for turn := c.Enter(); turn.Next(); {
					r.turn(turn.Raw())
				}
			} else {
				r.turn(c.Raw())
			}
		case "requests": // of batchEmbedContents
			for one := c.Enter(); one.Next(); {
				for f := one.Enter(); f.Next(); {
					if f.Key == "content" {
						r.turn(f.Raw())
					}
				}
			}
		case "tools": // as JSON; the form that the model reads is not published
			for tool := c.Enter(); tool.Next(); {
				r.raw(tool.Raw())
			}
		case "generationConfig", "generation_config":
			r.generation(c.Raw())
		}
	}
}

// generation reads the limits of the answer and adds its schema.
func (r *request) generation(value string) {
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "maxOutputTokens", "max_output_tokens":
			r.limit = max(r.limit, amount(c.Raw()))
		case "candidateCount", "candidate_count":
			r.answers = max(r.answers, amount(c.Raw()))
		case "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema":
			r.raw(c.Raw())
		}
	}
}

// turn adds a content, {"role":…,"parts":[…]}; a single part may occur without
// its list.
func (r *request) turn(value string) {
	r.add(perContent)
	r.string(value)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch {
		case c.Key != "parts":
		case jsonscan.IsArray(c.Raw()):
			for p := c.Enter(); p.Next(); {
				r.geminiPart(p.Raw())
			}
		default:
			r.geminiPart(c.Raw())
		}
	}
}

func (r *request) geminiPart(value string) {
	r.string(value)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "text":
			r.string(c.Raw())
		case "inlineData", "inline_data", "fileData", "file_data":
			r.blob(c.Raw())
		case "functionCall", "function_call", "functionResponse", "function_response", "executableCode", "executable_code",
			"codeExecutionResult", "code_execution_result":
			r.raw(c.Raw())
		}
	}
}

// blob adds {"mimeType":…,"data":…} or {"mimeType":…,"fileUri":…}.
func (r *request) blob(value string) {
	media, data := "", ""
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "mimeType", "mime_type":
			media = jsonscan.Inner(c.Raw())
		case "data":
			data = jsonscan.Inner(c.Raw())
		}
	}
	kind, _, _ := strings.Cut(media, "/")
	switch {
	case kind == "audio" && data == "":
		r.add(geminiSecond * unknownSeconds)
	case kind == "audio":
		r.sound(data, geminiSecond)
	case kind == "video" && data == "":
		r.add(geminiVideo * unknownSeconds)
	case kind == "video":
		r.add(geminiVideo * max(ceil(decodedLen(data), videoBytes), 1))
	case kind == "text":
		r.add(decodedLen(data) / 4) // about a token for four bytes
	case kind == "application":
		r.document(data, geminiPage)
	default:
		r.add(geminiTokens(r.measure(data), r.model))
	}
}

// sinceGemini3 reports whether a name is gemini-3 or later.
func sinceGemini3(model string) bool {
	_, version, ok := strings.Cut(model, "gemini-")
	return ok && version != "" && '3' <= version[0] && version[0] <= '9'
}
