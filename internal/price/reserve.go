package price

import (
	"fmt"

	"forward/internal/dialect"
)

// Reserve returns the most that a call can cost which uses what u has at most:
// prompt tokens, generated ones, media and calls of tools. Each token is taken
// at the highest rate of its kind, because only the answer reports what the
// provider's cache did; an image or a second of video of a kind without a rate
// at the highest of any kind. asked is the requested service tier: only
// "priority" costs more than the ordinary service.
//
// An error means that the price of the request is not known, as in Cost.
func (l List) Reserve(u dialect.Usage, asked string) (Money, error) {
	r, err := l.reservation(&u, asked)
	if err != nil {
		return 0, err
	}
	var list [usual]counted
	for _, part := range count(list[:0], &u) {
		r.add(part)
	}
	if r.err == nil && !r.priced {
		r.err = &NoRateError{l.Model, Input, asked}
	}
	return r.total, r.err
}

// reservation adds up what a call can cost at most.
type reservation struct {
	service
	in, out Money // the highest rates of tokens
	inputs  bool  // there is a prompt, and its tokens have a rate
	outputs bool  // tokens are generated, and have a rate
	total   Money
	priced  bool // something has a rate
	err     error
}

func (l *List) reservation(u *dialect.Usage, asked string) (r reservation, err error) {
	times, err := l.times(u.Terms)
	if err != nil {
		return r, err
	}
	tier := l.tier(u.Input)
	rates, batch := tier.served(asked)
	if batch {
		rates = tier.Rates
	}
	if rates == nil {
		return r, &NoRateError{l.Model, Input, asked}
	}
	r.service = service{l.Model, asked, rates, l.Fees, times}
	r.in, r.inputs = r.highest(Input, CachedRead, CachedWrite, CachedWrite1h, AudioInput, ImageInput)
	r.out, r.outputs = r.highest(Output, Reasoning, AudioOutput, ImageOutput)
	r.outputs = r.outputs && u.Output > 0
	r.priced = r.inputs || r.outputs
	r.inputs = r.inputs && u.Input > 0
	return r, nil
}

// highest returns the highest rate of kinds of tokens.
func (r *reservation) highest(kinds ...Quantity) (rate Money, ok bool) {
	for _, q := range kinds {
		listed, has := r.rates[q]
		rate = max(rate, listed)
		ok = ok || has
	}
	return r.times.of(rate), ok
}

// add reserves one quantity.
func (r *reservation) add(c counted) {
	rate, _, ok := r.rate(c.quantity)
	switch {
	case c.quantity.isA(Input):
		r.charge(c, r.in)
		return
	case c.quantity.isA(Output):
		r.charge(c, r.out)
		return
	case ok:
	case c.quantity == Request:
		return
	case c.quantity == Second && r.inputs:
		return // in the tokens of the prompt
	case c.quantity.base() != ToolCall:
		rate, ok = r.rates.highest(c.quantity.base())
		rate = r.times.of(rate)
	}
	if !ok && (!r.outputs || c.quantity.base() == ToolCall) {
		r.err = &NoRateError{r.model, c.quantity, r.tier}
		return
	}
	r.priced = true
	r.charge(c, rate)
}

// charge adds a count at a rate.
func (r *reservation) charge(c counted, rate Money) {
	amount, err := charge(c.n, rate, c.quantity.Per())
	if err != nil {
		r.err = fmt.Errorf("reserving %d %s of %s: %w", c.n, c.quantity, r.model, err)
	}
	r.total = Money(Add(int64(r.total), int64(amount)))
}
