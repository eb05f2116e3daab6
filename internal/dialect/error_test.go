package dialect_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
)

// TestErrorsByteForByte pins what official SDKs were seen to read.
func TestErrorsByteForByte(t *testing.T) {
	tests := map[string]struct {
		d    *dialect.Dialect
		p    dialect.Problem
		want string
	}{
		"openai: unknown key": {openai.Dialect, dialect.Problem{Status: 401, Code: "invalid_api_key", RequestID: "req_1", Message: "Incorrect API key provided: fk-a1B2…x9Zt. Ask your gateway administrator for a key."},
			`{"error":{"message":"Incorrect API key provided: fk-a1B2…x9Zt. Ask your gateway administrator for a key.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`},
		"openai: rate": {openai.Dialect, dialect.Problem{Status: 429, Code: "rate_limit_exceeded", RetryAfter: 11640 * time.Millisecond, Message: "Rate limit reached for key 'alice' on requests per min (RPM): Limit 60, Used 60. Please try again in 11.64s."},
			`{"error":{"message":"Rate limit reached for key 'alice' on requests per min (RPM): Limit 60, Used 60. Please try again in 11.64s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`},
		"openai: tokens": {openai.Dialect, dialect.Problem{Status: 429, Code: "rate_limit_exceeded", Type: "tokens", Message: "x"},
			`{"error":{"message":"x","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`},
		"openai: budget": {openai.Dialect, dialect.Problem{Status: 429, Code: "insufficient_quota", Message: "Key 'alice' has used 20.00 of 20.00 USD this month. It resets at 2026-12-01T00:00:00Z."},
			`{"error":{"message":"Key 'alice' has used 20.00 of 20.00 USD this month. It resets at 2026-12-01T00:00:00Z.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`},
		"openai: param": {openai.Dialect, dialect.Problem{Status: 400, Code: "duplicate_key", Param: "model", Message: "<&>\"\\\n\t\x01\xff"},
			`{"error":{"message":"<&>\"\\\n\t\u0001�","type":"invalid_request_error","param":"model","code":"duplicate_key"}}`},
		"openai: no code": {openai.Dialect, dialect.Problem{Status: 504}, `{"error":{"message":"","type":"server_error","param":null,"code":null}}`},
		"anthropic: model": {anthropic.Dialect, dialect.Problem{Status: 403, Code: "model_not_allowed", RequestID: "req_01JD", Message: "Key 'alice' may not use model 'claude-opus-4'."},
			`{"type":"error","error":{"type":"permission_error","message":"Key 'alice' may not use model 'claude-opus-4'."},"request_id":"req_01JD"}`},
		"anthropic: no id": {anthropic.Dialect, dialect.Problem{Status: 500, Message: "x", Type: "tokens"}, `{"type":"error","error":{"type":"api_error","message":"x"}}`},
		"gemini: rate": {gemini.Dialect, dialect.Problem{Status: 429, Code: "rate_limit_exceeded", RetryAfter: 11640 * time.Millisecond, Message: "Rate limit reached for key 'alice': 60 requests per minute."},
			`{"error":{"code":429,"message":"Rate limit reached for key 'alice': 60 requests per minute.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"12s"}]}}`},
		"gemini: budget": {gemini.Dialect, dialect.Problem{Status: 429, Code: "insufficient_quota", RetryAfter: time.Second, Message: "x"},
			`{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INSUFFICIENT_QUOTA","domain":"forward"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}`},
		"gemini: key": {gemini.Dialect, dialect.Problem{Status: 401, Code: "key_expired", Message: "x"},
			`{"error":{"code":401,"message":"x","status":"UNAUTHENTICATED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`},
		"gemini: bare": {gemini.Dialect, dialect.Problem{Status: 500}, `{"error":{"code":500,"message":"","status":"INTERNAL","details":[]}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := test.d.Error(test.p)
			if string(got) != test.want || !json.Valid(got) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestErrorEventsByteForByte(t *testing.T) {
	p := dialect.Problem{Status: 502, Code: "upstream_reset", RequestID: "req_1", Message: "Connection error: the upstream 'x' closed the stream before it was complete."}
	for d, want := range map[*dialect.Dialect]string{
		openai.Dialect:    `data: {"error":{"message":"Connection error: the upstream 'x' closed the stream before it was complete.","type":"server_error","param":null,"code":"upstream_reset"}}` + "\n\n",
		anthropic.Dialect: "event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"Connection error: the upstream 'x' closed the stream before it was complete."}}` + "\n\n",
		gemini.Dialect:    `data: {"error":{"code":502,"message":"Connection error: the upstream 'x' closed the stream before it was complete.","status":"UNAVAILABLE","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"UPSTREAM_RESET","domain":"forward"}]}}` + "\n\n",
	} {
		if got := d.ErrorEvent(p); string(got) != want {
			t.Errorf("%s:\ngot  %q\nwant %q", d.Name, got, want)
		}
	}
}

// TestOwnErrorsAreUnderstood reads each dialect's errors with its own reader:
// what the gateway writes must fail an answer, in a stream and as a body, on
// the provider's own paths and on the compatible ones.
func TestOwnErrorsAreUnderstood(t *testing.T) {
	p := dialect.Problem{Status: 502, Code: "upstream_reset", Message: "It broke."}
	for d, ops := range map[*dialect.Dialect][]dialect.Operation{
		openai.Dialect:    {dialect.Chat, dialect.Completion, dialect.Responses, dialect.Embedding},
		anthropic.Dialect: {dialect.Messages, dialect.Chat},
		gemini.Dialect:    {dialect.Generate, dialect.EmbedContent, dialect.Chat},
	} {
		for _, op := range ops {
			if a := read(d, op, d.ErrorEvent(p)); a.Error != "It broke." || a.Complete() {
				t.Errorf("%s, %s, event: %+v", d.Name, op, a)
			}
			var a dialect.Answer
			if err := d.Body(op, &a, d.Error(p)); err != nil || a.Error != "It broke." || a.Complete() {
				t.Errorf("%s, %s, body: %v %+v", d.Name, op, err, a)
			}
		}
	}
}

func TestErrorKinds(t *testing.T) {
	for _, test := range []struct {
		status                        int
		code                          string
		openai, anthropic             string
		anthropicStatus, geminiStatus int
		gemini                        string
	}{
		{400, "invalid_json", "invalid_request_error", "invalid_request_error", 400, 400, "INVALID_ARGUMENT"},
		{401, "key_disabled", "invalid_request_error", "authentication_error", 401, 401, "UNAUTHENTICATED"},
		{402, "x", "invalid_request_error", "billing_error", 402, 402, "INVALID_ARGUMENT"},
		{403, "ip_not_allowed", "invalid_request_error", "permission_error", 403, 403, "PERMISSION_DENIED"},
		{404, "route_not_found", "invalid_request_error", "not_found_error", 404, 404, "NOT_FOUND"},
		{405, "method_not_allowed", "invalid_request_error", "invalid_request_error", 405, 405, "INVALID_ARGUMENT"},
		{408, "request_timeout", "invalid_request_error", "invalid_request_error", 408, 408, "INVALID_ARGUMENT"},
		{413, "request_too_large", "invalid_request_error", "request_too_large", 413, 413, "INVALID_ARGUMENT"},
		{429, "queue_full", "requests", "rate_limit_error", 429, 429, "RESOURCE_EXHAUSTED"},
		{429, "insufficient_quota", "insufficient_quota", "rate_limit_error", 429, 429, "RESOURCE_EXHAUSTED"},
		{500, "internal_error", "server_error", "api_error", 500, 500, "INTERNAL"},
		{502, "upstream_reset", "server_error", "api_error", 502, 502, "UNAVAILABLE"},
		{503, "gateway_shutting_down", "server_error", "api_error", 503, 503, "UNAVAILABLE"},
		{503, "no_healthy_upstream", "server_error", "overloaded_error", 529, 503, "UNAVAILABLE"},
		{503, "gateway_overloaded", "server_error", "overloaded_error", 529, 503, "UNAVAILABLE"},
		{504, "upstream_timeout", "server_error", "timeout_error", 504, 504, "DEADLINE_EXCEEDED"},
	} {
		p := dialect.Problem{Status: test.status, Code: test.code, Message: "m"}
		for d, want := range map[*dialect.Dialect]string{openai.Dialect: test.openai, anthropic.Dialect: test.anthropic, gemini.Dialect: test.gemini} {
			var body struct {
				Error struct{ Type, Status string }
			}
			if err := json.Unmarshal(d.Error(p), &body); err != nil || body.Error.Type+body.Error.Status != want {
				t.Errorf("%s, %d %s: got %+v, want %s (%v)", d.Name, test.status, test.code, body, want, err)
			}
			status := map[*dialect.Dialect]int{openai.Dialect: test.status, anthropic.Dialect: test.anthropicStatus, gemini.Dialect: test.geminiStatus}[d]
			if got := d.Status(p); got != status {
				t.Errorf("%s, %d %s: status %d, want %d", d.Name, test.status, test.code, got, status)
			}
		}
	}
}

// TestWrongKeysAreNotTriedAgain has the statuses that agents try again unless
// they are asked not to.
func TestWrongKeysAreNotTriedAgain(t *testing.T) {
	for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect, ollama.Dialect} {
		for status, want := range map[int]string{401: "false", 403: "false", 429: "", 503: ""} {
			h := http.Header{}
			d.ErrorHeader(h, dialect.Problem{Status: status, Code: "x"})
			if got := h.Get("X-Should-Retry"); got != want {
				t.Errorf("%s, %d: %q", d.Name, status, got)
			}
		}
	}
}

