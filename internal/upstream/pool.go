package upstream

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"forward/internal/keys"
)

// setAsideFor is how long a key that the upstream refused is left alone. It is
// then tried once again, for providers also refuse good keys in bad hours, and
// a key must not stay lost until the next restart. unfundedFor is how long a
// key rests whose account has no credit: until it is paid for, each try is
// refused.
const (
	setAsideFor = 10 * time.Minute
	unfundedFor = 5 * time.Minute
)

// APIKey is a provider's key as configured.
type APIKey struct {
	Secret keys.Secret
	Levels []int // the levels of forward keys it serves; empty: all
}

// Pool holds the API keys of one route and deals them out in turn. It is safe
// for concurrent use; a nil Pool is empty.
type Pool struct {
	now  func() time.Time
	keys []*PoolKey

	mu    *sync.Mutex // guards turns and the state of every key; pools that took over from each other have one
	turns map[int]int // level → where its next round starts; one counter for all levels would starve keys
}

// PoolKey is one API key of a pool and its state.
type PoolKey struct {
	APIKey
	pool  *Pool
	index int
	mark  uint64 // of the secret, for OrderNear: it stays when keys are added and moved
	*condition
}

// condition is the state of a key, guarded by the mutex of its pool.
type condition struct {
	until    time.Time // rests or is set aside before this moment
	aside    bool      // refused by the upstream, and not used with success since
	unfunded bool      // its account had no credit, and it was not used with success since
}

// KeyState is the state of a key. It does not show which key it is, for /health
// authenticates no caller.
type KeyState struct {
	Index  int    `json:"index"`            // place in the configuration, from 0
	Levels []int  `json:"levels,omitempty"` // empty: all
	State  string `json:"state"`            // ok, resting or set_aside (refused by the upstream)
	Reason string `json:"reason,omitempty"` // of a rest that is not a rate limit: no_credit
	Wait   int64  `json:"wait_seconds,omitempty"`
	Key    string `json:"-"` // masked, for the operator's own terminal

	Until time.Time `json:"-"` // when it is used again; zero: now
}

// NewPool returns a pool of ks. A nil now is time.Now.
func NewPool(ks []APIKey, now func() time.Time) *Pool {
	if now == nil {
		now = time.Now
	}
	p := &Pool{now: now, mu: &sync.Mutex{}, turns: map[int]int{}}
	for i, k := range ks {
		mark := sha256.Sum256([]byte(k.Secret.Reveal()))
		p.keys = append(p.keys, &PoolKey{APIKey: k, pool: p, index: i, mark: binary.BigEndian.Uint64(mark[:]), condition: &condition{}})
	}
	return p
}

// takeOver makes a pool that is not yet in use continue another one: a key that
// both have rests in both, also when it is limited later by an answer to a
// request that the other one serves.
func (p *Pool) takeOver(before *Pool) {
	if p == nil || before == nil {
		return
	}
	p.mu = before.mu
	p.turns = before.turns
	for _, k := range p.keys {
		for _, had := range before.keys {
			if k.Secret.Reveal() == had.Secret.Reveal() {
				k.condition = had.condition
			}
		}
	}
}

// Len returns how many keys there are, in whatever state.
func (p *Pool) Len() int {
	if p == nil {
		return 0
	}
	return len(p.keys)
}

// Count returns how many keys there are for callers of the level, in whatever
// state.
func (p *Pool) Count(level int) (n int) {
	if p == nil {
		return 0
	}
	for _, k := range p.keys {
		if k.serves(level) {
			n++
		}
	}
	return n
}

// Serves reports whether there is a key for callers of the level, in whatever
// state.
func (p *Pool) Serves(level int) bool { return p.Count(level) > 0 }

func (k *PoolKey) serves(level int) bool {
	return len(k.Levels) == 0 || slices.Contains(k.Levels, level)
}

// Order returns the keys that a request of the level should try, in this order:
// those that are usable, starting one further at each call. When none is, it
// returns the resting ones, the soonest first, and when there are none either,
// those set aside: the upstream's own answer is better than a guess at it.
func (p *Pool) Order(level int) []*PoolKey { return p.OrderNear(level, 0) }

// OrderNear is Order for a conversation, unless near is 0: the usable keys come
// in an order of its own, always the same (rendezvous hashing). So a
// conversation changes its key only when that rests or goes, and other keys
// that come and go change nothing.
func (p *Pool) OrderNear(level int, near uint64) []*PoolKey {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var usable, resting, aside []*PoolKey
	for _, k := range p.keys {
		switch {
		case !k.serves(level):
		case !now.Before(k.until):
			usable = append(usable, k)
		case k.aside:
			aside = append(aside, k)
		default:
			resting = append(resting, k)
		}
	}
	n := len(usable)
	if n > 0 && near != 0 {
		slices.SortFunc(usable, func(a, b *PoolKey) int { return cmp.Compare(mix(b.mark^near), mix(a.mark^near)) })
		return usable
	}
	if n > 0 {
		turn := p.turns[level] % n
		p.turns[level] = turn + 1
		return append(usable[turn:n:n], usable[:turn]...)
	}
	if len(resting) == 0 {
		return aside
	}
	slices.SortStableFunc(resting, func(a, b *PoolKey) int { return a.until.Compare(b.until) })
	return resting
}

// mix spreads the bits of x: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Rest leaves the key alone for d: the upstream has limited its rate. A longer
// rest that it already has stays.
func (k *PoolKey) Rest(d time.Duration) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	if until := k.pool.now().Add(d); until.After(k.until) {
		k.until = until
	}
}

// RestUnfunded leaves the key alone for five minutes, since its account has no
// credit left. It reports whether it had before.
func (k *PoolKey) RestUnfunded() (news bool) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	news = !k.unfunded
	k.unfunded = true
	if until := k.pool.now().Add(unfundedFor); until.After(k.until) {
		k.until = until
	}
	return news
}

// SetAside leaves the key alone for ten minutes, since the upstream does not
// accept it. It reports whether the key was in order before.
func (k *PoolKey) SetAside() (news bool) {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	news = !k.aside
	k.aside = true
	k.until = k.pool.now().Add(setAsideFor)
	return news
}

// Restore makes a key usable again that was set aside or without credit. It
// changes nothing about a key that rests for its rate limit.
func (k *PoolKey) Restore() {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	if k.aside || k.unfunded {
		k.aside = false
		k.unfunded = false
		k.until = time.Time{}
	}
}

// Wake makes the key of a place in the configuration, from 0, usable at once,
// whatever it rests for. It reports whether there is a key of this place. An
// answer of the upstream can make it rest again.
func (p *Pool) Wake(index int) bool {
	if index < 0 || index >= p.Len() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	*p.keys[index].condition = condition{}
	return true
}

// Index returns the key's place in the configuration, from 0.
func (k *PoolKey) Index() int { return k.index }

// Report returns the state of every key, in the order of the configuration. It
// is never nil.
func (p *Pool) Report() []KeyState {
	states := []KeyState{}
	if p == nil {
		return states
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, k := range p.keys {
		s := KeyState{Index: k.index, Levels: k.Levels, State: "ok", Key: k.Secret.String()}
		if wait := k.until.Sub(now); wait > 0 {
			s.Wait = int64((wait + time.Second - 1) / time.Second)
			s.Until = k.until
			s.State = "resting"
			if k.unfunded {
				s.Reason = "no_credit"
			}
		}
		if k.aside {
			s.State = "set_aside"
			s.Reason = ""
		}
		states = append(states, s)
	}
	return states
}
