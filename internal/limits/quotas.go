package limits

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"forward/internal/glob"
	"forward/internal/redis"
)

// QuotaOptions configure Quotas. The zero QuotaOptions limit nothing.
type QuotaOptions struct {
	Quotas   []Quota
	Redis    *redis.Conn      // shared by replicas, which count by its clock; nil: counted in memory
	Location *time.Location   // the time zone of days; UTC by default
	Now      func() time.Time // the clock of the memory; time.Now by default
	Log      *slog.Logger     // for what shadow quotas would have refused; discarded by default
}

// Quotas admits requests within the quotas of all their scopes. Make one with
// NewQuotas. It is safe for concurrent use, starts no goroutine and needs no
// Close.
type Quotas struct {
	rules   []quotaRule // the most specific first
	memory  *quotaMemory
	redis   *quotaRedis // nil: memory
	shadows *shadowLog
}

// quotaRule is a Quota with its bounds.
type quotaRule struct {
	Quota
	bounds tally
}

// NewQuotas returns quotas of names that have used nothing.
func NewQuotas(o QuotaOptions) (*Quotas, error) {
	c := calendar{now: o.Now, location: cmp.Or(o.Location, time.UTC)}
	if c.now == nil {
		c.now = time.Now
	}
	q := &Quotas{
		memory: &quotaMemory{calendar: c},
		shadows: &shadowLog{
			log:    cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
			logged: make(map[string]time.Time),
		},
	}
	if o.Redis != nil {
		q.redis = &quotaRedis{Conn: o.Redis, calendar: c, script: redis.NewScript(quotaScript)}
	}
	return q.With(o.Quotas)
}

