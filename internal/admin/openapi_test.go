package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/keys"
)

type schema = map[string]any

// fits reports in what a value is not as its schema has it. It knows the few
// words of JSON Schema that openapi.json uses.
func fits(doc schema, s schema, v any, at string) (wrong []string) {
	if ref, ok := s["$ref"].(string); ok {
		return fits(doc, doc["components"].(schema)["schemas"].(schema)[strings.TrimPrefix(ref, "#/components/schemas/")].(schema), v, at)
	}
	if s["type"] == nil {
		return nil // any value
	}
	types, ok := s["type"].([]any)
	if !ok {
		types = []any{s["type"]}
	}
	if is := typeOf(v); !slices.Contains(types, any(is)) && !(is == "integer" && slices.Contains(types, any("number"))) {
		return []string{fmt.Sprintf("%s is a %s, not %v", at, is, types)}
	}
	if words, ok := s["enum"].([]any); ok && !slices.Contains(words, v) {
		wrong = append(wrong, fmt.Sprintf("%s is %v, none of %v", at, v, words))
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			wrong = append(wrong, fits(doc, s["items"].(schema), item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case schema:
		properties, _ := s["properties"].(schema)
		for name, item := range v {
			if p, ok := properties[name].(schema); ok {
				wrong = append(wrong, fits(doc, p, item, at+"."+name)...)
			} else if s["additionalProperties"] == false {
				wrong = append(wrong, at+"."+name+" is not described")
			}
		}
		for _, name := range asList(s["required"]) {
			if _, ok := v[name.(string)]; !ok {
				wrong = append(wrong, fmt.Sprintf("%s.%v is missing", at, name))
			}
		}
	}
	return wrong
}

func asList(v any) []any { list, _ := v.([]any); return list }

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	}
	return "object"
}

func decode(t *testing.T, text string) (v schema) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// The callers of TestEveryPathRoleAndMethod: without a credential, with a wrong
// one, with a key, and signed in.
var (
	bearers  = []string{"", "wrong", "alice", "bob", "admin"}
	signedIn = []string{"alice", "admin"}
)

// pathValues stand for the parameters of paths.
var pathValues = strings.NewReplacer("{key}", "alice", "{id}", "none", "{route}", "openai", "{number}", "1", "{model}", "gpt-4o", "{entry}", entryKey)

// roleOf returns the name of the role of a bearer in a description.
func roleOf(bearer string) string {
	switch bearer {
	case "alice", "bob":
		return "forwardKey"
	case "admin":
		return "adminKey"
	}
	return ""
}

// mayAsk reports whether an operation is described as one for a role.
func mayAsk(operation schema, role string) bool {
	security, restricted := operation["security"]
	if !restricted {
		return true
	}
	for _, one := range asList(security) {
		if _, ok := one.(schema)[role]; ok {
			return true
		}
	}
	return false
}

// wrongAnswer reports in what an answer is not as its operation describes it.
func wrongAnswer(doc, operation schema, w *httptest.ResponseRecorder, at string) []string {
	answer, ok := operation["responses"].(schema)[fmt.Sprint(w.Code)].(schema)
	if !ok {
		return []string{fmt.Sprintf("%s: status %d is not described: %s", at, w.Code, w.Body)}
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, ok := answer["content"].(schema)
	if !ok {
		if w.Body.Len() > 0 {
			return []string{fmt.Sprintf("%s: status %d is described without a body: %s", at, w.Code, w.Body)}
		}
		return nil
	}
	form, ok := content[kind].(schema)
	if !ok {
		return []string{fmt.Sprintf("%s: status %d in %q is not described", at, w.Code, kind)}
	}
	if kind != "application/json" {
		return nil
	}
	var v any
	d := json.NewDecoder(w.Body)
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return []string{fmt.Sprintf("%s: %v", at, err)}
	}
	return fits(doc, form["schema"].(schema), v, at)
}

// D07: what each caller gets at each path with each method is as openapi.json
// describes it, which has every path and no other.
func TestEveryPathRoleAndMethod(t *testing.T) {
	h := newFixture(t, withTagBudgets, func(o *admin.Options) { o.Features.RotateOwn = true }).spent()
	h.secrets["wrong"] = "fk-wrong-credential"
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	asked, cookies := 0, map[string]*http.Cookie{}
	for path, item := range doc["paths"].(schema) {
		allow := []string{}
		for method := range item.(schema) {
			allow = append(allow, strings.ToUpper(method))
		}
		if slices.Contains(allow, http.MethodGet) {
			allow = append(allow, http.MethodHead)
		}
		slices.Sort(allow)
		// Reading comes first: what is removed cannot be read.
		for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "TRACE", "PATCH", "POST", "DELETE"} {
			for i, bearer := range append(slices.Clone(bearers), signedIn...) {
				asked++
				bySession := i >= len(bearers)
				at := fmt.Sprintf("%s %s asked by %q, signed in: %v", method, path, bearer, bySession)
				// Streams of events end with the time of the request.
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				r := httptest.NewRequestWithContext(ctx, method, pathValues.Replace(path), strings.NewReader("{}"))
				r.Header.Set("Content-Type", "application/json")
				r.Host = "127.0.0.1:8000"
				switch {
				case bySession:
					if cookies[bearer] == nil {
						cookies[bearer] = h.signIn(bearer)
					}
					r.AddCookie(cookies[bearer])
				case bearer != "":
					r.Header.Set("Authorization", "Bearer "+h.secrets[bearer])
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				cancel()
				if bySession && (method == http.MethodDelete || method == http.MethodPost) {
					clear(cookies) // it may have ended them
				}
				if !slices.Contains(allow, method) {
					if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != strings.Join(allow, ", ") {
						t.Errorf("%s: status %d, Allow %q, want %v", at, w.Code, w.Header().Get("Allow"), allow)
					}
					continue
				}
				described := strings.ToLower(method)
				if method == http.MethodHead {
					described = "get"
				}
				operation := item.(schema)[described].(schema)
				may, refusal := mayAsk(operation, roleOf(bearer)), http.StatusUnauthorized
				if bySession {
					may, refusal = may && mayAsk(operation, "session"), http.StatusForbidden
				}
				if bySession && !mayAsk(operation, "session") {
					refusal = http.StatusUnauthorized // the cookie means nothing there
				}
				if may == (w.Code == refusal) {
					t.Errorf("%s: status %d, may ask: %v: %s", at, w.Code, may, w.Body)
				}
				for _, wrong := range wrongAnswer(doc, operation, w, at) {
					t.Error(wrong)
				}
			}
		}
	}
	if asked < 10*8*(len(bearers)+len(signedIn)) {
		t.Errorf("only %d requests were made", asked)
	}
}

