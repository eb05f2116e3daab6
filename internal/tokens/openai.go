package tokens

import (
	"strings"

	"forward/internal/jsonscan"
)

// The rules for OpenAI's chat format. OpenAI publishes those for messages
// (cookbook, "How to count tokens with tiktoken", num_tokens_from_messages).
// Those for tools were measured by others:
// https://github.com/hmarr/openai-chat-tokens and the counts of the API in the
// tests of https://github.com/pamelafox/openai-messages-token-helper.
const (
	perMessage = 3 // <|start|>{role}<|message|>{content}<|end|>, without role and content
	perName    = 1
	perAnswer  = 3 // every answer is primed with <|start|>assistant<|message|>

	perTools      = 9  // around the definitions
	toolsInSystem = -4 // they share the message with the system's own text
	toolsForbid   = 1  // tool_choice "none"
	toolForced    = 7  // a tool_choice that names one, besides the name
	funcForced    = 4  // the same of function_call
	funcCalled    = 3  // around name and arguments of a function_call

	// The same of tool_calls, where several in one message are written as one
	// call of multi_tool_use.parallel. Measured in
	// https://community.openai.com/t/strange-token-cost-calculation-for-tool-calls/538914:
	// 40, 89, 114 tokens.
	toolCalled   = 4
	toolParallel = 5 // more, each
	allParallel  = 19
)

// cookbook are the families of models for which OpenAI publishes the rules for
// messages. The reasoning models count up to two tokens less per request.
var cookbook = []string{"gpt-3.5", "gpt-35", "gpt-4", "gpt-4o", "chatgpt-4o"}

func (r *request) chat(json string) {
	r.inexact = r.inexact || !hasFamily(r.model, cookbook)
	r.add(perAnswer)
	tools := false
	for c := jsonscan.WalkString(json); c.Next(); {
		switch c.Key {
		case "messages":
			for m := c.Enter(); m.Next(); {
				r.message(m.Raw())
			}
		case "tools", "functions":
			tools = r.tools(c.Raw()) || tools
		case "tool_choice":
			r.forced(c.Raw(), toolForced)
		case "function_call":
			r.forced(c.Raw(), funcForced)
		case "response_format":
			r.format(c.Raw())
		default:
			r.option(c.Key, c.Raw())
		}
	}
	if tools && r.system {
		r.add(toolsInSystem)
	}
}

// message adds a message of the chat API.
func (r *request) message(value string) {
	each, name := int64(perMessage), int64(perName)
	if r.model == "gpt-3.5-turbo-0301" {
		each, name = 4, -1 // a newline more; if there is a name, it stands for the role
	}
	r.add(each)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "role":
			r.string(c.Raw())
			r.system = r.system || c.Raw() == `"system"` || c.Raw() == `"developer"`
		case "name":
			r.string(c.Raw())
			r.add(name)
		case "content":
			r.content(c.Raw())
		case "tool_calls":
			calls := 0
			for call := c.Enter(); call.Next(); calls++ {
				r.call(call.Raw())
			}
			if calls > 1 {
				r.add(allParallel + int64(calls)*toolParallel)
			}
		case "function_call":
			r.called(c.Raw(), funcCalled)
		case "refusal", "reasoning_content", "reasoning": // an answer that is sent back; only some servers read the latter
			r.string(c.Raw())
		}
	}
}

// content adds the content of a message: a text or a list of parts.
func (r *request) content(value string) {
	if jsonscan.IsString(value) {
		r.string(value)
		return
	}
	for c := jsonscan.WalkString(value); c.Next(); {
		r.part(c.Raw())
	}
}

