package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// memory keeps entries in this process. It is bounded by the bytes of the
// entries and not by their number. Nothing survives the process.
type memory struct {
	entries *otter.Cache[Key, *Entry]
	max     int64
	closed  atomic.Bool
}

// entryCost is about what an entry takes beside its strings and its body: the
// structs, the slot of the map, otter's node.
const entryCost = 512

func (e *Entry) weight() uint32 {
	q := &e.Question
	n := entryCost + len(e.Body) + len(q.Body) + 64*len(q.fields)
	n += len(q.Route) + len(q.Operation) + len(q.Model) + len(q.Path) + len(q.Query) + len(q.Scope)
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
		// Get checks the time itself; this only frees the memory.
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, *Entry]) time.Duration {
			return max(e.Value.Expires.Sub(o.Now()), 1)
		}),
		// Eviction runs before Set returns, so that the bound holds in a burst
		// of answers.
		Executor: func(task func()) { task() },
	})
	if err != nil {
		return store{}, fmt.Errorf("opening the cache in memory: %w", err)
	}
	m := &memory{entries: entries, max: o.MaxBytes}
	return store{
		get: m.get, put: m.put, report: m.report, close: m.close,
		each: m.each, load: m.load, remove: m.remove, clear: m.clear,
	}, nil
}

func (m *memory) get(_ context.Context, k Key) (*Entry, bool) {
	e, ok := m.entries.GetIfPresent(k)
	if !ok {
		return nil, false
	}
	e = e.clone()
	e.Question.Body = nil
	return e, true
}

func (m *memory) put(k Key, e *Entry) bool {
	e.Question.shorten()
	if m.closed.Load() || int64(e.weight()) > m.max/4 { // one answer must not evict most others
		return false
	}
	m.entries.Set(k, e)
	return true
}

func (m *memory) report(s *Stats) {
	s.Entries = int64(m.entries.EstimatedSize())
	s.Bytes = int64(m.entries.WeightedSize())
	s.MaxBytes = m.max
}

func (m *memory) each(ctx context.Context, visit func(item) bool) error {
	for k, e := range m.entries.All() {
		if ctx.Err() != nil || !visit(item{key: k, entry: e}) {
			break
		}
	}
	return ctx.Err()
}

func (m *memory) load(_ context.Context, k Key) (item, bool) {
	e, ok := m.entries.GetIfPresent(k)
	return item{key: k, entry: e}, ok
}

func (m *memory) remove(_ context.Context, keys []Key) error {
	for _, k := range keys {
		m.entries.Invalidate(k)
	}
	return nil
}

func (m *memory) clear(context.Context) error {
	m.entries.InvalidateAll()
	return nil
}

func (m *memory) close() error {
	m.closed.Store(true)
	m.entries.StopAllGoroutines()
	m.entries.InvalidateAll()
	return nil
}
