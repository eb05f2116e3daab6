package queue

import "time"

// Grant is the permission to send one request. End it with exactly one call of
// Settle or Cancel; later calls do nothing. The methods of a nil Grant, which
// is that of a model without limits, do nothing. A Grant is safe for concurrent
// use.
type Grant struct {
	driver                 *driver
	tokens                 int64
	at                     int64
	waited                 time.Duration
	requestMark, tokenMark mark
	over                   bool // guarded by driver.mu
}

// Waited returns how long the request was in the queue.
func (g *Grant) Waited() time.Duration {
	if g == nil {
		return 0
	}
	return g.waited
}

// Settle ends a request that used so many tokens. The bucket then stands as if
// they had been known from the start: unused tokens come back, except for those
// that would have spilled over since, and missing ones are taken. A negative
// number is not known, and the reservation stays.
func (g *Grant) Settle(used int64) {
	if g != nil {
		g.driver.settle(g, used)
	}
}

// Cancel ends a request that was not executed: its tokens and the request
// itself come back.
func (g *Grant) Cancel() {
	if g != nil {
		g.driver.cancel(g)
	}
}

// Learn takes in what the upstream's answer reports. If less is left than the
// buckets held right after this request, they are lowered by the difference. If
// the upstream asks for a pause, no request starts before its end, unless there
// are other API keys. Call it before Settle or Cancel.
func (g *Grant) Learn(f Feedback) {
	if g != nil {
		g.driver.learn(g, f)
	}
}
