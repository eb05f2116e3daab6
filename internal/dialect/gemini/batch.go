package gemini

import (
	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// inlineResults are where a batch has the results of requests that came with
// it: in the output of its metadata and again in the response of the operation.
// Source: https://ai.google.dev/api/batch-api.
var inlineResults = []string{
	"metadata.output.inlinedResponses.inlinedResponses",
	"response.inlinedResponses.inlinedResponses",
}

// readResult reads a line of a batch's file of responses.
func readResult(line gjson.Result) (r dialect.Result, ok bool) {
	answer := line.Get("response")
	if !answer.Get("candidates").Exists() && !answer.Get("usageMetadata").Exists() {
		return r, false
	}
	return dialect.Result{ID: answer.Get("responseId").Str, CustomID: line.Get("key").Str, Operation: dialect.Generate, Answer: answer}, true
}
