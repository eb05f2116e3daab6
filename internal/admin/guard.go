package admin

import (
	"net/netip"
	"sync"
	"time"

	"forward/internal/bounded"
	"forward/internal/clientip"
)

const (
	maxFailures = 10          // wrong credentials of one address within a window
	window      = time.Minute // since the first of them
	maxGuarded  = 10_000      // addresses that are remembered
)

// guard counts wrong credentials by address, so that keys cannot be guessed at
// the speed of the network: these endpoints do not pass the request limits of
// routes. Right ones do not count, and all requests without an address count
// together. It is safe for concurrent use.
type guard struct {
	mu       sync.Mutex // guards failures
	failures bounded.Map[*failures]
}

// failures are those of one address.
type failures struct {
	count int
	ends  time.Time
}

// wait returns how long an address has to wait before its credentials are
// looked at again, 0 for not at all.
func (g *guard) wait(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.failures.Entries[clientip.Network(from)]
	if f == nil || f.count < maxFailures {
		return 0
	}
	return max(0, f.ends.Sub(now))
}

// fail counts a wrong credential.
func (g *guard) fail(from netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := func(f *failures) bool { return !now.Before(f.ends) }
	g.failures.Sweep(time.Duration(now.UnixNano()), over)
	network := clientip.Network(from)
	f := g.failures.Entries[network]
	if f == nil || over(f) {
		f = &failures{ends: now.Add(window)}
		g.failures.Put(network, f, maxGuarded, func(f *failures) float64 { return float64(f.count) })
	}
	f.count++
}
