package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/database"
	"forward/internal/keys"
	"forward/internal/price"
)

// withAudit gives a fixture an audit of its own.
func withAudit(t *testing.T) (log *audit.Log, change func(*admin.Options)) {
	t.Helper()
	db, err := database.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log, err = audit.Open(t.Context(), db, audit.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return log, func(o *admin.Options) { o.Audit = log }
}

// send sends JSON with the key of a name. headers are names and values.
func (h *fixture) send(method, target, name, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8000"
	r.Header.Set("Content-Type", "application/json")
	if name != "" {
		r.Header.Set("Authorization", "Bearer "+h.secrets[name])
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// sent sends JSON and reads the answer, whose status it checks.
func sent[T any](h *fixture, status int, method, target, body string, headers ...string) (v T) {
	h.t.Helper()
	w := h.send(method, target, "admin", body, headers...)
	if w.Code != status {
		h.t.Fatalf("%s %s %s: status %d: %s", method, target, body, w.Code, w.Body)
	}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			h.t.Fatalf("%s %s: %v", method, target, err)
		}
	}
	return v
}

type shownKey struct {
	ID, Name, State, Masked string
	Version                 int64
	Pending                 bool
	LastUsed                *time.Time `json:"last_used"`
	Grace                   *time.Time
	Fields                  map[string]string
	Policy                  map[string]any
	Budgets                 []struct{ Budget, Tag string }
}

type madeKey struct {
	Key      shownKey
	Secret   *string
	Handover *struct {
		Path  string
		Until time.Time
	}
}

// codeOf cuts the code out of a hand-over link.
func codeOf(t *testing.T, path string) string {
	t.Helper()
	code, ok := strings.CutPrefix(path, "#/handover/")
	if !ok || code == "" {
		t.Fatalf("%q is no link", path)
	}
	return code
}

// D11, the part of the API: each verb is answered, and recorded with what was
// there before and after. The secret is in one answer alone.
func TestEachVerbIsAudited(t *testing.T) {
	log, audited := withAudit(t)
	h := newFixture(t, audited)
	w := h.send("POST", "/_/api/keys", "admin", `{"fields": {"name": "dave", "budget": "20usd/month", "models": "gpt-*", "expires": "90d"}}`)
	var made madeKey
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	id, secret := made.Key.ID, *made.Secret
	if w.Header().Get("Location") != "/_/api/keys/"+id || w.Header().Get("ETag") != fmt.Sprintf(`"%d"`, made.Key.Version) || made.Handover != nil || made.Key.Masked != keys.Mask(secret) {
		t.Errorf("%v %+v", w.Header(), made)
	}
	path := "/_/api/keys/" + id
	secrets := []string{secret}
	for _, target := range []string{path, "/_/api/keys?details=true", "/_/api/keys"} {
		if body := h.ask("GET", target, "admin").Body.String(); strings.Contains(body, secret) || !strings.Contains(body, keys.Mask(secret)) {
			t.Errorf("%s shows %s", target, body)
		}
	}
	edited := sent[shownKey](h, 200, "PATCH", path, `{"fields": {"rpm": "30", "models": null}, "disabled": true}`, "If-Match", fmt.Sprintf(`"%d"`, made.Key.Version))
	if edited.State != "disabled" || edited.Fields["rpm"] != "30" || edited.Fields["models"] != "" || edited.Fields["budget"] != "20usd/month" || edited.Version <= made.Key.Version {
		t.Errorf("%+v", edited)
	}
	sent[shownKey](h, 200, "PATCH", path, `{"disabled": false}`)
	rotated := sent[madeKey](h, 200, "POST", path+"/rotate", `{"grace": "1h"}`)
	secrets = append(secrets, *rotated.Secret)
	if rotated.Key.Grace == nil || !rotated.Key.Grace.Equal(now.Add(time.Hour)) || rotated.Key.Masked != keys.Mask(*rotated.Secret) {
		t.Errorf("%+v", rotated)
	}
	link := sent[struct{ Path string }](h, 201, "POST", path+"/handover", `{}`)
	opened := sent[struct{ Secret, Name, ID string }](h, 200, "POST", "/_/api/handover", `{"code": "`+codeOf(t, link.Path)+`"}`)
	secrets = append(secrets, opened.Secret, codeOf(t, link.Path))
	if opened.Name != "dave" || opened.ID != id {
		t.Errorf("%+v", opened)
	}
	who := sent[struct {
		Key      shownKey
		Replaced bool
	}](h, 200, "POST", "/_/api/keys/whois", `{"secret": "`+secret+`"}`)
	if who.Key.Name != "dave" || !who.Replaced {
		t.Errorf("%+v", who)
	}
	bulk := sent[struct {
		Changed int
		Failed  []struct{ ID, Message string }
	}](h, 200, "POST", "/_/api/keys/bulk", `{"ids": ["`+id+`", "ci", "nope"], "expires": "2027-01-31"}`)
	if bulk.Changed != 1 || len(bulk.Failed) != 2 || bulk.Failed[0].ID != "ci" || !strings.Contains(bulk.Failed[0].Message, "change it there") {
		t.Errorf("%+v", bulk)
	}
	sent[struct{}](h, 204, "DELETE", path, "")
	entries, err := log.List(t.Context(), audit.Query{Object: id}, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(entries)
	type record struct {
		State, Masked string
		Version       int64
		Fields        map[string]string
	}
	want := []struct {
		action string
		seen   func(before, after record) bool
	}{
		{"key.create", func(b, a record) bool {
			return b.State == "" && a.State == "active" && a.Fields["budget"] == "20usd/month"
		}},
		{"key.update", func(b, a record) bool {
			return b.State == "active" && a.State == "disabled" && b.Fields["rpm"] == "" && a.Fields["rpm"] == "30" && a.Version > b.Version
		}},
		{"key.update", func(b, a record) bool { return b.State == "disabled" && a.State == "active" }},
		{"key.rotate", func(b, a record) bool { return b.Masked == keys.Mask(secret) && a.Masked == keys.Mask(*rotated.Secret) }},
		{"key.handover", func(b, a record) bool { return true }},
		{"key.open", func(b, a record) bool { return b.Masked != a.Masked && a.Masked == keys.Mask(opened.Secret) }},
		{"key.whois", func(b, a record) bool { return true }},
		{"key.update", func(b, a record) bool {
			return b.Fields["expires"] != a.Fields["expires"] && a.Fields["expires"] == "2027-02-01T00:00:00Z"
		}},
		{"key.revoke", func(b, a record) bool { return b.State == "active" && a.State == "revoked" }},
	}
	if len(entries) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(entries), len(want), entries)
	}
	for i, e := range entries {
		var before, after record
		for v, into := range map[any]*record{&e.Before: &before, &e.After: &after} {
			if text, ok := (*v.(*any)).(json.RawMessage); ok {
				if err := json.Unmarshal(text, into); err != nil {
					t.Fatal(err)
				}
			}
		}
		actor := "administrator"
		if e.Action == "key.open" {
			actor = "hand-over link"
		}
		if e.Action != want[i].action || !want[i].seen(before, after) || e.Actor != actor || e.Address == "" {
			t.Errorf("entry %d is %+v: %+v → %+v, want %s", i, e, before, after, want[i].action)
		}
		text := fmt.Sprintf("%s%s", e.Before, e.After)
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s has a secret: %s", e.Action, text)
			}
		}
	}
}

