package limits

import "sync"

// Parallel bounds how many requests of one caller run at the same time. The zero Parallel is ready, and it is safe for
// concurrent use. It is local to one process: what it protects, connections and memory, is too.
type Parallel struct {
	mu   sync.Mutex
	runs map[string]int // by caller; who has none is not in it
}

// Enter counts one more request of the caller, or reports that he has as many as he may; most 0 is no bound. After true, Leave
// must follow.
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

// Leave ends what Enter began.
func (p *Parallel) Leave(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs[caller]--; p.runs[caller] <= 0 {
		delete(p.runs, caller)
	}
}
