package queue

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Feedback is what an answer says about the allowance it was executed under. The zero Feedback says nothing.
type Feedback struct {
	Requests, Tokens Left
	RetryAfter       time.Duration // the provider wants to be left alone for so long; 0: it does not say
	Limited          bool          // the request was refused for its rate (429)

	Key  string // which API key was used, not secret; needed where there are several
	Keys int    // how many API keys the caller's level has, whose allowances add up; 0 is 1
}

// Left is what a provider says is left of an allowance.
type Left struct {
	Known     bool // false: it says nothing
	Remaining int64
	Reset     time.Duration // until all of it is there again; 0: it does not say
}

// ReadFeedback reads the headers of an answer: x-ratelimit-{remaining,reset}-{requests,tokens} with resets as durations like 6ms
// or 1m30s (OpenAI and those who copy it), anthropic-ratelimit-{requests,tokens}-{remaining,reset} with resets as RFC 3339 times, where
// input and output tokens are added up if they come apart, and for the wait retry-after-ms (OpenAI, Azure) before Retry-After
// in seconds or as a date (RFC 9110, section 10.2.3). What is not readable counts as absent.
func ReadFeedback(h http.Header, status int, now time.Time) Feedback {
	f := Feedback{Limited: status == http.StatusTooManyRequests, RetryAfter: readWait(h, now)}
	f.Requests = readLeft(h, now, "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
	f.Tokens = readLeft(h, now, "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
	if !f.Requests.Known {
		f.Requests = readLeft(h, now, "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset")
	}
	if !f.Tokens.Known {
		f.Tokens = readLeft(h, now, "Anthropic-Ratelimit-Tokens-Remaining", "Anthropic-Ratelimit-Tokens-Reset")
	}
	if !f.Tokens.Known {
		in := readLeft(h, now, "Anthropic-Ratelimit-Input-Tokens-Remaining", "Anthropic-Ratelimit-Input-Tokens-Reset")
		out := readLeft(h, now, "Anthropic-Ratelimit-Output-Tokens-Remaining", "Anthropic-Ratelimit-Output-Tokens-Reset")
		if in.Known && out.Known {
			f.Tokens = Left{Known: true, Remaining: in.Remaining + out.Remaining, Reset: max(in.Reset, out.Reset)}
		}
	}
	return f
}

// maxReading bounds the numbers that are read, so that sums of them fit.
const maxReading = 1 << 50

func readLeft(h http.Header, now time.Time, remaining, reset string) Left {
	n, err := strconv.ParseFloat(strings.TrimSpace(h.Get(remaining)), 64) // some write 1e3 or 12.0
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return Left{}
	}
	return Left{Known: true, Remaining: int64(min(n, maxReading)), Reset: readReset(h.Get(reset), now)}
}

// readReset reads a duration (1m30s), a time (RFC 3339) or seconds. A number too large for seconds to wait is a Unix time.
func readReset(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if d, err := time.ParseDuration(v); err == nil {
		return max(d, 0)
	}
	if at, err := time.Parse(time.RFC3339, v); err == nil {
		return max(at.Sub(now), 0)
	}
	n := readNumber(v)
	if n > 1e9 {
		return max(time.Unix(int64(n), 0).Sub(now), 0)
	}
	return time.Duration(n * float64(time.Second))
}

func readWait(h http.Header, now time.Time) time.Duration {
	if n := readNumber(h.Get("Retry-After-Ms")); n > 0 {
		return time.Duration(n * float64(time.Millisecond))
	}
	v := h.Get("Retry-After")
	if n := readNumber(v); n > 0 {
		return time.Duration(min(n, 1e9) * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// readNumber is 0 for what is none.
func readNumber(v string) float64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0
	}
	return min(n, 4e9)
}
