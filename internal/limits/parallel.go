package limits

import "sync"

// Parallel bounds how many requests of one caller run at the same time. It is safe for concurrent use; a nil Parallel
// bounds nothing. It is local to one process: what it protects, connections and memory, is too.
type Parallel struct {
	most int
	mu   sync.Mutex
	runs map[string]int // by caller; who has none is not in it
}

// NewParallel returns a bound of most requests, nil when most is 0: no bound.
func NewParallel(most int) *Parallel {
	if most <= 0 {
		return nil
	}
	return &Parallel{most: most, runs: map[string]int{}}
}

// Enter counts one more request of the caller, or reports that he has as many as he may. After true, Leave must follow.
func (p *Parallel) Enter(caller string) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs[caller] >= p.most {
		return false
	}
	p.runs[caller]++
	return true
}

// Leave ends what Enter began.
func (p *Parallel) Leave(caller string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs[caller]--; p.runs[caller] <= 0 {
		delete(p.runs, caller)
	}
}

// Most returns the bound.
func (p *Parallel) Most() int { return p.most }
