package ledger

import (
	"cmp"
	"slices"

	"forward/internal/dialect"
	"forward/internal/price"
)

// unboundOutput is how many tokens an answer is taken to have at most when neither the request nor the price table says.
const unboundOutput = 16_384

// Estimate prepares a row for Begin: its tokens become the prompt's and the most that can be generated, its cost what they cost at most.
// output is what the request bounds itself to, for all its choices together; 0 is no bound, and then the model's own holds. r.Upstream and
// r.Model say whose price it is, r.Tier the service tier that is asked for. Without a price the tokens are there all the same, for budgets that count them.
func (r *Row) Estimate(prices *price.Table, input, output int64) {
	list, _, _ := prices.Price(r.Upstream, r.Model)
	output = cmp.Or(max(0, output), list.MaxOutput, unboundOutput)
	r.Usage, r.Estimated = dialect.Usage{Input: input, Output: output, Total: input + output}, true
	r.reserve(prices)
}

// reserve prices what a row may use at most.
func (r *Row) reserve(prices *price.Table) {
	list, why, ok := prices.Price(r.Upstream, r.Model)
	r.Price, r.Priced, r.Cost = why, false, 0
	if !ok {
		return
	}
	cost, err := list.Reserve(r.Usage.Input, r.Usage.Output, r.Tier)
	if err != nil {
		r.Price = err.Error()
		return
	}
	r.Priced, r.Cost = true, cost
}

// Bill works out what a row's usage costs, sets Priced, Cost, Saved and Price, and tells the trail how. The price is that of the model as
// it was asked for when forward.yaml names it, else of the model that answered, else of the one that was asked for.
//
// An answer out of the cache costs nothing and saves what it would have cost. A request that failed and used nothing is free, and so are
// those that never cost anything, such as lists of models. Where an answer should have a usage and has none, the row is unpriced.
func (r *Row) Bill(prices *price.Table, o price.Options) {
	r.Priced, r.Cost, r.Saved = false, 0, 0
	list, why, known := prices.Answered(r.Upstream, r.Model, r.Answered)
	var cost price.Cost
	var err error
	if known {
		cost, err = list.Cost(r.Usage, o)
	}
	failed := r.Status >= 400 || r.Status == 0
	used := r.Tokens() > 0 || o.Images > 0 || o.Characters > 0 || r.Usage.Seconds > 0 || !failed && len(cost.Lines) > 0 // by the call itself
	switch {
	case !used && failed:
		r.Priced, r.Price = true, "nothing was used"
	case !used && !consumes(r.Operation):
		r.Priced, r.Price = true, "free"
	case !used:
		r.Price = "the answer told no usage"
	case !known:
		r.Price = why
	case err != nil:
		r.Price = err.Error()
	default:
		r.Priced, r.Cost, r.Price = true, cost.Total, why
		if o.Tier == "flex" || o.Tier == "priority" {
			r.Price += ", served as " + o.Tier
		}
		for _, l := range cost.Lines {
			r.Trail = append(r.Trail, Step{r.Total, "price", l.String()})
		}
	}
	if r.Cache == "hit" {
		r.Priced, r.Cost, r.Saved = true, 0, r.Cost
	}
}

// consumes reports whether an operation has a cost by its nature.
func consumes(op dialect.Operation) bool {
	return !slices.Contains([]dialect.Operation{dialect.Other, dialect.Models, dialect.CountTokens, dialect.Moderation}, op)
}