// D12: of two administrators that edit the same key, the second gets 412 with
// the version that is there now, and nothing of its change is made.
func TestTwoAdministratorsEditAKey(t *testing.T) {
	h := newFixture(t)
	w := h.ask("GET", "/_/api/keys/alice", "admin")
	read := w.Header().Get("ETag")
	if read == "" {
		t.Fatal(w.Header())
	}
	first := sent[shownKey](h, 200, "PATCH", "/_/api/keys/alice", `{"fields": {"rpm": "10"}}`, "If-Match", read)
	w = h.send("PATCH", "/_/api/keys/alice", "admin", `{"fields": {"rpm": "20", "tpm": "5"}}`, "If-Match", read)
	if w.Code != http.StatusPreconditionFailed || !strings.Contains(w.Body.String(), `"version_mismatch"`) || w.Header().Get("ETag") != fmt.Sprintf(`"%d"`, first.Version) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	got := get[shownKey](h, "/_/api/keys/alice", "admin")
	if got.Fields["rpm"] != "10" || got.Fields["tpm"] != "" || got.Version != first.Version {
		t.Errorf("%+v", got)
	}
	sent[shownKey](h, 200, "PATCH", "/_/api/keys/alice", `{"fields": {"rpm": "20"}}`, "If-Match", w.Header().Get("ETag"))
	for _, wrong := range []string{`12`, `"x"`, `W/"12"`, `"0"`, `"1", "2"`} {
		if w := h.send("PATCH", "/_/api/keys/alice", "admin", `{}`, "If-Match", wrong); w.Code != http.StatusBadRequest {
			t.Errorf("If-Match: %s: %d %s", wrong, w.Code, w.Body)
		}
	}
}