func TestErrorHeader(t *testing.T) {
	never := map[string]bool{"insufficient_quota": true, "request_too_large": true, "upstream_auth_failed": true, "upstream_timeout": true, "cache_only_miss": true, "upstream_redirect": true}
	for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
		for _, code := range []string{"insufficient_quota", "request_too_large", "upstream_auth_failed", "upstream_timeout", "cache_only_miss", "upstream_redirect", "upstream_connect_timeout", "rate_limit_exceeded", "upstream_reset", ""} {
			h := http.Header{}
			d.ErrorHeader(h, dialect.Problem{Status: 429, Code: code, RequestID: "req_1"})
			if got := h.Get("x-should-retry") == "false"; got != never[code] {
				t.Errorf("%s, %s: %v", d.Name, code, h)
			}
			if got := h.Get("request-id"); d == anthropic.Dialect && got != "req_1" {
				t.Errorf("%s, %s: request id %q", d.Name, code, got)
			}
		}
	}
}

// FuzzError: whatever a message holds, an error is valid JSON and one event.
func FuzzError(f *testing.F) {
	f.Add("a\nb\r\n\ndata: [DONE]\n\n", "code\"", "param", 502)
	f.Fuzz(func(t *testing.T, message, code, param string, status int) {
		p := dialect.Problem{Status: status, Code: code, Message: message, Param: param, RequestID: message, Type: param}
		for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
			if !json.Valid(d.Error(p)) {
				t.Fatalf("%s: %s", d.Name, d.Error(p))
			}
			raw, events := split(d.ErrorEvent(p))
			if len(raw) != 1 || len(events) != 1 || !json.Valid(events[0].Data) || bytes.ContainsAny(events[0].Data, "\r\n") {
				t.Fatalf("%s: %q", d.Name, raw)
			}
		}
	})
}
