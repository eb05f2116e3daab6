// Package limits keeps callers within their rates and quotas, and streams
// within their pace.
//
// A Gate answers whether a request may pass now, by the requests of its caller
// to its path. It is ulule/limiter with stores of our own: ulule's store knows
// one strategy, in whole seconds, and its key ignores the rate, so the minute
// and the hour of a caller would share a counter. Our stores add all strategies
// of openai-forward, several windows at once that count a request all or none,
// memory that is bounded, and Redis for several replicas. A strategy means the
// same in both places, and a clock that is set back or forward shuts no caller
// out for longer than one period. ulule's gin middleware is not used either: it
// panics on errors of the store, answers in text/plain, and identifies callers
// by an address that they can spoof.
//
// Quotas bound requests and tokens by minute and day of the calendar, for names
// in several scopes at once. They are reserved before a request is sent and
// settled by what it used.
//
// A Pacer spaces the events of one stream, and Parallel bounds the requests
// that a caller runs at the same time.
package limits

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"

	"forward/internal/redis"
)

// Options configure a Gate. The zero Options limit nothing.
type Options struct {
	Rules    []Rule
	Global   []Rate           // for requests without a rule
	Strategy Strategy         // FixedWindow by default
	Redis    *redis.Conn      // shared by replicas, which count by its clock; nil: counted in memory
	Now      func() time.Time // the clock of the memory; time.Now by default
}

// Gate admits requests within the rates of their route and caller. Make one
// with NewGate. It is safe for concurrent use, starts no goroutine and needs no
// Close.
type Gate struct {
	rules  rules
	global []Rate
	local  *Store
	redis  *redisStore // nil: memory

	// stores holds *windowStore. With a new one for each request, 100,000
	// callers cost twice the time, most of it in garbage collection.
	stores *sync.Pool
}

// Caller is the one for whom a request counts.
type Caller struct {
	ID    string // not secret: it becomes part of keys in Redis
	Level int
}

// NewGate returns a gate. While Redis does not answer, it counts in memory.
func NewGate(o Options) (*Gate, error) {
	if o.Strategy == "" {
		o.Strategy = FixedWindow
	}
	if _, err := ParseStrategy(string(o.Strategy)); err != nil {
		return nil, err
	}
	g := &Gate{local: NewStore(o.Strategy, o.Now), stores: &sync.Pool{}}
	if o.Redis != nil {
		g.redis = newRedisStore(o.Redis, o.Strategy)
	}
	return g.With(o.Rules, o.Global)
}

// With returns a gate with other limits that counts where g does: what a caller
// has used counts in it, even if the number of a rate has changed and its
// period has not.
func (g *Gate) With(list []Rule, global []Rate) (*Gate, error) {
	if err := check(global); err != nil {
		return nil, fmt.Errorf("limits of all routes: %w", err)
	}
	for _, r := range list {
		if err := check(r.Rates); err != nil {
			return nil, fmt.Errorf("limits of %q: %w", r.Path, err)
		}
	}
	return &Gate{rules: newRules(list), global: global, local: g.local, redis: g.redis, stores: g.stores}, nil
}

// Backend returns the name of the place that counts: memory or redis.
func (g *Gate) Backend() string {
	if g.redis == nil {
		return "memory"
	}
	return "redis"
}

// Healthy reports whether the backend answers. While it does not, each replica
// counts for itself.
func (g *Gate) Healthy() (ok bool, detail string) {
	if g.redis == nil || g.redis.Healthy() {
		return true, ""
	}
	return false, "Redis does not answer; limits are counted by each replica for itself"
}

// Admit counts a request of the caller, or refuses it with an *ExceededError
// and counts nothing.
//
// paths are the path of the request on each mount of its route. The longest
// rule over all of them applies, so an alias of a route is no way around its
// limits. A rule counts everything below its path together, and requests
// without a rule count together by route: with a counter for each path, every
// id in a path would open a new one.
func (g *Gate) Admit(ctx context.Context, paths []string, route string, c Caller) (Status, error) {
	rates := g.global
	kind := "global\x00"
	name := route
	if rule := g.rules.match(paths, c.Level); rule != nil {
		rates = rule.Rates
		kind = "rule\x00"
		name = rule.Path
	}
	key := kind + name + "\x00" + c.ID
	switch len(rates) {
	case 0:
		return Status{}, nil
	case 1:
		return g.admitOne(ctx, key, rates[0])
	}
	// limiter.Store counts in one window per call. It cannot count in several
	// only if all of them admit, so this is between Gate and its stores.
	return verdict(g.take(ctx, key, rates))
}

// admitOne lets a limiter decide by one window.
func (g *Gate) admitOne(ctx context.Context, key string, r Rate) (Status, error) {
	s, ok := g.stores.Get().(*windowStore)
	if !ok {
		s = &windowStore{Store: g.local}
		s.limiter = limiter.New(s, limiter.Rate{})
	}
	defer g.stores.Put(s)
	s.gate = g
	s.limiter.Rate = limiter.Rate{Limit: r.Limit, Period: r.Period}
	c, err := s.limiter.Get(ctx, key)
	if err != nil {
		return Status{}, err
	}
	status := Status{Limited: true, Rate: r, Limit: c.Limit, Remaining: c.Remaining, Reset: s.window.Reset}
	if c.Reached {
		return status, &ExceededError{Status: status, RetryAfter: s.window.Wait}
	}
	return status, nil
}

// windowStore is the limiter.Store of one request at a time. It keeps the
// window that its request was counted in, because limiter.Context has whole
// seconds only, and no time after which a refused request would pass.
type windowStore struct {
	*Store  // for the rest of the interface
	limiter *limiter.Limiter
	gate    *Gate
	rates   [1]Rate
	window  Window
}

// Get implements limiter.Store: it counts one request, in Redis while that
// answers.
func (s *windowStore) Get(ctx context.Context, key string, r limiter.Rate) (limiter.Context, error) {
	s.rates[0] = Rate{r.Limit, r.Period}
	s.window = s.gate.take(ctx, key, s.rates[:])[0]
	return s.context(s.window), nil
}

// take counts a request in Redis while it answers, and in memory otherwise.
func (g *Gate) take(ctx context.Context, key string, rates []Rate) []Window {
	if g.redis != nil {
		if windows, ok := g.redis.take(ctx, key, rates); ok {
			return windows
		}
	}
	return g.local.Take(key, rates, 1)
}
