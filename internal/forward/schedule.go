package forward

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"forward/internal/dialect"
	"forward/internal/limits"
	"forward/internal/tokens"
)

// schedule waits in line until the allowance of the model has room for the request. Nothing of the upstream is held meanwhile.
func (x *exchange) schedule() error {
	if x.Scheduler == nil || !x.scheduled() {
		return nil
	}
	patience, err := x.patience()
	if err != nil {
		return err
	}
	for {
		x.grant, err = x.Scheduler.Acquire(x.ctx, limits.Demand{
			Route: x.route.Name, Model: x.ask.Model, Caller: x.caller.id, Tokens: x.tokensAsked(), MaxWait: patience,
		})
		if err == nil {
			break
		}
		if full, ok := errors.AsType[*limits.QueueError](err); !ok || full.Reason == limits.TooLarge || !x.fallsBack(http.StatusTooManyRequests, nil) {
			return err
		}
	}
	if x.grant != nil {
		x.w.Header().Set("X-Forward-Queue-Ms", strconv.FormatInt(x.grant.Waited().Milliseconds(), 10))
	}
	return nil
}

// scheduled reports whether the request takes of its model's allowance.
func (x *exchange) scheduled() bool {
	switch x.op {
	case dialect.Other, dialect.Models, dialect.CountTokens:
		return false
	}
	return true
}

// patience is how long the client says that it waits in line at most, 0 when it does not say.
func (x *exchange) patience() (time.Duration, error) {
	value := x.r.Header.Get("X-Forward-Max-Wait")
	if value == "" {
		return 0, nil
	}
	d, err := parseSeconds(value)
	if err != nil || d <= 0 {
		return 0, &refusal{status: http.StatusBadRequest, code: "invalid_max_wait", message: "X-Forward-Max-Wait is not a number of seconds or a duration such as 1500ms."}
	}
	return d, nil
}

// parseSeconds reads seconds, or a duration such as 90s or 12h.
func parseSeconds(value string) (time.Duration, error) {
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	return time.ParseDuration(value)
}

// tokensAsked is what the request may cost: its prompt, and the completion that it allows or that is reserved for one
// that names no bound.
func (x *exchange) tokensAsked() int64 {
	if x.demand == nil {
		d := tokens.Prompt(x.op, x.ask.Model, x.body)
		if d.Completion == 0 && answersText(x.op) {
			d.Completion = x.DefaultMaxTokens
		}
		x.demand = &d
	}
	return x.demand.Prompt + x.demand.Completion
}

// answersText reports whether answers of the operation are generated tokens.
func answersText(op dialect.Operation) bool {
	switch op {
	case dialect.Chat, dialect.Completion, dialect.Responses, dialect.Messages, dialect.Generate:
		return true
	}
	return false
}

// feedback is what the answer says about the allowance of the API key that was used.
func (x *exchange) feedback(res *http.Response) limits.Feedback {
	if x.grant == nil {
		return limits.Feedback{}
	}
	f := limits.ReadFeedback(res.Header, res.StatusCode, time.Now())
	f.Key, f.Keys = strconv.Itoa(x.attempts.KeyIndex), x.route.Keys.Count(x.caller.level)
	return f
}

// settleGrant ends the request's turn: what it did not use comes back.
func (x *exchange) settleGrant() {
	if x.grant == nil {
		return
	}
	switch used, known := x.used(); {
	case known:
		x.grant.Settle(used)
	case x.attempts.Count == 0 || x.unsent:
		x.grant.Cancel()
	default:
		x.grant.Settle(-1) // the reservation stands
	}
	x.grant = nil
}

// used is how many tokens the exchange cost, as told by the upstream or by what was seen of the answer.
func (x *exchange) used() (total int64, known bool) {
	if x.tap == nil || x.memory.status == "HIT" {
		return 0, false
	}
	if u, _ := x.tap.usage(); u != nil {
		return u.Total, true
	}
	if x.status >= 400 && x.tap.answer == nil {
		return 0, true // an error of the upstream's costs no tokens
	}
	return 0, false
}
