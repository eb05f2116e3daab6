package cache_test

import (
	linked "container/list"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/cache"
)

// TestZipfDay is a day of traffic in which few questions are asked often and
// many once: 60,000 requests, whose answers do not fit into the bound. The disk
// never holds more than the bound, and what is asked again is found nearly as
// often as by an ideal LRU of that size, which has no headers, no index, and
// knows the sizes to the byte.
func TestZipfDay(t *testing.T) {
	t.Parallel()
	const (
		bound     = 64 << 20
		requests  = 60_000
		questions = 40_000
	)
	now := newClock()
	dir := t.TempDir()
	c := MustOpen(t, cache.Options{Dir: dir, MaxBytes: bound, Now: now.now})
	r := rand.New(rand.NewPCG(1, 2))
	traffic := rand.NewZipf(r, 1.05, 20, questions-1)
	random := answerTo(0, 2<<20).Body // which does not compress, so that an ideal cache has nothing to gain by trying
	// Lengths as of chat answers: half of them below 4 kB, a few a hundred
	// times that.
	length := func(n int) int {
		own := rand.New(rand.NewPCG(uint64(n), 3))
		return min(300+int(4000*math.Exp(1.2*own.NormFloat64())), 400_000)
	}

	var peak atomic.Int64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			peak.Store(max(peak.Load(), onDisk(t, dir)))
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	ideal := &lru{max: bound, order: linked.New(), at: map[int]*linked.Element{}}
	hits, possible := 0, 0
	seen := make(map[int]bool)
	var written int64
	for range requests {
		now.advance(24 * time.Hour / requests)
		n := int(traffic.Uint64())
		if seen[n] {
			possible++
		}
		seen[n] = true
		size := length(n)
		ideal.ask(n, int64(size))
		if e, ok := get(c, keyOf(n)); ok {
			if hits++; len(e.Body) != size {
				t.Fatalf("%d bytes for an answer of %d", len(e.Body), size)
			}
			continue
		}
		e := &cache.Entry{Status: 200, Body: random[n%(1<<20) : n%(1<<20)+size]}
		for !c.Put(keyOf(n), e) {
			drain(t, c)
		}
		written += int64(size)
	}
	drain(t, c)
	close(stop)
	watch.Wait()
	s := c.Stats()
	ours, best := float64(hits)/requests, float64(ideal.hits)/requests
	t.Logf("%d requests for %d questions, %d MiB written: hit rate %.1f %%, ideal LRU %.1f %%, without any bound %.1f %%; at most %.1f of %d MiB on disk",
		requests, len(seen), written>>20, 100*ours, 100*best, 100*float64(possible)/requests, float64(peak.Load())/(1<<20), bound>>20)
	if peak.Load() > bound {
		t.Errorf("%d bytes on disk", peak.Load())
	}
	if ours < 0.85*best {
		t.Errorf("a hit rate of %.1f %%, an ideal cache of that size has %.1f %%", 100*ours, 100*best)
	}
	if written < 2*bound || s.Damaged != 0 {
		t.Errorf("%d bytes written, %d damaged: the test proves nothing", written, s.Damaged)
	}
}

// lru evicts the least recently used answer.
type lru struct {
	max, bytes int64
	hits       int
	order      *linked.List // of [2]int64: question and size; the latest first
	at         map[int]*linked.Element
}

func (l *lru) ask(n int, size int64) {
	if e := l.at[n]; e != nil {
		l.hits++
		l.order.MoveToFront(e)
		return
	}
	l.at[n] = l.order.PushFront([2]int64{int64(n), size})
	for l.bytes += size; l.bytes > l.max; {
		last := l.order.Remove(l.order.Back()).([2]int64)
		l.bytes -= last[1]
		delete(l.at, int(last[0]))
	}
}
