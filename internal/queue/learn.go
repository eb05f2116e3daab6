package queue

import "time"

// After a 429 without a time no request starts for defaultHold. maxHold bounds
// the times of providers: one may ask for hours when the quota of a day is
// spent, but the quota may be raised at any time.
const (
	defaultHold = time.Second
	maxHold     = 10 * time.Minute
)

// notice is what the provider has reported, by API key.
type notice struct {
	heldUntil int64 // when an API key may be used again
	keys      map[string]keyNotice
}

type keyNotice struct {
	at               int64
	requests, tokens Left
	heldUntil        int64
}

// learn takes in what the answer to a request reported.
func (q *modelQueue) learn(now int64, g *Grant, f Feedback) {
	f.Keys = max(f.Keys, 1)
	k := keyNotice{at: g.at, requests: f.Requests, tokens: f.Tokens}
	if pause := f.pause(g.tokens); pause > 0 {
		k.heldUntil = now + int64(pause)
	}
	if !k.requests.Known && !k.tokens.Known {
		if !f.Limited && k.heldUntil == 0 {
			return
		}
		// A key that refuses, and reports nothing, has nothing left.
		k.requests.Known = f.Limited
		k.tokens.Known = f.Limited
	}
	a := &q.allowance
	a.notice.note(f, k)
	if k.requests.Known {
		others := a.notice.others(f, g.at, q.model.RPM, keyNotice.requestsLeft)
		a.requests.learn(now, g.requestMark, k.requests.Remaining+others)
	}
	if k.tokens.Known {
		others := a.notice.others(f, g.at, q.model.TPM, keyNotice.tokensLeft)
		a.tokens.learn(now, g.tokenMark, k.tokens.Remaining+others)
	}
	if held := a.notice.heldUntil; f.Limited && held > now {
		// Then this request fits, and until then nothing is left for others.
		if k.requests.Known && k.requests.Remaining < 1 {
			a.requests.refused(now, held)
		}
		if k.tokens.Known && k.tokens.Remaining < g.tokens {
			a.tokens.refused(now, held)
		}
	}
}

// pause returns for how long the API key must not be used.
func (f Feedback) pause(tokens int64) time.Duration {
	pause := f.RetryAfter
	if pause <= 0 && f.Limited {
		if f.Requests.Known && f.Requests.Remaining < 1 {
			pause = f.Requests.Reset
		}
		if f.Tokens.Known && f.Tokens.Remaining < tokens {
			pause = max(pause, f.Tokens.Reset)
		}
		if pause <= 0 {
			pause = defaultHold
		}
	}
	return min(pause, maxHold)
}

// note remembers what an API key reported. When more keys have reported than
// the level has, some are no longer used, and all are forgotten.
func (n *notice) note(f Feedback, k keyNotice) {
	before, known := n.keys[f.Key]
	if n.keys == nil || (!known && len(n.keys) >= f.Keys) {
		n.keys = make(map[string]keyNotice, 1)
	}
	k.heldUntil = max(k.heldUntil, before.heldUntil)
	n.keys[f.Key] = k
	n.heldUntil = 0
	if len(n.keys) < f.Keys {
		return // nothing is known about the other keys, so they may be used
	}
	n.heldUntil = never
	for _, k := range n.keys {
		n.heldUntil = min(n.heldUntil, k.heldUntil)
	}
}

// others returns what the other API keys have left at a time: what each
// reported and regained since, and its part of the limit where it reported
// nothing.
func (n *notice) others(f Feedback, at, limit int64, left func(keyNotice) Left) int64 {
	part := limit / int64(f.Keys)
	sum := int64(0)
	silent := f.Keys - 1
	for key, k := range n.keys {
		if l := left(k); key != f.Key && l.Known {
			silent--
			regained := int64(float64(part) * float64(min(max(at-k.at, 0), minute)) / float64(minute))
			sum += min(l.Remaining+regained, max(part, l.Remaining))
		}
	}
	return sum + int64(max(silent, 0))*part
}

// requestsLeft and tokensLeft are arguments of others.
func (k keyNotice) requestsLeft() Left { return k.requests }
func (k keyNotice) tokensLeft() Left   { return k.tokens }
