// Package bounded holds counters by name without growing without bound.
//
// Clients choose the names: models, users, addresses. So made-up names must
// neither fill the memory nor free a caller that is near its limit. That is why
// this is no cache such as otter, which evicts what is used rarely: there a
// flood of names would evict the caller that waits for its window to end.
package bounded

import (
	"math"
	"time"
)

const (
	sweepEvery = 10 * time.Second // how often a map that is used forgets what is idle
	sampleSize = 16               // of how many entries the least used one is evicted
)

// Map is a map of counters by name. It has no goroutine: Sweep removes idle
// entries in passing, and Put evicts an entry that has used little of its limit
// from a map that is full of live ones. The zero value is an empty map. The
// caller guards it.
type Map[V any] struct {
	Entries map[string]V // not to be added to except by Put
	swept   time.Duration
}

// Sweep removes idle entries, if it is time to.
func (m *Map[V]) Sweep(now time.Duration, idle func(V) bool) {
	if since := now - m.swept; since >= 0 && since < sweepEvery {
		return
	}
	m.swept = now
	for name, v := range m.Entries {
		if idle(v) {
			delete(m.Entries, name)
		}
	}
}

// Put stores an entry. In a map with capacity entries it first evicts, of a
// few, the one with the smallest part of its limit used.
func (m *Map[V]) Put(name string, v V, capacity int, used func(V) float64) {
	if m.Entries == nil {
		m.Entries = make(map[string]V)
	}
	if _, known := m.Entries[name]; !known && len(m.Entries) >= capacity {
		m.evict(used)
	}
	m.Entries[name] = v
}

// evict looks at a few entries only, because to find the least used one of all
// would cost each made-up name a walk over the map.
func (m *Map[V]) evict(used func(V) float64) {
	victim := ""
	least := math.Inf(1)
	seen := 0
	for name, v := range m.Entries { // in random order
		if part := used(v); part < least {
			victim = name
			least = part
		}
		seen++
		if seen == sampleSize {
			break
		}
	}
	delete(m.Entries, victim)
}
