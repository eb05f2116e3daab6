package forward

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"forward/internal/dialect"
	"forward/internal/duration"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/live"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// turn is what a request has reserved to be sent to one target. Its zero value
// and the nil turn hold nothing.
type turn struct {
	grant    *queue.Grant        // nil: the model has no queue
	reserved *limits.Reservation // nil: no quota holds
	queued   time.Duration       // waited in the queue
	demand   *demand
}

// schedule reserves what the request may cost in its quotas, and waits in the
// queue of its model until the model's allowance covers it.
func (g *Gateway) schedule(work life, a *ask, to target, m *memory) (*turn, error) {
	t := &turn{demand: to.demand}
	counted := g.isCounted(&a.who)
	queued := g.isQueued(a)
	if a.from.op == dialect.Models || a.from.socket != nil || (!counted && !queued) {
		return t, nil
	}
	patience, err := maxWait(a.in.r.Header)
	if err != nil {
		return t, err
	}
	if counted {
		t.reserved, err = g.reserve(work, a, to, queued)
	}
	if err == nil {
		t.reserved.SetHeader(a.in.w.Header())
		if queued {
			a.in.under.Enter(live.Queue)
			t.grant, err = g.Scheduler.Acquire(work, g.queueDemand(a, to, m, patience))
			t.queued = t.grant.Waited()
		}
	}
	if t.grant != nil && !a.in.waiting {
		a.in.w.Header().Set("X-Forward-Queue-Ms", strconv.FormatInt(t.queued.Milliseconds(), 10))
	}
	if err != nil {
		t.giveBack()
		if errors.Is(context.Cause(work), errShuttingDown) {
			return t, errShuttingDown // the queue knows only that the wait was ended
		}
	}
	return t, err
}

// queueDemand is what the request asks of its model's queue.
func (g *Gateway) queueDemand(a *ask, to target, m *memory, patience time.Duration) queue.Demand {
	output, spare := to.demand.likely()
	d := queue.Demand{
		Route: to.route.Name, Model: to.model, Caller: a.who.id, Priority: a.who.policy.Priority, MaxWait: patience,
		Tokens: to.demand.exact().Prompt + output, Spare: spare,
	}
	if a.req.Stream && a.in.r.ProtoAtLeast(1, 1) && m.call == nil && a.from.dialect.Framings == nil && a.session == nil {
		d.Keepalive = g.QueueKeepalive
		d.OnKeepalive = func() { g.keepalive(a, m) }
	}
	return d
}

// reserve takes the request out of the quotas that it counts for. queued is
// true when its prompt is counted anyway.
func (g *Gateway) reserve(work life, a *ask, to target, queued bool) (*limits.Reservation, error) {
	if queued {
		to.demand.exact()
	}
	count, bounded := to.demand.atMost()
	output, spare := to.demand.likely()
	estimate := limits.Estimate{Input: count.Prompt, Output: output, Spare: spare}
	if bounded {
		estimate.Exact = func() limits.Estimate {
			return limits.Estimate{Input: to.demand.exact().Prompt, Output: output, Spare: spare}
		}
	}
	who := &a.who
	subject := limits.Subject{Route: to.route.Name, Model: to.model, Key: who.name, User: who.user, RPM: who.policy.RPM, TPM: who.policy.TPM}
	if subject.Key == noName {
		subject.Key = who.id
	}
	return g.Quotas.Reserve(work, subject, estimate)
}

// isCounted reports whether a quota, or a limit of the key's own, may hold.
func (g *Gateway) isCounted(who *caller) bool {
	return !g.Quotas.Empty() || who.policy.RPM > 0 || who.policy.TPM > 0
}

// isQueued reports whether the request may have to wait in a queue.
func (g *Gateway) isQueued(a *ask) bool {
	runs := a.session != nil && a.session.unasked
	return g.Scheduler != nil && a.from.op.Generates() && !runs
}

// ofCaller reports whether a refusal is about the caller itself: others that
// ask the same may be let through.
func ofCaller(err error) bool {
	if e, ok := errors.AsType[*limits.QuotaError](err); ok {
		return e.Scope == limits.ScopeKey || e.Scope == limits.ScopeUser
	}
	_, spent := errors.AsType[*ledger.BudgetError](err)
	_, unpriced := errors.AsType[*ledger.UnpricedError](err)
	return spent || unpriced
}

// maxWait returns how long the client is ready to wait in a queue, 0 when it
// sends none.
func maxWait(h http.Header) (time.Duration, error) {
	value := h.Get("X-Forward-Max-Wait")
	if value == "" {
		return 0, nil
	}
	d, err := duration.ParseSeconds(value)
	if err != nil || d <= 0 {
		return 0, refused(http.StatusBadRequest, "invalid_max_wait",
			"X-Forward-Max-Wait is not a number of seconds or a duration such as 1500ms.")
	}
	return d, nil
}

// keepalive sends a comment to a client that waits in a queue for a stream;
// every reader of server-sent events skips it. From the first one on the answer
// has started, so later failures are reported by an error event.
func (g *Gateway) keepalive(a *ask, m *memory) {
	in := a.in
	if !in.waiting {
		in.waiting = true
		h := in.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set(a.from.dialect.RequestIDHeader, in.id)
		m.announce(h)
		in.w.WriteHeader(http.StatusOK)
	}
	rc := http.NewResponseController(in.w)
	rc.SetWriteDeadline(time.Now().Add(g.WriteTimeout))
	io.WriteString(in.w, ": waiting in line\n\n")
	rc.Flush()
}

// learn passes what an answer reports about the allowance of its API key to the
// queue of the model.
func (t *turn) learn(res *http.Response, made *upstream.Attempts) {
	if t.grant == nil {
		return
	}
	f := queue.ReadFeedback(res.Header, res.StatusCode, time.Now())
	f.Key = strconv.Itoa(made.KeyIndex)
	f.Keys = made.Route.Keys.Count(made.Level)
	t.grant.Learn(f)
}

// giveBack ends the turn of a request that was not executed.
func (t *turn) giveBack() {
	if t == nil {
		return
	}
	t.grant.Cancel()
	t.reserved.Cancel()
	t.grant = nil
	t.reserved = nil
}

// settle ends the turn. Tokens that the request did not use come back; of one
// that nothing is known of they stay.
func (t *turn) settle(used outcome) {
	switch {
	case t == nil:
		return
	case used.unsent:
		t.giveBack()
		return
	case used.unmetered:
		t.grant.Settle(-1)
		t.reserved.Settle(-1, -1)
	default:
		u := &used.usage
		t.grant.Settle(u.Total)
		t.reserved.Settle(u.Input, u.Total-u.Input)
	}
	t.grant = nil
	t.reserved = nil
}
