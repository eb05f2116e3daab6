package limits

import (
	"time"
)

// Patient returns options of a gate that waits longer for Redis than requests do, on machines that are busy with other
// tests.
func Patient(o Options) Options {
	o.patience = 10 * time.Second
	return Eager(o)
}

// Eager returns options of a gate that looks soon whether Redis is back.
func Eager(o Options) Options {
	o.retry = 10 * time.Millisecond
	return o
}

// MaxCounters is how many names are counted at a time.
const MaxCounters = maxCounters

// Counted returns how many names are kept in memory.
func Counted(q *Quotas) int {
	q.memory.mu.Lock()
	defer q.memory.mu.Unlock()
	return len(q.memory.names)
}

// InRedis reports where a reservation was counted.
func InRedis(r *Reservation) bool { return r.shared }
