package queue

import (
	"math/bits"
	"time"
)

// backlog sums up the flows by the power of two of their demand. With it the
// wait of one more request is estimated without a look at every caller.
type backlog [64]struct{ weight, cost, requests, tokens int64 }

func (f *flow) class() int { return bits.Len64(uint64(f.share(f.cost))) }

// count adds a flow once, or takes it out with -1.
func (b *backlog) count(f *flow, once int64) {
	if f.length > 0 {
		c := &b[f.class()]
		c.weight += once * f.weight
		c.cost += once * f.cost
		c.requests += once * int64(f.length)
		c.tokens += once * f.tokens
	}
}

// forecast returns when the last request of a flow is likely to start. Before
// it all others of its flow start, and of every other flow as much as its share
// allows in that time. Tokens count by the part of reservations that is used
// lately, also those in flight.
//
// It errs on the early side, for it leaves out the requests that pass, and how
// long requests are executed.
func (q *modelQueue) forecast(now int64, w *waiter) int64 {
	f := w.flow
	depth := float64(f.share(f.cost-w.cost)) / (1 << maxPriority)
	requests := float64(f.length)
	tokens := float64(f.tokens - w.tokens)
	others := q.order.backlog
	others.count(f, -1)
	for _, c := range others {
		if c.cost > 0 {
			part := min(1, depth*float64(c.weight)/float64(c.cost))
			requests += part * float64(c.requests)
			tokens += part * float64(c.tokens)
		}
	}
	used := q.allowance.usage.value()
	tokens = tokens*used + float64(w.tokens) - float64(q.allowance.reserved)*(1-used)
	return q.allowance.ready(now, int64(requests), int64(max(tokens, 0)))
}

// retryAfter returns when a request is certain to start at once if no other
// request comes: when all that wait have started, and the buckets have regained
// what it needs. cost is that of all these requests.
//
// A single bucket from which each request takes the larger of its two costs is
// never fuller than either bucket, so when it has enough, both have.
func (q *modelQueue) retryAfter(now, cost int64) time.Duration {
	a := &q.allowance
	held := max(a.held(), now)
	at := max(a.requests.full, a.tokens.full, held) + cost - minute
	at = max(at, held)
	if p := int64(q.model.MaxParallel); p > 0 && int64(a.inFlight) >= p {
		duration := a.duration
		if duration == 0 {
			duration = int64(time.Second)
		}
		at = max(at, now+duration*((int64(q.order.waiting)+p)/p))
	}
	return time.Duration(at - now)
}
