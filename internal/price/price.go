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
	"strings"

	"forward/internal/dialect"
)

// List is the price list of one model at one provider. It is read only.
type List struct {
	Provider  string `json:"provider"` // "" for an override that applies at every provider
	Model     string `json:"model"`
	MaxOutput int64  `json:"max_output,omitempty"` // the most tokens the model can generate; 0: not known
	Tiers     []Tier `json:"tiers"`                // sorted by Above, the first with 0
	Source    string `json:"source,omitempty"`
	// Times are the factors of all rates except those of tools, by what an
	// answer reports: "speed/fast", "inference_geo/us".
	Times map[string]Factor `json:"times,omitempty"`
	// Fees are what the provider charges for calls of tools, whatever the
	// model, the tier and the factors. A tier can have other rates of them.
	Fees Rates `json:"fees,omitempty"`
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

// NoRateError reports that a price list has no rate for a quantity, or no
// factor. The call is unpriced: it must not count as free.
type NoRateError struct {
	Model    string
	Quantity Quantity // or the name of a factor, as in List.Times
	Tier     string   // the service tier, see List.Cost
}

// Error names the quantity, the model and the service tier.
func (e *NoRateError) Error() string {
	if e.Tier != "" {
		return fmt.Sprintf("no price of %s for %s served as %s", e.Quantity, e.Model, e.Tier)
	}
	return fmt.Sprintf("no price of %s for %s", e.Quantity, e.Model)
}

// DoubtError reports that a usage may not be all that is billed, see
// dialect.Terms. The call is unpriced.
type DoubtError struct{ Doubt string }

// Error is the reason of the doubt.
func (e *DoubtError) Error() string { return e.Doubt }

// Cost prices a call by all that its usage reports. served is the service tier
// in the provider's word, of any case: "batch" and "flex" have the rates of
// batches, as OpenAI and Google have it; "priority" has rates of its own; "",
// "default", "standard", "standard_only", "auto", "scale" and "on_demand" are
// the ordinary service. No other word has a known price.
//
// An error means that the call is unpriced: a [*NoRateError], a [*DoubtError],
// or an amount that cannot be true.
func (l List) Cost(u dialect.Usage, served string) (Cost, error) {
	if u.Terms.Doubt != "" {
		return Cost{}, &DoubtError{u.Terms.Doubt}
	}
	times, err := l.times(u.Terms)
	if err != nil {
		return Cost{}, err
	}
	tier := l.tier(u.Input)
	rates, batch := tier.served(served)
	cost := Cost{Above: tier.Above, Batch: batch}
	var list [usual]counted
	err = cost.add(&service{l.Model, served, rates, l.Fees, times}, count(list[:0], &u))
	if err != nil {
		return Cost{}, err
	}
	return cost, nil
}

// ByPiece reports whether a price list charges by the piece what a usage has of
// images, speech and video, and not in generated tokens.
func (l List) ByPiece(u dialect.Usage) bool {
	s := service{rates: l.tier(u.Input).Rates}
	var list [usual]counted
	media := dialect.Usage{Media: u.Media}
	counts := count(list[:0], &media)
	return slices.ContainsFunc(pieces, func(piece Quantity) bool { return s.charges(piece, counts) })
}

// HasTool reports whether calls of a tool have a rate.
func (l List) HasTool(name string) bool {
	s := service{rates: l.tier(0).Rates, fees: l.Fees}
	_, _, ok := s.rate(ToolCall.of(name))
	return ok
}

// served returns the rates of a service tier, nil for one without a known
// price.
func (t *Tier) served(as string) (rates Rates, batch bool) {
	switch strings.ToLower(as) {
	case "", "default", "standard", "standard_only", "auto", "scale", "on_demand":
		return t.Rates, false
	case "batch", "flex":
		return t.Batch, true
	case "priority":
		return t.Priority, false
	}
	return nil, false
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
	l.Times = maps.Clone(l.Times)
	l.Fees = maps.Clone(l.Fees)
	l.Tiers = slices.Clone(l.Tiers)
	for i := range l.Tiers {
		t := &l.Tiers[i]
		t.Rates = maps.Clone(t.Rates)
		t.Batch = maps.Clone(t.Batch)
		t.Priority = maps.Clone(t.Priority)
	}
	return l
}
