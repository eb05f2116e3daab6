package queue

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxUnits bounds limits and numbers in headers, so that their sums fit.
const maxUnits = 1 << 50

// Feedback is what an answer reports about the allowance under which its
// request was executed. The zero Feedback reports nothing.
type Feedback struct {
	Requests, Tokens Left
	RetryAfter       time.Duration // the provider asks for a pause; 0: it does not
	Limited          bool          // the request was refused for its rate (429)

	Key  string // identifies the API key, and is not secret; needed if there are several
	Keys int    // of the caller's level, whose allowances add up; 0 is 1
}

// Left is what is left of an allowance by the report of a provider.
type Left struct {
	Known     bool // false: the provider reports nothing
	Remaining int64
	Reset     time.Duration // until all of it is available again; 0: not reported
}

// ReadFeedback reads the headers of an answer. An unreadable header counts as
// absent.
//
// OpenAI, and providers that copy it, send
// x-ratelimit-{remaining,reset}-{requests,tokens} with resets as durations like
// 6ms or 1m30s. Anthropic sends
// anthropic-ratelimit-{requests,tokens}-{remaining,reset} with resets as RFC
// 3339 times; input and output tokens are added up if they come apart. A pause
// is in retry-after-ms (OpenAI, Azure) or else in Retry-After, which is a
// number of seconds or a date (RFC 9110, section 10.2.3).
func ReadFeedback(h http.Header, status int, now time.Time) Feedback {
	openAI := func(kind string) Left {
		return readLeft(h, now, "X-Ratelimit-Remaining-"+kind, "X-Ratelimit-Reset-"+kind)
	}
	anthropic := func(kind string) Left {
		return readLeft(h, now, "Anthropic-Ratelimit-"+kind+"-Remaining", "Anthropic-Ratelimit-"+kind+"-Reset")
	}
	f := Feedback{
		Limited:    status == http.StatusTooManyRequests,
		RetryAfter: readRetryAfter(h, now),
		Requests:   openAI("Requests"),
		Tokens:     openAI("Tokens"),
	}
	if !f.Requests.Known {
		f.Requests = anthropic("Requests")
	}
	if !f.Tokens.Known {
		f.Tokens = anthropic("Tokens")
	}
	if !f.Tokens.Known {
		in := anthropic("Input-Tokens")
		out := anthropic("Output-Tokens")
		if in.Known && out.Known {
			f.Tokens = Left{Known: true, Remaining: in.Remaining + out.Remaining, Reset: max(in.Reset, out.Reset)}
		}
	}
	return f
}

// readLeft reads what is left from two headers. Without a number that can be
// read, the answer reports nothing: a reset alone is of no use.
func readLeft(h http.Header, now time.Time, remaining, reset string) Left {
	n, ok := readNumber(h.Get(remaining)) // some providers write 1e3 or 12.0
	if !ok {
		return Left{}
	}
	return Left{Known: true, Remaining: int64(min(n, maxUnits)), Reset: readReset(h.Get(reset), now)}
}

// readReset reads a duration (1m30s), a time (RFC 3339) or seconds. A number
// too large for seconds to wait is a Unix time.
func readReset(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if d, err := time.ParseDuration(v); err == nil {
		return max(d, 0)
	}
	if at, err := time.Parse(time.RFC3339, v); err == nil {
		return max(at.Sub(now), 0)
	}
	n := readSeconds(v)
	if n > 1e9 {
		return max(time.Unix(int64(n), 0).Sub(now), 0)
	}
	return time.Duration(n * float64(time.Second))
}

// readRetryAfter reads for how long the provider asks to be left alone, 0 if it
// does not.
func readRetryAfter(h http.Header, now time.Time) time.Duration {
	if n := readSeconds(h.Get("Retry-After-Ms")); n > 0 {
		return time.Duration(n * float64(time.Millisecond))
	}
	v := h.Get("Retry-After")
	if n := readSeconds(v); n > 0 {
		return time.Duration(min(n, 1e9) * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// readSeconds reads a number up to 4e9, so that it fits a duration or a Unix
// time. An unreadable one is 0.
func readSeconds(v string) float64 {
	n, _ := readNumber(v)
	return min(n, 4e9)
}

// readNumber reads a finite number that is not negative.
func readNumber(v string) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0, false
	}
	return n, true
}
