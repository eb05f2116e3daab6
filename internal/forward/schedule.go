package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/duration"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/tokens"
)

// schedule reserves what the request may cost in the quotas that it counts for, and waits in line until the allowance of its
// model has room for it. Nothing of the upstream is held meanwhile.
func (x *exchange) schedule() error {
	if x.op == dialect.Models {
		return nil
	}
	if use, _ := x.batchUse(); x.scheduled() || use == dialect.MakesBatch {
		if err := x.openAccount(); err != nil {
			return err
		}
	}
	if !x.counted() && !x.lined() {
		return nil
	}
	patience, err := x.patience()
	if err != nil {
		return err
	}
	for {
		err := x.takeTurn(patience)
		if err == nil {
			return nil
		}
		x.settleTurn()
		if errors.Is(context.Cause(x.ctx), errShuttingDown) {
			return errShuttingDown // what waited for a turn knows only that it was ended
		}
		if !limited(err) || !x.fallsBack(http.StatusTooManyRequests, nil) {
			return err
		}
	}
}

// counted reports whether a quota, or a limit of the key's own, may hold.
func (x *exchange) counted() bool { return !x.Quotas.Empty() || x.policy.RPM > 0 || x.policy.TPM > 0 }

// limited reports whether another model may have room for what this one has not.
func limited(err error) bool {
	if e, ok := errors.AsType[*queue.Error](err); ok {
		return e.Reason != queue.TooLarge
	}
	e, ok := errors.AsType[*limits.QuotaError](err)
	return ok && e.Scope == limits.ScopeModel && !e.TooLarge
}

// ofCaller reports whether a refusal is about the caller himself: others who ask the same may be let through.
func ofCaller(err error) bool {
	if e, ok := errors.AsType[*limits.QuotaError](err); ok {
		return e.Scope == limits.ScopeKey || e.Scope == limits.ScopeUser
	}
	_, spent := errors.AsType[*ledger.BudgetError](err)
	_, unpriced := errors.AsType[*ledger.UnpricedError](err)
	return spent || unpriced
}

// takeTurn reserves and waits for the model that is asked now.
func (x *exchange) takeTurn(patience time.Duration) (err error) {
	if x.counted() {
		d, bound := x.tokensAtMost()
		estimate := limits.Estimate{Input: d.Prompt, Output: d.Completion}
		if bound {
			estimate.Exact = func() limits.Estimate {
				x.tokensAsked()
				return limits.Estimate{Input: x.demand.Prompt, Output: x.demand.Completion}
			}
		}
		subject := limits.Subject{Route: x.route.Name, Model: x.ask.Model, Key: x.caller.name, User: x.user, RPM: x.policy.RPM, TPM: x.policy.TPM}
		if subject.Key == nobody {
			subject.Key = x.caller.id
		}
		if x.reserved, err = x.Quotas.Reserve(x.ctx, subject, estimate); err != nil {
			return err
		}
		x.reserved.SetHeader(x.w.Header())
	}
	if !x.lined() {
		return nil
	}
	d := queue.Demand{Route: x.route.Name, Model: x.ask.Model, Caller: x.caller.id, Tokens: x.tokensAsked(), MaxWait: patience, Priority: x.policy.Priority}
	if x.ask.Stream && x.r.ProtoAtLeast(1, 1) && !x.calling {
		d.Keepalive, d.OnKeepalive = x.QueueKeepalive, x.beat
	}
	x.grant, err = x.Scheduler.Acquire(x.ctx, d)
	x.queued += x.grant.Waited()
	if x.grant != nil && !x.beating {
		x.w.Header().Set("X-Forward-Queue-Ms", strconv.FormatInt(x.grant.Waited().Milliseconds(), 10))
	}
	return err
}

// beat tells a client who waits for a stream that he is not forgotten: with a comment, which every reader of server-sent
// events skips. From the first one on the answer has begun, so whatever goes wrong afterwards is told by an error event.
func (x *exchange) beat() {
	if !x.beating {
		x.beating = true
		h := x.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set(x.dialect.RequestIDHeader, x.id)
		x.memory.announce(h)
		x.w.WriteHeader(http.StatusOK)
	}
	rc := http.NewResponseController(x.w)
	rc.SetWriteDeadline(time.Now().Add(x.WriteTimeout))
	io.WriteString(x.w, ": waiting in line\n\n")
	rc.Flush()
}

// fitsBeats reports whether an answer can follow comments: it has to be a stream of events too.
func fitsBeats(res *http.Response) bool {
	return res.StatusCode == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") && encodingOf(res.Header) == ""
}

