package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// statusClientGone is nginx's status for a client that left before its answer; it is only ever logged.
const statusClientGone = 499

// refusal is an answer of the gateway's own. The message names the fix; err is for the log alone.
type refusal struct {
	status               int
	code, message, param string
	retryAfter           time.Duration
	err                  error
}

func (r *refusal) Error() string {
	if r.err != nil {
		return r.message + " (" + r.err.Error() + ")"
	}
	return r.message
}

func (r *refusal) Unwrap() error { return r.err }

// keyError says why a presented forward key was not accepted.
type keyError struct {
	err       error
	presented string
}

func (e *keyError) Error() string { return e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }

// refuse answers with err in the dialect of the route. It is the only way out of
// the pipeline before the first byte.
func (g *Gateway) refuse(rec *record, err error) {
	in := rec.in
	p := problemOf(err)
	p.RequestID = in.id
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

// setRetryAfter writes how long to wait: whole seconds rounded up, and the milliseconds that official SDKs read first.
func setRetryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10))
	h.Set("Retry-After-Ms", strconv.FormatInt(int64((d+time.Millisecond-1)/time.Millisecond), 10))
}

// problemOf is the one table from what went wrong to what the client is told.
func problemOf(err error) dialect.Problem {
	var (
		own    *refusal
		key    *keyError
		over   *limits.ExceededError
		queued *queue.Error
		quota  *limits.QuotaError
		up     *upstream.Error
		path   *upstream.ErrPath
		syntax *dialect.SyntaxError
		twice  *dialect.DuplicateError
	)
	if p, ok := problemOfAccount(err, time.Now()); ok {
		return p
	}
	problem := func(status int, code, message string) dialect.Problem {
		return dialect.Problem{Status: status, Code: code, Message: message}
	}
	switch {
	case errors.As(err, &quota):
		p := problem(http.StatusTooManyRequests, "rate_limit_exceeded", quota.Error())
		p.Type, p.RetryAfter = "tokens", quota.RetryAfter
		if strings.HasPrefix(quota.Metric, "requests") {
			p.Type = "requests"
		}
		if quota.TooLarge {
			p.RetryAfter = 0
		}
		return p
	case errors.As(err, &queued):
		p := problem(http.StatusTooManyRequests, string(queued.Reason), queued.Error())
		if p.RetryAfter = queued.RetryAfter; queued.Reason == queue.TooLarge {
			p.Status, p.RetryAfter = http.StatusBadRequest, 0
		}
		return p
	case errors.As(err, &own):
		return dialect.Problem{Status: own.status, Code: own.code, Message: own.message, Param: own.param, RetryAfter: own.retryAfter}
	case errors.As(err, &key):
		return problemOfKey(key)
	case errors.Is(err, keys.ErrConflict):
		return problem(http.StatusUnauthorized, "invalid_api_key", "Two different keys came with this request. Send exactly one.")
	case errors.As(err, &over):
		p := problem(http.StatusTooManyRequests, "rate_limit_exceeded", over.Error())
		p.RetryAfter = over.RetryAfter
		return p
	case errors.As(err, &path):
		return problem(http.StatusBadRequest, "invalid_path", path.Error())
	case errors.As(err, &syntax):
		return problem(http.StatusBadRequest, "invalid_json", "The request body is not valid JSON: "+syntax.Error()+".")
	case errors.As(err, &twice):
		p := problem(http.StatusBadRequest, "duplicate_key", fmt.Sprintf("The request body names %q more than once.", twice.Key))
		p.Param = twice.Key
		return p
	case errors.Is(err, errShuttingDown):
		p := problem(http.StatusServiceUnavailable, "gateway_shutting_down", "The gateway is shutting down.")
		p.RetryAfter = time.Second
		return p
	case errors.As(err, &up):
		p := problem(http.StatusBadGateway, string(up.Cause), up.Message())
		switch up.Cause {
		case upstream.Canceled:
			p.Status, p.Code = statusClientGone, "client_gone"
		case upstream.ClientBody:
			p.Status = http.StatusBadRequest
		case upstream.Timeout, upstream.ConnectTimeout:
			p.Status = http.StatusGatewayTimeout
		case upstream.ConnectFailed:
			p.RetryAfter = time.Second
		case upstream.Overloaded, upstream.Unhealthy:
			p.Status, p.RetryAfter = http.StatusServiceUnavailable, max(up.RetryAfter, time.Second)
		}
		return p
	case errors.Is(err, context.Canceled):
		return problem(statusClientGone, "client_gone", "")
	}
	return problem(http.StatusInternalServerError, "internal_error", "Internal gateway error.")
}

// problemOfKey tells a client that its key was not accepted, with the key masked.
func problemOfKey(e *keyError) dialect.Problem {
	p := dialect.Problem{Status: http.StatusUnauthorized, Code: "invalid_api_key"}
	switch {
	case errors.Is(e.err, keys.ErrExpired):
		p.Code, p.Message = "key_expired", "Your key has expired. Ask your gateway administrator for a new one."
	case errors.Is(e.err, keys.ErrDisabled):
		p.Code, p.Message = "key_disabled", "Your key is disabled. Ask your gateway administrator."
	case e.presented == "":
		p.Message = "You didn't provide an API key. Send your forward key in an Authorization header: Bearer fk-…"
	default:
		p.Message = "Incorrect API key provided: " + keys.Mask(e.presented) + ". Ask your gateway administrator for a key."
	}
	return p
}
