package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// administrator is a gateway with an ADMIN_KEY.
type administrator struct {
	*reloadable
	t   *testing.T
	url string
	key string
}

// ask sends a request as the administrator, and reads its answer for up to
// three seconds.
func (a *administrator) ask(method, path, body string) (status int, answer string) {
	a.t.Helper()
	status, header, answer := a.send(method, path, body)
	return status, fmt.Sprintf("%v\n%s", header, answer)
}

func (a *administrator) send(method, path, body string) (status int, header http.Header, answer string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.url+"/_/api"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body) // a stream of events ends with the context
	return res.StatusCode, res.Header, string(text)
}

// mustAsk asks what has to be answered with 200, and reads the answer.
func mustAsk[T any](a *administrator, method, path, body string) (v T) {
	a.t.Helper()
	status, _, text := a.send(method, path, body)
	if status != http.StatusOK {
		a.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		a.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return v
}

func mustAdminister(t *testing.T, env string) *administrator {
	t.Helper()
	const key = "CANARY-admin-0123456789"
	l, server := MustReload(t, "ADMIN_KEY="+key+"\n"+env)
	return &administrator{l, t, server.URL, key}
}

// TestNoAnswerHoldsASecret (D22) sets every secret that settings can have, asks
// every path of the API with each of its methods, and looks for them in all
// answers: in those that succeed and in errors.
func TestNoAnswerHoldsASecret(t *testing.T) {
	const canary = "CANARY"
	store := miniredis.RunT(t)
	store.RequireAuth("CANARY-redis-0123456789")
	hook := httptest.NewServer(http.NotFoundHandler())
	hookAt := strings.TrimPrefix(hook.URL, "http://")
	hook.Close() // nothing answers there, so that errors are shown
	t.Chdir(t.TempDir())
	a := mustAdminister(t, strings.Join([]string{
		"OPENAI_API_KEY=sk-proj-CANARY-0123456789,sk-proj-CANARY-9876543210", "ANTHROPIC_API_KEY=sk-ant-CANARY-0123456789",
		"FORWARD_KEY=alice=fk-CANARY-0123456789", "METRICS_KEY=CANARY-metrics-0123456789", "KEY_SECRET=CANARY-secret-0123456789",
		"BUDGET_WEBHOOK=http://user:CANARY-hook-0123456789@" + hookAt + "/CANARY-path-0123456789?token=CANARY-token-0123456789",
		"USAGE_WEBHOOK=http://" + hookAt + "/CANARY-usage-0123456789", "WEBHOOK_SECRET=CANARY-sign-0123456789",
		"PROXY=http://user:CANARY-proxy-0123456789@" + hookAt,
		"REQ_RATE_LIMIT_BACKEND=redis://:CANARY-redis-0123456789@" + store.Addr(), "CACHE_BACKEND=redis://:CANARY-redis-0123456789@" + store.Addr(),
		"CACHE_CHAT_COMPLETION=true", "LOG_CHAT=true",
	}, "\n")+"\n")
	// A file with wrong settings, too: the errors of a reload are answers.
	if err := os.WriteFile("forward.yaml", []byte("routes:\n  extra:\n    forward: https://extra.example\n    keys: [sk-extra-CANARY-0123456789]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload("test"); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	_, _, text := a.send(http.MethodGet, "/openapi.json", "")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	values := strings.NewReplacer("{route}", "openai", "{number}", "0", "{model}", "gpt-4o", "{key}", "alice", "{entry}", strings.Repeat("0", 64), "{id}", "none")
	bodies := map[string][]string{
		"/settings/check": {`{"yaml":""}`, `{"yaml":"port: x\nopenai_api_key: [a b]\nlog_level: ${ADMIN_KEY}"}`, `{"yaml":"routes: {a: {forward: https://a.example}}"}`},
		"/usage/reprice":  {`{"since":"all"}`},
	}
	asked, good := 0, 0
	look := func(method, path, body string) {
		status, answer := a.ask(method, path, body)
		asked++
		if status == http.StatusOK {
			good++
		}
		if at := strings.Index(answer, canary); at >= 0 {
			t.Errorf("%s %s (%d) has a secret: …%.200s", method, path, status, answer[max(0, at-80):])
		}
	}
	for _, method := range []string{"get", "post", "patch", "delete"} {
		for path, methods := range doc.Paths {
			path, below := strings.CutPrefix(path, "/_/api")
			if _, ok := methods[method]; !ok || !below || path == "/live" {
				continue
			}
			list := bodies[path]
			if list == nil {
				list = []string{"{}"}
			}
			for _, body := range list {
				look(strings.ToUpper(method), values.Replace(path), body)
			}
		}
	}
	look(http.MethodGet, "/prices/gpt-4o", "")
	look(http.MethodPost, "/alerts/test", "{}")
	if err := os.WriteFile("forward.yaml", []byte("admin_key: [CANARY-a-0123456789, 'CANARY b']\nforward_key: {CANARY-c-0123456789: x}\nproxy: gopher://user:CANARY-d-0123456789@proxy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look(http.MethodPost, "/reload", "{}")
	if asked < 25 || good < 12 {
		t.Errorf("%d requests, %d with status 200", asked, good)
	}
}

// TestUpstreamsOfTheAPI: states as the gateway has them, a wake that ends a
// rest, and a connect test that goes to the configured base URL alone.
func TestUpstreamsOfTheAPI(t *testing.T) {
	var calls atomic.Int64
	limited := atomic.Bool{}
	limited.Store(true)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if limited.Load() {
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		io.WriteString(w, `{"object":"list","data":[]}`)
	}))
	defer up.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	a := mustAdminister(t, "OPENAI_BASE_URL="+up.URL+"|http://"+gone.Addr().String()+"\nOPENAI_API_KEY=sk-0123456789\n")
	type upstreams struct {
		Upstreams []struct {
			Name, Access string
			Bases        []struct{ URL, State string }
			Keys         []struct {
				Number        int
				State, Reason string
				Until         *time.Time
			} `json:"api_keys"`
		}
	}
	state := func() string {
		t.Helper()
		u := mustAsk[upstreams](a, "GET", "/upstreams", "").Upstreams[0]
		return fmt.Sprint(u.Name, " ", u.Access, " ", u.Bases[0].URL == up.URL, " ", u.Bases[0].State, " ", u.Keys[0].State, " ", u.Keys[0].Reason, " ", u.Keys[0].Until != nil)
	}
	if got := state(); got != "openai keys true closed ready  false" {
		t.Errorf("before: %s", got)
	}
	client := func() int {
		res, err := http.Get(a.url + "/v1/models/gpt-4o")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	client()
	if got := state(); got != "openai keys true closed resting rate_limit true" {
		t.Errorf("after a 429: %s", got)
	}
	limited.Store(false)
	if status, answer := a.ask("POST", "/upstreams/openai/keys/0/wake", "{}"); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, answer)
	}
	if got := state(); got != "openai keys true closed ready  false" {
		t.Errorf("after the wake: %s", got)
	}
	before := calls.Load()
	type results struct {
		Results []struct {
			URL, Error string
			OK         bool
		}
	}
	r := mustAsk[results](a, "POST", "/upstreams/openai/check", "{}").Results
	if len(r) != 2 || !r[0].OK || r[0].URL != up.URL || r[1].OK || !strings.Contains(r[1].Error, "upstream_connect_failed") || calls.Load() != before+1 {
		t.Errorf("%+v after %d requests", r, calls.Load()-before)
	}
	for range 3 { // through a reload, too
		if status, answer := a.ask("POST", "/upstreams/openai/check", "{}"); status != http.StatusTooManyRequests || !strings.Contains(answer, "Retry-After:[") {
			t.Errorf("%d %s", status, answer)
		}
		if status, answer := a.ask("POST", "/reload", "{}"); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if calls.Load() != before+1 {
		t.Errorf("%d requests", calls.Load()-before)
	}
}

// TestDashboardContent: DASHBOARD_CONTENT keeps what the chat log and the cache
// have of a request from the administrator, and a reload applies it.
func TestDashboardContent(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"the answer"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	defer up.Close()
	env := "OPENAI_BASE_URL=" + up.URL + "\nOPENAI_API_KEY=sk-0123456789\nLOG_CHAT=true\nCACHE_CHAT_COMPLETION=true\nCACHE_BACKEND=memory\n"
	a := mustAdminister(t, env)
	res, err := http.Post(a.url+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m","caching":true,"messages":[{"role":"user","content":"the question"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	var entries struct{ Entries []struct{ Key string } }
	var requests struct{ Requests []struct{ ID string } }
	for end := time.Now().Add(5 * time.Second); len(entries.Entries) == 0 || len(requests.Requests) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: %v %+v %+v", res.Status, res.Header, entries, requests)
		}
		entries = mustAsk[struct{ Entries []struct{ Key string } }](a, "GET", "/cache/entries", "")
		requests = mustAsk[struct{ Requests []struct{ ID string } }](a, "GET", "/requests", "")
	}
	for _, shown := range []bool{true, false, true} {
		MustPut(t, a.reloadable, fmt.Sprintf("ADMIN_KEY=%s\n%sDASHBOARD_CONTENT=%t\n", a.key, env, shown))
		want := map[bool]string{true: "available", false: "disabled"}[shown]
		for _, path := range []string{"/cache/entries/" + entries.Entries[0].Key, "/requests/" + requests.Requests[0].ID} {
			status, _, text := a.send("GET", path, "")
			if status != http.StatusOK || !strings.Contains(text, `"content": "`+want+`"`) {
				t.Errorf("%s with DASHBOARD_CONTENT=%t: %d %s", path, shown, status, text)
			}
		}
		for _, path := range []string{"/cache/entries/" + entries.Entries[0].Key, "/requests/" + requests.Requests[0].ID + "/content"} {
			if _, _, text := a.send("GET", path, ""); strings.Contains(text, "the question") != shown || strings.Contains(text, "the answer") != shown {
				t.Errorf("%s with DASHBOARD_CONTENT=%t: %s", path, shown, text)
			}
		}
	}
}

type settingsAnswer struct {
	OK       bool
	Problems []struct {
		Line             *int
		Setting, Message string
	}
	Changes []struct {
		Name, Before, After string
		Restart             bool
	}
	Warnings []string
}

// TestSettingsOfTheAPI: a wrong text names line and fix and changes nothing, a
// right one shows the difference, the export loads again with `forward check`,
// and a reload does what the command does.
func TestSettingsOfTheAPI(t *testing.T) {
	a := mustAdminister(t, "OPENAI_API_KEY=sk-0123456789\nLOG_LEVEL=warn\nMODEL_ALIASES={\"fast\": \"gpt-4o-mini\"}\nROUTES_ARE_NO_SETTING=1\n")
	type settings struct {
		Settings []struct {
			Name, Value, Source, Where string
			Restart, Fixed, Pending    bool
		}
	}
	setting := func(name string) string {
		t.Helper()
		for _, s := range mustAsk[settings](a, "GET", "/settings", "").Settings {
			if s.Name == name {
				return fmt.Sprint(s)
			}
		}
		return ""
	}
	if got := setting("LOG_LEVEL"); got != "{LOG_LEVEL warn .env .env:3 false false false}" {
		t.Error(got)
	}
	if got := setting("OPENAI_API_KEY"); strings.Contains(got, "0123456789") || !strings.Contains(got, "sk-") {
		t.Error(got)
	}
	check := func(yaml string) settingsAnswer {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"yaml": yaml})
		return mustAsk[settingsAnswer](a, "POST", "/settings/check", string(body))
	}
	if got := check("a: b\ncache_ttl: soon\n"); got.OK || len(got.Problems) != 2 || *got.Problems[1].Line != 2 && *got.Problems[0].Line != 2 {
		t.Errorf("%+v", got)
	}
	if got := check("port: 9000\nretries: 5\n"); !got.OK || fmt.Sprint(got.Changes) != "[{PORT 8000 9000 true} {RETRIES 2 5 false}]" {
		t.Errorf("%+v", got)
	}
	if got := check("prices: {acme: openai/no-such-model}\n"); got.OK || len(got.Problems) != 1 || got.Problems[0].Line == nil {
		t.Errorf("%+v", got)
	}
	place := filepath.Join(t.TempDir(), "made")
	if got := check("data_dir: " + place + "\nlog_dir: " + place + "\ntls_cert: " + place + "\ntls_key: " + place + "\nusage_file: " + place + "/u\nlog_chat: true\n"); !got.OK {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(place); err == nil {
		t.Error("a check made what the text names")
	}
	if got := setting("RETRIES"); got != "{RETRIES 2 default  false false false}" {
		t.Errorf("a check changed a setting: %s", got)
	}

	_, text := a.ask("GET", "/settings/export", "")
	if !strings.Contains(text, "text/yaml") || !strings.Contains(text, `filename="forward.yaml"`) {
		t.Errorf("%.300s", text)
	}
	yaml := text[strings.Index(text, "# The settings"):]
	if got := check(yaml); !got.OK || len(got.Changes) != 0 {
		t.Errorf("%+v of\n%s", got, yaml)
	}
	if err := os.WriteFile("exported.yaml", []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(".env"); err != nil {
		t.Fatal(err)
	}
	out, errs, err := execute("check", "--config", "exported.yaml")
	if err != nil || !strings.Contains(out, "The settings are fine") || !strings.Contains(out, "gpt-4o-mini") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}

	writeEnv(t, "ADMIN_KEY="+a.key+"\nLOG_LEVEL=debug\nPORT=8123\n")
	type reloaded struct{ Changed, Restart []string }
	if got := mustAsk[reloaded](a, "POST", "/reload", "{}"); fmt.Sprint(got) != "{[OPENAI_API_KEY MODEL_ALIASES LOG_LEVEL] [PORT]}" {
		t.Errorf("%+v", got)
	}
	if got := setting("PORT"); got != "{PORT 8000 default  true false true}" {
		t.Errorf("a change that waits: %s", got)
	}
	writeEnv(t, "ADMIN_KEY="+a.key+"\nLOG_LEVEL=loud\n")
	if status, answer := a.ask("POST", "/reload", "{}"); status != http.StatusUnprocessableEntity || !strings.Contains(answer, ".env:2") || !strings.Contains(answer, "settings_refused") {
		t.Errorf("%d %s", status, answer)
	}
	if got := setting("LOG_LEVEL"); !strings.Contains(got, "debug") {
		t.Errorf("a refused reload changed a setting: %s", got)
	}
}

// TestAlertOfTheAPI: a test message goes to the configured address.
func TestAlertOfTheAPI(t *testing.T) {
	got := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(text)
	}))
	defer hook.Close()
	a := mustAdminister(t, "BUDGET_WEBHOOK="+hook.URL+"/secret-path\n")
	if answer := mustAsk[map[string]any](a, "POST", "/alerts/test", "{}"); answer["sent"] != true || answer["status"] != 200.0 {
		t.Errorf("%v", answer)
	}
	if text := <-got; !strings.HasPrefix(text, `/secret-path {"test":{`) {
		t.Error(text)
	}
	if status, answer := mustAdminister(t, "").ask("POST", "/alerts/test", "{}"); status != http.StatusNotFound || !strings.Contains(answer, "BUDGET_WEBHOOK") {
		t.Errorf("%d %s", status, answer)
	}
}
