package queue

import "time"

// How long the line is held after a 429 that does not say, and at most: a provider may ask for hours when a day's quota is
// spent, but it may be raised at any time.
const (
	defaultHold = time.Second
	maxHold     = 10 * time.Minute
)

// notice is what the provider has said, by API key.
type notice struct {
	held int64 // until when no key may be used
	keys map[string]keyNotice
}

type keyNotice struct {
	at               int64
	requests, tokens Left
	held             int64
}

// learn takes in what the answer to a request said.
func (l *line) learn(now int64, g *Grant, f Feedback) {
	f.Keys = max(f.Keys, 1)
	k := keyNotice{at: g.at, requests: f.Requests, tokens: f.Tokens}
	if wait := f.wait(g.tokens); wait > 0 {
		k.held = now + int64(wait)
	}
	if f.Limited {
		// A key that refuses has nothing left of what it does not speak of.
		if !k.requests.Known && !k.tokens.Known {
			k.requests.Known, k.tokens.Known = true, true
		}
	} else if k.held == 0 && !k.requests.Known && !k.tokens.Known {
		return
	}
	l.notice.note(f, k)
	if k.requests.Known {
		l.requests.learn(now, g.requestMark, k.requests.Remaining+l.notice.others(f, g.at, l.model.RPM, keyNotice.requestsLeft))
	}
	if k.tokens.Known {
		l.tokens.learn(now, g.tokenMark, k.tokens.Remaining+l.notice.others(f, g.at, l.model.TPM, keyNotice.tokensLeft))
	}
	if held := l.notice.held; f.Limited && held > now {
		// It says when this request would fit, and until then nothing is left for others.
		if short := k.requests.Known && k.requests.Remaining < 1; short {
			l.requests.refused(now, held)
		}
		if short := k.tokens.Known && k.tokens.Remaining < g.tokens; short {
			l.tokens.refused(now, held)
		}
	}
}

// wait is for how long the key is not to be used.
func (f Feedback) wait(tokens int64) time.Duration {
	wait := f.RetryAfter
	if wait <= 0 && f.Limited {
		if f.Requests.Known && f.Requests.Remaining < 1 {
			wait = f.Requests.Reset
		}
		if f.Tokens.Known && f.Tokens.Remaining < tokens {
			wait = max(wait, f.Tokens.Reset)
		}
		if wait <= 0 {
			wait = defaultHold
		}
	}
	return min(wait, maxHold)
}

// note remembers what a key has said. Keys that are no longer used go when there are more than the level has.
func (n *notice) note(f Feedback, k keyNotice) {
	before, known := n.keys[f.Key]
	if n.keys == nil || !known && len(n.keys) >= f.Keys {
		n.keys = make(map[string]keyNotice, 1)
	}
	k.held = max(k.held, before.held)
	n.keys[f.Key] = k
	n.held = 0
	if len(n.keys) < f.Keys {
		return // of the others nothing is known, so they may be asked
	}
	n.held = never
	for _, k := range n.keys {
		n.held = min(n.held, k.held)
	}
}

// others is what the other keys have left at a moment: what each has said and regained since, and of those that said
// nothing their part of the limit.
func (n *notice) others(f Feedback, at, limit int64, left func(keyNotice) Left) int64 {
	sum, part := int64(0), limit/int64(f.Keys)
	silent := f.Keys - 1
	for key, k := range n.keys {
		if said := left(k); key != f.Key && said.Known {
			silent--
			regained := int64(float64(part) * float64(min(max(at-k.at, 0), minute)) / float64(minute))
			sum += min(said.Remaining+regained, max(part, said.Remaining))
		}
	}
	return sum + int64(max(silent, 0))*part
}

func (k keyNotice) requestsLeft() Left { return k.requests }
func (k keyNotice) tokensLeft() Left   { return k.tokens }
