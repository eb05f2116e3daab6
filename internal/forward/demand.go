package forward

import (
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// demand is what a request may cost at its target: its prompt, and the
// completion that it allows, or that is reserved for one that names no bound.
// It is computed when it is first needed, for counting a prompt costs more than
// all else that is done for a limit.
type demand struct {
	g     *Gateway
	ask   *ask
	route *upstream.Route
	model string

	known   bool
	bounded bool // prompt is an upper bound, see tokens.Bound
	tokens.Demand
}

// exact counts the prompt.
func (d *demand) exact() tokens.Demand {
	if d.known && !d.bounded {
		return d.Demand
	}
	var count tokens.Demand
	if d.estimates() {
		count.Prompt = d.g.Estimation.EstimateTokens(d.route.Dialect.Name, d.ask.body.Raw())
		count.Completion = d.ask.maxTokens()
	} else {
		count = tokens.Prompt(d.ask.from.op, d.model, d.ask.body)
	}
	d.set(count, false)
	return d.Demand
}

// atMost returns an upper bound where the prompt was not counted, for callers
// that need the exact number only near a limit. queued is true when the exact
// number is needed anyway. bounded reports whether it is not exact.
func (d *demand) atMost(queued bool) (count tokens.Demand, bounded bool) {
	switch {
	case d.known:
	case queued || d.estimates():
		d.exact()
	default:
		d.set(tokens.Bound(d.ask.from.op, d.model, d.ask.body), true)
	}
	return d.Demand, d.bounded
}

// total is what the request may cost, in tokens.
func (d *demand) total() int64 {
	count := d.exact()
	return count.Prompt + count.Completion
}

// estimates reports whether the prompt is estimated from its length, as the
// settings may want it for the route's provider.
func (d *demand) estimates() bool {
	return d.ask.body != nil && d.g.Estimation.On(d.route.Dialect.Name) && d.ask.from.op.Generates()
}

func (d *demand) set(count tokens.Demand, bounded bool) {
	if count.Completion == 0 && d.ask.from.op.AnswersText() {
		count.Completion = d.g.DefaultMaxTokens
	}
	d.known = true
	d.bounded = bounded
	d.Demand = count
}

// maxTokens is the bound that the request sets to all of its answers together,
// in tokens; 0 when it sets none.
func (a *ask) maxTokens() int64 {
	if a.req.MaxTokens > 0 {
		return a.req.MaxTokens * max(a.req.N, 1)
	}
	return 0
}
