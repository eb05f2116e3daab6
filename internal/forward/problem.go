package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// problems is the one table from what went wrong to what the client gets. The
// first row that matches an error counts.
var problems = []func(err error) (p dialect.Problem, ok bool){
	when(func(e *ledger.BudgetError) dialect.Problem {
		what := "You exceeded your budget: "
		if e.Needed > 0 {
			what = "Your budget has too little left for this request: "
		}
		// 429 is tried again by agents that do not know x-should-retry, for
		// minutes and without a word; 402 ends them with this sentence.
		// Without Retry-After, as OpenAI sends it: some wait for the days until
		// the budget starts again.
		return dialect.Problem{Status: http.StatusPaymentRequired, Code: spentBudget, Message: what + e.Error()}
	}),
	when(func(e *ledger.UnpricedError) dialect.Problem {
		return dialect.Problem{Status: http.StatusForbidden, Code: "model_not_allowed", Param: "model", Message: e.Error()}
	}),
	is(ledger.ErrUnwritable, dialect.Problem{Status: http.StatusServiceUnavailable, Code: "ledger_unavailable", RetryAfter: time.Second,
		Message: "The gateway cannot write down what requests cost, and is set not to serve any then (LEDGER_STRICT)."}),
	when(problemOfQuota),
	when(func(e *queue.Error) dialect.Problem {
		if e.Reason == queue.TooLarge {
			return dialect.Problem{Status: http.StatusBadRequest, Code: string(e.Reason), Message: e.Error()}
		}
		return dialect.Problem{Status: http.StatusTooManyRequests, Code: string(e.Reason), Message: e.Error(), RetryAfter: e.RetryAfter}
	}),
	when(func(e *refusal) dialect.Problem {
		return dialect.Problem{Status: e.status, Code: e.code, Message: e.message, Param: e.param, RetryAfter: e.retryAfter}
	}),
	when(problemOfKey),
	when(func(e *limits.ExceededError) dialect.Problem {
		return dialect.Problem{Status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Message: e.Error(), RetryAfter: e.RetryAfter}
	}),
	when(func(e *upstream.ErrPath) dialect.Problem {
		return dialect.Problem{Status: http.StatusBadRequest, Code: "invalid_path", Message: e.Error()}
	}),
	when(func(e *dialect.SyntaxError) dialect.Problem {
		return dialect.Problem{Status: http.StatusBadRequest, Code: "invalid_json", Message: "The request body is not valid JSON: " + e.Error() + "."}
	}),
	when(func(e *dialect.DuplicateError) dialect.Problem {
		return dialect.Problem{Status: http.StatusBadRequest, Code: "duplicate_key", Param: e.Key,
			Message: fmt.Sprintf("The request body names %q more than once.", e.Key)}
	}),
	is(dialect.ErrMembers, dialect.Problem{Status: http.StatusBadRequest, Code: "invalid_body",
		Message: fmt.Sprintf("The request body has more than %d members at its top, which is more than any provider's API has.", dialect.MaxMembers)}),
	when(func(e *dialect.PageError) dialect.Problem {
		return dialect.Problem{Status: http.StatusBadRequest, Code: "invalid_query", Param: e.Param, Message: e.Error()}
	}),
	when(problemOfStop),
	when(problemOfCut),
	is(errShuttingDown, shuttingDown("The gateway is shutting down.")),
	when(problemOfUpstream),
	is(context.Canceled, dialect.Problem{Status: statusClientGone, Code: clientGone}),
}

// problemOf returns what the client gets for an error.
func problemOf(err error) dialect.Problem {
	for _, row := range problems {
		p, ok := row(err)
		if ok {
			return p
		}
	}
	return dialect.Problem{Status: http.StatusInternalServerError, Code: "internal_error", Message: "Internal gateway error."}
}

// when is a row for errors of a type.
func when[E error](problem func(E) dialect.Problem) func(error) (dialect.Problem, bool) {
	return func(err error) (dialect.Problem, bool) {
		e, ok := errors.AsType[E](err)
		if !ok {
			return dialect.Problem{}, false
		}
		return problem(e), true
	}
}

// is is a row for one error.
func is(target error, p dialect.Problem) func(error) (dialect.Problem, bool) {
	return func(err error) (dialect.Problem, bool) { return p, errors.Is(err, target) }
}

func problemOfQuota(e *limits.QuotaError) dialect.Problem {
	if e.TooLarge {
		return dialect.Problem{Status: http.StatusBadRequest, Code: "request_too_large", Message: e.Error()}
	}
	p := dialect.Problem{Status: http.StatusTooManyRequests, Code: "rate_limit_exceeded", Message: e.Error(), Type: "tokens"}
	if strings.HasPrefix(e.Metric, "requests") {
		p.Type = "requests"
	}
	p.RetryAfter = e.RetryAfter
	return p
}

