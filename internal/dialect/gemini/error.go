package gemini

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// rpcStatus names the google.rpc.Code of an HTTP status.
func rpcStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status >= http.StatusInternalServerError {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// writeError writes {"error":{code,message,status,details}}. Our own code goes
// into an ErrorInfo, except that of a rate limit, for which the RetryInfo is
// enough. Google itself answers 400 to a bad key; here it is a 401 in every
// dialect, as the README promises, and the reason in the body is Google's.
func writeError(p dialect.Problem) []byte {
	b := strconv.AppendInt([]byte(`{"error":{"code":`), int64(p.Status), 10)
	b = jsonscan.AppendString(append(b, `,"message":`...), p.Message)
	b = jsonscan.AppendString(append(b, `,"status":`...), rpcStatus(p.Status))
	b = append(b, `,"details":[`...)
	reason, domain := strings.ToUpper(p.Code), "forward"
	if p.Status == http.StatusUnauthorized {
		reason, domain = "API_KEY_INVALID", "googleapis.com"
	}
	info := reason != "" && p.Code != "rate_limit_exceeded"
	if info {
		b = jsonscan.AppendString(append(b, `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":`...), reason)
		b = jsonscan.AppendString(append(b, `,"domain":`...), domain)
		b = append(b, '}')
	}
	if p.Status == http.StatusTooManyRequests && p.RetryAfter > 0 {
		if info {
			b = append(b, ',')
		}
		seconds := int64((p.RetryAfter + time.Second - 1) / time.Second)
		b = strconv.AppendInt(append(b, `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...), seconds, 10)
		b = append(b, `s"}`...)
	}
	return append(b, `]}}`...)
}

func writeErrorEvent(p dialect.Problem) []byte { return framing.SSE.Append(nil, writeError(p)) }
