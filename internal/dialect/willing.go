package dialect

import "strings"

// willing are the finish reasons of answers that came to their own end, in the
// words of all protocols in lower case. A word that is not here is none: a
// refusal, a block, a pause or a malformed call, under whatever name.
var willing = Set(
	"stop", "end_turn", "stop_sequence", "completed", "complete", "eos", "eos_token", "done",
	"tool_use", "tool_calls", "function_call",
)

// bounded are those of answers that ended at a bound of tokens.
var bounded = Set("length", "max_tokens", "max_output_tokens")

// Willing reports whether a complete answer may be given to the same request
// again: each choice came to its own end, or to the client's own bound
// (maxTokens of the request), and none is a refusal. Tomorrow the provider may
// judge the same words otherwise.
func (a *Answer) Willing(maxTokens int64) bool {
	for _, c := range a.Choices() {
		reason := strings.ToLower(c.Finish)
		if c.Refusal != "" || (reason != "" && !willing[reason] && !(bounded[reason] && maxTokens > 0)) {
			return false
		}
	}
	return true
}
