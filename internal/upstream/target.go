package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// A breaker opens when at least half of the attempts of the last ten seconds
// failed, if there were a few of them: fewer where another base URL can take
// over, for nothing is lost by going there. One attempt may then try every five
// seconds.
const (
	breakerWindow  = 10 * time.Second
	breakerDelay   = 5 * time.Second
	breakerRate    = 0.5
	breakerFew     = 5
	breakerFewOnly = 20 // on a route with one base URL
)

// target is one base URL of a route and its state.
type target struct {
	base    *url.URL
	index   int  // place in the configuration, from 0
	only    bool // of its route
	breaker *breaker
}

// breaker is a circuit breaker that remembers when its state changed.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
	changed atomic.Int64 // Unix nanoseconds; 0: it never did
}

// newBreaker returns a breaker that opens after a few failures.
func newBreaker(few uint) *breaker {
	b := &breaker{}
	b.CircuitBreaker = circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(breakerRate, few, breakerWindow).
		WithDelay(breakerDelay).WithSuccessThreshold(1).
		OnStateChanged(func(circuitbreaker.StateChangedEvent) { b.changed.Store(time.Now().UnixNano()) }).Build()
	return b
}

// newTargets returns what a route's requests can be sent to, in the order in
// which it is tried.
func newTargets(bases []*url.URL) []*target {
	var list []*target
	for i, base := range bases {
		few := uint(breakerFew)
		if len(bases) == 1 {
			few = breakerFewOnly
		}
		list = append(list, &target{base: base, index: i, only: len(bases) == 1, breaker: newBreaker(few)})
	}
	return list
}

// takeOver gives targets the breakers of those before that are the same.
func takeOver(targets, before []*target) {
	for _, t := range targets {
		for _, had := range before {
			if t.only == had.only && t.base.String() == had.base.String() {
				t.breaker = had.breaker
			}
		}
	}
}

// judge reports to the breaker how an attempt ended. What a client, an API key
// or the gateway is to blame for does not count against the target, and a 5xx
// counts only where there is another target to go to: it is an answer, and
// better than none.
func (t *target) judge(res *http.Response, e *Error) {
	switch {
	case e != nil && (e.Cause == Canceled || e.Cause == ClientBody || e.Cause == Overloaded):
		if t.breaker.IsHalfOpen() {
			t.breaker.RecordFailure() // or the one permit would be lost
		}
	case e != nil || (!t.only && res.StatusCode >= 500):
		t.breaker.RecordFailure()
	default:
		t.breaker.RecordSuccess()
	}
}

// place names an API key at a base URL, for Affinity. It is a digest, so that
// it stays the same when the configuration is put in another order, and does
// not show the key.
func (t *target) place(k *PoolKey) Place {
	h := sha256.New()
	h.Write([]byte(t.base.String() + "\x00"))
	if k != nil {
		h.Write([]byte(k.Secret.Reveal()))
	}
	return Place(hex.EncodeToString(h.Sum(nil)[:12]))
}

// move returns u, which is below the base from, as it is below the base of t.
func (t *target) move(u, from *url.URL) *url.URL {
	rest := strings.TrimPrefix(u.EscapedPath(), strings.TrimRight(from.EscapedPath(), "/"))
	if rest == "" {
		rest = "/"
	}
	moved := join(t.base, rest, u.RawQuery)
	moved.ForceQuery = u.ForceQuery
	return moved
}
