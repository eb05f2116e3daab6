package queue

import (
	"fmt"
	"time"

	"forward/internal/duration"
)

// Reason says why a request is not let to its model. It is also the code of the error.
type Reason string

const (
	Full     Reason = "queue_full"        // as many wait as may
	Timeout  Reason = "queue_timeout"     // it has waited as long as it may, or would have to wait longer than that
	TooLarge Reason = "request_too_large" // it asks for more tokens than a minute has; no wait helps
)

// Error says that a request was not let to its model and when to try again. It has consumed nothing.
type Error struct {
	Reason       Reason
	Route, Model string
	Limits       Model
	Tokens       int64         // it asked for
	Waiting      int           // requests in line
	Waited       time.Duration // before it was given up
	Expected     time.Duration // the wait it would have had; 0: it has waited
	RetryAfter   time.Duration // whoever comes back then, and nobody else has come meanwhile, goes at once; 0 for TooLarge
}

// refusal makes the error of a request that is not let in. It counts its cost once, whether it is in the line or not.
func (l *line) refusal(now int64, r Reason, w *waiter) *Error {
	cost := l.cost
	if w.flow == nil {
		cost += w.cost
	}
	return &Error{
		Reason: r, Limits: l.model, Tokens: w.tokens, Waiting: l.waiting,
		Waited: time.Duration(now - w.arrived), RetryAfter: max(l.retryAfter(now, cost), time.Millisecond),
	}
}

func (e *Error) Error() string {
	again := "Please try again in " + duration.Ceil(e.RetryAfter) + "."
	switch {
	case e.Reason == TooLarge:
		return fmt.Sprintf("Request too large for %s: it asks for %d tokens with its completion, and the limit is %d tokens a minute. Shorten the prompt or lower max_tokens.",
			e.Model, e.Tokens, e.Limits.TPM)
	case e.Reason == Full:
		return fmt.Sprintf("The line for %s is full: %d of %d places are taken. %s", e.Model, min(e.Waiting, e.Limits.MaxQueue), e.Limits.MaxQueue, again)
	case e.Expected > 0:
		return fmt.Sprintf("The wait for %s would be %s, which is longer than it may be. %s", e.Model, duration.Ceil(e.Expected), again)
	}
	return fmt.Sprintf("The request has waited %s for %s, and its turn has not come. %s", duration.Ceil(e.Waited), e.Model, again)
}
