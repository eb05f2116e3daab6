package tokens

import "forward/internal/dialect"

// Completion counts the output of an answer: text, refusal, reasoning and tool
// calls of all choices. It is for answers that came without usage, such as
// streams that were cut off or whose client did not ask for it. Usage that an
// answer has is the truth. Reasoning that the provider does not send is not
// counted, so the count is a lower bound for reasoning models. An answer longer
// than the Answer kept is counted as far as it was kept.
func Completion(op dialect.Operation, model string, a *dialect.Answer) int64 {
	if a == nil || op == dialect.Embedding || op == dialect.EmbedContent || op == dialect.Moderation {
		return 0
	}
	choices := a.Choices()
	size := 0
	for _, c := range choices {
		size += len(c.Text) + len(c.Refusal) + len(c.Reasoning)
		for _, call := range c.ToolCalls {
			size += len(call.Name) + len(call.Arguments)
		}
	}
	t := newTally(model, size)
	defer t.release()
	for _, c := range choices {
		t.text(c.Text, false)
		t.text(c.Refusal, false)
		t.text(c.Reasoning, false)
		for _, call := range c.ToolCalls {
			t.add(toolCalled)
			t.text(call.Name, false)
			t.text(call.Arguments, false)
		}
	}
	return t.total()
}
