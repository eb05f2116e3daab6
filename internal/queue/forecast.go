package queue

import (
	"math/bits"
	"time"
)

// backlog sums up who waits, by the power of two of what each caller asks for. With it the wait of one more request is
// foreseen without looking at every caller.
type backlog [64]struct {
	weight                 float64 // exact: a sum of small whole numbers
	cost, requests, tokens int64
}

func (f *flow) class() int { return bits.Len64(uint64(f.share(f.cost))) }

func (b *backlog) add(f *flow) {
	if f.length > 0 {
		c := &b[f.class()]
		c.weight += float64(f.weight)
		c.cost += f.cost
		c.requests += int64(f.length)
		c.tokens += f.tokens
	}
}

func (b *backlog) drop(f *flow) {
	if f.length > 0 {
		c := &b[f.class()]
		c.weight -= float64(f.weight)
		c.cost -= f.cost
		c.requests -= int64(f.length)
		c.tokens -= f.tokens
	}
}

// yield is the part of the reserved tokens that requests turn out to use, lately.
type yield struct{ used, reserved float64 }

func (y *yield) add(used, reserved int64) {
	const memory = 1 - 1.0/64
	y.used = y.used*memory + float64(used)
	y.reserved = y.reserved*memory + float64(reserved)
}

func (y *yield) part() float64 {
	if y.reserved <= 0 {
		return 1
	}
	return min(y.used/y.reserved, 1)
}

// forecast says when the last request of a caller is likely to go. Ahead of it go all others of its caller and, of each
// other caller, as much as his share allows in that time. Tokens count for what is lately used of reservations, also
// of those in flight. It errs on the early side: what waits for its turn behind it is left out, and so is how long requests are
// executed.
func (l *line) forecast(now int64, w *waiter) int64 {
	f := w.flow
	own, depth := f.class(), float64(f.share(f.cost-w.cost))/(1<<maxPriority)
	requests, tokens := float64(f.length), float64(f.tokens-w.tokens)
	for i := range l.backlog {
		c := l.backlog[i]
		if i == own {
			c.weight -= float64(f.weight)
			c.cost -= f.cost
			c.requests -= int64(f.length)
			c.tokens -= f.tokens
		}
		if c.cost > 0 {
			part := min(1, depth*c.weight/float64(c.cost))
			requests += part * float64(c.requests)
			tokens += part * float64(c.tokens)
		}
	}
	part := l.yield.part()
	tokens = tokens*part + float64(w.tokens) - float64(l.reserved)*(1-part)
	return l.ready(now, int64(requests), int64(max(tokens, 0)))
}

// retryAfter says when a request is certain to go at once, if nobody else comes: when all who wait have gone and the
// buckets have regained what it needs. One bucket from which each request takes the larger of its two costs is never fuller
// than either of ours, so when that one has enough, both have.
func (l *line) retryAfter(now, cost int64) time.Duration {
	held := max(l.held, l.notice.held, now)
	at := max(l.requests.full, l.tokens.full, held) + cost - minute
	at = max(at, held)
	if p := int64(l.model.MaxParallel); p > 0 && int64(l.inFlight) >= p {
		duration := l.duration
		if duration == 0 {
			duration = int64(time.Second)
		}
		at = max(at, now+duration*((int64(l.waiting)+p)/p))
	}
	return time.Duration(at - now)
}
