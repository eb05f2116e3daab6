package limits

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/glob"
	"forward/internal/redis"
)

// Scope is whom or what a Quota is for.
type Scope string

// The scopes. A request counts in all of them at once.
const (
	ScopeGlobal Scope = "global" // all requests together
	ScopeRoute  Scope = "route"
	ScopeModel  Scope = "model"
	ScopeKey    Scope = "key"  // the forward key
	ScopeUser   Scope = "user" // whom the caller names, if he names anybody
)

var scopes = []Scope{ScopeGlobal, ScopeRoute, ScopeModel, ScopeKey, ScopeUser}

// Scopes returns the scopes, the widest first.
func Scopes() []Scope { return slices.Clone(scopes) }

// maxQuota bounds a limit, so that sums stay exact where Redis counts in floating point.
const maxQuota = 1 << 50

// Quota is one limit on requests and tokens of each name in a scope: zero is no limit. Windows are the minutes and days of
// the calendar.
//
// Of the quotas of a scope that match a name, the most specific counts, and it alone: what names the name itself, and else the
// one with the most characters that are not wildcards. So an override may be higher than the default, or lift it with zeros; the
// limits of the other scopes hold beside it. Quotas with Shadow are chosen apart from the others: one that is tried out
// changes nothing of what holds.
type Quota struct {
	Scope Scope
	Match string // a name or a glob; "*" or "" for all

	RequestsPerMinute, RequestsPerDay int64
	TokensPerMinute, TokensPerDay     int64 // of prompt and answer
	InputPerMinute, InputPerDay       int64 // tokens of the prompt
	OutputPerMinute, OutputPerDay     int64 // tokens of the answer

	Shadow bool // nobody is refused; what would have been is reported
}

func (q Quota) bounds() used {
	return used{
		{q.RequestsPerMinute, q.TokensPerMinute, q.InputPerMinute, q.OutputPerMinute},
		{q.RequestsPerDay, q.TokensPerDay, q.InputPerDay, q.OutputPerDay},
	}
}

// Subject is what a request counts for. All names but that of the user count also when they are empty: a request that names no
// model is no way around the limit of models.
type Subject struct {
	Route, Model, Key, User string

	RPM, TPM int64 // the key's own limits, beside the quotas; 0: none
}

func (s Subject) name(scope Scope) string {
	switch scope {
	case ScopeRoute:
		return s.Route
	case ScopeModel:
		return s.Model
	case ScopeKey:
		return s.Key
	case ScopeUser:
		return s.User
	}
	return ""
}

// Estimate is how many tokens a request will cost: those of its prompt and the most that may be answered.
type Estimate struct {
	Input, Output int64
	// Exact, where there is one, says that Input and Output are bounds that were found without counting, and counts. It is asked
	// where a bound would take a part of what is left of a limit that anybody could notice, or a refusal is at stake.
	Exact func() Estimate
}

// QuotaOptions says what Quotas allow. The zero QuotaOptions allow everything.
type QuotaOptions struct {
	Quotas   []Quota
	Redis    *redis.Conn       // Gate.Redis(); nil: counted in memory
	Location *time.Location    // whose days; UTC by default
	Now      func() time.Time  // the clock of the memory; time.Now by default. Redis counts by its own
	Log      *slog.Logger      // told once a minute what a shadow quota would have refused; discarded by default
	Shadowed func(*QuotaError) // told each time
}

// Quotas admits requests within the quotas of all their scopes. Make one with NewQuotas; it is safe for concurrent use,
// starts no goroutine and need not be closed.
type Quotas struct {
	rules    []quotaRule // by precision, the most specific first
	memory   *quotaMemory
	redis    *quotaRedis // nil: memory
	location *time.Location
	now      func() time.Time
	log      *slog.Logger
	shadowed func(*QuotaError)
	*shadows
}

// shadows is what became of shadow quotas, before and after they were changed.
type shadows struct {
	refusals atomic.Int64 // that they would have made

	mu   sync.Mutex           // guards told
	told map[string]time.Time // by quota: when the log was
}

type quotaRule struct {
	Quota
	bounds used
}

