package limits

import (
	"context"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"
)

const (
	shardCount = 64
	shardKeys  = 2048             // bound of the keys in a shard: 131,072 in a store
	sweepEvery = 10 * time.Second // how often a shard that is asked forgets what has expired
	sampleSize = 16               // of how many keys the least used gives way in a full shard
)

// Store counts requests in memory. It implements ulule's limiter.Store and adds Take, which asks several windows at
// once. Make one with NewStore; it is safe for concurrent use.
//
// Its memory is bounded without a goroutine. What has expired is swept in passing; and a store that is full of live keys
// lets one give way that has used little of its limit. So a flood of made-up callers cannot fill the memory, and
// neither does it free a caller who is near his limit.
type Store struct {
	strategy Strategy
	now      func() time.Time
	origin   time.Time // times are kept as offsets from it, which are monotonic: the wall clock may be set at any time
	seed     maphash.Seed
	shards   [shardCount]shard
}

type shard struct {
	mu    sync.Mutex // guards the rest
	keys  map[string][]window
	swept int64
}

var _ limiter.Store = (*Store)(nil)

// NewStore returns an empty store. now is the clock; nil means time.Now.
func NewStore(s Strategy, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	st := &Store{strategy: s, now: now, origin: now(), seed: maphash.MakeSeed()}
	for i := range st.shards {
		st.shards[i].keys = make(map[string][]window)
	}
	return st
}

// Take consumes n from the windows of all rates of the key, or from none of them. No rate may be there twice. With n = 0
// it only looks.
func (s *Store) Take(key string, rates []Rate, n int64) []Window {
	said := make([]Window, len(rates))
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := int64(s.now().Sub(s.origin)) // read under the lock, so that within a shard time never runs back
	sh.tidy(now)
	ws := sh.keys[key]
	if n > 0 {
		ws = sh.windows(key, rates, now)
	}
	admitted := true
	for i, r := range rates {
		w := pick(ws, i, r)
		if w == nil {
			w = &window{rate: r}
		}
		said[i] = w.look(now, n)
		admitted = admitted && said[i].Wait == 0
	}
	if n <= 0 {
		return said
	}
	for i, r := range rates {
		w := pick(ws, i, r)
		switch {
		case admitted:
			w.count(s.strategy, now, n)
			said[i].Remaining -= n
			said[i].Reset = time.Duration(w.expires - now)
		case s.strategy == ElasticWindow && said[i].Wait > 0:
			w.expires = now + int64(r.Period)
			said[i].Wait, said[i].Reset = r.Period, r.Period
		}
	}
	return said
}

func (s *Store) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shardCount]
}

// windows returns the windows of a key, with one for each rate.
func (sh *shard) windows(key string, rates []Rate, now int64) []window {
	ws, known := sh.keys[key]
	if !known {
		if len(sh.keys) >= shardKeys {
			sh.giveWay(now)
		}
		ws = make([]window, 0, len(rates))
	}
	for i, r := range rates {
		if pick(ws, i, r) != nil {
			continue
		}
		known = false
		if w := outdated(ws, rates, r); w != nil {
			w.rate = r
		} else {
			ws = append(ws, window{rate: r})
		}
	}
	if !known {
		sh.keys[key] = ws
	}
	return ws
}

// pick returns the window of a rate, which is most likely the i-th.
func pick(ws []window, i int, r Rate) *window {
	if i < len(ws) && ws[i].rate == r {
		return &ws[i]
	}
	for j := range ws {
		if ws[j].rate == r {
			return &ws[j]
		}
	}
	return nil
}

// outdated returns the window of a rate that is none any more, because settings have changed its number to r: what is used of it is
// used of r. Nil when there is none that counts as r does.
func outdated(ws []window, rates []Rate, r Rate) *window {
	for i := range ws {
		if w := &ws[i]; w.rate.Period == r.Period && (w.rate.slice() > 0) == (r.slice() > 0) && !slices.Contains(rates, w.rate) {
			return w
		}
	}
	return nil
}

// tidy forgets keys of which all windows have expired, if it is time to.
func (sh *shard) tidy(now int64) {
	if since := now - sh.swept; since >= 0 && since < int64(sweepEvery) {
		return
	}
	sh.swept = now
	for key, ws := range sh.keys {
		if !slices.ContainsFunc(ws, func(w window) bool { return w.used > 0 && w.expires > now }) {
			delete(sh.keys, key)
		}
	}
}

// giveWay forgets one key of a full shard: of a few the one with the smallest part of its limit used.
func (sh *shard) giveWay(now int64) {
	victim, least, seen := "", math.Inf(1), 0
	for key, ws := range sh.keys { // begins anywhere
		part := 0.0
		for _, w := range ws {
			if w.expires > now {
				part = max(part, float64(w.used)/float64(w.rate.Limit))
			}
		}
		if part < least {
			victim, least = key, part
		}
		if seen++; seen == sampleSize {
			break
		}
	}
	delete(sh.keys, victim)
}

// Get implements limiter.Store: it consumes one.
func (s *Store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek implements limiter.Store: it consumes nothing.
func (s *Store) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 0, rate)
}

// Increment implements limiter.Store: it consumes count, or nothing if there is not as much left.
func (s *Store) Increment(_ context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	w := s.Take(key, []Rate{{rate.Limit, rate.Period}}, count)[0]
	return limiter.Context{
		Limit: w.Rate.Limit, Remaining: max(w.Remaining, 0), Reached: w.Wait > 0,
		// ulule knows whole seconds only: rounded up, so that nobody comes too early.
		Reset: s.now().Add(w.Reset + time.Second - 1).Unix(),
	}, nil
}

// Reset implements limiter.Store: it forgets the window of that rate.
func (s *Store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	sh := s.shard(key)
	sh.mu.Lock()
	sh.keys[key] = slices.DeleteFunc(sh.keys[key], func(w window) bool { return w.rate == Rate{rate.Limit, rate.Period} })
	if len(sh.keys[key]) == 0 {
		delete(sh.keys, key)
	}
	sh.mu.Unlock()
	return s.Peek(ctx, key, rate)
}

// Len returns how many keys are kept, expired ones that were not swept yet included.
func (s *Store) Len() (n int) {
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].keys)
		s.shards[i].mu.Unlock()
	}
	return n
}
