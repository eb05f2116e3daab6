package openai

import (
	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// readResult reads a line of a batch's output file. Source: API reference,
// "Batch", "The request output object".
func readResult(line gjson.Result) (r dialect.Result, ok bool) {
	body := line.Get("response.body")
	if !body.IsObject() {
		return r, false
	}
	op := dialect.Chat
	switch body.Get("object").Str {
	case "text_completion":
		op = dialect.Completion
	case "response":
		op = dialect.Responses
	case "list":
		op = dialect.Embedding
	}
	return dialect.Result{ID: line.Get("id").Str, CustomID: line.Get("custom_id").Str, Operation: op, Answer: body}, true
}
