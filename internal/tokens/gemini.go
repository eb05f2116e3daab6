package tokens

import "strings"

// perContent is what a turn of Gemini costs besides its text: "The quick brown fox jumps over the lazy dog." has 10 tokens
// as a text and 11 as a prompt in https://ai.google.dev/api/tokens.
const perContent = 1

// gemini adds a request of generateContent or embedContent. Protocol buffers' JSON takes names in camel case and with
// underlines. The tokenizer is not published; o200k_base is near it.
func (r *request) gemini(json string) {
	r.inexact = true
	for c := walk(json); c.next(); {
		switch c.key {
		case "contents", "content", "systemInstruction", "system_instruction":
			if isArray(c.value) {
				for turn := walk(c.value); turn.next(); {
					r.turn(turn.value)
				}
			} else {
				r.turn(c.value)
			}
		case "requests": // of batchEmbedContents
			for one := walk(c.value); one.next(); {
				for f := walk(one.value); f.next(); {
					if f.key == "content" {
						r.turn(f.value)
					}
				}
			}
		case "tools": // as JSON; the form that the model reads is not published
			for tool := walk(c.value); tool.next(); {
				r.raw(tool.value)
			}
		case "generationConfig", "generation_config":
			r.generation(c.value)
		}
	}
}

// generation reads the limits of the answer and adds its schema.
func (r *request) generation(value string) {
	for c := walk(value); c.next(); {
		switch c.key {
		case "maxOutputTokens", "max_output_tokens":
			r.limit = max(r.limit, amount(c.value))
		case "candidateCount", "candidate_count":
			r.answers = max(r.answers, amount(c.value))
		case "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema":
			r.raw(c.value)
		}
	}
}

// turn adds a content, {"role":…,"parts":[…]}; a single part may stand without its list.
func (r *request) turn(value string) {
	r.add(perContent)
	r.string(value)
	for c := walk(value); c.next(); {
		switch {
		case c.key != "parts":
		case isArray(c.value):
			for p := walk(c.value); p.next(); {
				r.geminiPart(p.value)
			}
		default:
			r.geminiPart(c.value)
		}
	}
}

func (r *request) geminiPart(value string) {
	r.string(value)
	for c := walk(value); c.next(); {
		switch c.key {
		case "text":
			r.string(c.value)
		case "inlineData", "inline_data", "fileData", "file_data":
			r.blob(c.value)
		case "functionCall", "function_call", "functionResponse", "function_response", "executableCode", "executable_code",
			"codeExecutionResult", "code_execution_result":
			r.raw(c.value)
		}
	}
}

// blob adds {"mimeType":…,"data":…} or {"mimeType":…,"fileUri":…}.
func (r *request) blob(value string) {
	media, data := "", ""
	for c := walk(value); c.next(); {
		switch c.key {
		case "mimeType", "mime_type":
			media = inner(c.value)
		case "data":
			data = inner(c.value)
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
		r.add(decodedLen(data) / 4) // as Estimate
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
