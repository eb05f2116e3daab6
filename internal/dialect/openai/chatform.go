package openai

import (
	"cmp"

	"github.com/tidwall/gjson"

	"forward/internal/convert"
	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// Forms are the two forms of OpenAI's answers. Source: API reference, "The chat
// completion chunk object"; "Streaming events" for Responses.
var Forms = convert.Forms{
	dialect.Chat: choicesForm("chat.completion", "chat.completion.chunk",
		convert.Field{Name: "delta", As: "message", Rule: convert.Nested, Shape: message,
			Default: `{"role":"assistant","content":null}`},
		convert.Field{Name: "message", Rule: convert.Refuse}, // some server's own way to stream
	),
	dialect.Completion: choicesForm("text_completion", "text_completion",
		convert.Field{Name: "text", Rule: convert.Text, Default: `""`},
	),
	dialect.Responses: responseForm,
}

// choicesForm returns the form of an answer with choices. whole and chunk are
// its object in a body and in a stream, content are the fields of a choice that
// have what it has.
func choicesForm(whole, chunk string, content ...convert.Field) *convert.Form {
	choice := []convert.Field{{Name: "index", Default: "0"}}
	choice = append(choice, content...)
	choice = append(choice,
		convert.Field{Name: "logprobs", Rule: convert.Nested, Shape: logprobs},
		convert.Field{Name: "finish_reason", Rule: convert.Last, Required: true}, // some servers send ""
	)
	return &convert.Form{
		End:   "[DONE]",
		List:  "choices",
		Usage: "usage",
		Body: &convert.Shape{Rest: convert.Last, Fields: []convert.Field{
			{Name: "id", Rule: convert.First}, // Azure's first chunk has "", and 0 for created
			{Name: "object", Rule: convert.Drop, Default: `"` + whole + `"`, Chunk: `"` + chunk + `"`},
			{Name: "created", Rule: convert.First},
			{Name: "model", Rule: convert.First},
			{Name: "choices", Rule: convert.Keyed, Shape: &convert.Shape{Rest: convert.Last, Fields: choice}},
			{Name: "usage", Rule: convert.Latest},
			{Name: "obfuscation", Rule: convert.Drop}, // random padding of chunks
			{Name: "error", Rule: convert.Refuse},
		}},
		Complete: func(body gjson.Result) bool { return body.Get("choices.0").Exists() },
	}
}

// message is how deltas become a message. Of fields that are not known, texts
// and lists are joined; anything else must always be the same.
var message = &convert.Shape{Rest: convert.Join, Fields: []convert.Field{
	{Name: "role", Rule: convert.First, Default: `"assistant"`},
	{Name: "content", Rule: convert.Join, Default: "null"},
	{Name: "id", Rule: convert.First},
	{Name: "type", Rule: convert.First},
	{Name: "name", Rule: convert.First},
	{Name: "function_call", Rule: convert.Nested, Shape: function},
	{Name: "tool_calls", Rule: convert.Keyed, Key: callKey, Shape: toolCall},
}}

var toolCall = &convert.Shape{Rest: convert.Join, Fields: []convert.Field{
	{Name: "index", Rule: convert.Drop},
	{Name: "id", Rule: convert.First},
	{Name: "type", Rule: convert.First},
	{Name: "function", Rule: convert.Nested, Shape: function},
	{Name: "custom", Rule: convert.Nested, Shape: function},
}}

// function is what a call calls; its arguments or input come in pieces.
var function = &convert.Shape{Rest: convert.Join, Fields: []convert.Field{
	{Name: "name", Rule: convert.First},
}}

// logprobs are lists, of one item for each token.
var logprobs = &convert.Shape{Rest: convert.Join}

// callKey returns what identifies the tool call that a delta is a piece of.
func callKey(call convert.Object) dialect.CallKey {
	key := dialect.CallKey{Index: -1, ID: jsonscan.String(gjson.Parse(call.Get("id")))}
	for _, kind := range []string{"function", "custom"} {
		key.Name = cmp.Or(key.Name, jsonscan.String(gjson.Get(call.Get(kind), "name")))
	}
	if index := gjson.Parse(call.Get("index")); index.Type == gjson.Number {
		key.Index = jsonscan.Count(index)
	}
	return key
}
