package limits

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
