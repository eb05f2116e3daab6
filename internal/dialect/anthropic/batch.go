package anthropic

import (
	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// readResult reads a line of the results of a batch of messages. Source: API
// reference, "Retrieve Message Batch results".
func readResult(line gjson.Result) (r dialect.Result, ok bool) {
	if !line.Get("result.type").Exists() {
		return r, false
	}
	message := line.Get("result.message")
	return dialect.Result{ID: message.Get("id").Str, CustomID: line.Get("custom_id").Str, Operation: dialect.Messages, Answer: message}, true
}
