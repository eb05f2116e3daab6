package queue

import "time"

// plainCost is the cost of every request of a model that limits neither
// requests nor tokens.
const plainCost = int64(time.Millisecond)

// allowance is what a provider allows for a model, as far as the gateway knows:
// the buckets, what the answers reported, and the requests that are executed.
type allowance struct {
	requests  bucket
	tokens    bucket
	notice    notice
	heldUntil int64 // by the replicas' common allowance

	inFlight int
	reserved int64 // tokens of the requests in flight
	duration int64 // of a request, smoothed; 0: none has ended yet
	usage    usageRatio
}

// usageRatio is the part of their reserved tokens that recent requests used.
type usageRatio struct{ used, reserved float64 }

// add counts a request. The memory of about 64 requests fades, so that the
// ratio follows callers that change their max_tokens.
func (u *usageRatio) add(used, reserved int64) {
	const memory = 1 - 1.0/64
	u.used = u.used*memory + float64(used)
	u.reserved = u.reserved*memory + float64(reserved)
}

// value returns the ratio, 1 before the first request.
func (u *usageRatio) value() float64 {
	if u.reserved <= 0 {
		return 1
	}
	return min(u.used/u.reserved, 1)
}

// cost returns the cost of a request: the time in which the bucket that it
// needs most of regains what it takes.
func (a *allowance) cost(tokens int64) int64 {
	if a.requests.limit <= 0 && a.tokens.limit <= 0 {
		return plainCost
	}
	return max(a.requests.cost(1), a.tokens.cost(tokens), 1)
}

// ready returns when so many requests and tokens are available.
func (a *allowance) ready(now, requests, tokens int64) int64 {
	return max(a.requests.ready(now, requests), a.tokens.ready(now, tokens), a.held())
}

// held returns until when the provider, or the replicas, let no request start.
func (a *allowance) held() int64 { return max(a.heldUntil, a.notice.heldUntil) }

// take takes one request and its tokens.
func (a *allowance) take(now, tokens, arrived int64) *Grant {
	a.inFlight++
	a.reserved += tokens
	return &Grant{
		tokens:      tokens,
		at:          now,
		waited:      time.Duration(now - arrived),
		requestMark: a.requests.take(now, 1),
		tokenMark:   a.tokens.take(now, tokens),
	}
}

// giveBack undoes take.
func (a *allowance) giveBack(now int64, g *Grant) {
	a.requests.giveBack(now, g.requestMark, a.requests.cost(1))
	a.tokens.giveBack(now, g.tokenMark, a.tokens.cost(g.tokens))
}

// settle corrects what was taken by what was used. Negative used is not known.
func (a *allowance) settle(now int64, g *Grant, used int64) {
	if used >= 0 {
		a.usage.add(used, g.tokens)
		more := a.tokens.cost(used) - a.tokens.cost(g.tokens)
		if more > 0 {
			a.tokens.charge(now, g.tokenMark, more)
		} else {
			a.tokens.giveBack(now, g.tokenMark, -more)
		}
	}
	// A moving average of about 16 requests follows a model that becomes
	// slower, and survives a single long answer.
	d := now - g.at
	if a.duration == 0 {
		a.duration = d
	} else {
		a.duration += (d - a.duration) / 16
	}
}
