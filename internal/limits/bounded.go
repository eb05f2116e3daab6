package limits

import (
	"math"
	"time"
)

const (
	sweepEvery = 10 * time.Second // how often a map that is used forgets what is idle
	sampleSize = 16               // of how many entries the least used one is evicted
)

// bounded is a map of counters by name that does not grow without bound, and
// has no goroutine. What is idle is swept in passing. A map that is full of
// live entries evicts one that has used little of its limit.
//
// Clients choose the names. So made-up names must neither fill the memory nor
// free a caller that is near its limit. That is why this is no cache such as
// otter, which evicts what is used rarely: there a flood of names would evict
// the caller that waits for its window to end.
//
// The zero value is an empty map. The caller guards it.
type bounded[V any] struct {
	entries map[string]V
	swept   time.Duration
}

// sweep forgets idle entries, if it is time to.
func (b *bounded[V]) sweep(now time.Duration, idle func(V) bool) {
	if since := now - b.swept; since >= 0 && since < sweepEvery {
		return
	}
	b.swept = now
	for name, v := range b.entries {
		if idle(v) {
			delete(b.entries, name)
		}
	}
}

// put stores an entry. In a map with capacity entries it first evicts, of a
// few, the one with the smallest part of its limit used.
func (b *bounded[V]) put(name string, v V, capacity int, used func(V) float64) {
	if b.entries == nil {
		b.entries = make(map[string]V)
	}
	if _, known := b.entries[name]; !known && len(b.entries) >= capacity {
		b.evict(used)
	}
	b.entries[name] = v
}

// evict looks at a few entries only, because to find the least used one of all
// would cost each made-up name a walk over the map.
func (b *bounded[V]) evict(used func(V) float64) {
	victim := ""
	least := math.Inf(1)
	seen := 0
	for name, v := range b.entries { // in random order
		if part := used(v); part < least {
			victim = name
			least = part
		}
		seen++
		if seen == sampleSize {
			break
		}
	}
	delete(b.entries, victim)
}
