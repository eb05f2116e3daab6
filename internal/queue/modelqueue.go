package queue

import (
	"math"
	"slices"
	"time"
)

// never is a time that does not come.
const never = int64(math.MaxInt64)

// modelQueue is the queue of one model and the allowance that its requests wait
// for. The doc comment of Scheduler states its rule.
//
// It knows no clock and no goroutine. Each call passes the time, in nanoseconds
// that never decrease, and next returns when to call advance again.
type modelQueue struct {
	model     Model
	allowance allowance
	order     order
	byExpiry  indexedHeap[waiter]

	confirms   bool   // other replicas are asked before a request starts that has waited
	confirming *Grant // that they are being asked for; meanwhile no request starts

	decided []*waiter // with results that the driver has to deliver
}

// waiter is a request that waits, or that has a result.
type waiter struct {
	caller        string
	weight        int64
	tokens, cost  int64
	arrived       int64
	expires       int64
	number        int64 // in the order of arrival
	passed        int64 // cost of the requests that passed it while it was its turn
	flow          *flow // nil: it does not wait any more
	before, after *waiter
	expiryPlace   int

	grant *Grant // the result is one of grant and err
	err   *Error
	done  chan struct{} // closed by the driver; nil in a simulation
}

func newModelQueue(m Model) *modelQueue {
	q := &modelQueue{model: m, order: newOrder()}
	q.allowance.requests.limit = m.RPM
	q.allowance.tokens.limit = m.TPM
	q.byExpiry = indexedHeap[waiter]{
		less:  func(a, b *waiter) bool { return a.expires < b.expires },
		place: func(w *waiter) *int { return &w.expiryPlace },
	}
	return q
}

// submit starts a request, makes it wait or refuses it: one of the results is
// not nil.
func (q *modelQueue) submit(now int64, d Demand) (*Grant, *waiter, *Error) {
	if q.model.TPM > 0 && d.Tokens > q.model.TPM {
		if d.Tokens-d.Spare > q.model.TPM {
			return nil, nil, q.tooLarge(d.Tokens - d.Spare)
		}
		d.Tokens = q.model.TPM
	}
	d.Tokens = min(max(d.Tokens, 0), maxUnits)
	q.advance(now) // requests that are due come before this one
	first := q.order.waiting == 0
	if first && !q.busy() && q.allowance.ready(now, 1, d.Tokens) <= now {
		return q.allowance.take(now, d.Tokens, now), nil, nil
	}
	w := q.enqueue(now, d)
	q.advance(now) // it may be small enough to pass another request
	if w.grant != nil {
		q.decided = slices.DeleteFunc(q.decided, func(x *waiter) bool { return x == w })
		return w.grant, nil, nil
	}
	if err := q.admit(now, w, first, d.MaxWait); err != nil {
		q.remove(w)
		return nil, nil, err
	}
	return nil, w, nil
}

// enqueue puts a request at the end of its caller's flow.
func (q *modelQueue) enqueue(now int64, d Demand) *waiter {
	w := &waiter{
		caller:      d.Caller,
		weight:      weightOf(d.Priority),
		tokens:      d.Tokens,
		cost:        q.allowance.cost(d.Tokens),
		arrived:     now,
		expires:     never,
		number:      q.order.arrivals + 1,
		expiryPlace: -1,
	}
	for _, most := range []time.Duration{q.model.MaxWait, d.MaxWait} {
		if most > 0 && int64(most) < w.expires-now {
			w.expires = now + int64(most)
		}
	}
	q.order.append(w)
	q.schedule(w)
	return w
}

// schedule puts a waiter among those that can expire.
func (q *modelQueue) schedule(w *waiter) {
	if w.expires < never {
		q.byExpiry.push(w)
	}
}

// admit returns why a request that has just come may not wait.
//
// A full queue refuses the newest request of the caller with the most requests
// in it, and not a request of a caller with fewer. Otherwise one caller could
// fill the queue and shut all others out.
func (q *modelQueue) admit(now int64, w *waiter, first bool, deadline time.Duration) *Error {
	var victim *waiter
	if q.order.waiting > q.model.MaxQueue {
		longest := q.order.byLength.first()
		if q.model.MaxQueue == 0 || longest.length <= w.flow.length {
			return q.refusal(now, Full, w)
		}
		victim = longest.tail
	}
	expected := time.Duration(q.forecast(now, w) - now)
	overDeadline := deadline > 0 && expected > deadline
	overMaxWait := q.model.MaxWait > 0 && expected > q.model.MaxWait
	if overDeadline || (overMaxWait && !first) {
		err := q.refusal(now, Timeout, w)
		err.Expected = expected
		return err
	}
	if victim != nil {
		q.refuse(now, victim, Full)
	}
	return nil
}