// part adds one part of a content, of the chat API or of the responses API.
// Unknown kinds count by their text.
func (r *request) part(value string) {
	if jsonscan.IsString(value) { // some servers take texts among the parts
		r.string(value)
		return
	}
	var picture, detail, file string
	isPicture := false
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "text", "refusal", "input_text", "output_text":
			r.string(c.Raw())
		case "type":
			isPicture = isPicture || c.Raw() == `"input_image"`
		case "image_url": // {"url":…,"detail":…} in the chat API, the URL itself in the other
			picture, isPicture = c.Raw(), true
			for i := c.Enter(); i.Next(); {
				switch i.Key {
				case "url":
					picture = i.Raw()
				case "detail":
					detail = i.Raw()
				}
			}
		case "detail":
			detail = c.Raw()
		case "input_audio":
			r.openAIAudio(c.Raw())
		case "file":
			for f := c.Enter(); f.Next(); {
				if f.Key == "file_data" || (f.Key == "file_id" && file == "") {
					file = f.Raw()
				}
			}
		case "file_data", "file_url":
			file = c.Raw()
		}
	}
	if isPicture {
		r.openAIImage(jsonscan.Inner(picture), jsonscan.Inner(detail))
	}
	if file != "" {
		r.document(payload(jsonscan.Inner(file)), openAIPage)
	}
}

// call adds a call of a tool that the model made before:
// {"id":…,"type":…,"function":{…}}. Its id is not counted.
func (r *request) call(value string) {
	for c := jsonscan.WalkString(value); c.Next(); {
		if c.Key == "function" || c.Key == "custom" {
			r.called(c.Raw(), toolCalled)
		}
	}
}

// called adds {"name":…,"arguments":…}, or input instead of arguments, and the
// tokens around them.
func (r *request) called(value string, around int64) {
	r.inexact = true
	r.add(around)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "name", "arguments", "input":
			r.string(c.Raw())
		}
	}
}

// forced adds a tool_choice.
func (r *request) forced(value string, named int64) {
	if value == `"none"` {
		r.add(toolsForbid)
		return
	}
	for c := jsonscan.WalkString(value); c.Next(); {
		if c.Key == "name" {
			r.add(named)
			r.string(c.Raw())
		} else if jsonscan.IsObject(c.Raw()) { // {"type":"function","function":{"name":…}}
			for f := c.Enter(); f.Next(); {
				if f.Key == "name" {
					r.add(named)
					r.string(f.Raw())
				}
			}
		}
	}
}

// format adds the schema of an answer, which the model reads; how it is written
// is not published.
func (r *request) format(value string) {
	for c := jsonscan.WalkString(value); c.Next(); {
		if c.Key == "json_schema" || c.Key == "schema" {
			r.inexact = true
			r.raw(c.Raw())
		}
	}
}

// responses adds a request of the responses API. The rules are assumed to be
// those of the chat format. Text that is stored at the provider
// (previous_response_id, conversation, prompt templates, files) is not counted.
func (r *request) responses(json string) {
	r.inexact = true
	r.add(perAnswer)
	tools := false
	for c := jsonscan.WalkString(json); c.Next(); {
		switch c.Key {
		case "instructions":
			r.add(perMessage + 1) // the role
			r.string(c.Raw())
			r.system = r.system || jsonscan.IsString(c.Raw())
		case "input":
			if jsonscan.IsString(c.Raw()) {
				r.add(perMessage + 1)
				r.string(c.Raw())
			}
			for i := c.Enter(); i.Next(); {
				r.item(i.Raw())
			}
		case "tools":
			tools = r.tools(c.Raw()) || tools
		case "tool_choice":
			r.forced(c.Raw(), toolForced)
		case "text": // {"format":{"type":"json_schema","schema":…}}
			for f := c.Enter(); f.Next(); {
				r.format(f.Raw())
			}
		default:
			r.option(c.Key, c.Raw())
		}
	}
	if tools && r.system {
		r.add(toolsInSystem)
	}
}

// item adds an item of a response's input: a message, a call, the output of a
// tool, or reasoning, whose encrypted form is not counted.
func (r *request) item(value string) {
	r.add(perMessage)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch c.Key {
		case "role", "name", "arguments":
			r.string(c.Raw())
			r.system = r.system || c.Raw() == `"system"` || c.Raw() == `"developer"`
		case "input": // of a custom tool
			r.string(c.Raw())
		case "content", "output", "summary":
			r.content(c.Raw())
		}
	}
}

// hasFamily reports whether a name is one of the families', or continues it
// with a dash or a dot.
func hasFamily(name string, families []string) bool {
	for _, f := range families {
		if rest, ok := strings.CutPrefix(name, f); ok && (rest == "" || rest[0] == '-' || rest[0] == '.') {
			return true
		}
	}
	return false
}
