package keys

import (
	"net/netip"
	"sync"
	"time"

	"forward/internal/bounded"
	"forward/internal/clientip"
)

const (
	// MaxFailures is how many wrong credentials of one address are looked at
	// within a minute of the first before more of them are slowed down.
	MaxFailures = 10

	guardWindow = time.Minute
	maxGuarded  = 10_000 // addresses that are remembered
)

// Guard counts wrong credentials by address, so that keys cannot be guessed at
// the speed of the network. Right ones are never counted and never slowed down,
// since callers behind one address do not share their mistakes: a credential is
// looked at first, and the guard is asked about wrong ones alone. All requests
// without an address count together. The zero value is ready; it is safe for
// concurrent use.
type Guard struct {
	mu       sync.Mutex // guards failures
	failures bounded.Map[*failures]
}

// failures are those of one address.
type failures struct {
	count int
	ends  time.Time
}

// Fail counts a wrong credential. It returns how long the address has to wait
// until the next one, 0 for not at all.
func (g *Guard) Fail(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := func(f *failures) bool { return !now.Before(f.ends) }
	g.failures.Sweep(time.Duration(now.UnixNano()), over)
	network := clientip.Network(from)
	f := g.failures.Entries[network]
	if f == nil || over(f) {
		f = &failures{ends: now.Add(guardWindow)}
		g.failures.Put(network, f, maxGuarded, func(f *failures) float64 { return float64(f.count) })
	}
	f.count++
	if f.count <= MaxFailures {
		return 0
	}
	return f.ends.Sub(now)
}