// With returns other quotas that count where q does, so what is used of the
// minute and the day stays used.
func (q *Quotas) With(list []Quota) (*Quotas, error) {
	next := *q
	next.rules = nil
	for _, quota := range list {
		quota.Match = cmp.Or(quota.Match, "*")
		err := quota.check()
		for _, r := range next.rules {
			if r.Scope == quota.Scope && r.Match == quota.Match && r.Shadow == quota.Shadow {
				err = cmp.Or(err, fmt.Errorf("it is given twice; keep one of the two"))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("quota of %s %q: %w", quota.Scope, quota.Match, err)
		}
		next.rules = append(next.rules, quotaRule{quota, quota.bounds()})
	}
	slices.SortStableFunc(next.rules, func(a, b quotaRule) int {
		return cmp.Compare(glob.Specificity(b.Match), glob.Specificity(a.Match))
	})
	return &next, nil
}

// Empty reports whether there is no quota, so that nothing needs to be counted.
func (q *Quotas) Empty() bool { return q == nil || len(q.rules) == 0 }

// Reserve counts a request and its tokens in all scopes of the subject, or
// refuses it with a *QuotaError and counts nothing. It has no other error:
// without Redis the memory counts. The Reservation is nil when no quota
// applies.
func (q *Quotas) Reserve(ctx context.Context, s Subject, e Estimate) (*Reservation, error) {
	if q == nil {
		return nil, nil
	}
	claims := q.claims(s)
	if len(claims) == 0 {
		return nil, nil
	}
	if e.Exact != nil && (q.redis != nil || !q.memory.ample(claims, e.clamped(claims).counts())) {
		e = e.Exact()
	}
	r := &Reservation{quotas: q, estimate: e.clamped(claims), claims: claims}
	n := r.estimate.counts()
	var got reading
	if q.redis != nil {
		got, r.shared = q.redis.reserve(ctx, claims, n)
	}
	if !r.shared {
		got = q.memory.reserve(claims, n)
	}
	if !got.counted {
		return nil, got.exceeded(claims, n, false) // not nil, for a bound refused
	}
	if e := got.exceeded(claims, n, true); e != nil {
		q.shadows.report(e, time.UnixMicro(got.at))
	}
	r.windows = got.windows
	r.tightest(got, n)
	return r, nil
}

// claim is what a request wants to count for one name.
type claim struct {
	scope        Scope
	name         string
	key          string     // of the counter
	counted      [2]bool    // the windows that have a bound in a rule
	rule, shadow *quotaRule // nil: none
	bounds       tally      // of rule; to be over one of them refuses the request
}

// claims returns what the request wants to count.
func (q *Quotas) claims(s Subject) []claim {
	var list []claim
	if len(q.rules) > 0 {
		for _, scope := range scopes {
			name := s.name(scope)
			if scope == ScopeUser && name == "" {
				continue
			}
			c := claim{
				scope:  scope,
				name:   name,
				key:    string(scope) + ":" + redis.KeyName(name),
				rule:   q.rule(scope, name, false),
				shadow: q.rule(scope, name, true),
			}
			if c.complete() {
				list = append(list, c)
			}
		}
	}
	if s.RPM > 0 || s.TPM > 0 { // apart from what a quota of the key's name counts
		own := Quota{Scope: ScopeKey, Match: s.Key, RequestsPerMinute: clamp(s.RPM), TokensPerMinute: clamp(s.TPM)}
		c := claim{scope: ScopeKey, name: s.Key, key: "own:" + redis.KeyName(s.Key), rule: &quotaRule{own, own.bounds()}}
		c.complete()
		list = append(list, c)
	}
	return list
}

// complete derives counted and bounds from the rules, and reports whether
// anything is counted.
func (c *claim) complete() bool {
	for _, rule := range []*quotaRule{c.rule, c.shadow} {
		for i := range c.counted {
			c.counted[i] = c.counted[i] || (rule != nil && rule.bounds[i] != counts{})
		}
	}
	if c.rule != nil {
		c.bounds = c.rule.bounds
	}
	return c.counted != [2]bool{}
}

// rule returns the quota that applies to a name, nil when there is none.
func (q *Quotas) rule(scope Scope, name string, shadow bool) *quotaRule {
	for i := range q.rules {
		r := &q.rules[i]
		if r.Scope == scope && r.Shadow == shadow && (r.Match == "*" || r.Match == name || glob.Match(r.Match, name)) {
			return r
		}
	}
	return nil
}

// reading is the state of the names of a request at the time of its
// reservation.
type reading struct {
	before  []tally // by claim: what was counted
	at      int64   // Unix microseconds
	windows windows
	counted bool // the request was within all bounds
}

// each calls f for every limit of the rules, or of the shadow rules, with what
// is left of it.
func (r *reading) each(claims []claim, shadow bool, f func(m metric, s QuotaState)) {
	for i, c := range claims {
		rule := c.rule
		if shadow {
			rule = c.shadow
		}
		if rule == nil {
			continue
		}
		for j, window := range rule.bounds {
			for m, limit := range window {
				if limit > 0 {
					f(metric(m), QuotaState{
						Scope:     c.scope,
						Name:      c.name,
						Match:     rule.Match,
						Metric:    metric(m).String(),
						Window:    windowNames[j],
						Limit:     limit,
						Remaining: max(limit-r.before[i][j][m], 0),
						Reset:     time.Duration(r.windows[j].until-r.at) * time.Microsecond,
					})
				}
			}
		}
	}
}

// exceeded returns the limit that refuses n: a limit that can never admit it,
// or else the one with the longest wait.
func (r *reading) exceeded(claims []claim, n counts, shadow bool) *QuotaError {
	var worst *QuotaError
	r.each(claims, shadow, func(m metric, s QuotaState) {
		if n[m] == 0 || s.Remaining >= n[m] {
			return
		}
		e := &QuotaError{QuotaState: s, Asked: n[m], RetryAfter: s.Reset, TooLarge: n[m] > s.Limit}
		switch {
		case worst == nil, e.TooLarge && !worst.TooLarge:
			worst = e
		case e.TooLarge == worst.TooLarge && e.RetryAfter > worst.RetryAfter:
			worst = e
		}
	})
	return worst
}

// shadowLog logs what shadow quotas would have refused, each quota once a
// minute.
type shadowLog struct {
	log    *slog.Logger
	mu     sync.Mutex           // guards logged
	logged map[string]time.Time // by quota
}

// report logs a refusal, unless the quota was logged less than a minute ago. A
// clock that was set back must not silence it.
func (l *shadowLog) report(e *QuotaError, now time.Time) {
	key := string(e.Scope) + e.Match
	l.mu.Lock()
	last, known := l.logged[key]
	due := !known || now.Sub(last) >= time.Minute || now.Before(last)
	if due {
		l.logged[key] = now
	}
	l.mu.Unlock()
	if due {
		l.log.Info("a shadow quota would have refused a request", "scope", e.Scope, "name", e.Name,
			"metric", e.Metric, "window", e.Window, "limit", e.Limit, "remaining", e.Remaining)
	}
}
