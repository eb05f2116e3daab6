package forward

import (
	"context"
	"net/http"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/live"
)

// What viewers are shown of a request is what its row has, and no more: names
// keep to the policy of the key (see redactRow), and the text of no request or
// answer is among it.

// requestStopped is the cause of a request that was stopped while it was under
// way.
const requestStopped = "request_stopped"

// show notes for viewers what a request asks for. A WebSocket whose messages
// are read is none of the requests: they are.
func (g *Gateway) show(a *ask, to target) {
	if a.from.socket != nil {
		return
	}
	who := &a.who
	about := live.About{Key: who.id, KeyName: who.name, User: who.user, Route: to.route.Name, Operation: string(a.from.op), Model: to.model, Stream: a.req.Stream}
	if about.Model == "" {
		about.Model = a.req.Model
	}
	for _, name := range []*string{&about.User, &about.Model} {
		if *name != "" {
			*name = g.redactName(*name, a, nil)
		}
	}
	a.in.under.Describe(about)
}

// showEnd gives viewers what a request has come to. row is nil where the ledger
// has none.
func (g *Gateway) showEnd(rec *record, row *ledger.Row, elapsed time.Duration) {
	if rec.conversed || !g.live.Watched() {
		return
	}
	var shown ledger.Row
	if row != nil {
		shown = *row
	} else {
		shown = g.bareRow(rec, elapsed)
	}
	// The row waits in memory, and must not keep a body there.
	for _, name := range []*string{&shown.User, &shown.Session, &shown.Model, &shown.Alias, &shown.Answered} {
		*name = strings.Clone(*name)
	}
	shown.Usage.Raw = nil
	shown.Trail = nil
	g.live.Close(&rec.in.under, shown.Key, &shown)
}

// bareRow is what is known of a request without the ledger.
func (g *Gateway) bareRow(rec *record, elapsed time.Duration) ledger.Row {
	who := &rec.ask.who
	row := ledger.Row{
		ID: rec.in.id, Time: rec.in.start, Key: who.id, KeyName: who.name, User: who.user, Tags: who.tags, Session: who.session,
		Operation: rec.ask.from.op, Model: rec.model(), Alias: rec.ask.alias, Stream: rec.ask.req.Stream, Cache: rec.cacheWord(),
		Status: rec.status, Cause: rec.cause, Total: elapsed, Queue: rec.queued, Attempts: rec.tries(),
	}
	if rec.to.route != nil {
		row.Route = rec.to.route.Name
	}
	if rec.tap != nil {
		rec.tap.fillRow(&row)
	}
	g.redactRow(&row, rec.ask, rec.answer)
	return row
}

// stoppedBy returns how the work of a context was stopped, nil if it was not.
func stoppedBy(ctx context.Context) *live.StoppedError {
	if ctx.Err() == nil {
		return nil
	}
	stopped, _ := context.Cause(ctx).(*live.StoppedError)
	return stopped
}

// stopped returns how the request was stopped, nil if it was not.
func (rec *record) stopped() *live.StoppedError {
	if rec.memory != nil && rec.memory.call != nil {
		return stoppedBy(rec.memory.call)
	}
	return stoppedBy(rec.in)
}

// problemOfStop reports that a request was stopped. Clients send it again after
// most statuses but 400, and after some words about connections.
func problemOfStop(e *live.StoppedError) dialect.Problem {
	return dialect.Problem{Status: http.StatusBadRequest, Code: requestStopped, Message: "This request was stopped by " + e.By() + "."}
}
