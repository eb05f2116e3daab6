package limits

import "sync"

// Parallel bounds how many requests of one caller run at the same time. The
// zero Parallel is ready, and it is safe for concurrent use. It counts in one
// process only, for what it protects, connections and memory, belongs to one
// too.
type Parallel struct {
	mu   sync.Mutex
	runs map[string]int // by caller; absent is 0
}

// Enter counts one more request of the caller, or reports false if it has as
// many as it may. A most of 0 is no bound. After true, call Leave.
func (p *Parallel) Enter(caller string, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if most > 0 && p.runs[caller] >= most {
		return false
	}
	if p.runs == nil {
		p.runs = map[string]int{}
	}
	p.runs[caller]++
	return true
}

// Leave ends a request that Enter has counted.
func (p *Parallel) Leave(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[caller]--
	if p.runs[caller] <= 0 {
		delete(p.runs, caller)
	}
}
