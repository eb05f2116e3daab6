package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Cause is why no answer came, in one word. Its text is the error code that
// clients see.
type Cause string

// The causes. "Nothing was sent" is certain for the first six.
const (
	Unhealthy      Cause = "no_healthy_upstream" // every base URL of the route has been failing
	ConnectFailed  Cause = "upstream_connect_failed"
	ConnectTimeout Cause = "upstream_connect_timeout"
	DNS            Cause = "upstream_dns_error"
	TLS            Cause = "upstream_tls_error"
	Overloaded     Cause = "gateway_overloaded"    // the gateway itself may open no more sockets
	Reset          Cause = "upstream_reset"        // the connection died before an answer
	Timeout        Cause = "upstream_timeout"      // the answer's headers did not come in time
	AuthFailed     Cause = "upstream_auth_failed"  // the upstream refused the gateway's own API key
	NoKey                = AuthFailed              // there is none for the caller's level, see ErrNoKey
	Redirect       Cause = "upstream_redirect"     // following it could take the API key to another host
	BadResponse    Cause = "upstream_bad_response" // not HTTP, or headers beyond all bounds
	ClientBody     Cause = "invalid_body"          // the request's own body broke off; the client's fault
	Canceled       Cause = "canceled"              // the request's context ended
)

// ErrNoKey is inside the Error of a request for whose level the route has no
// API key.
var ErrNoKey = errors.New("no API key for the level")

// errBroken is inside the Error of a request that found no base URL in order.
var errBroken = errors.New("the circuit breaker is open")

// Error is why no answer came. Its text is for logs: it names route and host,
// but no key and no query. What a client may read is Message.
type Error struct {
	Cause Cause
	Err   error  // what happened; free of secrets
	Route string // name of the route; may be empty
	Host  string // where the attempt went; may be empty

	RetryAfter time.Duration // when another try may succeed; 0: unknown

	elsewhere bool // it may be tried at another base URL: nothing was sent
	again     bool // the same may be tried once more: nothing was sent, and it may go better
}

// Error implements error.
func (e *Error) Error() string {
	where := ""
	if e.Route != "" {
		where = fmt.Sprintf("route %q", e.Route)
		if e.Host != "" {
			where += " (" + e.Host + ")"
		}
		where += ": "
	}
	return fmt.Sprintf("%s%s: %v", where, e.Cause, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Message returns what happened and what to do about it in sentences fit for
// clients: the route is named, the host is not.
func (e *Error) Message() string {
	name := "The upstream"
	if e.Route != "" {
		name += " '" + e.Route + "'"
	}
	const ask = " Ask your gateway administrator to "
	switch e.Cause {
	case Unhealthy:
		return name + " has been failing and is left alone for a moment; nothing was sent. Try again shortly."
	case ConnectFailed:
		return name + " cannot be reached; nothing was sent. Try again shortly." + ask + "check the route's base URL and proxy if it stays so."
	case ConnectTimeout:
		return name + " did not accept a connection in time; nothing was sent." + ask + "check the route's base URL, proxy and firewall if it stays so."
	case DNS:
		return "The host name of " + strings.ToLower(name[:1]) + name[1:] + " cannot be found; nothing was sent." + ask + "check the route's base URL and the name server."
	case TLS:
		return name + " could not be connected to securely; nothing was sent." + ask + "check the scheme and port of the route's base URL, and the upstream's certificate."
	case Overloaded:
		return "The gateway has too many connections open; nothing was sent. Try again shortly." + ask + "raise its limit of open files if it stays so."
	case Reset:
		return name + " closed the connection before answering. The request was not sent again, because it may have been executed."
	case Timeout:
		return name + " did not answer in time. The request may have been executed."
	case AuthFailed:
		if errors.Is(e.Err, ErrNoKey) {
			return name + " has no API key for the level of your key." + ask + "configure one."
		}
		return name + " refused the gateway's API key; your own key is fine." + ask + "replace the API key."
	case Redirect:
		return name + " answered with a redirect, which is not followed because it could take the API key elsewhere." + ask + "set the route's base URL to the final address."
	case BadResponse:
		return name + " sent something that is not an HTTP answer." + ask + "check that the route's base URL is that of an HTTP API."
	case ClientBody:
		return "The body of the request broke off before it was complete. Send the request again."
	case Canceled:
		return "The request was canceled."
	}
	return name + " did not answer."
}

// Classify returns err as an *Error: the one that it already contains, or else
// one with the cause that err itself shows. It returns nil for nil.
func Classify(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // its text would bring the whole URL with it, ?key= included
	}
	return &Error{Cause: causeOf(err), Err: err}
}

// causeOf reads the cause from an error of net, crypto/tls or net/http.
func causeOf(err error) Cause {
	switch op, isOp := errors.AsType[*net.OpError](err); {
	case errors.Is(err, context.Canceled):
		return Canceled
	case isExhausted(err):
		return Overloaded
	case is[*net.DNSError](err):
		return DNS
	case isTLS(err):
		return TLS
	case isOp && op.Op != "read" && op.Op != "write" && op.Op != "close": // dial, proxyconnect, socks connect
		return connectCause(err)
	case isTimeout(err):
		return Timeout
	case isMalformed(err):
		return BadResponse
	}
	return Reset
}

// connectCause is the cause of an error known to come from connecting.
func connectCause(err error) Cause {
	switch {
	case isExhausted(err):
		return Overloaded
	case is[*net.DNSError](err):
		return DNS
	case isTLS(err):
		return TLS
	case isTimeout(err):
		return ConnectTimeout
	}
	return ConnectFailed
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return (ok && t.Timeout()) || errors.Is(err, context.DeadlineExceeded)
}

// isExhausted reports whether the process or the machine has no descriptor
// left, which is no fault of the upstream. A name lookup that finds none
// reports it as text alone.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		(is[*net.DNSError](err) && strings.HasSuffix(err.Error(), syscall.EMFILE.Error()))
}

// isTLS reports whether a TLS handshake failed. An alert comes as an OpError
// with an operation of its own.
func isTLS(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return true
	}
	return is[*tls.CertificateVerificationError](err) || is[tls.RecordHeaderError](err) || is[tls.AlertError](err) ||
		strings.HasPrefix(err.Error(), "net/http: TLS handshake timeout")
}

// isPermanent reports whether connecting again would fail in the same way: the
// certificate is not the upstream's, or the port speaks no TLS.
func isPermanent(err error) bool {
	return is[*tls.CertificateVerificationError](err) || is[tls.RecordHeaderError](err)
}

// isMalformed reports whether what came was not HTTP. net/http has no exported
// errors for that.
func isMalformed(err error) bool {
	if is[textproto.ProtocolError](err) {
		return true
	}
	for _, died := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, died) {
			return false
		}
	}
	text := err.Error()
	return strings.Contains(text, "malformed") || strings.Contains(text, "server response headers exceeded") || strings.Contains(text, "bad Content-Length") ||
		strings.Contains(text, "unsupported transfer encoding") || strings.Contains(text, "http2: response header list")
}
