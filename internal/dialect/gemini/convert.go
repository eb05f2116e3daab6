package gemini

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/convert"
	"forward/internal/dialect"
	"forward/internal/dialect/openai"
)

// forms are the two forms of Gemini's answers, and of those to OpenAI's paths.
var forms = openai.Forms.With(dialect.Generate, contentForm)

// contentForm is the form of what generateContent answers. The counts of
// usageMetadata are cumulative. A stream has no end marker: its last chunk has
// the finish reasons.
var contentForm = &convert.Form{
	Body: &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
		{Name: "candidates", Rule: convert.Keyed, Shape: candidate},
		{Name: "usageMetadata", Rule: convert.Last},
		{Name: "createTime", Rule: convert.First},
		{Name: "error", Rule: convert.Refuse},
	}},
	Complete: func(body gjson.Result) bool {
		candidates := body.Get("candidates")
		blocked := body.Get("promptFeedback.blockReason").Raw
		return candidates.Get("0").Exists() || (!candidates.Exists() && convert.IsText(blocked))
	},
}

var candidate = &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
	{Name: "content", Rule: convert.Nested, Shape: content},
	{Name: "finishReason", Rule: convert.Same, Required: true},
	{Name: "tokenCount", Rule: convert.Last},
	{Name: "logprobsResult", Rule: convert.Nested, Shape: logprobs},
}}

var content = &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
	{Name: "parts", Rule: convert.Parts, Shape: textPart, Whole: wholePart},
}}

var logprobs = &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
	{Name: "topCandidates", Rule: convert.List},
	{Name: "chosenCandidates", Rule: convert.List},
}}

// textPart is a part that the next chunk may continue. A part with a thought
// signature must not be joined with another:
// https://ai.google.dev/gemini-api/docs/thought-signatures.
var textPart = &convert.Shape{Rest: convert.Same, Fields: []convert.Field{
	{Name: "text", Rule: convert.Text},
	{Name: "thought", Rule: convert.Same},
}}

// wholePart reports whether a part is whole: not a call whose arguments come in
// pieces, nor a sound after another one, which may be two sounds or two pieces.
func wholePart(before, part string) bool {
	call := gjson.Get(part, "functionCall")
	if call.Get("willContinue").Exists() || call.Get("partialArgs").Exists() {
		return false
	}
	return !isSound(before) || !isSound(part)
}

func isSound(part string) bool {
	return strings.HasPrefix(gjson.Get(part, "inlineData.mimeType").String(), "audio/")
}
