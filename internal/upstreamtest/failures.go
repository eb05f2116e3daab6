package upstreamtest

import (
	"net/http"
	"strconv"
)

// failure is an error answer in the shape of the request's protocol. OpenAI's
// has a code; the others have a class for each status instead.
func (x *exchange) failure(status int, code, message string) reply {
	switch x.dialect() {
	case anthropic:
		return jsonReply(status, marshal(obj{
			"type": "error", "error": obj{"type": anthropicClass(status), "message": message}, "request_id": x.requestID(),
		}))
	case gemini:
		problem := obj{"code": status, "message": message, "status": rpcStatus(status)}
		if status == http.StatusTooManyRequests {
			problem["details"] = []obj{{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}}
		}
		return jsonReply(status, marshal(obj{"error": problem}))
	}
	return jsonReply(status, marshal(obj{"error": obj{"message": message, "type": "scripted", "param": nil, "code": code}}))
}

// anthropicClass is the type of an error. Source:
// https://docs.anthropic.com/en/api/errors.
func anthropicClass(status int) string {
	classes := map[int]string{
		401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large",
		429: "rate_limit_error", 504: "timeout_error", 529: "overloaded_error",
	}
	switch class, ok := classes[status]; {
	case ok:
		return class
	case status >= 500:
		return "api_error"
	}
	return "invalid_request_error"
}

// rpcStatus is the google.rpc.Code of an error. Source:
// https://ai.google.dev/gemini-api/docs/troubleshooting.
func rpcStatus(status int) string {
	codes := map[int]string{
		401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED",
		503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
	}
	switch code, ok := codes[status]; {
	case ok:
		return code
	case status >= 500:
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// requestID is the provider's name for the request. Google sends none.
func (x *exchange) requestID() string { return "req_upstream_" + strconv.Itoa(x.rec.Seq) }

// requestIDHeader is where the provider puts it.
func (x *exchange) requestIDHeader() string {
	return map[protocol]string{openai: "X-Request-Id", anthropic: "Request-Id"}[x.dialect()]
}
