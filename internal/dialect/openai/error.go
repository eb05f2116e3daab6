package openai

import (
	"net/http"

	"forward/internal/dialect"
	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// writeError writes the body that OpenAI's SDKs read:
// {"error":{message,type,param,code}}.
func writeError(p dialect.Problem) []byte {
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

// writeErrorEvent writes the error as an event. Both SDKs of OpenAI raise on
// data with an error; no [DONE] follows.
func writeErrorEvent(p dialect.Problem) []byte { return framing.SSE.Append(nil, writeError(p)) }

// setErrorHeader informs the SDKs and agents, which try again on 429 and 5xx
// and some also on 401, where that is of no use or would be paid for twice: the
// header overrides what they make of the status. Claude Code asks eleven times
// with a wrong key, for three minutes, and once with the header.
func setErrorHeader(h http.Header, p dialect.Problem) {
	if p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden {
		h.Set("X-Should-Retry", "false")
		return
	}
	switch p.Code {
	case "insufficient_quota", "request_too_large", "upstream_auth_failed", "upstream_timeout", "cache_only_miss", "upstream_redirect":
		h.Set("X-Should-Retry", "false")
	}
}
