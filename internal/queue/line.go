package queue

import (
	"slices"
	"time"
)

// Model is what a model of a route allows, and how long and where its requests wait for it. Zero is no limit, except for
// MaxQueue.
type Model struct {
	RPM, TPM    int64         // requests and tokens a minute
	MaxParallel int           // requests that are executed at a time
	MaxQueue    int           // requests that may wait; 0: none, what cannot go at once is refused
	MaxWait     time.Duration // how long one may wait; 0: until its client leaves
}

// Demand is what a request asks of its model.
type Demand struct {
	Route, Model string
	Caller       string        // among whom a line is fair
	Priority     int           // of the caller, from -4 to 4; each step doubles his share
	Tokens       int64         // of the prompt, and what is reserved for the completion
	MaxWait      time.Duration // the client's own deadline; 0: none

	Keepalive   time.Duration // how often OnKeepalive is called while the request waits; 0: never
	OnKeepalive func()        // called by the goroutine that waits, to keep its client's connection alive
}

// The least and the highest priority that counts, and how a weight is written: 1 is 1<<maxPriority.
const maxPriority = 4

// plainCost is what requests cost where neither requests nor tokens are limited: all the same.
const plainCost = int64(time.Millisecond)

// line is the queue of one model and the allowance it waits for. It knows no clock and no goroutine: each call says the
// time, in nanoseconds that never run back, and next says when to call again. Its rule is told at Scheduler.
//
// Fairness is start-time fair queueing (Goyal, Vin and Cheng 1996). The cost of a request is the time in which the bucket
// it needs most of regains what it takes. The virtual time of the line is the start tag of the last request that went in
// its turn. A caller who begins to wait gets it as the start tag of his first request, unless what he was last given
// ends later; each further request starts where the one before it ended. Only the first request of each caller has tags,
// so whoever leaves costs nobody anything, and every step takes O(log n) of the callers who wait.
type line struct {
	model    Model
	requests bucket
	tokens   bucket
	notice   notice // of the provider
	held     int64  // until when other replicas have the allowance
	confirms bool   // who has waited asks them before he goes, one at a time
	asking   *Grant // who does so now; meanwhile nobody goes

	inFlight int
	reserved int64 // tokens of those in flight
	duration int64 // of a request, smoothed; only known with MaxParallel
	yield    yield

	virtual int64
	flows   map[string]*flow // who waits, and who was given more than his share yet
	waiting int
	cost    int64 // of all who wait
	arrival int64 // of the last request that came to wait
	backlog backlog

	byStart  heap[flow] // of those who wait, in turn
	byFinish heap[flow] // the same, those who ask for least first
	byLength heap[flow] // the same, the most requests first
	spent    heap[flow] // of those who do not wait, by the virtual time at which they may be forgotten
	byExpiry heap[waiter]

	decided []*waiter // what the shell has to tell
}

// flow is the line of one caller.
type flow struct {
	caller        string
	weight        int64 // 1<<maxPriority for priority 0
	head, tail    *waiter
	length        int
	cost, tokens  int64 // of all of them
	start, finish int64 // tags of the head
	finished      int64 // tag at which what he was given ends
	place         [4]int
}

// waiter is a request that waits.
type waiter struct {
	flow             *flow
	caller           string
	before, after    *waiter // of the same caller
	order            int64
	tokens, cost     int64
	passed           int64 // cost of those that went past it when it was its turn
	arrived, expires int64
	weight           int64
	expiry           int // place in byExpiry
	grant            *Grant
	err              *Error
	done             chan struct{} // of the unit; nil in a simulation
}

const never = int64(1<<63 - 1)

func newLine(m Model) *line {
	l := &line{model: m, flows: make(map[string]*flow)}
	l.requests.limit, l.tokens.limit = m.RPM, m.TPM
	l.byStart = heap[flow]{place: func(f *flow) *int { return &f.place[0] }, less: func(a, b *flow) bool {
		if a.start != b.start {
			return a.start < b.start
		}
		if a.weight != b.weight {
			return a.weight > b.weight
		}
		return a.head.order < b.head.order
	}}
	l.byFinish = heap[flow]{place: func(f *flow) *int { return &f.place[1] }, less: func(a, b *flow) bool {
		if a.finish != b.finish {
			return a.finish < b.finish
		}
		return a.head.order < b.head.order
	}}
	l.byLength = heap[flow]{place: func(f *flow) *int { return &f.place[2] }, less: func(a, b *flow) bool {
		if a.length != b.length {
			return a.length > b.length
		}
		return a.tail.order > b.tail.order
	}}
	l.spent = heap[flow]{place: func(f *flow) *int { return &f.place[3] }, less: func(a, b *flow) bool { return a.finished < b.finished }}
	l.byExpiry = heap[waiter]{place: func(w *waiter) *int { return &w.expiry }, less: func(a, b *waiter) bool { return a.expires < b.expires }}
	return l
}

