package admin

import (
	"net/netip"
	"sync"
	"time"

	"forward/internal/clientip"
)

const (
	maxFailures = 10          // wrong credentials of one address within a window
	window      = time.Minute // since the first of them
	maxGuarded  = 10_000      // addresses that are remembered
)

// guard counts wrong credentials by address, so that nobody can guess keys here
// as fast as he can ask: these endpoints do not pass the request limits of
// routes. Right ones do not count, and whoever has no address counts with all
// who have none. Safe for concurrent use.
type guard struct {
	mu       sync.Mutex // guards failures
	failures map[string]*failures
}

// failures are those of one address.
type failures struct {
	count int
	ends  time.Time
}

// wait returns how long an address has to wait before it is listened to again,
// 0 for not at all.
func (g *guard) wait(from netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.failures[clientip.Network(from)]
	if f == nil || f.count < maxFailures {
		return 0
	}
	return max(0, f.ends.Sub(now))
}

// fail counts a wrong credential.
func (g *guard) fail(from netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := clientip.Network(from)
	f := g.failures[who]
	if f == nil || !now.Before(f.ends) {
		g.makeRoom(now)
		f = &failures{ends: now.Add(window)}
		g.failures[who] = f
	}
	f.count++
}

// makeRoom forgets what is over, and when that is not enough, whoever comes
// first: an attacker with so many addresses has as many tries in any case.
func (g *guard) makeRoom(now time.Time) {
	if g.failures == nil {
		g.failures = map[string]*failures{}
	}
	if len(g.failures) < maxGuarded {
		return
	}
	for who, f := range g.failures {
		if !now.Before(f.ends) {
			delete(g.failures, who)
		}
	}
	for who := range g.failures {
		if len(g.failures) < maxGuarded {
			return
		}
		delete(g.failures, who)
	}
}
