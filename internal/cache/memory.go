package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// memory keeps entries in this process. It is bounded by what the entries take, not by how many they are, and forgets
// everything when the process ends.
type memory struct {
	entries *otter.Cache[Key, *Entry]
	max     int64
	closed  atomic.Bool
}

// entryCost is about what an entry takes beside its strings and its body: the structs, the map's slot, otter's node.
const entryCost = 512

func (e *Entry) weight() uint32 {
	n := entryCost + len(e.Body) + len(e.Route) + len(e.Operation) + len(e.Model)
	for name, values := range e.Header {
		n += 64 + len(name)
		for _, value := range values {
			n += 16 + len(value)
		}
	}
	return uint32(n) // Put bounds bodies at 256 MiB, and servers bound headers
}

func openMemory(o Options) (store, error) {
	entries, err := otter.New(&otter.Options[Key, *Entry]{
		MaximumWeight: uint64(o.MaxBytes),
		Weigher:       func(_ Key, e *Entry) uint32 { return e.weight() },
		// Get looks at the time itself; this only gives the memory back.
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, *Entry]) time.Duration {
			return max(e.Value.Expires.Sub(o.Now()), 1)
		}),
		// Eviction runs before Set returns, so that the bound holds when a burst of answers comes in.
		Executor: func(task func()) { task() },
	})
	if err != nil {
		return store{}, fmt.Errorf("opening the cache in memory: %w", err)
	}
	m := &memory{entries: entries, max: o.MaxBytes}
	return store{get: m.get, put: m.put, report: m.report, close: m.close}, nil
}

func (m *memory) get(_ context.Context, k Key) (*Entry, bool) {
	e, ok := m.entries.GetIfPresent(k)
	if !ok {
		return nil, false
	}
	return e.clone(), true
}

func (m *memory) put(k Key, e *Entry) bool {
	if m.closed.Load() || int64(e.weight()) > m.max/4 { // one answer is not to push most others out
		return false
	}
	m.entries.Set(k, e)
	return true
}

func (m *memory) report(s *Stats) {
	s.Entries, s.Bytes, s.MaxBytes = int64(m.entries.EstimatedSize()), int64(m.entries.WeightedSize()), m.max
}

func (m *memory) close() error {
	m.closed.Store(true)
	m.entries.StopAllGoroutines()
	m.entries.InvalidateAll()
	return nil
}