// ask lets a request go, lets it wait, or refuses it: one of the three is not nil.
func (l *line) ask(now int64, d Demand) (*Grant, *waiter, *Error) {
	if l.model.TPM > 0 && d.Tokens > l.model.TPM {
		return nil, nil, &Error{Reason: TooLarge, Limits: l.model, Tokens: d.Tokens}
	}
	d.Tokens = min(max(d.Tokens, 0), maxReading)
	l.advance(now)
	first := l.waiting == 0
	if first && l.goes(now, d.Tokens) {
		return l.take(now, d.Tokens, now), nil, nil
	}
	w := l.enter(now, d)
	l.advance(now) // it may be one that passes
	if w.grant != nil {
		l.decided = slices.DeleteFunc(l.decided, func(x *waiter) bool { return x == w })
		return w.grant, nil, nil
	}
	if err := l.mayWait(now, w, first, d.MaxWait); err != nil {
		l.remove(w)
		return nil, nil, err
	}
	return nil, w, nil
}

// mayWait says why a request that has just come may not stay. A full line keeps the newest request of the caller with the
// most in it out, and not that of somebody who has less: else one caller could fill the line and shut all others out.
func (l *line) mayWait(now int64, w *waiter, first bool, own time.Duration) *Error {
	var victim *waiter
	if l.waiting > l.model.MaxQueue {
		if longest := l.byLength.first(); l.model.MaxQueue > 0 && longest.length > w.flow.length {
			victim = longest.tail
		} else {
			return l.refusal(now, Full, w)
		}
	}
	foreseen := time.Duration(l.forecast(now, w) - now)
	if own > 0 && foreseen > own || l.model.MaxWait > 0 && foreseen > l.model.MaxWait && !first {
		err := l.refusal(now, Timeout, w)
		err.Expected = foreseen
		return err
	}
	if victim != nil {
		l.remove(victim)
		victim.err = l.refusal(now, Full, victim)
		l.decided = append(l.decided, victim)
	}
	return nil
}

// advance lets go who may, and refuses whose time is over.
func (l *line) advance(now int64) {
	for l.waiting > 0 {
		w, due := l.candidate(now)
		if w == nil || due > now {
			break
		}
		l.serve(now, w)
	}
	for w := l.byExpiry.first(); w != nil && w.expires <= now; w = l.byExpiry.first() {
		l.remove(w)
		w.err = l.refusal(now, Timeout, w)
		l.decided = append(l.decided, w)
		// The next in line may need less than this one did.
		for c, due := l.candidate(now); c != nil && due <= now; c, due = l.candidate(now) {
			l.serve(now, c)
		}
	}
}

// next says when advance is to be called again, if nothing else happens before.
func (l *line) next(now int64) int64 {
	at := never
	if w := l.byExpiry.first(); w != nil {
		at = w.expires
	}
	if w, due := l.candidate(now); w != nil {
		at = min(at, due)
	}
	return at
}

// candidate is who goes next, and when, if nothing else happens before; nil when no moment is known.
func (l *line) candidate(now int64) (*waiter, int64) {
	turn := l.byStart.first()
	if turn == nil || l.asking != nil || l.model.MaxParallel > 0 && l.inFlight >= l.model.MaxParallel {
		return nil, 0
	}
	w := turn.head
	due := l.ready(now, 1, w.tokens)
	if due <= now {
		return w, due
	}
	small := l.byFinish.first() // if it is another, it ends before the one whose turn it is
	if small != turn && w.passed+small.head.cost <= w.cost {
		if soon := l.ready(now, 1, small.head.tokens); soon < due {
			return small.head, soon
		}
	}
	return w, due
}

// ready says when so many requests and tokens can go, as far as the allowance decides.
func (l *line) ready(now, requests, tokens int64) int64 {
	return max(l.requests.ready(now, requests), l.tokens.ready(now, tokens), l.held, l.notice.held)
}

// goes reports whether a request could go now, were it its turn.
func (l *line) goes(now, tokens int64) bool {
	return l.asking == nil && (l.model.MaxParallel <= 0 || l.inFlight < l.model.MaxParallel) && l.ready(now, 1, tokens) <= now
}

// enter puts a request at the end of its caller's line.
func (l *line) enter(now int64, d Demand) *waiter {
	l.arrival++
	w := &waiter{
		caller: d.Caller, order: l.arrival, tokens: d.Tokens, cost: l.price(d.Tokens), weight: weight(d.Priority),
		arrived: now, expires: never, expiry: -1,
	}
	for _, most := range []time.Duration{l.model.MaxWait, d.MaxWait} {
		if most > 0 && int64(most) < w.expires-now {
			w.expires = now + int64(most)
		}
	}
	l.append(w)
	return w
}

// append puts w at the end of its caller's line.
func (l *line) append(w *waiter) {
	f := l.flow(w)
	l.backlog.drop(f)
	w.before = f.tail
	if f.tail == nil {
		f.head = w
		f.start = max(l.virtual, f.finished)
	} else {
		f.tail.after = w
	}
	f.tail = w
	l.join(f, w)
}

// flow returns the line of the caller.
func (l *line) flow(w *waiter) *flow {
	f := l.flows[w.caller]
	if f == nil {
		f = &flow{caller: w.caller, weight: w.weight, finished: l.virtual, place: [4]int{-1, -1, -1, -1}}
		l.flows[w.caller] = f
	}
	l.spent.remove(f)
	return f
}

