package limits

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"forward/internal/duration"
)

// Window is the state of a key in the window of one rate.
type Window struct {
	Rate      Rate
	Remaining int64
	Reset     time.Duration // until the window is empty again
	Wait      time.Duration // until a refused request would pass; 0: this window admits it
}

// Status is the state of a caller in the window that has the least left.
type Status struct {
	Limited   bool // false: no limit applies, and the other fields are zero
	Rate      Rate
	Limit     int64
	Remaining int64
	Reset     time.Duration // until the window is empty again
}

// ExceededError reports that a request is over a limit, and when to try again.
type ExceededError struct {
	Status
	RetryAfter time.Duration // a request after it is admitted, if no other request of the caller is before
}

// Error returns the message that the client reads. It is OpenAI's, which
// clients parse for the time to wait.
func (e *ExceededError) Error() string {
	return fmt.Sprintf("Rate limit reached for requests (%s): Limit %d, Used %d. Please try again in %s.",
		e.Rate, e.Limit, e.Limit-e.Remaining, duration.Ceil(e.RetryAfter))
}

// verdict returns the state in the window with the longest wait, for only after
// it all windows admit; if all of them admit already, in the one with the least
// left.
func verdict(windows []Window) (Status, error) {
	tightest := windows[0]
	for _, w := range windows[1:] {
		if w.Wait > tightest.Wait || (w.Wait == tightest.Wait && w.Remaining < tightest.Remaining) {
			tightest = w
		}
	}
	s := Status{
		Limited:   true,
		Rate:      tightest.Rate,
		Limit:     tightest.Rate.Limit,
		Remaining: max(tightest.Remaining, 0),
		Reset:     tightest.Reset,
	}
	if tightest.Wait > 0 {
		return s, &ExceededError{Status: s, RetryAfter: tightest.Wait}
	}
	return s, nil
}

// SetHeader reports the state in OpenAI's headers and spelling, where the reset
// is a duration like 6m0s. It sets nothing when no limit applies.
func (s Status) SetHeader(h http.Header) {
	if !s.Limited {
		return
	}
	h.Set("X-Ratelimit-Limit-Requests", strconv.FormatInt(s.Limit, 10))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(s.Remaining, 10))
	h.Set("X-Ratelimit-Reset-Requests", duration.Ceil(s.Reset))
}
