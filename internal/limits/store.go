package limits

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"

	"forward/internal/bounded"
)

const (
	shardCount = 64
	shardKeys  = 2048 // bound of the keys in a shard: 131,072 in a store
)

// Store counts requests in memory. It implements limiter.Store, and its Take
// counts in several windows at once. Make one with NewStore. It is safe for
// concurrent use. Its memory is bounded, see package bounded.
type Store struct {
	strategy Strategy
	now      func() time.Time
	origin   time.Time // times are offsets from it, which no setting of the clock changes
	seed     maphash.Seed
	shards   [shardCount]shard
}

type shard struct {
	mu   sync.Mutex // guards keys
	keys bounded.Map[[]window]
}

var _ limiter.Store = (*Store)(nil)

// NewStore returns an empty store. now is its clock; nil is time.Now.
func NewStore(s Strategy, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{strategy: s, now: now, origin: now(), seed: maphash.MakeSeed()}
}

// Take counts n in the windows of all rates of the key, or in none of them. No
// rate may be given twice. With n = 0 it only looks.
func (s *Store) Take(key string, rates []Rate, n int64) []Window {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// Read under the lock, so that time never runs back in a shard.
	now := int64(s.now().Sub(s.origin))
	sh.keys.Sweep(time.Duration(now), func(ws []window) bool {
		return !slices.ContainsFunc(ws, func(w window) bool { return w.open(now) })
	})
	ws := sh.keys.Entries[key]
	if n > 0 {
		ws = sh.windows(key, rates, now)
	}
	states := make([]Window, len(rates))
	admitted := true
	for i, r := range rates {
		w := pick(ws, i, r)
		if w == nil {
			w = &window{rate: r}
		}
		states[i] = w.look(now, n)
		admitted = admitted && states[i].Wait == 0
	}
	if n <= 0 {
		return states
	}
	for i, r := range rates {
		w := pick(ws, i, r)
		switch {
		case admitted:
			w.count(s.strategy, now, n)
			states[i].Remaining -= n
			states[i].Reset = time.Duration(w.expires - now)
		case s.strategy == ElasticWindow && states[i].Wait > 0:
			w.expires = now + int64(r.Period)
			states[i].Wait = r.Period
			states[i].Reset = r.Period
		}
	}
	return states
}

// shard returns the shard of a key. A lock for all keys would be contended by
// every request.
func (s *Store) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shardCount]
}

// windows returns the windows of a key, with one for each rate.
func (sh *shard) windows(key string, rates []Rate, now int64) []window {
	ws, known := sh.keys.Entries[key]
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
		sh.keys.Put(key, ws, shardKeys, func(ws []window) float64 {
			part := 0.0
			for _, w := range ws {
				if w.open(now) {
					part = max(part, float64(w.used)/float64(w.rate.Limit))
				}
			}
			return part
		})
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

// outdated returns the window of a rate whose number the settings have changed
// to r: what is used of it is used of r. It is nil when no window counts as r
// does.
func outdated(ws []window, rates []Rate, r Rate) *window {
	for i := range ws {
		w := &ws[i]
		alike := w.rate.Period == r.Period && (w.rate.slice() > 0) == (r.slice() > 0)
		if alike && !slices.Contains(rates, w.rate) {
			return w
		}
	}
	return nil
}

// Get implements limiter.Store: it counts one.
func (s *Store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Peek implements limiter.Store: it counts nothing.
func (s *Store) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 0, rate)
}

// Increment implements limiter.Store: it counts n, or nothing if fewer are
// left.
func (s *Store) Increment(_ context.Context, key string, n int64, rate limiter.Rate) (limiter.Context, error) {
	return s.context(s.Take(key, []Rate{{rate.Limit, rate.Period}}, n)[0]), nil
}

// Reset implements limiter.Store: it forgets the window of that rate.
func (s *Store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	sh := s.shard(key)
	sh.mu.Lock()
	r := Rate{rate.Limit, rate.Period}
	rest := slices.DeleteFunc(sh.keys.Entries[key], func(w window) bool { return w.rate == r })
	if len(rest) > 0 {
		sh.keys.Entries[key] = rest
	} else {
		delete(sh.keys.Entries, key)
	}
	sh.mu.Unlock()
	return s.Peek(ctx, key, rate)
}

// context returns a window as ulule knows it, in whole seconds: rounded up, so
// that no caller comes too early.
func (s *Store) context(w Window) limiter.Context {
	return limiter.Context{
		Limit:     w.Rate.Limit,
		Remaining: max(w.Remaining, 0),
		Reset:     s.now().Add(w.Reset + time.Second - 1).Unix(),
		Reached:   w.Wait > 0,
	}
}
