package limits

// MaxCounters is how many names are counted at a time.
const MaxCounters = maxCounters

// Counted returns how many names are kept in memory.
func Counted(q *Quotas) int {
	q.memory.mu.Lock()
	defer q.memory.mu.Unlock()
	return len(q.memory.names.Entries)
}

// InRedis reports where a reservation was counted.
func InRedis(r *Reservation) bool { return r.shared }

// Keys returns how many keys a store keeps.
func Keys(s *Store) (n int) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].keys.Entries)
		s.shards[i].mu.Unlock()
	}
	return n
}
