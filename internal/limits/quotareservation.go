package limits

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reservation is what a request has been counted for. Settle or Cancel ends it; what is called after that does nothing. A
// nil Reservation is that of a request without quotas, and its methods do nothing. It is safe for concurrent use.
type Reservation struct {
	quotas   *Quotas
	estimate Estimate
	asks     []ask
	rules    []chosen
	windows  windows
	shared   bool // it was counted in Redis

	tokens, requests *QuotaState // in which least is left

	mu   sync.Mutex // guards over
	over bool
}

// chosen are the quotas of a name.
type chosen struct {
	scope         Scope
	name          string
	holds, shadow *quotaRule // nil: none
}

// QuotaState is how a name stands in one window of its quota.
type QuotaState struct {
	Scope     Scope
	Name      string // empty for the global scope
	Match     string // of the quota
	Metric    string // requests, tokens, input_tokens or output_tokens
	Window    string // minute or day
	Limit     int64
	Remaining int64         // never below zero
	Reset     time.Duration // until the window ends, and all of the limit is there again
}

// QuotaError says that a request is over a quota. Nothing was counted.
type QuotaError struct {
	QuotaState
	Asked      int64
	RetryAfter time.Duration // when all windows that refused have ended
	TooLarge   bool          // more than the limit: the request can never pass, however long it waits
}

func (e *QuotaError) Error() string {
	advice := "Please try again in " + seconds(e.RetryAfter) + "."
	if e.TooLarge {
		advice = "The request is larger than the limit itself; please send less."
	}
	return fmt.Sprintf("Rate limit reached for %s on %s per %s: Limit %d, Remaining %d, Requested %d. %s",
		e.subject(), strings.ReplaceAll(e.Metric, "_", " "), e.Window, e.Limit, e.Remaining, e.Asked, advice)
}

// subject names scope and name, as in user:bob, in printable ASCII.
func (s *QuotaState) subject() string {
	if s.Scope == ScopeGlobal {
		return string(ScopeGlobal)
	}
	name := strconv.QuoteToASCII(shortName(s.Name))
	return string(s.Scope) + ":" + name[1:len(name)-1]
}

// choose finds what the request counts for.
func (r *Reservation) choose(s Subject) {
	for _, scope := range scopes {
		name := s.name(scope)
		if scope == ScopeUser && name == "" {
			continue
		}
		c := chosen{scope, name, r.quotas.rule(scope, name, false), r.quotas.rule(scope, name, true)}
		a := ask{name: string(scope) + ":" + shortName(name)}
		for _, rule := range []*quotaRule{c.holds, c.shadow} {
			for i := range a.counts {
				a.counts[i] = a.counts[i] || rule != nil && rule.bounds[i] != counts{}
			}
		}
		if a.counts == [2]bool{} {
			continue
		}
		if c.holds != nil {
			a.bounds = c.holds.bounds
		}
		r.asks, r.rules = append(r.asks, a), append(r.rules, c)
	}
	if s.RPM > 0 || s.TPM > 0 { // apart from what a quota of the key's name counts
		own := &quotaRule{Quota: Quota{Scope: ScopeKey, Match: s.Key, RequestsPerMinute: min(max(s.RPM, 0), maxQuota), TokensPerMinute: min(max(s.TPM, 0), maxQuota)}}
		own.bounds = own.Quota.bounds()
		r.asks = append(r.asks, ask{name: "own:" + shortName(s.Key), counts: [2]bool{true, false}, bounds: own.bounds})
		r.rules = append(r.rules, chosen{ScopeKey, s.Key, own, nil})
	}
}

// each calls f for every limit of the chosen quotas, with what is left of it.
func (r *Reservation) each(before []used, at int64, shadow bool, f func(m metric, s QuotaState)) {
	for i, c := range r.rules {
		rule := c.holds
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
						Scope: c.scope, Name: c.name, Match: rule.Match, Metric: metric(m).String(), Window: [...]string{"minute", "day"}[j],
						Limit: limit, Remaining: max(limit-before[i][j][m], 0), Reset: time.Duration(r.windows[j].until-at) * time.Microsecond,
					})
				}
			}
		}
	}
}

