package queue

import "time"

// Grant is the right to one request. Exactly one of Settle and Cancel is to be called when it is over; what is called
// after that does nothing. The nil Grant is that of a model without limits, and its methods do nothing. A Grant is
// safe for concurrent use.
type Grant struct {
	unit                   *unit
	tokens                 int64
	at                     int64
	waited                 time.Duration
	requestMark, tokenMark mark
	over                   bool // guarded by unit.mu
}

// Waited returns how long the request has been in line.
func (g *Grant) Waited() time.Duration {
	if g == nil {
		return 0
	}
	return g.waited
}

// Settle says how many tokens were used really. The bucket then stands as if they had been known from the start: what
// was reserved too much comes back, except for what would have spilled over since, and what was reserved too little is taken. Below zero
// it is not known, and the reservation stands.
func (g *Grant) Settle(used int64) {
	if g != nil {
		g.unit.settle(g, used)
	}
}

// Cancel says that nothing was executed: the request and its tokens come back.
func (g *Grant) Cancel() {
	if g != nil {
		g.unit.cancel(g)
	}
}

// Learn takes in what the upstream's answer said. If it says that less is left than the line believed right after this
// request, the buckets are lowered by the difference; if it says to wait, nobody goes until then, unless there are
// other API keys. It is called before Settle or Cancel.
func (g *Grant) Learn(f Feedback) {
	if g != nil {
		g.unit.learn(g, f)
	}
}

// take gives the allowance of one request away.
func (l *line) take(now, tokens, arrived int64) *Grant {
	l.inFlight++
	l.reserved += tokens
	return &Grant{
		tokens: tokens, at: now, waited: time.Duration(now - arrived),
		requestMark: l.requests.take(now, 1), tokenMark: l.tokens.take(now, tokens),
	}
}

// settle ends a request that was executed.
func (l *line) settle(now int64, g *Grant, used int64) {
	if !l.end(now, g) {
		return
	}
	if used >= 0 {
		l.yield.add(used, g.tokens)
		if more := l.tokens.cost(used) - l.tokens.cost(g.tokens); more > 0 {
			l.tokens.charge(now, g.tokenMark, more)
		} else {
			l.tokens.giveBack(now, g.tokenMark, -more)
		}
	}
	if d := now - g.at; l.duration == 0 {
		l.duration = d
	} else {
		l.duration += (d - l.duration) / 16
	}
	l.advance(now)
}

// cancel ends a request that was not executed.
func (l *line) cancel(now int64, g *Grant) {
	if l.end(now, g) {
		l.giveBack(now, g)
		l.advance(now)
	}
}

func (l *line) giveBack(now int64, g *Grant) {
	l.requests.giveBack(now, g.requestMark, l.requests.cost(1))
	l.tokens.giveBack(now, g.tokenMark, l.tokens.cost(g.tokens))
}

// end frees the place of a request, once.
func (l *line) end(now int64, g *Grant) bool {
	if g.over {
		return false
	}
	g.over = true
	if l.asking == g {
		l.asking = nil
	}
	l.inFlight--
	l.reserved -= g.tokens
	return true
}
