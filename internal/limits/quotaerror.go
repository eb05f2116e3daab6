package limits

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/duration"
	"forward/internal/redis"
)

// QuotaState is the state of a name in one window of its quota.
type QuotaState struct {
	Scope     Scope
	Name      string // empty for the global scope
	Match     string // of the quota
	Metric    string // requests, tokens, input_tokens or output_tokens
	Window    string // minute or day
	Limit     int64
	Remaining int64         // never negative
	Reset     time.Duration // until the window ends, and all of the limit is available again
}

// QuotaError reports that a request is over a quota. Nothing was counted.
type QuotaError struct {
	QuotaState
	Asked      int64
	RetryAfter time.Duration // when all windows that refused have ended
	TooLarge   bool          // more than the limit: the request can never pass, however long it waits
}

// Error returns the message that the client reads, in OpenAI's form.
func (e *QuotaError) Error() string {
	advice := "Please try again in " + duration.Ceil(e.RetryAfter) + "."
	if e.TooLarge {
		advice = "The request is larger than the limit itself; please send less."
	}
	return fmt.Sprintf("Rate limit reached for %s on %s per %s: Limit %d, Remaining %d, Requested %d. %s",
		e.subject(), strings.ReplaceAll(e.Metric, "_", " "), e.Window, e.Limit, e.Remaining, e.Asked, advice)
}

// SetHeader reports the limit that refused in the headers of a Reservation, and
// in llm-proxy's X-Ratelimit-Reason. It does not set Retry-After.
func (e *QuotaError) SetHeader(h http.Header) {
	if e.Metric == countRequests.String() {
		e.setLimit(h, "-Requests")
	} else {
		e.setLimit(h, "-Tokens")
	}
	e.setDetails(h)
	reason := "minute limit exceeded"
	if e.Window == windowNames[1] {
		reason = "daily limit exceeded"
	}
	h.Set("X-Ratelimit-Reason", reason)
}

// part returns the part of the limit that is left.
func (s *QuotaState) part() float64 { return float64(s.Remaining) / float64(s.Limit) }

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

// setLimit sets the headers of a limit, what is left of it and its reset, whose
// names end with kind.
func (s *QuotaState) setLimit(h http.Header, kind string) {
	h.Set("X-Ratelimit-Limit"+kind, strconv.FormatInt(s.Limit, 10))
	h.Set("X-Ratelimit-Remaining"+kind, strconv.FormatInt(s.Remaining, 10))
	h.Set("X-Ratelimit-Reset"+kind, duration.Ceil(s.Reset))
}

// setDetails sets the headers of the limit that is tightest, or that refused.
func (s *QuotaState) setDetails(h http.Header) {
	s.setLimit(h, "")
	h.Set("X-Ratelimit-Scope", s.subject())
	h.Set("X-Ratelimit-Metric", s.Metric)
	h.Set("X-Ratelimit-Window", s.Window)
}
