package limits

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"forward/internal/duration"
)

// Window says how a key stands in the window of one rate.
type Window struct {
	Rate      Rate
	Remaining int64
	Reset     time.Duration // until the window is empty again
	Wait      time.Duration // until a refused request would pass; 0 when this window admits it
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
	RetryAfter time.Duration // whoever waits exactly that long, and has no other request admitted meanwhile, is let in
}

func (e *ExceededError) Error() string {
	return fmt.Sprintf("Rate limit reached for requests (%s): Limit %d, Used %d. Please try again in %s.",
		e.Rate, e.Limit, e.Limit-e.Remaining, duration.Ceil(e.RetryAfter))
}

// verdict sums up what the windows say. Of those that refuse the one with the longest wait counts, for only after it
// all of them admit; when none does, the one that has the least left.
func verdict(windows []Window) (Status, error) {
	tightest := windows[0]
	for _, w := range windows[1:] {
		if w.Wait > tightest.Wait || w.Wait == tightest.Wait && w.Remaining < tightest.Remaining {
			tightest = w
		}
	}
	s := Status{
		Limited: true, Rate: tightest.Rate, Limit: tightest.Rate.Limit,
		Remaining: max(tightest.Remaining, 0), Reset: tightest.Reset,
	}
	if tightest.Wait > 0 {
		return s, &ExceededError{Status: s, RetryAfter: tightest.Wait}
	}
	return s, nil
}

// SetHeader tells the caller how he stands, in the headers and spelling of OpenAI: the reset is a duration, 6m0s. It
// does nothing when no limit applies.
func (s Status) SetHeader(h http.Header) {
	if !s.Limited {
		return
	}
	h.Set("X-Ratelimit-Limit-Requests", strconv.FormatInt(s.Limit, 10))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.FormatInt(s.Remaining, 10))
	h.Set("X-Ratelimit-Reset-Requests", duration.Ceil(s.Reset))
}
