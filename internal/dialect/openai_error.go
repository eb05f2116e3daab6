package dialect

import (
	"net/http"

	"forward/internal/jsonscan"
)

// openAIError writes the body that OpenAI's SDKs read: {"error":{message,type,param,code}}.
func openAIError(p Problem) []byte {
	kind := p.Type
	switch {
	case kind != "":
	case p.Code == "insufficient_quota":
		kind = p.Code
	case p.Status == http.StatusTooManyRequests:
		kind = "requests"
	case p.Status >= http.StatusInternalServerError:
		kind = "server_error"
	default:
		kind = "invalid_request_error"
	}
	b := jsonscan.AppendString([]byte(`{"error":{"message":`), p.Message)
	b = jsonscan.AppendString(append(b, `,"type":`...), kind)
	b = appendOrNull(append(b, `,"param":`...), p.Param)
	b = appendOrNull(append(b, `,"code":`...), p.Code)
	return append(b, `}}`...)
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return jsonscan.AppendString(dst, s)
}

// openAIErrorEvent writes the error as an event. Both SDKs of OpenAI raise on data with an error; no [DONE] follows.
func openAIErrorEvent(p Problem) []byte { return dataEvent(openAIError(p)) }

func dataEvent(data []byte) []byte {
	return append(append([]byte("data: "), data...), "\n\n"...)
}

// retryHeader tells the SDKs, which try again on 429 and 5xx, where that is of no use or would be paid for twice: the
// header overrides what they make of the status.
func retryHeader(h http.Header, p Problem) {
	switch p.Code {
	case "insufficient_quota", "upstream_auth_failed", "upstream_timeout", "cache_only_miss", "upstream_redirect":
		h.Set("X-Should-Retry", "false")
	}
}
