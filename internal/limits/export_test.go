package limits

import (
	"testing"
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

// Sent waits until all gifts of b were sent.
func Sent(t testing.TB, b *SharedBuckets) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		sends := b.sends
		b.mu.Unlock()
		if !sends {
			return
		}
		if time.Now().After(end) {
			t.Fatal("gifts are not sent")
		}
	}
}

// InRedis reports where a reservation was counted.
func InRedis(r *Reservation) bool { return r.shared }
