// Package price knows what a call costs: money, the price lists of models, and
// the rules by which the usage of a call becomes the lines of its cost.
//
// Money is counted in whole nano-dollars, and a rate is nano-dollars for a
// million tokens, so count × rate ÷ 10⁶ is the only rounding: half up, once for
// each line of a cost.
//
// Price lists come from an embedded table with a date, which gen makes from
// packages with a lock, and from forward.yaml. A model is found by its exact
// name, then without the date at its end, and never by similarity. A model
// without a price is unpriced, which is not the same as free: budgets in
// dollars refuse it.
//
// The package stores nothing and knows no ledger. What a row of the ledger
// costs is worked out in package ledger.
package price

import (
	"fmt"
	"maps"
	"slices"

	"forward/internal/dialect"
)

// List is the price list of one model at one provider. It is read only.
type List struct {
	Provider  string `json:"provider"` // "" for an override that applies at every provider
	Model     string `json:"model"`
	MaxOutput int64  `json:"max_output,omitempty"` // the most tokens the model can generate; 0: not known
	Tiers     []Tier `json:"tiers"`                // sorted by Above, the first with 0
	Source    string `json:"source,omitempty"`
}

// Tier holds the rates of calls with more than Above prompt tokens. They apply
// to the whole call, as the providers have it, and not only to the tokens above
// the threshold.
type Tier struct {
	Above int64 `json:"above,omitempty"`
	Rates Rates `json:"rates"`
	// Batch has the rates of calls in a batch and of those served as "flex";
	// nil: not known.
	Batch Rates `json:"batch,omitempty"`
	// Priority has the rates of calls served as "priority"; nil: not known, or
	// not sold.
	Priority Rates `json:"priority,omitempty"`
}

// Options state what a usage object does not.
type Options struct {
	// Tier is the service tier of the call in the provider's word. "batch" and
	// "flex" have the rates of batches, as OpenAI and Google have it;
	// "priority" has rates of its own; "", "default", "standard", "auto",
	// "scale" and "on_demand" are the ordinary service. No other has a known
	// price.
	Tier       string
	Images     int64 // generated images
	Characters int64 // characters turned into speech
}

// NoRateError reports that a price list has no rate for a quantity. The call is
// unpriced: it must not count as free.
type NoRateError struct {
	Model    string
	Quantity Quantity
	Tier     string // as in Options
}

// Error names the quantity, the model and the service tier.
func (e *NoRateError) Error() string {
	if e.Tier != "" {
		return fmt.Sprintf("no price of %s for %s served as %s", e.Quantity, e.Model, e.Tier)
	}
	return fmt.Sprintf("no price of %s for %s", e.Quantity, e.Model)
}

// Cost prices a call. An error, a [*NoRateError] or an amount that cannot be
// true, means that the call is unpriced.
func (l List) Cost(u dialect.Usage, o Options) (Cost, error) {
	tier := l.tier(u.Input)
	cost := Cost{Above: tier.Above}
	var rates Rates
	switch o.Tier {
	case "", "default", "standard", "auto", "scale", "on_demand":
		rates = tier.Rates
	case "batch", "flex":
		rates = tier.Batch
		cost.Batch = true
	case "priority":
		rates = tier.Priority
	}
	if err := cost.add(service{l.Model, o.Tier, rates}, count(u, o)); err != nil {
		return Cost{}, err
	}
	return cost, nil
}

// Reserve returns the most that a call can cost with that many prompt tokens
// and at most that many generated ones. Each is taken at the highest rate of
// its kind of token, because only the answer reports what the provider's cache
// did. tier is the requested service tier: only "priority" costs more than the
// ordinary service, and is an error where its price is not known.
func (l List) Reserve(input, output int64, tier string) (Money, error) {
	rates := l.tier(input).Rates
	if tier == "priority" {
		rates = l.tier(input).Priority
		if rates == nil {
			return 0, &NoRateError{l.Model, Input, tier}
		}
	}
	highest := func(kinds ...Quantity) (rate Money) {
		for _, q := range kinds {
			rate = max(rate, rates[q])
		}
		return rate
	}
	in, err := charge(max(0, input), highest(Input, CachedWrite, CachedWrite1h, AudioInput, ImageInput), Input.Per())
	if err != nil {
		return 0, fmt.Errorf("reserving for %s: %w", l.Model, err)
	}
	out, err := charge(max(0, output), highest(Output, Reasoning, AudioOutput, ImageOutput), Output.Per())
	if err != nil {
		return 0, fmt.Errorf("reserving for %s: %w", l.Model, err)
	}
	return in + out + rates[Request], nil
}

// tier returns the tier of a prompt with that many tokens.
func (l List) tier(input int64) Tier {
	for i := len(l.Tiers) - 1; i > 0; i-- {
		if input > l.Tiers[i].Above {
			return l.Tiers[i]
		}
	}
	if len(l.Tiers) == 0 {
		return Tier{}
	}
	return l.Tiers[0]
}

// clone returns a copy that shares no rates with l.
func (l List) clone() List {
	l.Tiers = slices.Clone(l.Tiers)
	for i := range l.Tiers {
		t := &l.Tiers[i]
		t.Rates = maps.Clone(t.Rates)
		t.Batch = maps.Clone(t.Batch)
		t.Priority = maps.Clone(t.Priority)
	}
	return l
}
