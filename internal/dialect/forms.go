package dialect

import "forward/internal/framing"

// The conversions of streams and bodies, which the dialects share as long as
// they have no package of their own.

// Event is an event of a stream.
type Event = framing.Event

func eachEvent(events []byte, f func(raw []byte, ev Event, ok bool) bool) {
	framing.SSE.Each(events, f)
}

// FoldOpenAI is the Fold of OpenAI's operations.
func FoldOpenAI(op Operation, events []byte) ([]byte, bool) { return openAIFold(op, events) }

// CutOpenAI is the Cut of OpenAI's operations.
func CutOpenAI(op Operation, body []byte, usage bool) ([]byte, bool) {
	return openAICut(op, body, usage)
}

// FoldAnthropic is the Fold of Anthropic's operations.
func FoldAnthropic(op Operation, events []byte) ([]byte, bool) { return anthropicFold(op, events) }

// CutAnthropic is the Cut of Anthropic's operations.
func CutAnthropic(op Operation, body []byte, usage bool) ([]byte, bool) {
	return anthropicCut(op, body, usage)
}

// FoldGemini is the Fold of Gemini's operations.
func FoldGemini(op Operation, events []byte) ([]byte, bool) { return geminiFold(op, events) }

// CutGemini is the Cut of Gemini's operations.
func CutGemini(op Operation, body []byte, usage bool) ([]byte, bool) {
	return geminiCut(op, body, usage)
}

// WithUsage is the WithUsage of OpenAI's operations.
func WithUsage(op Operation, events []byte, include bool) []byte {
	return openAIWithUsage(op, events, include)
}