// afterBeats makes an error of an answer that cannot follow comments any more.
func (x *exchange) afterBeats(res *http.Response) error {
	head, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	message := gjson.GetBytes(head, "error.message").String()
	if message == "" {
		message = fmt.Sprintf("The upstream '%s' answered with status %d.", x.route.Name, res.StatusCode)
	}
	code := gjson.GetBytes(head, "error.code").String()
	if code == "" {
		code = "upstream_error"
	}
	status := res.StatusCode
	if status < 400 {
		status, message = http.StatusBadGateway, "The upstream '"+x.route.Name+"' did not answer with a stream of events."
	}
	return &refusal{status: status, code: code, message: message}
}

// lined reports whether the request may have to wait in line.
func (x *exchange) lined() bool { return x.Scheduler != nil && x.scheduled() }

// scheduled reports whether the request takes of its model's allowance: it is one that a model answers, and not about files,
// batches and the like, which count for quotas of requests only.
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
	d, err := duration.ParseSeconds(value)
	if err != nil || d <= 0 {
		return 0, &refusal{status: http.StatusBadRequest, code: "invalid_max_wait", message: "X-Forward-Max-Wait is not a number of seconds or a duration such as 1500ms."}
	}
	return d, nil
}

// demand is what a request may cost.
type demand struct {
	tokens.Demand
	bound bool // Prompt was not counted, see tokens.Bound
}

// tokensAsked is what the request may cost: its prompt, and the completion that it allows or that is reserved for one
// that names no bound.
func (x *exchange) tokensAsked() int64 {
	if x.demand == nil || x.demand.bound {
		d := tokens.Demand{}
		if by := x.route.Dialect.Name; x.estimates() {
			d.Prompt, d.Completion = x.Estimation.EstimateTokens(by, x.body.Raw()), x.ask.MaxTokens*max(x.ask.N, 1)
		} else {
			d = tokens.Prompt(x.op, x.ask.Model, x.body)
		}
		x.setDemand(d, false)
	}
	return x.demand.Prompt + x.demand.Completion
}

// tokensAtMost is tokensAsked for those who need not know the prompt's tokens exactly unless they are near to a limit: to count
// them costs more than all else that is done for a limit. bound reports whether they are not counted.
func (x *exchange) tokensAtMost() (d tokens.Demand, bound bool) {
	switch {
	case x.demand != nil:
	case x.lined() || x.estimates():
		x.tokensAsked()
	default:
		x.setDemand(tokens.Bound(x.op, x.ask.Model, x.body), true)
	}
	return x.demand.Demand, x.demand.bound
}

// estimates reports whether the prompt is to be estimated from its length, as the settings want it for the route's provider.
func (x *exchange) estimates() bool {
	return x.body != nil && x.Estimation.On(x.route.Dialect.Name) && x.scheduled()
}

func (x *exchange) setDemand(d tokens.Demand, bound bool) {
	if d.Completion == 0 && answersText(x.op) {
		d.Completion = x.DefaultMaxTokens
	}
	x.demand = &demand{d, bound}
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
func (x *exchange) feedback(res *http.Response) queue.Feedback {
	if x.grant == nil {
		return queue.Feedback{}
	}
	f := queue.ReadFeedback(res.Header, res.StatusCode, time.Now())
	f.Key, f.Keys = strconv.Itoa(x.attempts.KeyIndex), x.route.Keys.Count(x.caller.level)
	return f
}

// settleTurn ends what schedule began: what was not used comes back.
func (x *exchange) settleTurn() {
	if x.grant == nil && x.reserved == nil {
		return
	}
	switch in, out, known := x.used(); {
	case known:
		x.grant.Settle(in + out)
		x.reserved.Settle(in, out)
	case x.attempts.Count == 0 || x.unsent:
		x.grant.Cancel()
		x.reserved.Cancel()
	default:
		x.grant.Settle(-1) // the reservation stands, as far as it was counted
		if x.reserved != nil {
			x.tokensAsked()
			x.reserved.Settle(x.demand.Prompt, x.demand.Completion)
		}
	}
	x.grant, x.reserved = nil, nil
}

// used is how many tokens the exchange cost, as told by the upstream or by what was seen of the answer.
func (x *exchange) used() (in, out int64, known bool) {
	if x.tap == nil || x.memory.status == "HIT" {
		return 0, 0, false
	}
	if u, _ := x.tap.usage(); u != nil {
		return u.Input, u.Total - u.Input, true
	}
	if x.tap.res.StatusCode >= 400 {
		return 0, 0, true // an error of the upstream's costs no tokens
	}
	return 0, 0, false
}
