package ledger

import (
	"cmp"
	"slices"

	"forward/internal/dialect"
	"forward/internal/price"
)

// defaultMaxOutput is how many tokens an answer is taken to have at most where
// neither the request nor the price table limits them.
const defaultMaxOutput = 16_384

// Estimate prepares a row for Reserve: its tokens become the prompt's and the
// most that can be generated, its cost the most that these cost. output is the
// bound in the request, for all its choices together; 0 is none, and then that
// of the model applies. r.Upstream and r.Model choose the price list, r.Tier is
// the requested service tier. Without a price the tokens are set all the same,
// for budgets in tokens.
func (r *Row) Estimate(prices *price.Table, input, output int64) {
	list, _, _ := prices.Price(r.Upstream, r.Model)
	output = cmp.Or(max(0, output), list.MaxOutput, defaultMaxOutput)
	r.Usage = dialect.Usage{Input: input, Output: output, Total: input + output}
	r.Estimated = true
	r.priceReservation(prices)
}

// priceReservation prices what a row may use at most.
func (r *Row) priceReservation(prices *price.Table) {
	list, why, ok := prices.Price(r.Upstream, r.Model)
	r.Price = why
	r.Priced = false
	r.Cost = 0
	if !ok {
		return
	}
	cost, err := list.Reserve(r.Usage.Input, r.Usage.Output, r.Tier)
	if err != nil {
		r.Price = err.Error()
		return
	}
	r.Priced = true
	r.Cost = cost
}

// Bill works out what a row's usage costs, sets Priced, Cost, Saved and Price,
// and appends the lines of the cost to the trail. See price.Table.Answered for
// whose price it is.
//
// An answer of the cache costs nothing and saves what it would have cost. A
// request that failed and used nothing is free, and so are operations that
// never cost anything, such as the list of models. Where an answer should have
// a usage and has none, the row is unpriced.
func (r *Row) Bill(prices *price.Table, o price.Options) {
	r.Priced = false
	r.Cost = 0
	r.Saved = 0
	r.bill(prices, o)
	if r.Cache == "hit" {
		r.Saved = r.Cost
		r.Priced = true
		r.Cost = 0
	}
}

func (r *Row) bill(prices *price.Table, o price.Options) {
	list, why, known := prices.Answered(r.Upstream, r.Model, r.Answered)
	var cost price.Cost
	var err error
	if known {
		cost, err = list.Cost(r.Usage, o)
	}
	failed := r.Status >= 400 || r.Status == 0
	used := r.Tokens() > 0 || r.Usage.Seconds > 0 || o.Images > 0 || o.Characters > 0
	used = used || (!failed && len(cost.Lines) > 0) // a price of the call itself
	switch {
	case !used && failed:
		r.Priced = true
		r.Price = "nothing was used"
	case !used && isFree(r.Operation):
		r.Priced = true
		r.Price = "free"
	case !used:
		r.Price = "the answer reported no usage"
	case !known:
		r.Price = why
	case err != nil:
		r.Price = err.Error()
	default:
		r.Priced = true
		r.Cost = cost.Total
		r.Price = why
		if o.Tier == "flex" || o.Tier == "priority" {
			r.Price += ", served as " + o.Tier
		}
		for _, l := range cost.Lines {
			r.Trail = append(r.Trail, Step{r.Total, "price", l.String()})
		}
	}
}

// isFree reports whether an operation never costs anything.
func isFree(op dialect.Operation) bool {
	return slices.Contains([]dialect.Operation{dialect.Other, dialect.Models, dialect.CountTokens, dialect.Moderation}, op)
}