// join counts w, which has been linked into f.
func (l *line) join(f *flow, w *waiter) {
	w.flow = f
	f.length++
	f.cost += w.cost
	f.tokens += w.tokens
	l.backlog.add(f)
	l.waiting++
	l.cost += w.cost
	if w.expires < never {
		l.byExpiry.push(w)
	}
	f.finish = f.start + f.share(f.head.cost)
	if f.length == 1 {
		l.byStart.push(f)
		l.byFinish.push(f)
		l.byLength.push(f)
		return
	}
	if f.head == w {
		l.byStart.fix(f)
		l.byFinish.fix(f)
	}
	l.byLength.fix(f)
}

// serve lets a request go that is the first of its caller.
func (l *line) serve(now int64, w *waiter) {
	f := w.flow
	if turn := l.byStart.first(); turn == f {
		l.virtual = max(l.virtual, f.start)
	} else {
		turn.head.passed += w.cost
	}
	f.finished = f.start + f.share(w.cost)
	f.start = f.finished
	l.remove(w)
	w.grant = l.take(now, w.tokens, w.arrived)
	if l.confirms {
		l.asking = w.grant
	}
	l.decided = append(l.decided, w)
	for f := l.spent.first(); f != nil && f.finished <= l.virtual; f = l.spent.first() {
		l.spent.remove(f)
		delete(l.flows, f.caller)
	}
}

// confirm says that other replicas have left room for a grant.
func (l *line) confirm(now int64, g *Grant) {
	if l.asking == g {
		l.asking = nil
		l.advance(now)
	}
}

// back undoes a grant for which other replicas have left no room: the request waits again, before all others of its
// caller and as if it had not gone, and nobody goes before wait is over. w is nil when it had not waited yet.
func (l *line) back(now int64, d Demand, g *Grant, w *waiter, wait time.Duration) (*Grant, *waiter, *Error) {
	if l.end(now, g) {
		l.giveBack(now, g)
	}
	l.held = max(l.held, now+int64(wait))
	if w == nil {
		return l.ask(now, d)
	}
	w = &waiter{
		caller: w.caller, order: w.order, tokens: w.tokens, cost: w.cost, passed: w.passed, weight: w.weight,
		arrived: w.arrived, expires: w.expires, expiry: -1,
	}
	known := l.flows[w.caller] != nil
	f := l.flow(w)
	l.backlog.drop(f)
	if f.length == 0 {
		f.start = f.finished
	}
	if known { // else it was forgotten what he was given
		f.start -= f.share(w.cost)
		f.finished -= f.share(w.cost)
	}
	if w.after = f.head; w.after != nil {
		w.after.before = w
	} else {
		f.tail = w
	}
	f.head = w
	l.join(f, w)
	l.advance(now)
	return nil, w, nil
}

// leave takes out a request whose client is gone.
func (l *line) leave(now int64, w *waiter) {
	l.remove(w)
	l.advance(now)
}

// remove takes w out of the line.
func (l *line) remove(w *waiter) {
	f := w.flow
	l.backlog.drop(f)
	wasHead := f.head == w
	if w.before != nil {
		w.before.after = w.after
	} else {
		f.head = w.after
	}
	if w.after != nil {
		w.after.before = w.before
	} else {
		f.tail = w.before
	}
	w.before, w.after, w.flow = nil, nil, nil
	f.length--
	f.cost -= w.cost
	f.tokens -= w.tokens
	l.waiting--
	l.cost -= w.cost
	l.byExpiry.remove(w)
	switch {
	case l.waiting == 0:
		l.clear()
	case f.length == 0:
		l.byStart.remove(f)
		l.byFinish.remove(f)
		l.byLength.remove(f)
		if f.finished > l.virtual {
			l.spent.push(f)
		} else {
			delete(l.flows, f.caller)
		}
	default:
		l.backlog.add(f)
		if wasHead {
			f.finish = f.start + f.share(f.head.cost)
			l.byStart.fix(f)
			l.byFinish.fix(f)
		}
		l.byLength.fix(f)
	}
}

// clear forgets everybody when nobody waits any more: who has had how much only matters among those who wait. What a
// long line has grown is not kept.
func (l *line) clear() {
	l.virtual, l.arrival = 0, 0
	l.byStart.clear()
	l.byFinish.clear()
	l.byLength.clear()
	l.spent.clear()
	l.byExpiry.clear()
	if len(l.flows) > kept {
		l.flows = make(map[string]*flow)
	} else {
		clear(l.flows)
	}
	l.backlog = backlog{}
}

// price is the cost of a request.
func (l *line) price(tokens int64) int64 {
	if l.model.RPM <= 0 && l.model.TPM <= 0 {
		return plainCost
	}
	return max(l.requests.cost(1), l.tokens.cost(tokens), 1)
}

// weight of a priority.
func weight(priority int) int64 {
	return 1 << (maxPriority + min(max(priority, -maxPriority), maxPriority))
}

// share is by how much a cost moves the tags of the caller.
func (f *flow) share(cost int64) int64 { return (cost << maxPriority) / f.weight }
