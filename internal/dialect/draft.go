package dialect

// A Draft is a choice of an [Answer] in the making. Dialects write into it what
// they read, in the order in which it comes.
type Draft struct {
	answer                   *Answer
	index                    int64
	text, refusal, reasoning []byte
	calls                    []*CallDraft
	reasoningField           string
	finish                   string
	rounds                   rounds
}

// A CallDraft is a tool call of a [Draft].
type CallDraft struct {
	CallKey
	answer    *Answer
	kind      string
	arguments []byte
}

// Draft returns the choice with an index, made when it is new.
func (a *Answer) Draft(index int64) *Draft {
	if a.last != nil && a.last.index == index {
		return a.last
	}
	for _, d := range a.choices {
		if d.index == index {
			a.last = d
			return d
		}
	}
	d := &Draft{answer: a, index: index}
	if len(a.choices) == maxParts {
		a.Truncated = true
		return d
	}
	a.choices = append(a.choices, d)
	a.last = d
	return d
}

// AddText appends text that the choice consists of.
func (d *Draft) AddText(s string) { d.answer.keep(&d.text, s) }

// AddRefusal appends text that refuses to answer.
func (d *Draft) AddRefusal(s string) { d.answer.keep(&d.refusal, s) }

// AddReasoning appends reasoning that stands in a field. Servers that send two
// fields repeat the text in both, so only the first with text is read.
func (d *Draft) AddReasoning(field, s string) {
	if d.reasoningField == "" && s != "" {
		d.reasoningField = field
	}
	if d.reasoningField == field {
		d.answer.keep(&d.reasoning, s)
	}
}

// SetFinish sets the finish reason, unless it is empty.
func (d *Draft) SetFinish(reason string) {
	if reason != "" {
		d.finish = clip(reason, maxName)
	}
}

// Empty reports whether the choice has no text, no refusal and no reasoning.
func (d *Draft) Empty() bool { return len(d.text)+len(d.refusal)+len(d.reasoning) == 0 }

// Call returns the tool call that a delta continues, made when it is new.
func (d *Draft) Call(delta CallKey) *CallDraft {
	if c, ok := FindCall(d.calls, delta); ok {
		return c
	}
	return d.newCall(delta)
}

// NewCall returns a new tool call, for protocols that send calls whole.
func (d *Draft) NewCall(id, name string) *CallDraft {
	return d.newCall(CallKey{Index: int64(len(d.calls)), ID: id, Name: name})
}

func (d *Draft) newCall(key CallKey) *CallDraft {
	a := d.answer
	a.pieces += 2 // more than text
	c := &CallDraft{CallKey: key.Start(len(d.calls)), answer: a}
	if len(d.calls) == maxParts {
		a.Truncated = true
		return c
	}
	d.calls = append(d.calls, c)
	return c
}

// EndCall ends the calls with an index. Those without arguments get absent.
func (a *Answer) EndCall(index int64, absent string) {
	for _, d := range a.choices {
		for _, c := range d.calls {
			if c.Index == index && len(c.arguments) == 0 {
				c.AddArguments(absent)
			}
		}
	}
}

// SetType sets the type of the call. The first one stays.
func (c *CallDraft) SetType(kind string) { c.kind = either(c.kind, kind) }

// AddArguments appends to the arguments.
func (c *CallDraft) AddArguments(s string) { c.answer.keep(&c.arguments, s) }

// Empty reports whether the call has no arguments yet.
func (c *CallDraft) Empty() bool { return len(c.arguments) == 0 }
