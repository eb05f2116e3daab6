package forward

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"forward/internal/limits"
)

// statusClientGone is nginx's status for a client that left before its answer;
// it is only ever logged.
const statusClientGone = 499

// refusal is an answer of the gateway's own. The message names the fix; err is
// for the log alone.
type refusal struct {
	status               int
	code, message, param string
	retryAfter           time.Duration
	header               http.Header // of the answer; nil: none
	err                  error
	limit, detail        string // which limit of the caller's it is, and its figure; see explain
}

// refused returns a refusal whose message names the fix.
func refused(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message}
}

// because adds the error behind a refusal, for the log.
func (r *refusal) because(err error) *refusal {
	r.err = err
	return r
}

// Error implements error.
func (r *refusal) Error() string {
	if r.err != nil {
		return r.message + " (" + r.err.Error() + ")"
	}
	return r.message
}

func (r *refusal) Unwrap() error { return r.err }

// keyError is why a presented forward key was not accepted.
type keyError struct {
	err           error
	presented     string
	authorization string        // the header, to find what is wrong with it
	named         bool          // X-Forward-Key is part of the mistake
	unnamed       bool          // there was none, on a route for the clients' own credentials
	wait          time.Duration // until the next one of its address; see keys.Guard
}

func (e *keyError) Error() string { return e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// refuse answers with err in the dialect of the route. It is the only way out
// of the pipeline before the first byte.
func (g *Gateway) refuse(rec *record, err error) {
	in := rec.in
	if stopped := rec.stopped(); stopped != nil && errors.Is(err, context.Canceled) {
		err = stopped // what it waited for knows only that it was ended
	}
	p := problemOf(err)
	p.RequestID = in.id
	if p.Code == spentBudget && g.BudgetStatus != 0 {
		p.Status = g.BudgetStatus
	}
	rec.err = err
	rec.status = p.Status
	rec.cause = p.Code
	if p.Status == statusClientGone {
		// The client may have closed only its half of the connection, and must
		// not read an empty answer.
		panic(http.ErrAbortHandler)
	}
	if p.Status >= 500 {
		g.Log.LogAttrs(in, slog.LevelWarn, "request failed", slog.String("id", in.id), slog.String("code", p.Code), slog.String("error", err.Error()))
	}
	d := rec.ask.from.dialect
	if in.waiting {
		in.w.Write(d.ErrorEvent(p))
		return
	}
	leaveBody(rec.ask)
	h := in.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(d.RequestIDHeader, in.id)
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.RetryAfter > 0 {
		setRetryAfter(h, p.RetryAfter)
	}
	if own, ok := errors.AsType[*refusal](err); ok {
		maps.Copy(h, own.header)
	}
	var over *limits.ExceededError
	if errors.As(err, &over) {
		over.SetHeader(h)
	}
	var quota *limits.QuotaError
	if errors.As(err, &quota) {
		quota.SetHeader(h)
	}
	d.ErrorHeader(h, p)
	rec.trace(h)
	body := d.Error(p)
	rec.status = d.Status(p)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	in.w.WriteHeader(rec.status)
	in.w.Write(body)
}

// leaveBody keeps net/http from reading the rest of a body that is not needed:
// it would do so before it sends the answer, so that a client could delay its
// refusal.
func leaveBody(a *ask) {
	if a.in.r.ContentLength == 0 || a.raw != nil {
		return
	}
	rc := http.NewResponseController(a.in.w)
	rc.EnableFullDuplex()
	rc.SetReadDeadline(time.Now().Add(time.Second)) // what it reads afterwards, to close the connection politely
	a.in.w.Header().Set("Connection", "close")
}

// setRetryAfter writes how long to wait: whole seconds rounded up, and the
// milliseconds that official SDKs read first.
func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10))
	h.Set("Retry-After-Ms", strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10))
}
