package forward

import (
	"fmt"
	"net/http"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/upstream"
)

// openAccount reserves what the request may cost in the budgets of its key, and
// writes it to the ledger as under way. It is written once, also when another
// model is asked in the end.
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
		if len(a.who.policy.Budgets) > 0 {
			return nil, refused(http.StatusServiceUnavailable, "ledger_unavailable",
				"Your key has a budget, and the gateway keeps no ledger to hold it to. Its administrator can take the budget away, or set LEDGER and DATA_DIR so that there is one.")
		}
		return nil, nil
	}
	r := g.newReservation(a, to)
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
		g.estimate(&r, to.demand, a.who.policy.Overrun != "allow")
	}
	g.redactRow(&r.Row, a, nil)
	return g.Ledger.Reserve(work, r)
}

// moveAccount reserves in the budgets of the key what the request may cost at
// another model, instead of what is reserved.
func (g *Gateway) moveAccount(work life, call *ledger.Call, a *ask, to target) error {
	if call == nil || len(a.who.policy.Budgets) == 0 {
		return nil
	}
	r := g.newReservation(a, to)
	g.estimate(&r, to.demand, a.who.policy.Overrun != "allow")
	return call.Move(work, r)
}

// newReservation returns the reservation of a request with all that the request
// itself decides of its price.
func (g *Gateway) newReservation(a *ask, to target) ledger.Reservation {
	r := ledger.Reservation{Row: g.newRow(a, to), Budgets: g.Ledger.Budgets(a.who.policy, g.Location)}
	r.Row.Usage = a.asked()
	r.Row.Answered = g.answering(to.route, to.model)
	r.Row.Tier = a.tier()
	if len(r.Budgets) > 0 {
		list, _, _ := g.Prices.Answered(r.Row.Upstream, r.Row.Model, r.Row.Answered)
		r.Row.Usage.Terms.Fees = a.offers(list)
	}
	return r
}

// estimate sets what the budgets of a key hold for a request. Where it is
// capped, all that the request is likely to cost has to be left of them.
func (g *Gateway) estimate(r *ledger.Reservation, d *demand, capped bool) {
	count, bounded := d.atMost()
	r.Row.Estimate(g.Prices, count.Prompt+d.unread(), d.most())
	if bounded {
		r.Exact = func(row *ledger.Row) { row.Estimate(g.Prices, d.exact().Prompt+d.unread(), d.most()) }
	}
	if capped {
		r.Least = func(row *ledger.Row) { row.Estimate(g.Prices, row.Usage.Input, d.least()) }
	}
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
		Operation: a.from.op, Model: to.model, Stream: a.req.Stream,
		BytesIn: max(a.in.r.ContentLength, int64(len(a.raw)), 0), Listed: who.own, CountList: who.policy.CountList,
	}
}

// provider names whose prices apply on a route.
func (g *Gateway) provider(r *upstream.Route) string {
	return g.Prices.Provider(r.Base.Hostname(), r.Dialect.PriceName())
}
