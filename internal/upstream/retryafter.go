package upstream

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How long a key rests after a 429 that does not ask for a time, and at most.
// Providers ask for hours when a day's quota is spent, but it may be raised at
// any time.
const (
	defaultRest = 5 * time.Second
	maxRest     = 10 * time.Minute
)

// restOf returns how long the key of a 429 answer should rest.
func restOf(h http.Header, now time.Time) time.Duration {
	d, ok := retryAfter(h, now)
	if !ok {
		return defaultRest
	}
	return min(d, maxRest)
}

// retryAfter reads for how long an answer asks to wait: retry-after-ms, which
// some providers send and official SDKs read first, or Retry-After in seconds
// or as an HTTP date (RFC 9110, section 10.2.3). An unreadable value counts as
// absent.
func retryAfter(h http.Header, now time.Time) (d time.Duration, ok bool) {
	if d, ok := span(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return d, true
	}
	v := h.Get("Retry-After")
	if d, ok := span(v, time.Second); ok {
		return d, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// span reads a number of units, which may have a fraction.
func span(v string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, false
	}
	return time.Duration(min(n*float64(unit), float64(24*time.Hour))), true
}
