package upstream_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"forward/internal/upstream"
)

// The words of error bodies in the forms of the providers.
func openaiError(code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","param":null,"code":%q}}`, message, code)
}

func anthropicError(kind, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_1"}`, kind, message)
}

func googleError(status int, rpc, message, reason string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":%q,"domain":"googleapis.com"}]}}`, status, message, rpc, reason)
}

// The states of a key after an answer.
const (
	stays   = "ok"
	rests   = "resting"
	noMoney = "resting no_credit"
	aside   = "set_aside"
)

// verdicts are error answers of two API keys and what they mean for the first.
var verdicts = []struct {
	name   string
	status int
	body   string
	state  string
	tries  int // of two keys that answer alike
}{
	{"a wrong key", 401, openaiError("invalid_api_key", "Incorrect API key provided: sk-…abcd. You can find your API key at https://platform.openai.com/account/api-keys."), aside, 2},
	{"a deactivated account", 401, openaiError("account_deactivated", "The OpenAI account associated with this API key has been deactivated."), aside, 2},
	{"an expired token", 401, openaiError("token_expired", "Provided authentication token is expired."), aside, 2},
	{"words without a code", 401, `{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}`, aside, 2},
	{"words beside a code of another kind", 401, `{"error":{"message":"Authentication Fails, Your api key: ****abcd is invalid","type":"authentication_error","code":"invalid_request_error"}}`, aside, 2},
	{"words in detail", 401, `{"detail":"Provided API key is invalid."}`, aside, 2},
	{"words in message", 401, `{"message":"invalid api token"}`, aside, 2},
	{"words in plain text", 401, "API key has been revoked.\n", aside, 2},
	{"a wrong subscription key", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, aside, 2},
	{"Anthropic's wrong key", 401, anthropicError("authentication_error", "invalid x-api-key"), aside, 2},
	{"Anthropic's wrong token", 401, anthropicError("authentication_error", "Invalid bearer token"), aside, 2},
	{"Anthropic's expired token", 401, anthropicError("authentication_error", "OAuth token has expired. Please obtain a new token or refresh your existing token."), aside, 2},
	{"Anthropic's disabled organisation", 403, anthropicError("permission_error", "This organization has been disabled."), aside, 2},
	{"Google's wrong key", 400, googleError(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"), aside, 2},
	{"Google's wrong key in a list", 400, "[" + googleError(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID") + "]", aside, 2},
	{"Google's leaked key", 403, googleError(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", ""), aside, 2},
	{"Google's suspended consumer", 403, googleError(403, "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:x' has been suspended.", "CONSUMER_SUSPENDED"), aside, 2},
	{"a wrong key in a 400", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***ab."}`, aside, 2},

	{"missing scopes", 401, openaiError("", "You have insufficient permissions for this operation. Missing scopes: api.model.read. Check that you have the correct role, and if you're using a restricted API key, that it has the necessary scopes."), stays, 2},
	{"another organisation", 401, openaiError("mismatched_organization", "OpenAI-Organization header should match organization for API key"), stays, 2},
	{"an unknown organisation", 401, openaiError("invalid_organization", "Invalid organization for this API key: org-x"), stays, 2},
	{"a browser's origin", 401, anthropicError("authentication_error", "CORS requests must set 'anthropic-dangerous-direct-browser-access' header"), stays, 2},
	{"no permission", 403, anthropicError("permission_error", "Your API key does not have permission to use the specified resource."), stays, 2},
	{"a model that the project has not", 403, openaiError("model_not_found", "Project `proj_1` does not have access to model `gpt-5`, or this API key may not use it: it does not exist."), stays, 2},
	{"a country", 403, openaiError("unsupported_country_region_territory", "Country, region, or territory not supported"), stays, 2},
	{"an address", 401, openaiError("ip_not_authorized", "Your request was rejected: this API key is not allowed from your IP address."), stays, 2},
	{"a referrer", 403, googleError(403, "PERMISSION_DENIED", "Requests from referer <empty> are blocked.", "API_KEY_HTTP_REFERRER_BLOCKED"), stays, 2},
	{"an API that takes no keys", 401, googleError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token.", "ACCESS_TOKEN_TYPE_UNSUPPORTED"), stays, 2},
	{"a 401 without words", 401, "", stays, 2},
	{"a 401 in one word", 401, `{"message":"Unauthorized"}`, stays, 2},
	{"a page of a proxy", 403, "<html><head><title>403 Forbidden</title></head></html>", stays, 2},
	{"a client that quotes", 400, openaiError("invalid_value", "Invalid value: 'Incorrect API key provided'. Supported values are: 'a'."), stays, 1},
	{"a client that quotes an empty account", 400, anthropicError("invalid_request_error", "messages: unexpected value 'Your credit balance is too low'"), stays, 1},

	{"no money", 402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, noMoney, 2},
	{"no money without words", 402, "", noMoney, 2},
	{"Anthropic's empty account", 400, anthropicError("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), noMoney, 2},
	{"a spent quota", 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, noMoney, 2},
	{"a hard limit", 429, openaiError("billing_hard_limit_reached", "Billing hard limit has been reached"), noMoney, 2},
	{"a hard limit in a 400", 400, openaiError("billing_hard_limit_reached", "Billing hard limit has been reached"), noMoney, 2},
	{"Google without billing", 403, googleError(403, "PERMISSION_DENIED", "This API method requires billing to be enabled.", "BILLING_DISABLED"), noMoney, 2},
	{"the limit of a key", 403, `{"error":{"message":"Key limit exceeded (total limit).","code":403}}`, noMoney, 2},

	{"a rate limit", 429, openaiError("rate_limit_exceeded", "Rate limit reached for gpt-4o"), rests, 2},
	{"Google's rate limit", 429, googleError(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.", "RATE_LIMIT_EXCEEDED"), rests, 2},
	{"a request", 400, openaiError("invalid_value", "Invalid value for 'model'."), stays, 1},
	{"a fault", 500, openaiError("invalid_api_key", "Incorrect API key provided"), stays, 1},
}

// TestWhatAnErrorMeansForAnAPIKey asks two keys that answer alike, then a good
// second one, then a single one.
func TestWhatAnErrorMeansForAnAPIKey(t *testing.T) {
	for _, row := range verdicts {
		t.Run(row.name, func(t *testing.T) {
			good := -1
			f := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if key(r) == good {
					io.WriteString(w, "good")
					return
				}
				w.WriteHeader(row.status)
				io.WriteString(w, row.body)
			})
			a, r := attempts(t, f.URL, 2)
			wantVerdict(t, a, r, row.state == aside, row.status, row.body)
			if a.Count != row.tries || state(a, 0) != row.state {
				t.Errorf("%d tries, the key is %q", a.Count, state(a, 0))
			}
			good = 1
			a, r = attempts(t, f.URL, 2)
			if row.tries > 1 {
				wantVerdict(t, a, r, false, 200, "good")
			}
			a, r = attempts(t, f.URL, 1)
			wantVerdict(t, a, r, row.state == aside, row.status, row.body)
			if state(a, 0) != row.state {
				t.Errorf("the only key is %q", state(a, 0))
			}
			a, r = attempts(t, f.URL, 1)
			a.Own = true
			wantVerdict(t, a, r, row.state == aside, row.status, row.body)
			if state(a, 0) != stays {
				t.Errorf("after the gateway's own question the key is %q", state(a, 0))
			}
		})
	}
}

func wantVerdict(t *testing.T, a *upstream.Attempts, r *http.Request, fails bool, status int, body string) {
	t.Helper()
	res, err := a.RoundTrip(r)
	if fails {
		wantError(t, err, upstream.AuthFailed)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, res); res.StatusCode != status || got != body {
		t.Errorf("%d %q, want %d %q", res.StatusCode, got, status, body)
	}
}

// state is the state of an API key with its reason.
func state(a *upstream.Attempts, i int) string {
	s := a.Route.Keys.Report()[i]
	return strings.TrimSpace(s.State + " " + s.Reason)
}

// TestAnEmptyAccountRestsForMinutes uses a key again after its account was
// paid.
func TestAnEmptyAccountRestsForMinutes(t *testing.T) {
	c := newClock()
	p := pool(2, c)
	k := p.Order(0)[0]
	if !k.RestUnfunded() || k.RestUnfunded() || order(p, 0) != "1" {
		t.Error("the key is still dealt out, or its rest is no news, or twice")
	}
	k.Rest(time.Second) // does not shorten it
	c.advance(4 * time.Minute)
	if order(p, 0) != "1" {
		t.Error("the key is back too soon")
	}
	k.Restore()
	if got := len(order(p, 0)); got != 2 {
		t.Errorf("%d keys after the first worked again", got)
	}
	k.RestUnfunded()
	c.advance(5 * time.Minute)
	if got := p.Report()[0]; got.State != "ok" || got.Reason != "" || len(order(p, 0)) != 2 {
		t.Errorf("after five minutes: %+v", got)
	}
}

// TestErrorsPassAsTheyCame has bodies that are longer than what is read of them
// ahead, that come in parts and that break off.
func TestErrorsPassAsTheyCame(t *testing.T) {
	long := `{"error":{"message":"` + strings.Repeat("no ", 30_000) + `"}}`
	for name, parts := range map[string][]string{"long": {long}, "parts": {`{"err`, `or":`, `"no"}`}, "none": {}} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				for _, part := range parts {
					io.WriteString(w, part)
					http.NewResponseController(w).Flush()
				}
			})
			a, r := attempts(t, f.URL, 1)
			wantVerdict(t, a, r, false, 403, strings.Join(parts, ""))
		})
	}
	t.Run("late", func(t *testing.T) {
		f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"error":`)
			http.NewResponseController(w).Flush()
			time.Sleep(700 * time.Millisecond)
			io.WriteString(w, `"no"}`)
		})
		a, r := attempts(t, f.URL, 1)
		wantVerdict(t, a, r, false, 403, `{"error":"no"}`)
	})
	t.Run("stalled", func(t *testing.T) {
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "no")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		a, r := attempts(t, f.URL, 1)
		res, err := a.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2)
		_, err = io.ReadFull(res.Body, got)
		if err != nil || string(got) != "no" {
			t.Errorf("%q, %v", got, err)
		}
		res.Body.Close()
	})
	t.Run("cut", func(t *testing.T) {
		l := listen(t, answerWith("HTTP/1.1 401 Unauthorized\r\nContent-Length: 99\r\n\r\nno"))
		a, r := attempts(t, l.url(), 1)
		res, err := a.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, err := io.ReadAll(res.Body); string(b) != "no" || err == nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}