// advance starts the requests that may start, and refuses those whose time is
// over.
func (q *modelQueue) advance(now int64) {
	q.startDue(now)
	for w := q.byExpiry.first(); w != nil && w.expires <= now; w = q.byExpiry.first() {
		q.refuse(now, w, Timeout)
		q.startDue(now) // the next request may need less than this one did
	}
}

// startDue starts the requests that may start. What the clock allows only
// later, next reports.
func (q *modelQueue) startDue(now int64) {
	for {
		w, due := q.candidate(now)
		if w == nil || due > now {
			return
		}
		q.order.dequeue(w)
		q.unschedule(w)
		w.grant = q.allowance.take(now, w.tokens, w.arrived)
		if q.confirms {
			q.confirming = w.grant
		}
		q.decided = append(q.decided, w)
	}
}

// refuse takes a waiter out of the queue with an error.
func (q *modelQueue) refuse(now int64, w *waiter, why Reason) {
	q.remove(w)
	w.err = q.refusal(now, why, w)
	q.decided = append(q.decided, w)
}

// next returns when to call advance again, if nothing else happens before.
func (q *modelQueue) next(now int64) int64 {
	at := never
	if w := q.byExpiry.first(); w != nil {
		at = w.expires
	}
	if w, due := q.candidate(now); w != nil {
		at = min(at, due)
	}
	return at
}

// candidate returns the request that starts next and when, if nothing else
// happens before. It is nil when the time is not known.
func (q *modelQueue) candidate(now int64) (*waiter, int64) {
	turn := q.order.byStart.first()
	if turn == nil || q.busy() {
		return nil, 0
	}
	w := turn.head
	due := q.allowance.ready(now, 1, w.tokens)
	if due <= now {
		return w, due
	}
	// Another flow that finishes first ends before this one at a fair share.
	small := q.order.byFinish.first()
	if small != turn && w.passed+small.head.cost <= w.cost {
		if soon := q.allowance.ready(now, 1, small.head.tokens); soon < due {
			return small.head, soon
		}
	}
	return w, due
}

// busy reports whether no request may start before another one has ended.
func (q *modelQueue) busy() bool {
	full := q.model.MaxParallel > 0 && q.allowance.inFlight >= q.model.MaxParallel
	return full || q.confirming != nil
}

// confirm reports that the replicas' common allowance has enough for a grant.
func (q *modelQueue) confirm(now int64, g *Grant) {
	if q.confirming == g {
		q.confirming = nil
		q.advance(now)
	}
}

// requeue undoes a grant for which the replicas' common allowance has not
// enough: no request starts before wait is over. The waiter of the grant waits
// again, first in its caller's flow and as if it had not started. It is nil for
// a request that has not waited, which is submitted again.
func (q *modelQueue) requeue(now int64, g *Grant, w *waiter, wait time.Duration) *waiter {
	if q.end(now, g) {
		q.allowance.giveBack(now, g)
	}
	q.allowance.heldUntil = max(q.allowance.heldUntil, now+int64(wait))
	if w == nil {
		return nil
	}
	// A new waiter, because the channel of the old one is closed.
	again := *w
	again.grant = nil
	again.done = nil
	q.order.prepend(&again)
	q.schedule(&again)
	q.advance(now)
	return &again
}

// leave takes out a request whose client is gone.
func (q *modelQueue) leave(now int64, w *waiter) {
	q.remove(w)
	q.advance(now)
}

// remove takes a waiter out of the queue, whatever the reason.
func (q *modelQueue) remove(w *waiter) {
	q.order.remove(w)
	q.unschedule(w)
}

func (q *modelQueue) unschedule(w *waiter) {
	q.byExpiry.remove(w)
	if q.order.waiting == 0 {
		q.byExpiry.clear() // also its memory
	}
}

// settle ends a request that was executed. Negative used is not known.
func (q *modelQueue) settle(now int64, g *Grant, used int64) {
	if q.end(now, g) {
		q.allowance.settle(now, g, used)
		q.advance(now)
	}
}

// cancel ends a request that was not executed.
func (q *modelQueue) cancel(now int64, g *Grant) {
	if q.end(now, g) {
		q.allowance.giveBack(now, g)
		q.advance(now)
	}
}

// end marks a grant as over, and reports whether it was not before.
func (q *modelQueue) end(now int64, g *Grant) bool {
	if g.over {
		return false
	}
	g.over = true
	if q.confirming == g {
		q.confirming = nil
	}
	q.allowance.inFlight--
	q.allowance.reserved -= g.tokens
	return true
}

// idle reports whether a new queue would be the same.
func (q *modelQueue) idle(now int64) bool {
	a := &q.allowance
	return q.order.waiting == 0 && a.inFlight == 0 && max(a.requests.full, a.tokens.full, a.held()) <= now
}
