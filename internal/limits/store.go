package limits

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"
)

const (
	shardCount = 64
	// exactMoves is the largest limit whose admissions a moving window remembers one by one. Above it they are counted
	// in slices of a hundredth of the period: never more is admitted than the limit, and a place becomes free up to a
	// hundredth of the period late.
	exactMoves = 10_000
	slices     = 100
)

// Store counts requests in memory. It implements ulule's limiter.Store and adds Take, which asks several windows at
// once. Make one with NewStore; it is safe for concurrent use. Its memory follows the callers with an open window:
// what has expired is swept when a shard has doubled, so that no goroutine is needed.
type Store struct {
	strategy Strategy
	now      func() time.Time
	seed     maphash.Seed
	shards   [shardCount]shard
}

type shard struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	sweepAt int // how many buckets make it worth sweeping
}

// bucketKey includes the rate: two windows of one caller must not share a counter.
type bucketKey struct {
	key  string
	rate Rate
}

// bucket is one window of one caller. Times are offsets from the store's clock, which is monotonic.
type bucket struct {
	expires time.Time
	count   int64
	moves   []time.Time // moving window: when requests were admitted, oldest first
	slices  map[int64]int64
}

// window is what a Take says of one rate.
type window struct {
	rate      Rate
	remaining int64
	reset     time.Duration // until the window is empty again
	wait      time.Duration // until a refused request would pass; 0 when it passes
}

// NewStore returns an empty store. now is the clock; nil means time.Now.
func NewStore(s Strategy, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	st := &Store{strategy: s, now: now, seed: maphash.MakeSeed()}
	for i := range st.shards {
		st.shards[i].buckets = make(map[bucketKey]*bucket)
		st.shards[i].sweepAt = 64
	}
	return st
}

// Take consumes n from every window of the key, or from none of them.
func (s *Store) Take(key string, rates []Rate, n int64) []window {
	sh := &s.shards[maphash.String(s.seed, key)%shardCount]
	now := s.now()
	windows := make([]window, len(rates))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sweep(now)
	admitted := true
	for i, r := range rates {
		windows[i] = s.look(sh.bucket(bucketKey{key, r}), r, now, n)
		admitted = admitted && windows[i].wait == 0
	}
	for i, r := range rates {
		b := sh.bucket(bucketKey{key, r})
		switch {
		case admitted:
			s.count(b, r, now, n)
			windows[i].remaining -= n
			windows[i].reset = s.reset(b, r, now)
		case s.strategy == ElasticWindow && windows[i].wait > 0 && n > 0:
			b.expires = now.Add(r.Period)
			windows[i].wait, windows[i].reset = r.Period, r.Period
		}
	}
	return windows
}

// bucket returns the bucket of that key, making it if there is none.
func (sh *shard) bucket(k bucketKey) *bucket {
	b := sh.buckets[k]
	if b == nil {
		b = &bucket{}
		sh.buckets[k] = b
	}
	return b
}

// sweep forgets what has expired, once the shard has doubled since the last time.
func (sh *shard) sweep(now time.Time) {
	if len(sh.buckets) < sh.sweepAt {
		return
	}
	for k, b := range sh.buckets {
		if !b.expires.After(now) {
			delete(sh.buckets, k)
		}
	}
	sh.sweepAt = max(64, 2*len(sh.buckets))
}

// look says how a window stands, without counting.
func (s *Store) look(b *bucket, r Rate, now time.Time, n int64) window {
	w := window{rate: r}
	if !b.expires.After(now) {
		*b = bucket{}
	}
	switch {
	case s.strategy != MovingWindow:
		w.remaining = max(r.Limit-b.count, 0)
		if w.remaining < n {
			w.wait = b.expires.Sub(now)
		}
	case r.Limit <= exactMoves:
		first := 0
		for first < len(b.moves) && !b.moves[first].After(now.Add(-r.Period)) {
			first++
		}
		b.moves = b.moves[first:]
		w.remaining = r.Limit - int64(len(b.moves))
		if over := n - w.remaining; over > 0 && over <= int64(len(b.moves)) {
			w.wait = b.moves[over-1].Add(r.Period).Sub(now)
		}
	default:
		w.remaining, w.wait = b.sliced(r, now, n)
	}
	if n > r.Limit {
		w.wait = max(w.wait, r.Period)
	}
	w.reset = s.reset(b, r, now)
	return w
}

// sliced looks at a moving window that counts in slices. A slice leaves the window when its end has.
func (b *bucket) sliced(r Rate, now time.Time, n int64) (remaining int64, wait time.Duration) {
	width := r.Period / slices
	oldest := now.Add(-r.Period).UnixNano() / int64(width)
	newest := now.UnixNano() / int64(width)
	used := int64(0)
	for at, c := range b.slices {
		if at < oldest {
			delete(b.slices, at)
			continue
		}
		used += c
	}
	remaining = r.Limit - used
	for at, free := oldest, remaining; at <= newest && free < n; at++ {
		if free += b.slices[at]; free >= n {
			wait = time.Unix(0, (at+1)*int64(width)).Add(r.Period).Sub(now)
		}
	}
	return remaining, wait
}

// count records n admitted requests.
func (s *Store) count(b *bucket, r Rate, now time.Time, n int64) {
	switch {
	case n == 0:
		return
	case s.strategy == FixedWindow:
		if b.count == 0 {
			b.expires = now.Add(r.Period)
		}
		b.count += n
		return
	case s.strategy == ElasticWindow:
		b.count += n
	case r.Limit <= exactMoves:
		for range n {
			b.moves = append(b.moves, now)
		}
	default:
		if b.slices == nil {
			b.slices = make(map[int64]int64)
		}
		b.slices[now.UnixNano()/int64(r.Period/slices)] += n
		b.expires = now.Add(r.Period + r.Period/slices)
		return
	}
	b.expires = now.Add(r.Period)
}

// reset says when the window will be empty.
func (s *Store) reset(b *bucket, _ Rate, now time.Time) time.Duration {
	return max(b.expires.Sub(now), 0)
}

// Get implements limiter.Store.
func (s *Store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek implements limiter.Store.
func (s *Store) Peek(_ context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.context(s.Take(key, []Rate{{rate.Limit, rate.Period}}, 0)[0]), nil
}

// Reset implements limiter.Store.
func (s *Store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	sh := &s.shards[maphash.String(s.seed, key)%shardCount]
	sh.mu.Lock()
	delete(sh.buckets, bucketKey{key, Rate{rate.Limit, rate.Period}})
	sh.mu.Unlock()
	return s.Peek(ctx, key, rate)
}

// Increment implements limiter.Store.
func (s *Store) Increment(_ context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	return s.context(s.Take(key, []Rate{{rate.Limit, rate.Period}}, count)[0]), nil
}

// context turns a window into ulule's form, whose reset is a whole second: rounded up, so that nobody comes too early.
func (s *Store) context(w window) limiter.Context {
	return limiter.Context{
		Limit: w.rate.Limit, Remaining: w.remaining, Reached: w.wait > 0,
		Reset: s.now().Add(w.reset + time.Second - 1).Unix(),
	}
}

// Len returns how many windows are kept in memory, expired ones that were not swept yet included.
func (s *Store) Len() (n int) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].buckets)
		s.shards[i].mu.Unlock()
	}
	return n
}
