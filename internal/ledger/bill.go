package ledger

import (
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/price"
)

// Estimate prepares a row for Reserve: its tokens become the prompt's and the
// most that all choices together can have, its cost the most that these cost.
// What the row's Usage has beside tokens stays: media and terms of the request.
//
// r.Upstream, r.Model and r.Answered choose the price list, r.Tier is the
// requested service tier. Without a price the tokens are set all the same, for
// budgets in tokens.
func (r *Row) Estimate(prices *price.Table, input, output int64) {
	r.Usage.Input = input
	r.Usage.Output = output
	r.Usage.Total = input + output
	r.Estimated = true
	r.priceReservation(prices)
}

// priceReservation prices what a row may use at most.
func (r *Row) priceReservation(prices *price.Table) {
	list, why, ok := prices.Answered(r.Upstream, r.Model, r.Answered)
	r.Price = why
	r.Priced = false
	r.Cost = 0
	r.List = 0
	if !ok {
		return
	}
	cost, err := list.Reserve(r.Usage, r.Tier)
	if err != nil {
		r.Price = err.Error()
		return
	}
	r.Priced = true
	r.Cost = cost
	r.list()
}

// list makes the cost of a row the list price where the caller's own credential
// paid: the provider bills its account, or nothing but a subscription.
func (r *Row) list() {
	if r.Listed {
		r.List = r.Cost
		r.Cost = 0
	}
}

// BillReserved bills a row at what was reserved for it, which is its Usage. Its
// tokens are a bound, so nothing is known of what it used where they have no
// price.
func (r *Row) BillReserved(prices *price.Table) {
	r.priceReserved(prices)
	r.Unmetered = !r.Priced
	r.Trail = append(r.Trail, Step{r.Total, reservedStep, "the answer reported no usage: billed at what was reserved"})
}

// reservedStep names the step in the trail of a row that is billed at its
// reservation.
const reservedStep = "reserved"

// isReserved reports whether a row was billed by BillReserved.
func (r *Row) isReserved() bool {
	return slices.ContainsFunc(r.Trail, func(s Step) bool { return s.Name == reservedStep })
}

// priceReserved prices a row that is billed by BillReserved.
func (r *Row) priceReserved(prices *price.Table) {
	r.priceReservation(prices)
	if !r.Priced && !r.Operation.Paid() {
		r.free("free")
	}
}

// Bill works out what a row's usage costs, sets Priced, Cost, Saved and Price,
// and appends the lines of the cost to the trail. See price.Table.Answered for
// whose price it is. The amount that the answer reports itself is the cost
// where its provider charges what it reports, and where there is no other.
//
// What a caller's own credential paid is in List, and Cost is 0.
//
// An answer of the cache costs nothing and saves what it would have cost. A
// request that failed and used nothing is free, and so are operations that
// never cost anything, such as the list of models. Where an answer should have
// a usage and has none, the row is unpriced and Unmetered.
func (r *Row) Bill(prices *price.Table) {
	r.Priced = false
	r.Cost = 0
	r.Saved = 0
	r.List = 0
	r.bill(prices)
	if r.Cache == "hit" {
		if !r.Listed {
			r.Saved = r.Cost
		}
		r.Priced = true
		r.Unmetered = false
		r.Cost = 0
	}
	r.list()
}

func (r *Row) bill(prices *price.Table) {
	list, why, known := prices.Answered(r.Upstream, r.Model, r.Answered)
	var cost price.Cost
	var err error
	if known {
		cost, err = list.Cost(r.Usage, r.Tier)
	}
	failed := r.Status >= 400 || r.Status == 0
	used := r.used() || (!failed && len(cost.Lines) > 0) // a price of the call itself
	switch {
	case !used && r.Unmetered:
		r.Price = "it was sent, and reported no usage"
	case !used && failed:
		r.free("nothing was used")
	case !used && isFree(r.Operation):
		r.free("free")
	case !used:
		r.Unmetered = true
		r.Price = "the answer reported no usage"
	case !known:
		r.Price = why
	case err != nil:
		r.Price = err.Error()
	default:
		r.Priced = true
		r.Cost = cost.Total
		r.Price = why + r.service()
		for _, l := range cost.Lines {
			r.addPrice(l.String())
		}
	}
	r.billReported(prices)
}

// used reports whether a row's usage has anything that may cost.
func (r *Row) used() bool {
	u := &r.Usage
	return r.Tokens() > 0 || u.Seconds > 0 || u.Media != dialect.Media{} || len(u.Terms.Fees) > 0 || u.Terms.HasReported || u.Terms.Doubt != ""
}

func (r *Row) free(why string) {
	r.Priced = true
	r.Price = why
}

func (r *Row) addPrice(text string) { r.Trail = append(r.Trail, Step{r.Total, "price", text}) }

// service names the service that a row was priced for, where it is not the
// ordinary one.
func (r *Row) service() string {
	tier := strings.ToLower(r.Tier)
	if tier != "flex" && tier != "priority" {
		tier = ""
	}
	served := price.FactorNames(r.Usage.Terms)
	switch {
	case tier != "" && served != "":
		return ", served as " + tier + " with " + served
	case tier != "" || served != "":
		return ", served as " + tier + served
	}
	return ""
}

// billReported takes the amount that the provider reports. It is the cost where
// the provider charges what it reports; elsewhere the table's is, and this one
// fills in where the table has none. An amount of 0 is a price only where the
// provider charges it: others write it for models that they do not know.
func (r *Row) billReported(prices *price.Table) {
	terms := &r.Usage.Terms
	if !terms.HasReported || terms.Reported < 0 {
		return
	}
	reported := price.Money(terms.Reported)
	charged := prices.Reports(r.Upstream)
	if charged || (!r.Priced && reported > 0) {
		if r.Priced {
			r.addPrice("the price table has " + r.Cost.String())
		}
		r.Priced = true
		r.Cost = reported
		r.Price = reportedPrice
	}
	r.addPrice("the provider reported " + reported.String())
}

// reportedPrice is the price of a row whose cost the provider reported.
const reportedPrice = "the amount that the provider reported"

// isFree reports whether an operation never costs anything at any provider.
// Moderation is none of them: OpenAI's models for it have the price 0, those of
// others have not.
func isFree(op dialect.Operation) bool { return !op.Generates() }
