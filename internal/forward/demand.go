package forward

import (
	"cmp"

	"forward/internal/dialect"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// The most tokens that are generated where neither the request nor the price
// table has a bound.
const (
	maxAnswer     = 16_384
	maxImage      = 6_240  // OpenAI's largest picture in its best quality
	maxSound      = 16_000 // the context of OpenAI's models that transcribe
	maxTranscript = 2_000  // and their longest answer
	maxDemand     = 1 << 40
)

// demand is what a request may cost at its target: its prompt, and what may be
// generated for it. The prompt is counted when it is first needed, for that
// costs more than all else that is done for a limit.
type demand struct {
	g     *Gateway
	ask   *ask
	route *upstream.Route
	model string

	known   bool
	bounded bool // Prompt is an upper bound, see tokens.Bound
	tokens.Demand
	ceiling int64 // the model's own maximum of one answer; 0: not known, -1: not looked up
}

func (g *Gateway) newDemand(a *ask, route *upstream.Route, model string) *demand {
	return &demand{g: g, ask: a, route: route, model: model, ceiling: -1}
}

// exact counts the prompt.
func (d *demand) exact() tokens.Demand {
	if d.known && !d.bounded {
		return d.Demand
	}
	switch {
	case d.estimates():
		d.Demand = tokens.Demand{Prompt: d.g.Estimation.EstimateTokens(d.route.Dialect.Name, d.ask.body.Raw())}
	default:
		d.Demand = tokens.Prompt(d.ask.from.op, d.model, d.ask.body)
	}
	d.known = true
	d.bounded = false
	return d.Demand
}

// atMost returns an upper bound where the prompt was not counted, for callers
// that need the exact number only near a limit. bounded reports whether it is
// not exact.
func (d *demand) atMost() (count tokens.Demand, bounded bool) {
	switch {
	case d.known:
	case d.estimates():
		d.exact()
	default:
		d.Demand = tokens.Bound(d.ask.from.op, d.model, d.ask.body)
		d.known = true
		d.bounded = true
	}
	return d.Demand, d.bounded
}

// unread returns how many tokens the prompt in a body may have that is not
// read. Budgets reserve them; limits of tokens learn them from the answer.
// Sound of the lowest usual bit rate has 2 KB a second, which is 10 tokens.
func (d *demand) unread() int64 {
	if d.ask.session != nil {
		return d.ask.session.context
	}
	if d.ask.body != nil {
		return 0
	}
	switch d.ask.from.op {
	case dialect.Audio:
		if n := d.ask.in.r.ContentLength; n > 0 {
			return min(n/200+1, maxSound)
		}
		return maxSound
	case dialect.ImageEdit:
		return maxImage
	}
	return 0
}

// estimates reports whether the prompt is estimated from its length, as the
// settings may want it for the route's provider.
func (d *demand) estimates() bool {
	return d.ask.body != nil && d.g.Estimation.On(d.route.Dialect.Name) && d.ask.from.op.Generates()
}

// most returns what all answers together may have at most, in tokens: what the
// request allows, or else what answers of its kind may have, within what the
// model can generate. Budgets hold this.
func (d *demand) most() int64 {
	one := d.ask.req.MaxTokens
	if one == 0 {
		one = d.unnamed()
	}
	if ceiling := d.modelMost(); ceiling > 0 {
		one = min(one, ceiling)
	}
	return d.all(one)
}

// likely returns what limits of tokens reserve for all answers together. A
// client may allow 128,000 tokens and be answered with 100: what it allows
// counts up to RESERVE_MAX_OUTPUT, or as far as answers of the model went
// lately. Of these tokens, spare are not reserved where a limit has not as
// many, so that long answers make no request impossible.
func (d *demand) likely() (output, spare int64) {
	sure := d.ask.req.MaxTokens
	most := sure
	if sure > 0 {
		sure = min(sure, d.g.ReserveMaxOutput)
	} else if most = d.unnamed(); d.ask.from.op.AnswersText() {
		sure = d.g.DefaultMaxTokens
	}
	one := max(sure, min(most, d.g.lengths.recent(d.model).longest))
	return d.all(one), d.all(one) - d.all(sure)
}

// least returns what must be left of a budget for all answers together, so that
// the request may start: what it allows, or how far answers of the model went
// lately, where there were enough of them. A bound above what the model can
// generate is taken at its word. A request without a bound starts while its
// prompt fits, with DEFAULT_MAX_TOKENS for each further answer.
func (d *demand) least() int64 {
	one := d.ask.req.MaxTokens
	if one == 0 {
		if d.ask.from.op.AnswersText() {
			return d.all(d.g.DefaultMaxTokens) - d.g.DefaultMaxTokens
		}
		return 0
	}
	recent := d.g.lengths.recent(d.model)
	if recent.answers >= enoughAnswers && one <= cmp.Or(d.modelMost(), maxDemand) {
		one = min(one, max(d.g.ReserveMaxOutput, recent.longest))
	}
	return d.all(one)
}

// all returns the tokens of all answers together, where one has that many.
func (d *demand) all(one int64) int64 {
	n := max(d.ask.req.N, 1)
	if one > maxDemand/n {
		return maxDemand
	}
	return one * n
}

// unnamed returns how many tokens an answer may have to a request that names no
// bound.
func (d *demand) unnamed() int64 {
	switch op := d.ask.from.op; {
	case op.AnswersText():
		return cmp.Or(d.modelMost(), maxAnswer)
	case op == dialect.Image || op == dialect.ImageEdit:
		return maxImage
	case op == dialect.Audio:
		return maxTranscript
	case op == dialect.Speech:
		return 8 * d.Prompt // a minute of sound is 1,250 tokens, and its text 200
	}
	return 0
}

// modelMost returns the longest answer of the model by the price table, 0 where
// that is not known.
func (d *demand) modelMost() int64 {
	if d.ceiling < 0 {
		d.ceiling = 0
		if d.ask.from.op.AnswersText() {
			d.ceiling = d.g.priceOf(d.route, d.model).MaxOutput
		}
	}
	return d.ceiling
}