// exceeded returns the limit that refuses n: of several one that can never admit it, or else the one with the longest wait.
func (r *Reservation) exceeded(before []used, n counts, at int64, shadow bool) *QuotaError {
	var worst *QuotaError
	r.each(before, at, shadow, func(m metric, s QuotaState) {
		if n[m] == 0 || s.Remaining >= n[m] {
			return
		}
		e := &QuotaError{QuotaState: s, Asked: n[m], RetryAfter: s.Reset, TooLarge: n[m] > s.Limit}
		if worst == nil || e.TooLarge && !worst.TooLarge || e.TooLarge == worst.TooLarge && e.RetryAfter > worst.RetryAfter {
			worst = e
		}
	})
	return worst
}

func (r *Reservation) refusal(before []used, n counts, at int64) error {
	if e := r.exceeded(before, n, at, false); e != nil {
		return e
	}
	return nil
}

func (r *Reservation) report(before []used, n counts, at int64) {
	if e := r.exceeded(before, n, at, true); e != nil {
		r.quotas.tell(e)
	}
}

// tightest remembers the limits of which the least part is left.
func (r *Reservation) tightest(before []used, n counts, at int64) {
	r.each(before, at, false, func(m metric, s QuotaState) {
		s.Remaining = max(s.Remaining-n[m], 0)
		least := &r.tokens
		if m == countRequests {
			least = &r.requests
		}
		if *least == nil || float64(s.Remaining)/float64(s.Limit) < float64((*least).Remaining)/float64((*least).Limit) {
			*least = &s
		}
	})
}

// Settle says how many tokens were used really. The difference goes to the windows in which they were reserved, if they have
// not ended. Below zero it is not known, and what was reserved stays.
func (r *Reservation) Settle(input, output int64) {
	if r == nil {
		return
	}
	e := r.estimate
	if input >= 0 {
		e.Input = clamp(input)
	}
	if output >= 0 {
		e.Output = clamp(output)
	}
	n := e.counts()
	for m, reserved := range r.estimate.counts() {
		n[m] -= reserved
	}
	r.end(n)
}

// Cancel says that nothing was executed: the request and its tokens are not counted.
func (r *Reservation) Cancel() {
	if r == nil {
		return
	}
	var n counts
	for m, reserved := range r.estimate.counts() {
		n[m] = -reserved
	}
	r.end(n)
}

func (r *Reservation) end(n counts) {
	r.mu.Lock()
	over := r.over
	r.over = true
	r.mu.Unlock()
	switch {
	case over || n == counts{}:
	case r.shared:
		r.quotas.redis.settle(r.asks, n, r.windows)
	default:
		r.quotas.memory.settle(r.asks, n, r.windows)
	}
}

// SetHeader tells the caller how he stands after this request: the tightest limit of tokens in OpenAI's headers, that of requests
// unless another limit that set them has less left, and X-Ratelimit-Scope, -Metric, -Window, -Limit, -Remaining and -Reset for
// the tightest of all.
func (r *Reservation) SetHeader(h http.Header) {
	if r == nil {
		return
	}
	if s := r.tokens; s != nil {
		s.set(h, "-Tokens")
	}
	if s := r.requests; s != nil {
		if left, err := strconv.ParseInt(h.Get("X-Ratelimit-Remaining-Requests"), 10, 64); err != nil || s.Remaining < left {
			s.set(h, "-Requests")
		}
	}
	s := r.tokens
	if s == nil || r.requests != nil && float64(r.requests.Remaining)*float64(s.Limit) < float64(s.Remaining)*float64(r.requests.Limit) {
		s = r.requests
	}
	s.explain(h)
}

// SetHeader says which limit refused, in the same headers and in those of a 429 of llm-proxy; Retry-After is the caller's.
func (e *QuotaError) SetHeader(h http.Header) {
	if e.Metric == countRequests.String() {
		e.set(h, "-Requests")
	} else {
		e.set(h, "-Tokens")
	}
	e.explain(h)
	h.Set("X-Ratelimit-Reason", map[string]string{"minute": "minute limit exceeded", "day": "daily limit exceeded"}[e.Window])
}

func (s *QuotaState) set(h http.Header, of string) {
	h.Set("X-Ratelimit-Limit"+of, strconv.FormatInt(s.Limit, 10))
	h.Set("X-Ratelimit-Remaining"+of, strconv.FormatInt(s.Remaining, 10))
	h.Set("X-Ratelimit-Reset"+of, seconds(s.Reset))
}

func (s *QuotaState) explain(h http.Header) {
	if s == nil {
		return
	}
	s.set(h, "")
	h.Set("X-Ratelimit-Scope", s.subject())
	h.Set("X-Ratelimit-Metric", s.Metric)
	h.Set("X-Ratelimit-Window", s.Window)
}
