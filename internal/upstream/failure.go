package upstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// describe returns how an attempt failed, and whether the same may be tried
// once more.
func (t *trip) describe(err error, p *probe) *Error {
	t.Sent = !p.nothingSent(err)
	if t.r.Context().Err() != nil {
		return t.canceled()
	}
	if bad := t.body.broken(); bad != nil {
		return t.fail(ClientBody, fmt.Errorf("reading the request body: %w", bad))
	}
	e := t.fail(causeOf(err), Classify(err).Err)
	switch unconnected, handshake := p.unconnected(); {
	case unconnected && handshake != nil:
		e.Cause = TLS
	case unconnected:
		e.Cause = connectCause(err)
	}
	e.elsewhere = !t.Sent && t.body.again() && e.Cause != Overloaded
	e.again = e.elsewhere && e.Cause != ConnectTimeout && !isPermanent(err)
	return e
}

// canceled returns the error of a request whose context has ended, with the
// cause that its cancel function was given.
func (t *trip) canceled() *Error {
	ctx := t.r.Context()
	err := ctx.Err()
	cause := Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		cause = Timeout
	}
	if reason := context.Cause(ctx); !errors.Is(reason, err) {
		err = fmt.Errorf("%w: %w", err, reason)
	}
	return t.fail(cause, err)
}

// fail returns an Error about this trip. Should err quote the API key, as
// net/http does of answers that it cannot parse, it is replaced by its masked
// text.
func (t *trip) fail(c Cause, err error) *Error {
	if k := t.key(); k != nil {
		if text := err.Error(); strings.Contains(text, k.Secret.Reveal()) {
			err = errors.New(strings.ReplaceAll(text, k.Secret.Reveal(), k.Secret.String()))
		}
	}
	return &Error{Cause: c, Err: err, Route: t.Route.Name, Host: t.targets[0].base.Host}
}
