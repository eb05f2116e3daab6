package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// testQuestion is a question of a scope.
func testQuestion(scope, body string) cache.Question {
	return cache.Question{Route: "openai", Dialect: "openai", Operation: "chat", Model: "gpt-4o", Method: "POST", Path: "/v1/chat/completions", Scope: scope, Body: []byte(body)}
}

const testBody = `{"model":"gpt-4o","prompt":"prompt-canary"}`

var (
	entryQuestion = testQuestion("shared", testBody)
	entryKey      = entryQuestion.Key("shared").String()
)

// testGateway is a gateway with one route, whose second API key rests, and a
// cache with one entry.
func testGateway(t *testing.T) admin.Gateway {
	t.Helper()
	prices, err := price.NewTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(cache.Options{Backend: "MEMORY", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	q := testQuestion("shared", testBody)
	c.Put(q.Key(q.Scope), &cache.Entry{Status: 200, Body: []byte(`{"answer":"answer-canary"}`), Question: q, Stored: now.Add(-time.Hour)})
	since := now.Add(-time.Minute)
	until := now.Add(time.Minute)
	keys := []admin.UpstreamKey{{Number: 0, State: "ready"}, {Number: 1, State: "resting", Until: &until, Reason: "rate_limit"}}
	checked := false
	line := 2
	return admin.Gateway{
		Upstreams: func() []admin.Upstream {
			return []admin.Upstream{{Route: "/", Name: "openai", Dialect: "openai", Access: "keys", Keys: keys,
				Bases: []admin.UpstreamBase{{URL: "https://api.openai.com", State: "open", Since: &since}}}}
		},
		Check: func(_ context.Context, route string) admin.Checked {
			if route != "openai" {
				return admin.Checked{}
			}
			if checked {
				return admin.Checked{Found: true, Wait: 9 * time.Second}
			}
			checked = true
			return admin.Checked{Found: true, Results: []admin.Reached{{URL: "https://api.openai.com", OK: true, MS: 12.5}}}
		},
		Wake:      func(_ string, key int) bool { keys[key] = admin.UpstreamKey{Number: key, State: "ready"}; return true },
		Cache:     func() *cache.Cache { return c },
		Prices:    prices,
		TestAlert: func(context.Context) (int, error) { return 503, errors.New("the webhook answered 503") },
		Settings: admin.Settings{
			List: func() []admin.Setting {
				return []admin.Setting{{Name: "PORT", Value: "8000", Source: "default", Restart: true}}
			},
			Export: func(w io.Writer) error { _, err := io.WriteString(w, "PORT: 8000\n"); return err },
			Check: func(text string) admin.SettingsCheck {
				return admin.SettingsCheck{Problems: []admin.SettingsProblem{{Line: &line, Setting: "port", Message: text}}, Warnings: []string{}, Changes: []admin.SettingsChange{{Name: "PORT", Restart: true}}}
			},
			Reload: func() (admin.Reloaded, error) {
				return admin.Reloaded{Changed: []string{"LOG_LEVEL"}, Restart: []string{}, Warnings: []string{}}, nil
			},
		},
	}
}

// post sends a body as the administrator.
func (h *fixture) post(method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8000"
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestUpstreams: the state of routes, with what became of their requests in the
// last 24 hours.
func TestUpstreams(t *testing.T) {
	h := newFixture(t).spent()
	for i, e := range []struct {
		cause  string
		status int
	}{{"upstream_timeout", 504}, {"upstream_timeout", 504}, {"", 429}, {"", 500}} {
		h.ledger.Record(ledger.Row{ID: fmt.Sprint("e", i), Time: now.Add(-time.Hour), Route: "openai", Operation: dialect.Chat, Model: "gpt-4o", Status: e.status, Cause: e.cause})
	}
	h.ledger.Record(ledger.Row{ID: "old", Time: now.Add(-48 * time.Hour), Route: "openai", Operation: dialect.Chat, Model: "gpt-4o", Status: 500})
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Upstreams []struct {
			Name, Route string
			Requests    int
			Errors      []struct {
				Cause    string
				Status   int
				Requests int
			}
			Count int `json:"error_count"`
		}
	}
	read := func() {
		t.Helper()
		if err := json.Unmarshal(h.ask(http.MethodGet, "/_/api/upstreams", "admin").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
	}
	read()
	u := got.Upstreams[0]
	if u.Name != "openai" || u.Requests != 8 || u.Count != 4 || fmt.Sprint(u.Errors) != "[{upstream_timeout 0 2} { 429 1} { 500 1}]" {
		t.Errorf("%+v", u)
	}
	// A page that is open asks again and again, and rows are not read again.
	h.ledger.Record(ledger.Row{ID: "new", Time: now, Route: "openai", Operation: dialect.Chat, Model: "gpt-4o", Status: 500})
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	read()
	if u := got.Upstreams[0]; u.Count != 4 {
		t.Errorf("rows were read again: %+v", u)
	}
	off := newFixture(t, func(o *admin.Options) { o.Ledger = nil })
	if w := off.ask(http.MethodGet, "/_/api/upstreams", "admin"); w.Code != 200 || !strings.Contains(w.Body.String(), `"errors": []`) {
		t.Errorf("without a ledger: %d %s", w.Code, w.Body)
	}
}

// TestGatewayWrites: each write answers as it should, and is in the audit where
// it did something.
func TestGatewayWrites(t *testing.T) {
	h := newFixture(t).spent()
	log := h.options.Audit
	for _, test := range []struct {
		method, target, body string
		status               int
		want                 string // in the answer
		entry                string // in the audit; "": none
	}{
		{"POST", "/_/api/upstreams/none/check", "{}", 404, "not_found", ""},
		{"POST", "/_/api/upstreams/openai/check", `{"url":"http://169.254.169.254/"}`, 400, "invalid_body", ""},
		{"POST", "/_/api/upstreams/openai/check", "{}", 200, `"ok": true`, "upstream.check openai"},
		{"POST", "/_/api/upstreams/openai/check", "{}", 429, "rate_limit_exceeded", ""},
		{"POST", "/_/api/upstreams/openai/keys/7/wake", "{}", 404, "not_found", ""},
		{"POST", "/_/api/upstreams/openai/keys/01/wake", "{}", 404, "not_found", ""},
		{"POST", "/_/api/upstreams/openai/keys/1/wake", "{}", 204, "", "upstream.wake openai/1"},
		{"POST", "/_/api/settings/check", `{"yaml":"port: x"}`, 200, `"line": 2`, ""},
		{"POST", "/_/api/settings/check", `{"yaml":"` + strings.Repeat("x", 70<<10) + `"}`, 200, "xxx", ""},
		{"POST", "/_/api/settings/check", `{"yaml":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "body_too_large", ""},
		{"POST", "/_/api/reload", "{}", 200, "LOG_LEVEL", "settings.reload"},
		{"POST", "/_/api/alerts/test", "{}", 200, `"status": 503`, "alerts.test"},
		{"POST", "/_/api/alerts/test", `{"url":"http://evil.example"}`, 400, "invalid_body", ""},
		{"POST", "/_/api/usage/reprice", "{}", 400, "since", ""},
		{"POST", "/_/api/usage/reprice", `{"since":"x"}`, 400, "invalid_query", ""},
		{"POST", "/_/api/usage/reprice", `{"since":"30d"}`, 200, `"dry_run": true`, ""},
		{"POST", "/_/api/usage/reprice", `{"since":"30d","dry_run":false}`, 200, `"dry_run": false`, "usage.reprice 30d"},
		{"DELETE", "/_/api/cache/entries", "", 400, "all=true", ""},
		{"DELETE", "/_/api/cache/entries?all=true&route=openai", "", 400, "all", ""},
		{"DELETE", "/_/api/cache/entries?all=yes", "", 400, "neither true nor false", ""},
		{"DELETE", "/_/api/cache/entries?modle=x", "", 400, "modle", ""},
		{"DELETE", "/_/api/cache/entries?all=true&dry_run=true", "", 200, `"entries": 1`, ""},
		{"DELETE", "/_/api/cache/entries?route=other", "", 200, `"entries": 0`, "cache.purge route=other"},
		{"DELETE", "/_/api/cache/entries/" + entryKey[:12], "", 404, "not_found", ""},
		{"DELETE", "/_/api/cache/entries/" + entryKey, "", 204, "", "cache.purge " + entryKey},
		{"DELETE", "/_/api/cache/entries/" + entryKey, "", 404, "not_found", ""},
		{"DELETE", "/_/api/cache/entries?all=true", "", 200, `"entries": 0`, "cache.purge all=true"},
	} {
		before := recorded(t, log)
		w := h.post(test.method, test.target, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %s: %d %.300s", test.method, test.target, w.Code, w.Body)
		}
		if test.status == 429 && w.Header().Get("Retry-After") != "9" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
		after := recorded(t, log)
		added := ""
		if len(after) > len(before) {
			added = strings.TrimSpace(after[0].Action + " " + after[0].Object)
		}
		if added != test.entry {
			t.Errorf("%s %s: the audit has %q, want %q", test.method, test.target, added, test.entry)
		}
	}
	text, _ := json.Marshal(recorded(t, log))
	for _, want := range []string{`"before":{"number":1,"state":"resting"`, `"after":{"number":1,"state":"ready"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the audit has no %s: %s", want, text)
		}
	}
}

func recorded(t *testing.T, log *audit.Log) []audit.Entry {
	t.Helper()
	list, err := log.List(t.Context(), audit.Query{Limit: 100}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCacheAPI: figures, pages and filters of entries.
func TestCacheAPI(t *testing.T) {
	h := newFixture(t)
	c := h.options.Gateway.Cache()
	for n := range 5 {
		q := testQuestion("key:"+h.ids["alice"], fmt.Sprintf(`{"n":%d}`, n))
		q.Model = fmt.Sprint("model-", n%2)
		c.Put(q.Key(q.Scope), &cache.Entry{Status: 200, Body: []byte("{}"), Question: q, Stored: now.Add(-time.Duration(n+2) * time.Hour)})
	}
	for i, row := range []struct {
		cache string
		saved price.Money
	}{{"hit", price.Dollar}, {"hit", price.Dollar / 2}, {"miss", 0}, {"bypass", 0}} {
		h.ledger.Record(ledger.Row{ID: fmt.Sprint(i), Time: now.Add(-time.Hour), Route: "openai", Model: "gpt-4o", Status: 200, Cache: row.cache, Saved: row.saved, Priced: true})
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	type figures struct {
		Entries int
		Saved   int64 `json:"saved_nano_usd"`
		ByRoute []struct {
			Route          string
			Requests, Hits int
			Saved          int64 `json:"saved_nano_usd"`
		} `json:"by_route"`
	}
	if f := get[figures](h, "/_/api/cache", "admin"); f.Entries != 6 || f.Saved != 1_500_000_000 || fmt.Sprint(f.ByRoute) != "[{openai 3 2 1500000000}]" {
		t.Errorf("%+v", f)
	}
	type page struct {
		Entries []struct {
			Key, Model string
			Expires    *time.Time
		}
		Next *string
	}
	seen := map[string]bool{}
	target := "/_/api/cache/entries?limit=2"
	for pages := 1; ; pages++ {
		p := get[page](h, target, "admin")
		for _, e := range p.Entries {
			seen[e.Key] = true
			if e.Expires == nil {
				t.Errorf("%s never expires", e.Key)
			}
		}
		if p.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		target = "/_/api/cache/entries?limit=2&after=" + *p.Next
	}
	if len(seen) != 6 {
		t.Errorf("%d entries", len(seen))
	}
	for query, want := range map[string]int{"model=model-1": 2, "scope=shared": 1, "route=open*": 6, "before=3h": 3, "before=2026-11-21T12:30:00Z": 4, "model=none": 0} {
		if p := get[page](h, "/_/api/cache/entries?"+query, "admin"); len(p.Entries) != want {
			t.Errorf("%s: %d entries, not %d", query, len(p.Entries), want)
		}
	}
	for _, query := range []string{"after=x", "before=soon", "limit=0", "colour=red"} {
		if w := h.ask(http.MethodGet, "/_/api/cache/entries?"+query, "admin"); w.Code != 400 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	off := newFixture(t, func(o *admin.Options) { o.Gateway.Cache = func() *cache.Cache { return nil } })
	if w := off.ask(http.MethodGet, "/_/api/cache", "admin"); w.Code != 404 || !strings.Contains(w.Body.String(), "CACHE_CHAT_COMPLETION") {
		t.Errorf("without a cache: %d %s", w.Code, w.Body)
	}
}

// TestCachedContent: what the chat log may not keep is not shown out of the
// cache either (D20), and what is shown is in the audit.
func TestCachedContent(t *testing.T) {
	for _, test := range []struct {
		name, scope, log, others string
		hidden                   bool // DASHBOARD_CONTENT
		want                     string
	}{
		{"a key without a policy", "alice", "", "full", false, "available"},
		{"a key that keeps nothing", "alice", "off", "full", false, "off"},
		{"a key that keeps figures", "alice", "meta", "full", false, "meta"},
		{"a key that keeps it redacted", "alice", "redacted", "full", false, "redacted"},
		{"all keys keep figures", "alice", "", "meta", false, "meta"},
		{"the key's own policy comes first", "alice", "full", "meta", false, "available"},
		{"a shared answer", "shared", "", "full", false, "available"},
		{"a shared answer, perhaps of the other key", "shared", "off", "full", false, "off"},
		{"a caller without a key", "anyone", "off", "full", false, "available"},
		{"a caller without a key, figures", "anyone", "", "meta", false, "meta"},
		{"an imported answer", cache.Imported, "off", "meta", false, "available"},
		{"a key that is gone", "key:ffff", "", "full", false, "off"},
		{"content switched off", "alice", "", "full", true, "disabled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newFixture(t, func(o *admin.Options) { o.Features.Chats.Content, o.Features.Content = test.others, !test.hidden })
			if test.log != "" {
				h.add("quiet", map[string]string{"log": test.log})
			}
			q := testQuestion(test.scope, testBody)
			if test.scope == "alice" {
				q.Scope = "key:" + h.ids["alice"]
				if test.log != "" {
					q.Scope = "key:" + h.ids["quiet"]
				}
			}
			k := q.Key(q.Scope)
			h.options.Gateway.Cache().Put(k, &cache.Entry{Status: 200, Body: []byte(`{"answer":"answer-canary"}`), Question: q})
			w := h.ask(http.MethodGet, "/_/api/cache/entries/"+k.String(), "admin")
			shown := strings.Contains(w.Body.String(), "prompt-canary") && strings.Contains(w.Body.String(), "answer-canary")
			leaked := strings.Contains(w.Body.String(), "-canary")
			if !strings.Contains(w.Body.String(), `"content": "`+test.want+`"`) || shown != (test.want == "available") || leaked != shown {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if reads := len(recorded(t, h.options.Audit)); (reads == 1) != shown {
				t.Errorf("%d entries in the audit", reads)
			}
		})
	}
}

func TestPricesAPI(t *testing.T) {
	h := newFixture(t)
	for target, want := range map[string]int{"gpt-4o": 200, "openai/gpt-4o": 200, "gpt-4o?provider=openai": 200, "gpt-4o?provider=anthropic": 404, "no-such-model": 404, "gpt-4o?colour=red": 400} {
		if w := h.ask(http.MethodGet, "/_/api/prices/"+target, "admin"); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if w := h.ask(http.MethodGet, "/_/api/prices/no-such-model", "admin"); !strings.Contains(w.Body.String(), "forward.yaml") {
		t.Errorf("no fix: %s", w.Body)
	}
}

// TestRepriceAPI: only dry_run=false changes the ledger.
func TestRepriceAPI(t *testing.T) {
	h := newFixture(t)
	h.ledger.Record(ledger.Row{ID: "1", Time: now.Add(-time.Hour), Route: "openai", Upstream: "openai", Operation: dialect.Chat, Model: "gpt-4o", Status: 200,
		Usage: dialect.Usage{Input: 1000, Output: 1000, Total: 2000}, Priced: true, Cost: 1})
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		DryRun       bool `json:"dry_run"`
		Rows, Priced int64
		Before       int64 `json:"before_nano_usd"`
		After        int64 `json:"after_nano_usd"`
	}
	cost := func() int64 { return get[report](h, "/_/api/usage", "admin").Total.Cost }
	for _, body := range []string{`{"since":"all"}`, `{"since":"1d","dry_run":true}`, `{"since":"all","model":"o1","dry_run":false}`} {
		if w := h.post("POST", "/_/api/usage/reprice", body); w.Code != 200 || cost() != 1 {
			t.Fatalf("%s changed the ledger: %d %s", body, w.Code, w.Body)
		}
	}
	var got outcome
	if err := json.Unmarshal(h.post("POST", "/_/api/usage/reprice", `{"since":"all","dry_run":false}`).Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.DryRun || got.Rows != 1 || got.Priced != 1 || got.Before != 1 || got.After <= 1_000_000 || cost() != got.After {
		t.Errorf("%+v, the ledger has %d", got, cost())
	}
}

// TestOnlyTheAdministrator: no holder of a key sees or changes the gateway.
func TestOnlyTheAdministrator(t *testing.T) {
	h := newFixture(t)
	log := h.options.Audit
	for _, target := range []string{"GET /upstreams", "POST /upstreams/openai/check", "POST /upstreams/openai/keys/1/wake", "GET /cache", "GET /cache/entries", "DELETE /cache/entries?all=true",
		"GET /cache/entries/" + entryKey, "DELETE /cache/entries/" + entryKey, "GET /settings", "GET /settings/export", "POST /settings/check", "POST /reload", "GET /prices/gpt-4o", "POST /usage/reprice", "GET /warnings", "POST /alerts/test"} {
		method, path, _ := strings.Cut(target, " ")
		for _, name := range []string{"", "alice"} {
			if w := h.ask(method, "/_/api"+path, name); w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden && w.Code != http.StatusUnsupportedMediaType {
				t.Errorf("%s asked by %q: %d", target, name, w.Code)
			}
		}
	}
	if list := recorded(t, log); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	if sum, err := h.options.Gateway.Cache().Count(t.Context(), cache.Filter{}); err != nil || sum.Entries != 1 {
		t.Errorf("%+v %v", sum, err)
	}
}
