package limits

import (
	"sync"
	"time"

	"forward/internal/bounded"
)

// maxCounters bounds the names that are counted at a time.
const maxCounters = 1 << 17

// ampleness is how many times a request's bound of tokens must fit into what is
// left of a limit, so that the tokens need not be counted.
const ampleness = 64

// quotaMemory counts quotas in memory.
type quotaMemory struct {
	calendar

	mu    sync.Mutex // guards names
	names bounded.Map[*counter]
}

// counter is what is counted for one name.
type counter struct {
	from [2]int64 // of its windows
	used tally
	part float64 // of the tightest limit that is used
}

// reserve counts n for all claims, if all of their bounds allow it.
func (q *quotaMemory) reserve(claims []claim, n counts) reading {
	q.mu.Lock()
	defer q.mu.Unlock()
	now, w := q.read() // under the lock, so that time never runs back between two requests
	r := reading{at: now.UnixMicro(), windows: w, before: make([]tally, len(claims)), counted: true}
	for i, c := range claims {
		r.before[i] = q.used(c.key, w)
		r.counted = r.counted && r.before[i].fit(c.bounds, n)
	}
	if !r.counted {
		return r
	}
	q.names.Sweep(time.Duration(now.UnixNano()), func(c *counter) bool {
		c.turn(w)
		return c.used == tally{}
	})
	for _, c := range claims {
		have := q.names.Entries[c.key]
		if have == nil {
			have = &counter{from: [2]int64{w[0].from, w[1].from}}
			q.names.Put(c.key, have, maxCounters, func(c *counter) float64 { return c.part })
		}
		have.add(n, c.counted, c.bounds)
	}
	return r
}

// ample reports whether upper bounds of tokens are good enough: at most half of
// every limit of tokens is used, and n is at most 1/ampleness of the rest. So
// bounds never fill more than half of a limit, and a request that is refused
// was counted.
func (q *quotaMemory) ample(claims []claim, n counts) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, w := q.read()
	for _, c := range claims {
		used := q.used(c.key, w)
		for i := range c.bounds {
			for m, limit := range c.bounds[i] {
				if metric(m) == countRequests || limit == 0 {
					continue
				}
				if used[i][m] > limit/2 || n[m] > (limit-used[i][m])/ampleness {
					return false
				}
			}
		}
	}
	return true
}

// used returns what is counted for a name.
func (q *quotaMemory) used(key string, w windows) tally {
	c := q.names.Entries[key]
	if c == nil {
		return tally{}
	}
	c.turn(w)
	return c.used
}

// settle adds n, which may be negative, in those of the windows that still run.
func (q *quotaMemory) settle(claims []claim, n counts, w windows) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range claims {
		if have := q.names.Entries[c.key]; have != nil {
			runs := c.counted
			for i := range runs {
				runs[i] = runs[i] && have.from[i] == w[i].from
			}
			have.add(n, runs, c.bounds)
		}
	}
}

// turn starts again what was counted in other windows.
func (c *counter) turn(w windows) {
	for i := range w {
		if c.from[i] != w[i].from {
			c.from[i] = w[i].from
			c.used[i] = counts{}
		}
	}
}

// add adds n in the given windows, and notes how near the name is to its
// bounds.
func (c *counter) add(n counts, in [2]bool, bounds tally) {
	c.part = 0
	for i := range c.used {
		for m := range n {
			if in[i] {
				c.used[i][m] = max(c.used[i][m]+n[m], 0)
			}
			if limit := bounds[i][m]; limit > 0 {
				c.part = max(c.part, float64(c.used[i][m])/float64(limit))
			}
		}
	}
}
