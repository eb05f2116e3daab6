package forward

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/metrics"
	"forward/internal/price"
)

// openAccount reserves what the request may cost in the budgets of its key, and writes it down as under way. An exchange does so once, also
// when another model is asked in the end.
func (x *exchange) openAccount() error {
	if x.Ledger == nil && len(x.policy.Budgets) > 0 {
		return &refusal{status: http.StatusServiceUnavailable, code: "ledger_unavailable",
			message: "Your key has a budget, and the gateway keeps no ledger to hold it to. Its administrator can take the budget away, or set LEDGER and DATA_DIR so that there is one."}
	}
	if x.Ledger == nil || x.bill != nil {
		return nil
	}
	row, budgets := x.row(), x.budgets()
	if use, _ := x.batchUse(); use == dialect.MakesBatch { // what it will cost nobody knows yet; a spent budget makes none
		row.Priced = true
		x.conceal(&row)
		bill, err := x.Ledger.Begin(x.ctx, ledger.Reservation{Row: row, Budgets: budgets})
		x.bill = bill
		return err
	}
	row.Tier = x.tierAsked()
	prompt := row.BytesIn / 4 // will do where nobody holds the request to it
	var exact func(*ledger.Row)
	if len(budgets) > 0 {
		d, bound := x.tokensAtMost()
		if prompt = d.Prompt; bound {
			exact = func(r *ledger.Row) {
				x.tokensAsked()
				r.Estimate(x.Prices, x.demand.Prompt, x.bound())
			}
		}
	}
	row.Estimate(x.Prices, prompt, x.bound())
	x.conceal(&row)
	bill, err := x.Ledger.Begin(x.ctx, ledger.Reservation{Row: row, Budgets: budgets, Exact: exact})
	x.bill = bill
	return err
}

// bound is what the request bounds its answer to, 0 when it does not.
func (x *exchange) bound() int64 {
	if x.ask.MaxTokens > 0 {
		return x.ask.MaxTokens * max(x.ask.N, 1)
	}
	return 0
}

// tierAsked is the service tier that the request asks for, in OpenAI's field: "priority" costs more than the ordinary one.
func (x *exchange) tierAsked() string {
	if x.body == nil {
		return ""
	}
	return x.body.Get("service_tier").String()
}

// zone is the time zone of that name, or the gateway's. Reading one takes a file, so it is read once.
func (g *Gateway) zone(name string) *time.Location {
	if name == "" {
		return g.Location
	}
	if z, ok := g.zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil { // it was checked when it was set
		return g.Location
	}
	g.zones.Store(name, z)
	return z
}

// budgets are those of the caller's key.
func (x *exchange) budgets() (list []ledger.Budget) {
	for _, b := range x.policy.Budgets {
		zone := x.zone(b.Zone)
		list = append(list, ledger.Budget{Unit: ledger.Unit(b.Unit), Amount: b.Amount, Period: ledger.Period(b.Period), Zone: zone,
			AllowUnpriced: x.policy.UnknownPrice == "allow"})
	}
	return list
}

// row is what the ledger knows of the exchange from its beginning.
func (x *exchange) row() ledger.Row {
	return ledger.Row{
		ID: x.id, Time: x.begun, Key: x.caller.id, KeyName: x.caller.name, User: x.user, Tags: x.policy.Tags,
		Route: x.route.Name, Upstream: x.Prices.Provider(x.route.Base.Hostname(), x.route.Dialect.Name), Operation: x.op, Model: x.ask.Model, Stream: x.ask.Stream,
		BytesIn: max(x.r.ContentLength, int64(len(x.payload)), 0),
	}
}

// closeAccount writes down what became of the exchange, once. Of a call that several callers share the one who began it has the
// row of the call, and the others theirs as hits: they cost nothing, and what they would have cost is saved.
func (x *exchange) closeAccount(elapsed time.Duration) *ledger.Row {
	if x.Ledger == nil || x.caller.id == "" || x.shares && !x.collapsed {
		return nil // nobody asked, or the call tells
	}
	row := x.row()
	row.Status, row.Cause, row.Total = x.status, x.cause, elapsed
	row.Attempts, row.Queue = x.tries+x.attempts.Count, x.queued
	if x.attempts.KeyIndex >= 0 && x.attempts.Count > 0 && x.swap {
		row.Slot = strconv.Itoa(x.attempts.KeyIndex)
	}
	if row.Cache = cacheWord(x.memory.status); x.collapsed {
		row.Cache = "hit"
	}
	if x.tap != nil {
		row.First, row.BytesOut = x.tap.first, x.tap.passed
		x.readBill(&row)
	}
	if x.leftUnanswered() && row.Usage.Input+row.Usage.Output == 0 {
		x.tokensAsked()
		row.Usage, row.Estimated = dialect.Usage{Input: x.demand.Prompt, Total: x.demand.Prompt}, x.demand.Prompt > 0
	}
	x.trail(&row)
	row.Bill(x.Prices, price.Options{Tier: row.Tier})
	x.conceal(&row)
	if x.bill != nil {
		x.bill.Settle(row)
	} else {
		x.Ledger.Record(row)
	}
	return &row
}

