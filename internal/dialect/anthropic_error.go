package dialect

import (
	"net/http"

	"forward/internal/jsonscan"
)

// statusOverloaded is Anthropic's own status for overload.
const statusOverloaded = 529

func anthropicStatus(p Problem) int {
	if anthropicType(p) == "overloaded_error" {
		return statusOverloaded
	}
	return p.Status
}

// anthropicType names the class of an error. Source: docs.anthropic.com/en/api/errors; timeout_error is in the SDK's list.
func anthropicType(p Problem) string {
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
	case statusOverloaded:
		return "overloaded_error"
	}
	if p.Status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}

// anthropicError writes {"type":"error","error":{type,message},"request_id"}.
func anthropicError(p Problem) []byte {
	b := anthropicObject(p)
	if p.RequestID != "" {
		b = jsonscan.AppendString(append(b[:len(b)-1], `,"request_id":`...), p.RequestID)
		b = append(b, '}')
	}
	return b
}

func anthropicObject(p Problem) []byte {
	b := jsonscan.AppendString([]byte(`{"type":"error","error":{"type":`), anthropicType(p))
	b = jsonscan.AppendString(append(b, `,"message":`...), p.Message)
	return append(b, `}}`...)
}

func anthropicErrorEvent(p Problem) []byte {
	return append([]byte("event: error\n"), dataEvent(anthropicObject(p))...)
}

func anthropicErrorHeader(h http.Header, p Problem) {
	if p.RequestID != "" {
		h.Set("Request-Id", p.RequestID)
	}
	retryHeader(h, p)
}
