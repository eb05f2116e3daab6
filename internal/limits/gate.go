package limits

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"forward/internal/redis"
)

// Options says what a Gate allows. The zero Options allow everything.
type Options struct {
	Rules    []Rule
	Global   []Rate           // for requests without a rule
	Strategy Strategy         // FixedWindow by default
	Redis    string           // URL of a Redis (5 or later) that several replicas share; empty: counted in memory
	Now      func() time.Time // the clock of the memory; time.Now by default. Redis counts by its own.
	Log      *slog.Logger     // discarded by default

	patience, retry time.Duration // of Redis, see redis.Options
}

// Gate admits requests within the rates of their route and caller. Make one with NewGate; it is safe for concurrent
// use, and whoever made it closes it.
type Gate struct {
	rules  rules
	global []Rate
	local  *Store
	redis  *redisStore // nil: memory
}

// Caller is whom a request counts for.
type Caller struct {
	ID    string // not secret: it becomes part of keys in Redis
	Level int
}

// NewGate returns a gate. A Redis URL that cannot be read is an error; a Redis that does not answer is not: it is
// told to Log, and the gate counts in memory until it does.
func NewGate(o Options) (*Gate, error) {
	if o.Strategy == "" {
		o.Strategy = FixedWindow
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := ParseStrategy(string(o.Strategy)); err != nil {
		return nil, err
	}
	g, err := (&Gate{local: NewStore(o.Strategy, o.Now)}).With(o.Rules, o.Global)
	if err != nil || o.Redis == "" {
		return g, err
	}
	if g.redis, err = newRedisStore(o); err != nil {
		return nil, fmt.Errorf("limits in Redis: %w", err)
	}
	return g, nil
}

// With returns a gate of other limits that counts where g does: what a caller has used counts in it, also when the number of a rate has
// changed and its period has not. Closing either closes both.
func (g *Gate) With(list []Rule, global []Rate) (*Gate, error) {
	if err := check(global); err != nil {
		return nil, fmt.Errorf("limits of all routes: %w", err)
	}
	for _, r := range list {
		if err := check(r.Rates); err != nil {
			return nil, fmt.Errorf("limits of %q: %w", r.Path, err)
		}
	}
	return &Gate{rules: newRules(list), global: global, local: g.local, redis: g.redis}, nil
}

// Close lets go of the backend.
func (g *Gate) Close() error {
	if g.redis == nil {
		return nil
	}
	return g.redis.Close()
}

// Backend names where is counted: memory or redis.
func (g *Gate) Backend() string {
	if g.redis == nil {
		return "memory"
	}
	return "redis"
}

// Redis returns the connection that the replicas share, for Quotas and the scheduler; nil when requests are counted in memory. The
// gate closes it.
func (g *Gate) Redis() *redis.Conn {
	if g.redis == nil {
		return nil
	}
	return g.redis.Conn
}

// Healthy reports whether the backend answers. While it does not, each replica counts for itself.
func (g *Gate) Healthy() (ok bool, detail string) {
	if g.redis == nil || g.redis.Healthy() {
		return true, ""
	}
	return false, "Redis does not answer; limits are counted by each replica for itself"
}

// Admit consumes a request of the caller, or refuses it with an *ExceededError and consumes nothing. paths are the
// request's path as it reads on each mount of its route: the longest rule over all of them holds, so that an alias of a
// route is no way around its limits. A rule counts everything below its path together, and requests without a rule
// count together by route: with a bucket for each path, every id in a path would open a new one.
func (g *Gate) Admit(ctx context.Context, paths []string, route string, c Caller) (Status, error) {
	rates, key := g.global, "global\x00"+route
	if rule := g.rules.match(paths, c.Level); rule != nil {
		rates, key = rule.Rates, "rule\x00"+rule.Path
	}
	if len(rates) == 0 {
		return Status{}, nil
	}
	return verdict(g.take(ctx, key+"\x00"+c.ID, rates))
}

// take asks Redis while it answers, and the local store otherwise.
func (g *Gate) take(ctx context.Context, key string, rates []Rate) []Window {
	if g.redis != nil {
		if windows, ok := g.redis.take(ctx, key, rates); ok {
			return windows
		}
	}
	return g.local.Take(key, rates, 1)
}