// Answers to requests with parameters are as described too, and so are
// refusals.
func TestAnswersAreAsDescribed(t *testing.T) {
	h := newFixture(t, withTagBudgets).spent()
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	for _, test := range []struct{ path, target, name, status string }{
		{"/_/api/usage", "/_/api/usage?by=key,model,route,operation,status,cache,day", "admin", "200"},
		{"/_/api/usage", "/_/api/usage?by=user,upstream,slot,answered,cause,finish,tag,hour,month&since=all&until=1h&limit=1", "admin", "200"},
		{"/_/api/usage", "/_/api/usage?by=colour", "admin", "400"},
		{"/_/api/usage", "/_/api/usage?by=key,model", "alice", "200"},
		{"/_/api/usage", "/_/api/usage?by=session&tag=team-red&session=s", "admin", "200"},
		{"/_/api/keys", "/_/api/keys?limit=4", "admin", "200"},
		{"/_/api/keys/{key}", "/_/api/keys/ci", "admin", "200"},
		{"/_/api/keys/{key}", "/_/api/keys/dave", "admin", "404"},
		{"/_/api/me", "/_/api/me", "ci", "200"},
		{"/_/api/me", "/_/api/me", "carol", "401"},
		{"/dashboard/billing/usage", "/dashboard/billing/usage?start_date=x", "alice", "400"},
		{"/v1/dashboard/billing/usage", "/v1/dashboard/billing/usage", "carol", "401"},
	} {
		w := h.ask(http.MethodGet, test.target, test.name)
		if fmt.Sprint(w.Code) != test.status {
			t.Errorf("%s: status %d: %s", test.target, w.Code, w.Body)
			continue
		}
		for _, wrong := range wrongAnswer(doc, doc["paths"].(schema)[test.path].(schema)["get"].(schema), w, test.target) {
			t.Error(wrong)
		}
	}
	h.add("office", map[string]string{"ips": "203.0.113.0/24"})
	h.reread()
	guessing := newFixture(t)
	guessing.secrets["wrong"] = "fk-wrong-credential"
	for i := range keys.MaxFailures {
		guessing.from("192.0.2.1", "/_/api/me", fmt.Sprint("fk-guess", i))
	}
	for path, item := range doc["paths"].(schema) {
		operation, ok := item.(schema)["get"].(schema)
		if !ok {
			continue
		}
		target := pathValues.Replace(path)
		for status, w := range map[string]*httptest.ResponseRecorder{"403": h.ask(http.MethodGet, target, "office"), "429": guessing.ask(http.MethodGet, target, "wrong")} {
			_, restricted := operation["security"]
			want := restricted && (status == "429" || mayAsk(operation, "forwardKey"))
			if got := fmt.Sprint(w.Code) == status; got != want {
				t.Errorf("%s answers %d, and %s is expected: %v", path, w.Code, status, want)
			}
			for _, wrong := range wrongAnswer(doc, operation, w, target) {
				t.Error(wrong)
			}
		}
	}
}

// Parameters that are described are taken, for all others are refused.
func TestParametersAreAsDescribed(t *testing.T) {
	h := newFixture(t)
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	values := map[string]string{"by": "key", "since": "7d", "until": "1h", "limit": "5", "offset": "1", "state": "active", "unmetered": "true", "unpriced": "true", "details": "true",
		"top": "3", "compare": "previous", "forecast": "true", "format": "csv", "before": "9", "min_ms": "1.5", "min_cost": "7", "buckets": "9"}
	n := 0
	for _, path := range []string{"/_/api/usage", "/_/api/keys", "/_/api/requests", "/_/api/requests/histogram", "/_/api/latency"} {
		for _, p := range asList(doc["paths"].(schema)[path].(schema)["get"].(schema)["parameters"]) {
			name := p.(schema)["name"].(string)
			value := values[name]
			if value == "" {
				value = "x"
			}
			if path == "/_/api/latency" && name == "by" {
				value = "model"
			}
			n++
			if w := h.ask(http.MethodGet, path+"?"+name+"="+value, "admin"); w.Code != http.StatusOK {
				t.Errorf("%s?%s=%s: %d %s", path, name, value, w.Code, w.Body)
			}
		}
	}
	if n != 80 {
		t.Errorf("%d parameters were looked at, not 80", n)
	}
}
