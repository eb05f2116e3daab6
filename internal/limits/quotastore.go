package limits

import (
	"math"
	"sync"
	"time"
)

const maxCounters = 1 << 17 // names that are counted at a time

// metric is what a quota counts.
type metric int

const (
	countRequests metric = iota
	countTokens          // prompt and answer
	countInput
	countOutput
	metrics
)

func (m metric) String() string {
	return [...]string{"requests", "tokens", "input_tokens", "output_tokens"}[m]
}

// counts are what one window has of each metric.
type counts [metrics]int64

// span is a window of the calendar, as Unix microseconds. It includes from, and not until.
type span struct{ from, until int64 }

// minuteOf and dayOf return the windows that hold t. A day is as long as the zone makes it, 23 and 25 hours included.
func minuteOf(t time.Time) span {
	const minute = int64(time.Minute / time.Microsecond)
	us := t.UnixMicro()
	from := us - ((us%minute)+minute)%minute
	return span{from, from + minute}
}

func dayOf(t time.Time, in *time.Location) span {
	y, m, d := t.In(in).Date()
	return span{time.Date(y, m, d, 0, 0, 0, 0, in).UnixMicro(), time.Date(y, m, d+1, 0, 0, 0, 0, in).UnixMicro()}
}

// windows are the minute and the day of a moment.
type windows [2]span

// used is what is counted for one name, in the minute and in the day.
type used [2]counts

// ask is what a request wants of one name: bounds of zero are none.
type ask struct {
	name   string  // with its scope
	counts [2]bool // which windows are counted: those that have a bound, or one that is only reported
	bounds used    // of which one over refuses the request
}

// quotaMemory counts quotas in memory. It is bounded: what is over is swept in passing, and when it is full of live names
// one that has used little gives way. So made-up names can neither fill the memory nor free a name that is near its limit.
type quotaMemory struct {
	mu    sync.Mutex // guards the rest
	names map[string]*counter
	swept int64 // when, as Unix microseconds
}

type counter struct {
	from [2]int64 // of the windows that are counted
	used used
	part float64 // of the tightest limit that is used
}

func newQuotaMemory() *quotaMemory { return &quotaMemory{names: make(map[string]*counter)} }

// reserve counts n for all names if all of their bounds allow it, and returns what was counted before, in room where that is enough.
func (q *quotaMemory) reserve(room []used, asks []ask, n counts, now func() (int64, windows)) (before []used, w windows, at int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, w = now() // read under the lock, so that time never runs back between two requests
	before, ok = append(room[:0], make([]used, len(asks))...), true
	for i, a := range asks {
		if c := q.names[a.name]; c != nil {
			c.turn(w)
			before[i] = c.used
		}
		ok = ok && fits(before[i], a.bounds, n)
	}
	if !ok {
		return before, w, at, false
	}
	q.tidy(at, w)
	for _, a := range asks {
		c := q.names[a.name]
		if c == nil {
			if len(q.names) >= maxCounters {
				q.giveWay()
			}
			c = &counter{from: [2]int64{w[0].from, w[1].from}}
			q.names[a.name] = c
		}
		c.add(n, a.counts)
		c.weigh(a.bounds)
	}
	return before, w, at, true
}

// notable is the part of what is left of a limit, one in so many, from which on a request's tokens have to be exact.
const notable = 64

// roomy reports whether so little of each limit of tokens is used, and n is so little of what is left, that it need not be exact: what
// bounds take too much is a part of a half of the limit, so that they refuse nobody who would be let through else.
func (q *quotaMemory) roomy(asks []ask, n counts, now func() (int64, windows)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, w := now()
	for _, a := range asks {
		var have used
		if c := q.names[a.name]; c != nil {
			c.turn(w)
			have = c.used
		}
		for i := range a.bounds {
			for m, limit := range a.bounds[i] {
				if metric(m) != countRequests && limit > 0 && (have[i][m] > limit/2 || n[m] > (limit-have[i][m])/notable) {
					return false
				}
			}
		}
	}
	return true
}

// settle adds n, which may be below zero, in those of the windows that still run.
func (q *quotaMemory) settle(asks []ask, n counts, w windows) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range asks {
		if c := q.names[a.name]; c != nil {
			c.add(n, [2]bool{a.counts[0] && c.from[0] == w[0].from, a.counts[1] && c.from[1] == w[1].from})
			c.weigh(a.bounds)
		}
	}
}

// turn begins anew what belongs to other windows.
func (c *counter) turn(w windows) {
	for i := range w {
		if c.from[i] != w[i].from {
			c.from[i], c.used[i] = w[i].from, counts{}
		}
	}
}

func (c *counter) add(n counts, in [2]bool) {
	for i := range c.used {
		for m := range n {
			if in[i] {
				c.used[i][m] = max(c.used[i][m]+n[m], 0)
			}
		}
	}
}

// weigh remembers how near to its limits a name is.
func (c *counter) weigh(bounds used) {
	c.part = 0
	for i := range bounds {
		for m, limit := range bounds[i] {
			if limit > 0 {
				c.part = max(c.part, float64(c.used[i][m])/float64(limit))
			}
		}
	}
}

// tidy forgets names of which nothing is counted any more, once in a while.
func (q *quotaMemory) tidy(now int64, w windows) {
	if since := now - q.swept; since >= 0 && since < sweepEvery.Microseconds() {
		return
	}
	q.swept = now
	for name, c := range q.names {
		if c.turn(w); c.used == (used{}) {
			delete(q.names, name)
		}
	}
}

func (q *quotaMemory) giveWay() {
	victim, least, seen := "", math.Inf(1), 0
	for name, c := range q.names { // begins anywhere
		if c.part < least {
			victim, least = name, c.part
		}
		if seen++; seen == sampleSize {
			break
		}
	}
	delete(q.names, victim)
}

// fits reports whether n more are within all bounds.
func fits(have, bounds used, n counts) bool {
	for i := range bounds {
		for m, limit := range bounds[i] {
			if limit > 0 && n[m] > 0 && have[i][m] > limit-n[m] {
				return false
			}
		}
	}
	return true
}