// problemOfKey reports that a key was not accepted, with the key masked.
func problemOfKey(e *keyError) dialect.Problem {
	p := dialect.Problem{Status: http.StatusUnauthorized, Code: "invalid_api_key"}
	place := ""
	if e.named {
		place = " in X-Forward-Key"
	}
	switch {
	case errors.Is(e.err, keys.ErrConflict) && e.named:
		p.Message = "Two different keys came with this request, one of them in X-Forward-Key. Send exactly one, or have your gateway administrator let your own credential through beside the forward key (credentials: client, for the route or the key)."
	case e.unnamed:
		p.Message = "This route is for the provider's credentials of the clients' own (credentials: client). Send your forward key beside yours: X-Forward-Key: fk-…"
	case errors.Is(e.err, keys.ErrConflict):
		p.Message = "Two different keys came with this request. Send exactly one."
	case errors.Is(e.err, keys.ErrExpired):
		p.Code = "key_expired"
		p.Message = "Your key has expired. Ask your gateway administrator for a new one."
	case errors.Is(e.err, keys.ErrDisabled):
		p.Code = "key_disabled"
		p.Message = "Your key is disabled. Ask your gateway administrator."
	case e.presented == "" && lacksScheme(e.authorization):
		p.Message = "Your Authorization header does not start with the word Bearer. Write Authorization: Bearer fk-…"
	case e.presented == "":
		p.Message = "You didn't provide an API key. Send your forward key in an Authorization header: Bearer fk-…"
	case strings.Trim(e.presented, `"'`) != e.presented:
		p.Message = "Incorrect API key provided" + place + ": it is in quotes, which belong to the key then. Send it without them."
	default:
		p.Message = "Incorrect API key provided" + place + ": " + keys.Mask(e.presented) + ". Ask your gateway administrator for a key."
	}
	if e.wait > 0 {
		p.Status = http.StatusTooManyRequests
		p.Code = "rate_limit_exceeded"
		p.Message += fmt.Sprintf(" More than %d different wrong keys came from your address within a minute. Try again later.", keys.MaxFailures)
		p.RetryAfter = e.wait
	}
	return p
}

// lacksScheme reports whether an Authorization header is a token without the
// word before it.
func lacksScheme(authorization string) bool {
	return authorization != "" && !strings.ContainsAny(strings.TrimSpace(authorization), " \t,") && !strings.EqualFold(authorization, "Bearer")
}

// spentBudget is the code of a spent budget, whose status is a setting.
const spentBudget = "insufficient_quota"

// cutError is why an answer ended in its middle, which may be after the first
// byte has gone out.
type cutError struct {
	route string // that gave the answer
	err   error
}

func (e *cutError) Error() string { return e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

func shuttingDown(message string) dialect.Problem {
	return dialect.Problem{Status: http.StatusServiceUnavailable, Code: "gateway_shutting_down", RetryAfter: time.Second, Message: message}
}

// problemOfCut reports a cut answer in words that clients act on. Agents match
// the message of an error in a stream with their patterns for failures that are
// tried again, such as "connection error", "connection lost" and "timeout"; pi
// and its forks end a session at other words.
func problemOfCut(e *cutError) dialect.Problem {
	switch {
	case errors.Is(e.err, errShuttingDown):
		return shuttingDown("Connection lost: the gateway is shutting down.")
	case errors.Is(e.err, errStreamIdle):
		return dialect.Problem{Status: http.StatusGatewayTimeout, Code: string(upstream.Timeout),
			Message: "Stream timeout: the upstream '" + e.route + "' fell silent in the middle of its answer."}
	}
	return dialect.Problem{Status: http.StatusBadGateway, Code: string(upstream.Reset),
		Message: "Connection error: the upstream '" + e.route + "' closed the stream before it was complete."}
}

func problemOfUpstream(e *upstream.Error) dialect.Problem {
	p := dialect.Problem{Status: http.StatusBadGateway, Code: string(e.Cause), Message: e.Message()}
	switch e.Cause {
	case upstream.Canceled:
		p.Status = statusClientGone
		p.Code = clientGone
	case upstream.ClientBody:
		p.Status = http.StatusBadRequest
	case upstream.Timeout, upstream.ConnectTimeout:
		p.Status = http.StatusGatewayTimeout
	case upstream.ConnectFailed:
		p.RetryAfter = time.Second
	case upstream.Overloaded, upstream.Unhealthy:
		p.Status = http.StatusServiceUnavailable
		p.RetryAfter = max(e.RetryAfter, time.Second)
	}
	return p
}
