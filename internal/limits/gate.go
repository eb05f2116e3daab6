package limits

import (
	"context"
	"fmt"
	"time"

	"forward/internal/redis"
)

// Options says what a Gate allows. The zero Options allow everything.
type Options struct {
	Rules    []Rule
	Global   []Rate           // for requests without a rule
	Strategy Strategy         // FixedWindow by default
	Redis    *redis.Conn      // that several replicas share; nil: counted in memory
	Now      func() time.Time // the clock of the memory; time.Now by default. Redis counts by its own.
}

// Gate admits requests within the rates of their route and caller. Make one with NewGate; it is safe for concurrent use.
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

// NewGate returns a gate. While Redis does not answer, it counts in memory.
func NewGate(o Options) (*Gate, error) {
	if o.Strategy == "" {
		o.Strategy = FixedWindow
	}
	if _, err := ParseStrategy(string(o.Strategy)); err != nil {
		return nil, err
	}
	g := &Gate{local: NewStore(o.Strategy, o.Now)}
	if o.Redis != nil {
		g.redis = newRedisStore(o.Redis, o.Strategy)
	}
	return g.With(o.Rules, o.Global)
}

// With returns a gate of other limits that counts where g does: what a caller has used counts in it, also when the number of a rate has
// changed and its period has not.
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

// Backend names where is counted: memory or redis.
func (g *Gate) Backend() string {
	if g.redis == nil {
		return "memory"
	}
	return "redis"
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
