package queue

import (
	"fmt"
	"time"

	"forward/internal/duration"
)

// Reason is why a request is refused. It is also the code of the error.
type Reason string

const (
	Full     Reason = "queue_full"        // as many requests wait as may
	Timeout  Reason = "queue_timeout"     // it waited for as long as it may, or would have to wait longer
	TooLarge Reason = "request_too_large" // it needs more tokens than a minute has; no wait helps
)

// Error reports that a request may not start, and when to try again. The
// request has consumed nothing.
type Error struct {
	Reason       Reason
	Route, Model string
	Limits       Model
	Tokens       int64         // of the request
	Waiting      int           // requests in the queue
	Waited       time.Duration // before it was refused
	Expected     time.Duration // the wait it would have had; 0: it has waited
	RetryAfter   time.Duration // a request that comes then, if no other comes before, starts at once; 0 for TooLarge
}

// Error returns the message that the client reads.
func (e *Error) Error() string {
	again := "Please try again in " + duration.Ceil(e.RetryAfter) + "."
	switch {
	case e.Reason == TooLarge:
		return fmt.Sprintf("Request too large for %s: it asks for %d tokens with its completion, and the limit is %d tokens a minute. "+
			"Shorten the prompt or lower max_tokens.", e.Model, e.Tokens, e.Limits.TPM)
	case e.Reason == Full:
		return fmt.Sprintf("The queue for %s is full: %d of %d places are taken. %s",
			e.Model, min(e.Waiting, e.Limits.MaxQueue), e.Limits.MaxQueue, again)
	case e.Expected > 0:
		return fmt.Sprintf("The wait for %s would be %s, which is longer than it may be. %s", e.Model, duration.Ceil(e.Expected), again)
	}
	return fmt.Sprintf("The request has waited %s for %s, and its turn has not come. %s", duration.Ceil(e.Waited), e.Model, again)
}

// refusal returns the error of a request, whose cost counts once whether it is
// in the queue or not.
func (q *modelQueue) refusal(now int64, why Reason, w *waiter) *Error {
	cost := q.order.cost
	if w.flow == nil {
		cost += w.cost
	}
	return &Error{
		Reason:     why,
		Limits:     q.model,
		Tokens:     w.tokens,
		Waiting:    q.order.waiting,
		Waited:     time.Duration(now - w.arrived),
		RetryAfter: max(q.retryAfter(now, cost), time.Millisecond),
	}
}

// tooLarge returns the error of a request that no wait helps, because a full
// bucket holds fewer tokens.
func (q *modelQueue) tooLarge(tokens int64) *Error {
	return &Error{Reason: TooLarge, Limits: q.model, Tokens: tokens}
}
