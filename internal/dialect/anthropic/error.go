package anthropic

import (
	"net/http"

	"forward/internal/dialect"
	"forward/internal/dialect/openai"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

func status(p dialect.Problem) int {
	if kindOf(p) == "overloaded_error" {
		return dialect.StatusOverloaded
	}
	return p.Status
}

// kindOf names the class of an error. Source: docs.anthropic.com/en/api/errors;
// timeout_error is in the SDK's list.
func kindOf(p dialect.Problem) string {
	switch p.Code {
	case "no_healthy_upstream", "gateway_overloaded":
		return "overloaded_error"
	}
	switch p.Status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case dialect.StatusOverloaded:
		return "overloaded_error"
	}
	if p.Status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}

// writeError writes {"type":"error","error":{type,message},"request_id"}.
func writeError(p dialect.Problem) []byte {
	b := errorOfKind(kindOf(p), p)
	if p.RequestID != "" {
		b = jsonscan.AppendString(append(b[:len(b)-1], `,"request_id":`...), p.RequestID)
		b = append(b, '}')
	}
	return b
}

func errorOfKind(kind string, p dialect.Problem) []byte {
	b := jsonscan.AppendString([]byte(`{"type":"error","error":{"type":`), kind)
	b = jsonscan.AppendString(append(b, `,"message":`...), p.Message)
	return append(b, `}}`...)
}

// writeErrorEvent writes the error as an event. An answer that was cut gets the
// class that SDKs and agents try again: in a stream there is no status to show
// that it may be.
func writeErrorEvent(p dialect.Problem) []byte {
	kind := kindOf(p)
	switch p.Code {
	case "upstream_reset", "upstream_timeout", "gateway_shutting_down":
		kind = "overloaded_error"
	}
	return append([]byte("event: error\n"), framing.SSE.Append(nil, errorOfKind(kind, p))...)
}

func setErrorHeader(h http.Header, p dialect.Problem) {
	if p.RequestID != "" {
		h.Set("Request-Id", p.RequestID)
	}
	openai.Dialect.ErrorHeader(h, p)
}
