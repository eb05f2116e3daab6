package keys

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"forward/internal/bounded"
	"forward/internal/clientip"
)

const (
	// MaxFailures is how many different wrong credentials of one address are
	// refused within a minute of the first before more of them are slowed down.
	MaxFailures = 10

	guardWindow = time.Minute
	maxGuarded  = 10_000 // addresses that are remembered
)

// Guard counts different wrong credentials by address, so that keys cannot be
// guessed at the speed of the network. A credential that comes again is no
// further guess: an agent that repeats the one that it was given has to learn
// that it is wrong, and not to wait. Right ones are never counted and never
// slowed down, since callers behind one address do not share their mistakes: a
// credential is looked at first, and the guard is asked about wrong ones alone.
// All requests without an address count together. The zero value is ready; it
// is safe for concurrent use.
type Guard struct {
	mu       sync.Mutex // guards failures and seed
	failures bounded.Map[*failures]
	seed     maphash.Seed
}

// failures are those of one address.
type failures struct {
	wrong []uint64 // digests, of MaxFailures at most
	ends  time.Time
}

// Wait returns how long an address has to wait because of its wrong
// credentials, 0 for not at all. A sign-in asks it before it looks at a
// credential: a person waits, where a program with the right key must not.
func (g *Guard) Wait(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.failures.Entries[clientip.Network(from)]
	if f == nil || !now.Before(f.ends) || len(f.wrong) < MaxFailures {
		return 0
	}
	return f.ends.Sub(now)
}

// Fail counts a wrong credential. It returns how long the address has to wait
// until the next one, 0 for not at all.
func (g *Guard) Fail(from netip.Addr, wrong string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := func(f *failures) bool { return !now.Before(f.ends) }
	g.failures.Sweep(time.Duration(now.UnixNano()), over)
	network := clientip.Network(from)
	f := g.failures.Entries[network]
	if f == nil || over(f) {
		f = &failures{ends: now.Add(guardWindow)}
		g.failures.Put(network, f, maxGuarded, func(f *failures) float64 { return float64(len(f.wrong)) })
	}
	if g.seed == (maphash.Seed{}) {
		g.seed = maphash.MakeSeed()
	}
	digest := maphash.String(g.seed, wrong)
	switch {
	case slices.Contains(f.wrong, digest):
		return 0
	case len(f.wrong) < MaxFailures:
		f.wrong = append(f.wrong, digest)
		return 0
	}
	return f.ends.Sub(now)
}
