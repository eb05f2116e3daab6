package limits

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"forward/internal/duration"
	"forward/internal/redis"
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

	tokens, requests QuotaState // in which least is left; without a Limit there is none

	mu   sync.Mutex // guards over
	over bool

	// What most reservations need is a part of them.
	own      quotaRule
	ownAsk   [1]ask
	ownRules [1]chosen
	ownUsed  [1]used
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
	advice := "Please try again in " + duration.Ceil(e.RetryAfter) + "."
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
	name := redis.KeyName(s.Name)
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		name = strconv.QuoteToASCII(name)
		name = name[1 : len(name)-1]
	}
	return string(s.Scope) + ":" + name
}

// choose finds what the request counts for.
func (r *Reservation) choose(s Subject) {
	r.asks, r.rules = r.ownAsk[:0], r.ownRules[:0]
	if len(r.quotas.rules) > 0 {
		r.chooseQuotas(s)
	}
	if s.RPM > 0 || s.TPM > 0 { // apart from what a quota of the key's name counts
		r.own = quotaRule{Quota: Quota{Scope: ScopeKey, Match: s.Key, RequestsPerMinute: min(max(s.RPM, 0), maxQuota), TokensPerMinute: min(max(s.TPM, 0), maxQuota)}}
		r.own.bounds = r.own.Quota.bounds()
		r.asks = append(r.asks, ask{name: "own:" + redis.KeyName(s.Key), counts: [2]bool{true, false}, bounds: r.own.bounds})
		r.rules = append(r.rules, chosen{ScopeKey, s.Key, &r.own, nil})
	}
}

func (r *Reservation) chooseQuotas(s Subject) {
	for _, scope := range scopes {
		name := s.name(scope)
		if scope == ScopeUser && name == "" {
			continue
		}
		c := chosen{scope, name, r.quotas.rule(scope, name, false), r.quotas.rule(scope, name, true)}
		a := ask{name: string(scope) + ":" + redis.KeyName(name)}
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
		if least.Limit == 0 || float64(s.Remaining)/float64(s.Limit) < float64(least.Remaining)/float64(least.Limit) {
			*least = s
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
	w := headerWriter{header: h, values: make([]string, 0, 12)}
	if s := &r.tokens; s.Limit > 0 {
		w.set(s, tokenHeaders)
	}
	if s := &r.requests; s.Limit > 0 {
		if left, err := strconv.ParseInt(h.Get("X-Ratelimit-Remaining-Requests"), 10, 64); err != nil || s.Remaining < left {
			w.set(s, requestHeaders)
		}
	}
	s := &r.tokens
	if s.Limit == 0 || r.requests.Limit > 0 && float64(r.requests.Remaining)*float64(s.Limit) < float64(s.Remaining)*float64(r.requests.Limit) {
		s = &r.requests
	}
	if s.Limit > 0 {
		w.explain(s)
	}
}

// SetHeader says which limit refused, in the same headers and in those of a 429 of llm-proxy; Retry-After is the caller's.
func (e *QuotaError) SetHeader(h http.Header) {
	w := headerWriter{header: h}
	if e.Metric == countRequests.String() {
		w.set(&e.QuotaState, requestHeaders)
	} else {
		w.set(&e.QuotaState, tokenHeaders)
	}
	w.explain(&e.QuotaState)
	w.put("X-Ratelimit-Reason", map[string]string{"minute": "minute limit exceeded", "day": "daily limit exceeded"}[e.Window])
}

// The names of the headers that tell a limit, what is left of it and when it begins anew.
var (
	tokenHeaders    = [3]string{"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens"}
	requestHeaders  = [3]string{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests"}
	tightestHeaders = [3]string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}
)

// headerWriter sets headers whose values lie side by side: each answer has a dozen of them. All names are canonical.
type headerWriter struct {
	header http.Header
	values []string
	last   *QuotaState // whose limit, rest and reset are the last values
}

func (w *headerWriter) put(name, value string) {
	n := len(w.values)
	w.values = append(w.values, value)
	w.header[name] = w.values[n : n+1 : n+1]
}

func (w *headerWriter) set(s *QuotaState, names [3]string) {
	if n := len(w.values); w.last == s {
		for i, name := range names {
			w.header[name] = w.values[n-3+i : n-2+i : n-2+i]
		}
		return
	}
	w.last = s
	w.put(names[0], strconv.FormatInt(s.Limit, 10))
	w.put(names[1], strconv.FormatInt(s.Remaining, 10))
	w.put(names[2], duration.Ceil(s.Reset))
}

func (w *headerWriter) explain(s *QuotaState) {
	w.set(s, tightestHeaders)
	w.put("X-Ratelimit-Scope", s.subject())
	w.put("X-Ratelimit-Metric", s.Metric)
	w.put("X-Ratelimit-Window", s.Window)
}
