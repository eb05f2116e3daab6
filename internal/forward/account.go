package forward

import (
	"fmt"
	"net/http"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/upstream"
)

// openAccount reserves what the request may cost in the budgets of its key and
// of its tags, and writes it to the ledger as under way. It is written once,
// also when another model is asked in the end.
func (g *Gateway) openAccount(work life, a *ask, to target) (*ledger.Call, error) {
	if a.req.Absurd != "" && to.counts(&a.who) {
		return nil, &refusal{status: http.StatusBadRequest, code: "invalid_body", param: a.req.Absurd,
			message: fmt.Sprintf("The value of %q is no number that the gateway can reserve: send a whole number of at most %d.", a.req.Absurd, int64(dialect.MaxBound))}
	}
	use, _ := g.batchUse(a, to.route)
	if !a.from.op.Generates() && use != dialect.MakesBatch {
		return nil, nil
	}
	if a.from.op == dialect.Unknown && !to.counts(&a.who) {
		return nil, nil // it may be anything, and counts for no key of ours
	}
	if g.Ledger == nil {
		if a.who.hasBudgets() {
			return nil, refused(http.StatusServiceUnavailable, "ledger_unavailable",
				"Your key, or a tag of your request, has a budget, and the gateway keeps no ledger to hold it to. Its administrator can take the budget away, or set LEDGER and DATA_DIR so that there is one.")
		}
		return nil, nil
	}
	return g.Ledger.Reserve(work, g.reservation(a, to))
}

// moveAccount reserves in the budgets of the request what it may cost at
// another model, instead of what is reserved.
func (g *Gateway) moveAccount(work life, call *ledger.Call, a *ask, to target) error {
	if call == nil {
		return nil
	}
	return call.Move(work, g.reservation(a, to))
}

// reservation returns what a request reserves for the model that is asked.
func (g *Gateway) reservation(a *ask, to target) ledger.Reservation {
	r := g.newReservation(a, to)
	use, _ := g.batchUse(a, to.route)
	switch {
	case use == dialect.MakesBatch:
		r.Row.Priced = true // its price is known when its results are; a spent budget makes none
	case a.from.op == dialect.Unknown && to.model == "":
		r.Row.Priced = true // it has none, and the key may use it all the same
	case len(r.Budgets) == 0:
		prompt := to.demand.unread()
		if a.body != nil {
			prompt = r.Row.BytesIn / 4 // is enough where no budget depends on it
		}
		r.Row.Estimate(g.Prices, prompt, to.demand.most())
	default:
		g.estimate(&r, to.demand)
	}
	g.redactRow(&r.Row, a, nil)
	return r
}

// newReservation returns the reservation of a request with all that the request
// itself decides of its price.
func (g *Gateway) newReservation(a *ask, to target) ledger.Reservation {
	r := ledger.Reservation{Row: g.newRow(a, to), Budgets: append(g.Ledger.Budgets(a.who.policy, g.Location), a.who.budgets...)}
	r.Row.Usage = a.asked()
	r.Row.Answered = g.answering(to.route, to.model)
	r.Row.Tier = a.tier()
	if len(r.Budgets) > 0 {
		list, _, _ := g.Prices.Answered(r.Row.Upstream, r.Row.Model, r.Row.Answered)
		r.Row.Usage.Terms.Fees = a.offers(list)
	}
	return r
}

// estimate sets what budgets hold for a request, and what has to be left of
// those that it may not overrun: all that the request is likely to cost.
func (g *Gateway) estimate(r *ledger.Reservation, d *demand) {
	count, bounded := d.atMost()
	r.Row.Estimate(g.Prices, count.Prompt+d.unread(), d.most())
	if bounded {
		r.Exact = func(row *ledger.Row) { row.Estimate(g.Prices, d.exact().Prompt+d.unread(), d.most()) }
	}
	r.Least = func(row *ledger.Row) { row.Estimate(g.Prices, row.Usage.Input, d.least()) }
}

// tier is the service tier that the request asks for, in OpenAI's field:
// "priority" costs more than the ordinary one.
func (a *ask) tier() string {
	if a.body == nil {
		return ""
	}
	return a.body.Get("service_tier").String()
}

// newRow is what the ledger knows of a request from its start.
func (g *Gateway) newRow(a *ask, to target) ledger.Row {
	who := &a.who
	return ledger.Row{
		ID: a.in.id, Time: a.in.start, Key: who.id, KeyName: who.name, User: who.user, Tags: who.tags, Added: who.added, Session: who.session,
		Route: to.route.Name, Upstream: g.provider(to.route),
		Operation: a.from.op, Model: to.model, Alias: a.alias, Stream: a.req.Stream,
		BytesIn: max(a.in.r.ContentLength, int64(len(a.raw)), 0), Listed: who.own, CountList: who.policy.CountList,
	}
}

// provider names whose prices apply on a route.
func (g *Gateway) provider(r *upstream.Route) string {
	return g.Prices.Provider(r.Base.Hostname(), r.Dialect.PriceName())
}
