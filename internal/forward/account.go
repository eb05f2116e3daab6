package forward

import (
	"net/http"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// openAccount reserves what the request may cost in the budgets of its key, and
// writes it to the ledger as under way. It does so once, also when another
// model is asked in the end.
func (g *Gateway) openAccount(work life, a *ask, to target) (*ledger.Call, error) {
	use, _ := g.batchUse(a, to.route)
	if !a.from.op.Generates() && use != dialect.MakesBatch {
		return nil, nil
	}
	if g.Ledger == nil {
		if len(a.who.policy.Budgets) > 0 {
			return nil, refused(http.StatusServiceUnavailable, "ledger_unavailable",
				"Your key has a budget, and the gateway keeps no ledger to hold it to. Its administrator can take the budget away, or set LEDGER and DATA_DIR so that there is one.")
		}
		return nil, nil
	}
	row := g.newRow(a, to)
	r := ledger.Reservation{Budgets: g.Ledger.Budgets(a.who.policy, g.Location)}
	if use == dialect.MakesBatch {
		row.Priced = true // its price is known when its results are; a spent budget makes none
	} else {
		row.Tier = a.tier()
		prompt := row.BytesIn / 4 // is enough where no budget depends on it
		if len(r.Budgets) > 0 {
			d, bounded := to.demand.atMost(g.isQueued(a))
			prompt = d.Prompt
			if bounded {
				r.Exact = func(row *ledger.Row) {
					row.Estimate(g.Prices, to.demand.exact().Prompt, a.maxTokens())
				}
			}
		}
		row.Estimate(g.Prices, prompt, a.maxTokens())
	}
	g.redactRow(&row, a, nil)
	r.Row = row
	return g.Ledger.Reserve(work, r)
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
		ID: a.in.id, Time: a.in.start, Key: who.id, KeyName: who.name, User: who.user, Tags: who.policy.Tags,
		Route: to.route.Name, Upstream: g.Prices.Provider(to.route.Base.Hostname(), to.route.Dialect.PriceName()),
		Operation: a.from.op, Model: to.model, Stream: a.req.Stream,
		BytesIn: max(a.in.r.ContentLength, int64(len(a.raw)), 0),
	}
}