// NewQuotas returns quotas of which nothing is used.
func NewQuotas(o QuotaOptions) (*Quotas, error) {
	q := &Quotas{memory: newQuotaMemory(), location: cmp.Or(o.Location, time.UTC), now: o.Now, log: o.Log, shadowed: o.Shadowed, shadows: &shadows{told: make(map[string]time.Time)}}
	if q.now == nil {
		q.now = time.Now
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if o.Redis != nil {
		q.redis = newQuotaRedis(o.Redis)
	}
	return q.With(o.Quotas)
}

// With returns other quotas that count where q does, so what is used of the minute and the day stays used.
func (q *Quotas) With(list []Quota) (*Quotas, error) {
	next := *q
	next.rules = nil
	for _, quota := range list {
		quota.Match = cmp.Or(quota.Match, "*")
		if err := next.add(quota); err != nil {
			return nil, fmt.Errorf("quota of %s %q: %w", quota.Scope, quota.Match, err)
		}
	}
	slices.SortStableFunc(next.rules, func(a, b quotaRule) int { return cmp.Compare(glob.Specificity(b.Match), glob.Specificity(a.Match)) })
	return &next, nil
}

func (q *Quotas) add(quota Quota) error {
	rule := quotaRule{quota, quota.bounds()}
	switch {
	case !slices.Contains(scopes, quota.Scope):
		return fmt.Errorf("there is no such scope; write one of %v", scopes)
	case quota.Scope == ScopeGlobal && quota.Match != "*":
		return fmt.Errorf("the global quota has no names; leave the name out")
	}
	if _, err := path.Match(quota.Match, ""); err != nil {
		return fmt.Errorf("%w; write a name, or a glob such as gpt-4o*", err)
	}
	for _, have := range q.rules {
		if have.Scope == quota.Scope && have.Match == quota.Match && have.Shadow == quota.Shadow {
			return fmt.Errorf("it is said twice; keep one of the two")
		}
	}
	for _, window := range rule.bounds {
		for m, limit := range window {
			if limit < 0 || limit > maxQuota {
				return fmt.Errorf("%d %s is no limit; write 0 for none, or up to %d", limit, metric(m), int64(maxQuota))
			}
		}
	}
	q.rules = append(q.rules, rule)
	return nil
}

// Empty reports whether there is no quota at all, so that nothing needs to be counted.
func (q *Quotas) Empty() bool { return q == nil || len(q.rules) == 0 }

// ShadowRefusals returns how many requests the quotas that only report would have refused.
func (q *Quotas) ShadowRefusals() int64 { return q.refusals.Load() }

// Reserve counts a request and its tokens in all scopes of the subject, or refuses it with a *QuotaError and counts nothing. It has
// no other error: without Redis the memory counts. The Reservation is nil when no quota applies, and works all the same.
func (q *Quotas) Reserve(ctx context.Context, s Subject, e Estimate) (*Reservation, error) {
	if q == nil || len(q.rules) == 0 && s.RPM <= 0 && s.TPM <= 0 {
		return nil, nil
	}
	r := &Reservation{quotas: q}
	r.choose(s)
	if len(r.asks) == 0 {
		return nil, nil
	}
	if e.Exact != nil && (q.redis != nil || !q.memory.roomy(r.asks, clamped(e).counts(), q.moment)) {
		e = e.Exact()
	}
	r.estimate = clamped(e)
	n := r.estimate.counts()
	var before []used
	var at int64
	ok, shared := false, false
	if q.redis != nil {
		before, r.windows, at, ok, shared = q.redis.reserve(ctx, r.asks, n, q.now(), q.location)
	}
	if r.shared = shared; !shared {
		before, r.windows, at, ok = q.memory.reserve(r.ownUsed[:0], r.asks, n, q.moment)
	}
	if !ok {
		return nil, r.refusal(before, n, at)
	}
	r.report(before, n, at)
	r.tightest(before, n, at)
	return r, nil
}

// moment is now, and the windows that hold it.
func (q *Quotas) moment() (int64, windows) {
	now := q.now()
	return now.UnixMicro(), windows{minuteOf(now), dayOf(now, q.location)}
}

// rule returns the quota that counts for a name, nil when there is none.
func (q *Quotas) rule(scope Scope, name string, shadow bool) *quotaRule {
	for i := range q.rules {
		r := &q.rules[i]
		if r.Scope == scope && r.Shadow == shadow && (r.Match == "*" || r.Match == name || glob.Match(r.Match, name)) {
			return r
		}
	}
	return nil
}

func clamp(n int64) int64 { return min(max(n, 0), maxQuota) }

func clamped(e Estimate) Estimate { return Estimate{Input: clamp(e.Input), Output: clamp(e.Output)} }

func (e Estimate) counts() counts { return counts{1, e.Input + e.Output, e.Input, e.Output} }

// tell reports what a shadow quota would have refused.
func (q *Quotas) tell(e *QuotaError) {
	q.refusals.Add(1)
	if q.shadowed != nil {
		q.shadowed(e)
	}
	key, now := string(e.Scope)+e.Match, q.now()
	q.mu.Lock()
	last, known := q.told[key]
	due := !known || now.Sub(last) >= time.Minute || now.Before(last)
	if due {
		q.told[key] = now
	}
	q.mu.Unlock()
	if due {
		q.log.Info("a shadow quota would have refused a request", "scope", e.Scope, "name", e.Name, "metric", e.Metric, "window", e.Window, "limit", e.Limit, "remaining", e.Remaining)
	}
}
