package limits

import (
	"net/http"
	"strconv"
	"sync"
)

// Reservation is what a request was counted for. End it with Settle or Cancel;
// later calls do nothing. The methods of a nil Reservation, which is that of a
// request without quotas, do nothing. It is safe for concurrent use.
type Reservation struct {
	quotas   *Quotas
	estimate Estimate
	claims   []claim
	windows  windows
	shared   bool // it was counted in Redis

	tokens, requests QuotaState // with the least part left; without a Limit there is none

	mu   sync.Mutex // guards over
	over bool
}

// tightest notes the limits with the least part left.
func (r *Reservation) tightest(got reading, n counts) {
	got.each(r.claims, false, func(m metric, s QuotaState) {
		s.Remaining = max(s.Remaining-n[m], 0)
		least := &r.tokens
		if m == countRequests {
			least = &r.requests
		}
		if least.Limit == 0 || s.part() < least.part() {
			*least = s
		}
	})
}

// Settle ends a request that used so many tokens. The difference to the
// estimate goes to the windows in which it was reserved, if they have not
// ended. A negative number is not known, and what was reserved stays.
func (r *Reservation) Settle(input, output int64) {
	if r == nil {
		return
	}
	used := r.estimate
	if input >= 0 {
		used.Input = clamp(input)
	}
	if output >= 0 {
		used.Output = clamp(output)
	}
	r.end(used.counts())
}

// Cancel ends a request that was not executed: neither it nor its tokens count.
func (r *Reservation) Cancel() {
	if r != nil {
		r.end(counts{})
	}
}

// end replaces what was reserved by what was used, once.
func (r *Reservation) end(used counts) {
	r.mu.Lock()
	over := r.over
	r.over = true
	r.mu.Unlock()
	more := used
	for m, reserved := range r.estimate.counts() {
		more[m] -= reserved
	}
	switch {
	case over, more == counts{}:
	case r.shared:
		r.quotas.redis.settle(r.claims, more, r.windows)
	default:
		r.quotas.memory.settle(r.claims, more, r.windows)
	}
}

// SetHeader reports the state after this request: the tightest limit of tokens
// in OpenAI's headers; that of requests too, unless another limit has set them
// that has less left; and the tightest of all in X-Ratelimit-Scope, -Metric,
// -Window, -Limit, -Remaining and -Reset.
func (r *Reservation) SetHeader(h http.Header) {
	if r == nil {
		return
	}
	if r.tokens.Limit > 0 {
		r.tokens.setLimit(h, "-Tokens")
	}
	if r.requests.Limit > 0 {
		left, err := strconv.ParseInt(h.Get("X-Ratelimit-Remaining-Requests"), 10, 64)
		if err != nil || r.requests.Remaining < left {
			r.requests.setLimit(h, "-Requests")
		}
	}
	tightest := &r.tokens
	if tightest.Limit == 0 || (r.requests.Limit > 0 && r.requests.part() < tightest.part()) {
		tightest = &r.requests
	}
	if tightest.Limit > 0 {
		tightest.setDetails(h)
	}
}
