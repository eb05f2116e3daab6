package forward

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"forward/internal/chatlog"
	"forward/internal/duration"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// explain adds to the row of a refused request why it was refused: which limit,
// whose, and when a request may pass again. The client reads a sentence and a
// status; who looks later has only the row.
func (g *Gateway) explain(row *ledger.Row, rec *record) {
	if rec.err == nil || rec.tap != nil || rec.status == statusClientGone {
		return
	}
	now := time.Now()
	p := problemOf(rec.err)
	f := ledger.Refusal{Message: p.Message}
	for _, of := range limitsOf {
		if of(rec, &f) {
			break
		}
	}
	f.Limit = cmp.Or(f.Limit, "request")
	f.Scope = cmp.Or(f.Scope, "the request")
	if f.Retry.IsZero() && p.RetryAfter > 0 {
		f.Retry = now.Add(p.RetryAfter)
	}
	if g.redacts(&rec.ask.who) && !isOfLimit(rec.err) {
		f.Message = "(not kept: the key's log policy) " + p.Code
		f.Detail = ""
	}
	secrets := rec.ask.who.secrets(rec.answer)
	for _, text := range []*string{&f.Message, &f.Scope, &f.Detail} {
		*text = chatlog.WithoutKeys(*text, secrets)
	}
	row.Refuse(f, row.Total)
}

// isOfLimit reports whether a refusal is about a limit of the gateway's. Its
// sentence has figures and names, and nothing else of the request.
func isOfLimit(err error) bool {
	if own, ok := errors.AsType[*refusal](err); ok {
		return own.limit != ""
	}
	var budget *ledger.BudgetError
	var unpriced *ledger.UnpricedError
	var quota *limits.QuotaError
	var line *queue.Error
	var rate *limits.ExceededError
	var failed *upstream.Error
	return errors.As(err, &budget) || errors.As(err, &unpriced) || errors.As(err, &quota) || errors.As(err, &line) || errors.As(err, &rate) || errors.As(err, &failed)
}

// limitsOf name the limit of each kind of refusal. The first that knows the
// error of a record counts.
var limitsOf = []func(*record, *ledger.Refusal) bool{
	of(func(_ *record, e *ledger.BudgetError, f *ledger.Refusal) {
		f.Limit, f.Scope, f.Detail, f.Retry = "budget", "tag "+e.Budget.Tag, e.Summary(), e.Reset
	}),
	of(func(rec *record, e *ledger.UnpricedError, f *ledger.Refusal) {
		f.Limit, f.Scope, f.Detail = "price", "model "+e.Model, "the budget of "+e.Budget.String()+" holds for models with a price only"
	}),
	of(func(_ *record, e *limits.QuotaError, f *ledger.Refusal) {
		f.Limit = strings.ReplaceAll(e.Metric, "_", " ") + " per " + e.Window
		switch {
		case e.Window == "minute" && e.Metric == "requests":
			f.Limit = "rpm"
		case e.Window == "minute" && e.Metric == "tokens":
			f.Limit = "tpm"
		}
		f.Scope = strings.TrimSpace(string(e.Scope) + " " + e.Name)
		if e.Scope == limits.ScopeGlobal {
			f.Scope = "the gateway"
		}
		f.Detail = fmt.Sprintf("%d %s a %s, %d left, %d asked for", e.Limit, strings.ReplaceAll(e.Metric, "_", " "), e.Window, e.Remaining, e.Asked)
	}),
	of(func(_ *record, e *queue.Error, f *ledger.Refusal) {
		f.Limit, f.Scope = "queue", "model "+e.Model
		switch {
		case e.Reason == queue.TooLarge:
			f.Detail = fmt.Sprintf("%d tokens asked for, %d tokens a minute", e.Tokens, e.Limits.TPM)
		case e.Reason == queue.Full:
			f.Detail = fmt.Sprintf("%d of %d places taken", min(e.Waiting, e.Limits.MaxQueue), e.Limits.MaxQueue)
		case e.Expected > 0:
			f.Detail = fmt.Sprintf("a wait of %s, %d waiting", duration.Ceil(e.Expected), e.Waiting)
		default:
			f.Detail = fmt.Sprintf("waited %s, %d waiting", duration.Ceil(e.Waited), e.Waiting)
		}
	}),
	of(func(rec *record, e *limits.ExceededError, f *ledger.Refusal) {
		f.Limit, f.Detail = "request_limit", fmt.Sprintf("%s on route %s, %d used", e.Rate, rec.ask.from.route.Name, e.Limit-e.Remaining)
	}),
	of(func(rec *record, e *upstream.Error, f *ledger.Refusal) {
		f.Limit, f.Scope, f.Detail = "upstream", "route "+rec.to.route.Name, string(e.Cause)
	}),
	of(func(rec *record, e *refusal, f *ledger.Refusal) {
		f.Limit, f.Detail = e.limit, e.detail
		switch e.code {
		case "ip_not_allowed":
			f.Limit, f.Detail = "ip", "address "+rec.ask.who.ip.String()
		case "route_not_allowed":
			f.Limit, f.Detail = "route", "route "+rec.to.route.Name
		case "model_not_allowed":
			f.Limit, f.Detail = "model", rec.ask.req.Model
		case "operation_not_allowed":
			f.Limit, f.Detail = "operation", string(rec.ask.from.op)
		case "gateway_overloaded", "ledger_unavailable", "owners_unavailable":
			f.Limit, f.Scope = "gateway", "the gateway"
		case "request_too_large":
			f.Limit, f.Scope = "size", "the request"
		}
		if f.Limit == "" {
			f.Limit, f.Scope = "request", "the request"
		}
	}),
}

// of is a row for errors of a type. What it leaves open is about the caller.
func of[E error](describe func(*record, E, *ledger.Refusal)) func(*record, *ledger.Refusal) bool {
	return func(rec *record, f *ledger.Refusal) bool {
		e, ok := errors.AsType[E](rec.err)
		if !ok {
			return false
		}
		describe(rec, e, f)
		if f.Scope == "" || f.Scope == "tag " {
			f.Scope = rec.ask.who.shown()
		}
		return true
	}
}