// D13: a link works once. Opened again, replaced, expired and made up, it is
// 410, and too many guesses are slowed down.
func TestHandOverByTheAPI(t *testing.T) {
	clock := now
	h := newFixture(t, func(o *admin.Options) { o.Now = func() time.Time { return clock } })
	made := sent[madeKey](h, 201, "POST", "/_/api/keys", `{"fields": {"name": "dave"}, "secret": "later"}`)
	if made.Secret != nil || !made.Key.Pending || made.Key.Masked != "" || !made.Handover.Until.Equal(now.Add(7*24*time.Hour)) {
		t.Fatalf("%+v", made)
	}
	open := func(code string) *httptest.ResponseRecorder {
		return h.send("POST", "/_/api/handover", "", `{"code": "`+code+`"}`)
	}
	first := codeOf(t, made.Handover.Path)
	second := codeOf(t, sent[struct{ Path string }](h, 201, "POST", "/_/api/keys/dave/handover", `{}`).Path)
	if w := open(first); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), `"link_gone"`) {
		t.Errorf("the replaced link: %d %s", w.Code, w.Body)
	}
	w := open(second)
	var opened struct{ Secret, Name, ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &opened); err != nil || w.Code != http.StatusOK || opened.ID != made.Key.ID {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	h.reread()
	h.secrets["dave"] = opened.Secret
	if me := get[shownKey](h, "/_/api/me", "dave"); me.Name != "dave" {
		t.Errorf("%+v", me)
	}
	if w := open(second); w.Code != http.StatusGone || strings.Contains(w.Body.String(), "fk-") {
		t.Errorf("opened again: %d %s", w.Code, w.Body)
	}
	for range 3 { // the same wrong code is no further guess
		if w := open(second); w.Code != http.StatusGone {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	for i := range keys.MaxFailures {
		if w := open(fmt.Sprint("guess", i)); w.Code != http.StatusGone && i < keys.MaxFailures-2 {
			t.Errorf("guess %d: %d %s", i, w.Code, w.Body)
		}
	}
	if w := open("one more"); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	third := codeOf(t, sent[struct{ Path string }](h, 201, "POST", "/_/api/keys/dave/handover", `{}`).Path)
	if w := open(third); w.Code != http.StatusOK {
		t.Errorf("a right code is slowed down: %d %s", w.Code, w.Body)
	}
	for _, method := range []string{"GET", "HEAD"} { // a preview of a chat opens nothing
		if w := h.ask(method, "/_/api/handover?code="+third, ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// A creation that is sent again makes no second key.
func TestCreationIsRepeated(t *testing.T) {
	log, audited := withAudit(t)
	h := newFixture(t, audited)
	const body = `{"fields": {"name": "dave", "expires": "90d"}}`
	first := sent[madeKey](h, 201, "POST", "/_/api/keys", body, "Idempotency-Key", "k1")
	again := sent[madeKey](h, 201, "POST", "/_/api/keys", body, "Idempotency-Key", "k1")
	if again.Key.ID != first.Key.ID || *again.Secret != *first.Secret {
		t.Errorf("%+v and %+v", first, again)
	}
	if w := h.send("POST", "/_/api/keys", "admin", body, "Idempotency-Key", "k2"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `"key_exists"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := h.send("POST", "/_/api/keys", "admin", `{"fields": {"name": "erin"}}`, "Idempotency-Key", "k1"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `"idempotency_key_reused"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if entries, err := log.List(t.Context(), audit.Query{Action: "key.create"}, time.UTC); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestRefusedChangesOfKeys(t *testing.T) {
	h := newFixture(t)
	sent[struct{}](h, 204, "DELETE", "/_/api/keys/bob", "")
	for _, test := range []struct {
		method, target, body string
		status               int
		code                 string
	}{
		{"POST", "/_/api/keys", `{"fields": {"name": "x", "rpm": "many", "budget": "1eur"}}`, 400, "invalid_key"},
		{"POST", "/_/api/keys", `{"fields": {}}`, 400, "invalid_key"},
		{"POST", "/_/api/keys", `{"fields": {"name": "x"}, "secret": "never"}`, 400, "invalid_body"},
		{"POST", "/_/api/keys", `{"name": "x"}`, 400, "invalid_body"},
		{"POST", "/_/api/keys", `{"fields": {"name": "alice"}}`, 409, "key_exists"},
		{"POST", "/_/api/keys", `{"fields": {"name": "ci"}}`, 409, "key_is_declared"},
		{"PATCH", "/_/api/keys/ci", `{"disabled": true}`, 409, "key_is_declared"},
		{"PATCH", "/_/api/keys/bob", `{"disabled": true}`, 409, "key_is_revoked"},
		{"PATCH", "/_/api/keys/alice", `{"fields": {"name": ""}}`, 400, "invalid_key"},
		{"PATCH", "/_/api/keys/alice", `{"fields": {"colour": "red"}}`, 400, "invalid_key"},
		{"PATCH", "/_/api/keys/dave", `{}`, 404, "key_not_found"},
		{"DELETE", "/_/api/keys/ci", ``, 409, "key_is_declared"},
		{"DELETE", "/_/api/keys/dave", ``, 404, "key_not_found"},
		{"POST", "/_/api/keys/alice/rotate", `{"grace": "soon"}`, 400, "invalid_key"},
		{"POST", "/_/api/keys/ci/rotate", `{}`, 409, "key_is_declared"},
		{"POST", "/_/api/keys/ci/handover", `{}`, 409, "key_is_declared"},
		{"POST", "/_/api/keys/bob/handover", `{}`, 409, "key_is_revoked"},
		{"POST", "/_/api/keys/whois", `{"secret": "fk-nothing"}`, 404, "key_not_found"},
		{"POST", "/_/api/keys/bulk", `{"ids": []}`, 400, "invalid_body"},
		{"POST", "/_/api/keys/bulk", `{"ids": ["alice"]}`, 400, "invalid_body"},
		{"POST", "/_/api/keys/bulk", `{"ids": ["alice"], "expires": "soon"}`, 400, "invalid_key"},
		{"GET", "/_/api/keys/alice/budget-history?limit=much", ``, 400, "invalid_query"},
		{"GET", "/_/api/keys/alice/budget-history?limit=1usd/day&since=2y", ``, 400, "invalid_query"},
		{"GET", "/_/api/keys/dave/budget-history?limit=1usd/day", ``, 404, "key_not_found"},
	} {
		if w := h.send(test.method, test.target, "admin", test.body); w.Code != test.status || !strings.Contains(w.Body.String(), `"code":"`+test.code+`"`) {
			t.Errorf("%s %s %s: %d %s", test.method, test.target, test.body, w.Code, w.Body)
		}
	}
	without := newFixture(t, func(o *admin.Options) { o.Keys = nil })
	if w := without.send("POST", "/_/api/keys", "admin", `{"fields": {"name": "x"}}`); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "DATA_DIR") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A holder may rotate its own key where the settings allow it, and see its own
// history; other keys are not there for it.
func TestHoldersAndTheirKey(t *testing.T) {
	h := newFixture(t).spent()
	if w := h.send("POST", "/_/api/keys/alice/rotate", "alice", `{}`); w.Code != http.StatusForbidden {
		t.Errorf("not allowed: %d %s", w.Code, w.Body)
	}
	if me := h.ask("GET", "/_/api/me", "alice").Body.String(); !strings.Contains(me, `"may_rotate": false`) || !strings.Contains(me, `"base_url": "http://127.0.0.1:8000"`) {
		t.Error(me)
	}
	h.options.Features.RotateOwn = true
	h.rebuild()
	for _, ref := range []string{"bob", h.ids["bob"], "nope"} {
		for _, target := range []string{"POST /_/api/keys/" + ref + "/rotate", "GET /_/api/keys/" + ref + "/budget-history?limit=1usd/day"} {
			method, target, _ := strings.Cut(target, " ")
			if w := h.send(method, target, "alice", `{}`); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"key_not_found"`) {
				t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
			}
		}
	}
	for _, target := range []string{"POST /_/api/keys", "PATCH /_/api/keys/alice", "DELETE /_/api/keys/alice", "POST /_/api/keys/alice/handover", "POST /_/api/keys/whois", "POST /_/api/keys/bulk", "GET /_/api/keys/fields"} {
		method, target, _ := strings.Cut(target, " ")
		if w := h.send(method, target, "alice", `{}`); w.Code != http.StatusUnauthorized {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	}
	if me := h.ask("GET", "/_/api/me", "alice").Body.String(); !strings.Contains(me, `"may_rotate": true`) {
		t.Error(me)
	}
	if me := h.ask("GET", "/_/api/me", "ci").Body.String(); !strings.Contains(me, `"may_rotate": false`) {
		t.Errorf("a key of the settings: %s", me)
	}
	w := h.send("POST", "/_/api/keys/"+h.ids["alice"]+"/rotate", "alice", `{"grace": "0"}`)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "team-red") || !strings.Contains(w.Body.String(), `"20usd/month"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var made madeKey
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	h.secrets["new"] = *made.Secret
	h.reread()
	if w := h.ask("GET", "/_/api/me", "new"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	history := get[struct {
		Budget  string
		Periods []struct {
			Start   time.Time
			Spent   int64
			Stopped *time.Time
		}
	}](h, "/_/api/keys/alice/budget-history?limit="+url.QueryEscape("1usd/month")+"&since=40d", "new")
	if n := len(history.Periods); n != 2 || history.Budget != "1usd/month" || history.Periods[1].Spent != int64(3*price.Dollar+price.Dollar/2) ||
		!history.Periods[1].Stopped.Equal(now.AddDate(0, 0, -3)) || !history.Periods[0].Stopped.Equal(now.AddDate(0, -1, 0)) {
		t.Errorf("%+v", history)
	}
}

// The list has when each key was last used, and with details what each used.
func TestKeysWithDetails(t *testing.T) {
	h := newFixture(t, withTagBudgets).spent()
	type list struct{ Keys []shownKey }
	for _, k := range get[list](h, "/_/api/keys?details=true", "admin").Keys {
		one := get[json.RawMessage](h, "/_/api/keys/"+k.ID, "admin")
		var single shownKey
		if err := json.Unmarshal(one, &single); err != nil || fmt.Sprint(single) != fmt.Sprint(k) && k.LastUsed == nil {
			t.Errorf("%+v is not %+v, %v", single, k, err)
		}
		used := map[string]time.Duration{"alice": time.Hour, "bob": 2 * time.Hour, "ci": 2 * time.Hour}[k.Name]
		if (used > 0) != (k.LastUsed != nil) || k.LastUsed != nil && !k.LastUsed.Equal(now.Add(-used)) {
			t.Errorf("%s was last used at %v", k.Name, k.LastUsed)
		}
		if k.Name == "alice" && (len(k.Budgets) != 3 || k.Budgets[2].Tag != "team-red") {
			t.Errorf("%+v", k.Budgets)
		}
	}
}