// leftUnanswered reports whether the client left when the upstream had been asked, and may have read all of the prompt, but had told
// nothing of what it used. A refusal costs nothing, whoever reads it.
func (x *exchange) leftUnanswered() bool {
	if x.cause != "client_gone" || !x.scheduled() || x.attempts.Count == 0 {
		return false
	}
	if x.tap != nil {
		return x.tap.res.StatusCode < 300
	}
	return x.attempts.Sent
}

// observe counts the exchange for Prometheus; row is nil where nothing was written down.
func (x *exchange) observe(elapsed time.Duration, row *ledger.Row) {
	if x.Metrics == nil || x.shares && !x.collapsed {
		return // of who began a shared call, the call is counted
	}
	r := metrics.Request{Model: x.ask.Model, Status: x.status, Duration: elapsed, Queued: x.queued, Stream: x.ask.Stream,
		Attempts: x.tries + x.attempts.Count, Cause: x.cause}
	if x.route != nil {
		r.Route = x.route.Name
	}
	if x.memory.status != "" {
		r.Cache = cacheWord(x.memory.status)
	}
	if x.tap != nil && r.Attempts > 0 && x.ask.Stream {
		r.FirstToken = x.tap.first
	}
	if x.tap != nil && r.Cache != "hit" && !x.collapsed {
		if u, estimated := x.tap.usage(); u != nil {
			r.Input, r.Output, r.CachedRead, r.Reasoning, r.Estimated = u.Input, u.Output, u.CachedRead, u.Reasoning, estimated
		}
	}
	if row != nil && row.Estimated && r.Input == 0 {
		r.Input, r.Estimated = row.Usage.Input, true
	}
	if row != nil {
		r.CostNano, r.Unpriced = int64(row.Cost), !row.Priced
	}
	x.Metrics.Observe(r)
}

// readBill takes what the answer told of itself into its row.
func (x *exchange) readBill(row *ledger.Row) {
	u, estimated := x.tap.usage()
	if u != nil {
		row.Usage, row.Estimated = *u, estimated
	}
	if a := x.tap.answer; a != nil {
		row.Answered, row.Finish, row.Tier = a.Model, a.Finish(), a.Tier
	}
}

// trail tells how it went, for `forward why`.
func (x *exchange) trail(row *ledger.Row) {
	step := func(name, text string) { row.Trail = append(row.Trail, ledger.Step{Name: name, Text: text}) }
	if x.memory.detail != "" {
		step("cache", x.memory.detail)
	}
	if x.queued > 0 {
		step("queue", fmt.Sprintf("waited %d ms", x.queued.Milliseconds()))
	}
	if x.matched != x.route {
		step("route", "the model leads from "+x.matched.Name+" to "+x.route.Name)
	}
	if x.instead != "" {
		step("fallback", x.instead+" was asked instead of "+x.named(x.asked()))
	}
	if x.aboutBatch != "" {
		step("batch", x.aboutBatch)
	}
	if row.Attempts > 1 {
		step("attempts", strconv.Itoa(row.Attempts))
	}
	if len(x.route.Also) > 0 && x.attempts.Count > 0 {
		step("base url", "number "+strconv.Itoa(x.attempts.Base+1))
	}
}

// problemOfAccount tells why a call was not opened.
func problemOfAccount(err error, now time.Time) (p dialect.Problem, ok bool) {
	if spent, is := errors.AsType[*ledger.BudgetError](err); is {
		p = dialect.Problem{Status: http.StatusTooManyRequests, Code: "insufficient_quota", Message: "You exceeded your budget: " + spent.Error()}
		if reset := spent.Reset.Sub(now); reset > 0 {
			p.RetryAfter = reset
		}
		return p, true
	}
	if unpriced, is := errors.AsType[*ledger.UnpricedError](err); is {
		return dialect.Problem{Status: http.StatusForbidden, Code: "model_not_allowed", Param: "model", Message: unpriced.Error()}, true
	}
	if errors.Is(err, ledger.ErrUnwritable) {
		return dialect.Problem{Status: http.StatusServiceUnavailable, Code: "ledger_unavailable", RetryAfter: time.Second,
			Message: "The gateway cannot write down what requests cost, and is told not to serve any then (LEDGER_STRICT)."}, true
	}
	return p, false
}
