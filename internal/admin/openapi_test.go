package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

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

// Every answer is as openapi.json describes it, which has every path and no
// other.
func TestAnswersAreAsDescribed(t *testing.T) {
	h := newFixture(t, withTagBudgets).spent()
	bound := newFixture(t, func(o *admin.Options) {
		o.Caller = func(*http.Request) (*keys.Key, error) {
			return &keys.Key{Policy: keys.Policy{IPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}, nil
		}
	})
	guessing := newFixture(t)
	for i := range keys.MaxFailures {
		r := httptest.NewRequest(http.MethodGet, "/_/api/me", nil)
		r.Header.Set("Authorization", fmt.Sprint("Bearer fk-guess", i))
		guessing.ServeHTTP(httptest.NewRecorder(), r)
	}
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	asked := map[string]bool{}
	for _, test := range []struct{ path, target, name, status string }{
		{"/_/api/usage", "/_/api/usage?by=key,model,route,operation,status,cache,day", "admin", "200"},
		{"/_/api/usage", "/_/api/usage?by=user,upstream,slot,answered,cause,finish,tag,hour,month&since=all&until=1h&limit=1", "admin", "200"},
		{"/_/api/usage", "/_/api/usage?by=colour", "admin", "400"},
		{"/_/api/usage", "/_/api/usage", "", "401"},
		{"/_/api/budgets", "/_/api/budgets", "admin", "200"},
		{"/_/api/budgets", "/_/api/budgets", "alice", "401"},
		{"/_/api/usage", "/_/api/usage?by=session&tag=team-red&session=s", "admin", "200"},
		{"/_/api/keys", "/_/api/keys?limit=4", "admin", "200"},
		{"/_/api/keys", "/_/api/keys", "bob", "401"},
		{"/_/api/keys/{key}", "/_/api/keys/alice", "admin", "200"},
		{"/_/api/keys/{key}", "/_/api/keys/ci", "admin", "200"},
		{"/_/api/keys/{key}", "/_/api/keys/dave", "admin", "404"},
		{"/_/api/me", "/_/api/me", "alice", "200"},
		{"/_/api/me", "/_/api/me", "ci", "200"},
		{"/_/api/me", "/_/api/me", "carol", "401"},
		{"/dashboard/billing/subscription", "/dashboard/billing/subscription", "alice", "200"},
		{"/v1/dashboard/billing/subscription", "/v1/dashboard/billing/subscription", "bob", "200"},
		{"/dashboard/billing/usage", "/dashboard/billing/usage", "alice", "200"},
		{"/dashboard/billing/usage", "/dashboard/billing/usage?start_date=x", "alice", "400"},
		{"/v1/dashboard/billing/usage", "/v1/dashboard/billing/usage", "carol", "401"},
		{"/_/api/openapi.json", "/_/api/openapi.json", "", "200"},
	} {
		asked[test.path] = true
		w := h.ask(http.MethodGet, test.target, test.name)
		if fmt.Sprint(w.Code) != test.status {
			t.Errorf("%s: status %d: %s", test.target, w.Code, w.Body)
			continue
		}
		path, ok := doc["paths"].(schema)[test.path].(schema)
		if !ok {
			t.Errorf("%s is not described", test.path)
			continue
		}
		answer, ok := path["get"].(schema)["responses"].(schema)[test.status].(schema)
		if !ok {
			t.Errorf("status %s of %s is not described", test.status, test.path)
			continue
		}
		s := answer["content"].(schema)["application/json"].(schema)["schema"].(schema)
		for _, wrong := range fits(doc, s, decode(t, w.Body.String()), test.target) {
			t.Error(wrong)
		}
	}
	for path, item := range doc["paths"].(schema) {
		if !asked[path] {
			t.Errorf("%s is described and was not asked", path)
		}
		target := strings.ReplaceAll(path, "{key}", "alice")
		described := item.(schema)["get"].(schema)["responses"].(schema)
		for status, w := range map[string]*httptest.ResponseRecorder{"403": bound.ask(http.MethodGet, target, "alice"), "429": guessing.ask(http.MethodGet, target, "carol")} {
			answer, ok := described[status].(schema)
			if got := fmt.Sprint(w.Code) == status; got != ok {
				t.Errorf("%s answers %d, described %v: %v", path, w.Code, status, ok)
			}
			if ok {
				for _, wrong := range fits(doc, answer["content"].(schema)["application/json"].(schema)["schema"].(schema), decode(t, w.Body.String()), target) {
					t.Error(wrong)
				}
			}
		}
	}
}

// Parameters that are described are taken, for all others are refused.
func TestParametersAreAsDescribed(t *testing.T) {
	h := newFixture(t)
	doc := decode(t, h.ask(http.MethodGet, "/_/api/openapi.json", "").Body.String())
	values := map[string]string{"by": "key", "since": "7d", "until": "1h", "limit": "5", "offset": "1", "state": "active", "unmetered": "true"}
	n := 0
	for _, path := range []string{"/_/api/usage", "/_/api/keys"} {
		for _, p := range asList(doc["paths"].(schema)[path].(schema)["get"].(schema)["parameters"]) {
			name := p.(schema)["name"].(string)
			value := values[name]
			if value == "" {
				value = "x"
			}
			n++
			if w := h.ask(http.MethodGet, path+"?"+name+"="+value, "admin"); w.Code != http.StatusOK {
				t.Errorf("%s?%s=%s: %d %s", path, name, value, w.Code, w.Body)
			}
		}
	}
	if n != 23 {
		t.Errorf("%d parameters were looked at, not 23", n)
	}
}
