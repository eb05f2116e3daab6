package limits

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// AnyLevel is the level of a rule for every caller.
const AnyLevel = -1

// Rule limits the requests to a path and everything below it.
type Rule struct {
	Path  string // whole segments, with the route's prefix
	Level int    // of the callers; AnyLevel for all
	Rates []Rate // all of them must hold; none is no limit
}

// Options says what a Gate allows. The zero Options allow everything.
type Options struct {
	Rules    []Rule
	Global   []Rate   // for requests without a rule
	Strategy Strategy // FixedWindow by default
	Redis    string   // URL of a Redis that several replicas share; empty: counted in memory
	Now      func() time.Time
	Log      *slog.Logger
}

// Gate admits requests within the rates of their route and caller. Make one with NewGate; it is safe for concurrent use.
type Gate struct {
	rules  []Rule
	global []Rate
	local  *Store
	redis  *redisStore // nil: memory
}

// Caller is whom a request counts for.
type Caller struct {
	ID    string
	Level int
}

// Status is how the caller stands in the window that has the least left.
type Status struct {
	Limited   bool // false: no limit applies, and nothing else is said
	Rate      Rate
	Limit     int64
	Remaining int64
	Reset     time.Duration // until the window is empty again
}

// ExceededError says that a request is over a limit and when to try again.
type ExceededError struct {
	Status
	RetryAfter time.Duration
}

func (e *ExceededError) Error() string {
	return fmt.Sprintf("Rate limit reached for requests (%s): Limit %d, Used %d. Please try again in %s.",
		e.Rate, e.Limit, e.Limit-e.Remaining, seconds(e.RetryAfter))
}

// NewGate returns a gate. A Redis URL that cannot be read is an error; a Redis that does not answer is not.
func NewGate(o Options) (*Gate, error) {
	if o.Strategy == "" {
		o.Strategy = FixedWindow
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{rules: o.Rules, global: o.Global, local: NewStore(o.Strategy, o.Now)}
	if o.Redis == "" {
		return g, nil
	}
	var err error
	if g.redis, err = newRedisStore(o.Redis, o.Strategy, o.Log); err != nil {
		return nil, fmt.Errorf("limits in Redis: %w", err)
	}
	return g, nil
}

// Close lets go of the backend.
func (g *Gate) Close() error {
	if g.redis == nil {
		return nil
	}
	return g.redis.close()
}

// Backend names where is counted.
func (g *Gate) Backend() string {
	if g.redis == nil {
		return "memory"
	}
	return "redis"
}

// Healthy reports whether the backend answers. While it does not, each replica counts for itself.
func (g *Gate) Healthy() (ok bool, detail string) {
	if g.redis == nil || g.redis.up() {
		return true, ""
	}
	return false, "Redis does not answer; limits are counted by each replica for itself"
}

// Admit consumes a request of the caller, or refuses it with an *ExceededError and consumes nothing. paths are the
// request's path as it reads on each mount of its route: the longest rule over all of them holds, so that an alias of a
// route is no way around its limits. Requests without a rule count together, by route and caller: with a bucket for
// each path, every id in a path would open a new one.
func (g *Gate) Admit(ctx context.Context, paths []string, route string, c Caller) (Status, error) {
	rates, key := g.global, "global\x00"+route
	if rule := match(g.rules, paths, c.Level); rule != nil {
		rates, key = rule.Rates, "rule\x00"+rule.Path
	}
	if len(rates) == 0 {
		return Status{}, nil
	}
	return verdict(g.take(ctx, key+"\x00"+c.ID, rates))
}

// take asks Redis while it answers, and the local store otherwise.
func (g *Gate) take(ctx context.Context, key string, rates []Rate) []window {
	if g.redis != nil {
		if windows, ok := g.redis.take(ctx, key, rates); ok {
			return windows
		}
	}
	return g.local.Take(key, rates, 1)
}

// verdict sums up what the windows say.
func verdict(windows []window) (Status, error) {
	tightest, wait := windows[0], time.Duration(0)
	for _, w := range windows {
		// Of two refusing windows the longer wait counts; of two that admit, the one with less left.
		if w.wait > wait || wait == 0 && w.wait == 0 && w.remaining < tightest.remaining {
			tightest, wait = w, w.wait
		}
	}
	s := Status{Limited: true, Rate: tightest.rate, Limit: tightest.rate.Limit, Remaining: max(tightest.remaining, 0), Reset: tightest.reset}
	if wait > 0 {
		return s, &ExceededError{Status: s, RetryAfter: wait}
	}
	return s, nil
}

// match returns the rule for a request: of those whose path holds one of paths the longest, and of that path's rules
// the one for the level. Nil when there is none, or none for this level.
func match(rules []Rule, paths []string, level int) *Rule {
	best := -1
	for i := range rules {
		if best >= 0 && len(rules[i].Path) <= len(rules[best].Path) {
			continue
		}
		for _, p := range paths {
			if below(p, rules[i].Path) {
				best = i
			}
		}
	}
	if best < 0 {
		return nil
	}
	var any *Rule
	for i := range rules {
		switch r := &rules[i]; {
		case r.Path != rules[best].Path:
		case r.Level == level:
			return r
		case r.Level == AnyLevel:
			any = r
		}
	}
	return any
}

// below reports whether path is prefix or lies below it, by whole segments.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// SetHeader tells the caller how he stands, in the headers and spelling of OpenAI: the reset is a duration, 6m0s.
func (s Status) SetHeader(h http.Header) {
	h.Set("X-Ratelimit-Limit-Requests", strconv.FormatInt(s.Limit, 10))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(s.Remaining, 10))
	h.Set("X-Ratelimit-Reset-Requests", seconds(s.Reset))
}

// seconds writes a duration in milliseconds rounded up: whoever waits exactly that long is not too early.
func seconds(d time.Duration) string {
	return ((d + time.Millisecond - 1) / time.Millisecond * time.Millisecond).String()
}
