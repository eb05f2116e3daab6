package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/keys"
	"forward/internal/price"
)

func TestWhoMayAsk(t *testing.T) {
	h := newFixture(t)
	h.secrets["nobody"] = "fk-nobody"
	for _, test := range []struct {
		target, name string
		status       int
		code         string
	}{
		{"/_/api/usage", "admin", 200, ""},
		{"/_/api/usage", "", 401, "invalid_api_key"},
		{"/_/api/usage", "alice", 200, ""},
		{"/_/api/usage?key=" + adminKey, "", 401, "invalid_api_key"}, // it would stand in logs
		{"/_/api/usage?key=alice", "admin", 200, ""},                 // a filter, and no second credential
		{"/_/api/keys", "nobody", 401, "invalid_api_key"},
		{"/_/api/keys/alice", "alice", 401, "invalid_api_key"},
		{"/_/api/keys/dave", "admin", 404, "key_not_found"},
		{"/_/api/me", "alice", 200, ""},
		{"/_/api/me", "ci", 200, ""},
		{"/_/api/me", "admin", 401, "invalid_api_key"},
		{"/_/api/me", "carol", 401, "key_disabled"},
		{"/_/api/me", "", 401, "invalid_api_key"},
		{"/dashboard/billing/usage", "", 401, "invalid_api_key"},
		{"/v1/dashboard/billing/subscription", "bob", 200, ""},
		{"/_/api/openapi.json", "", 200, ""},
		{"/_/api/nothing", "admin", 404, "not_found"},
	} {
		w := h.ask(http.MethodGet, test.target, test.name)
		if w.Code != test.status || test.code != "" && !strings.Contains(w.Body.String(), `"code":"`+test.code+`"`) {
			t.Errorf("%s asked by %q: %d %s", test.target, test.name, w.Code, w.Body)
		}
		if w.Header().Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s may be kept: %q", test.target, w.Header().Get("Cache-Control"))
		}
	}
}

func TestTwoKeysAreNone(t *testing.T) {
	h := newFixture(t)
	r := httptest.NewRequest(http.MethodGet, "/_/api/usage", nil)
	r.Host = "127.0.0.1:8000"
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("X-Api-Key", "another")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}

// Without ADMIN_KEY an empty credential must not be the right one.
func TestWithoutAdminKeyThereIsNoAdministrator(t *testing.T) {
	h := newFixture(t, func(o *admin.Options) { o.AdminKey = keys.Secret{} })
	for _, name := range []string{"", "admin", "alice"} {
		if w := h.ask(http.MethodGet, "/_/api/keys", name); w.Code != http.StatusNotFound {
			t.Errorf("asked by %q: status %d", name, w.Code)
		}
	}
	for _, name := range []string{"", "admin"} {
		if w := h.ask(http.MethodGet, "/_/api/usage", name); w.Code != http.StatusUnauthorized {
			t.Errorf("what holders may ask too, asked by %q: status %d", name, w.Code)
		}
	}
}

type report struct {
	Groups []struct {
		Key     string      `json:"key"`
		KeyName string      `json:"key_name"`
		Model   string      `json:"model"`
		Cost    json.Number `json:"cost_nano_usd"`
	}
	Total struct {
		Requests int     `json:"requests"`
		Cost     int64   `json:"cost_nano_usd"`
		USD      float64 `json:"cost_usd"`
	}
	Count int
	Next  *int `json:"next_offset"`
}

func TestUsage(t *testing.T) {
	h := newFixture(t).spent()
	for _, test := range []struct {
		query            string
		groups, requests int
		cost             int64
	}{
		{"", 1, 5, 6_500_000_002},
		{"since=all", 1, 6, 13_500_000_002},
		{"by=key", 3, 5, 6_500_000_002},
		{"by=key,model&since=2026-11-21", 4, 4, 5_500_000_002},
		{"by=model&key=alice&since=12h", 2, 2, 2_500_000_000},
		{"by=model&key=" + h.ids["bob"], 1, 1, 3_000_000_001},
		{"since=2026-10-01T00:00:00Z&until=2026-11-01", 1, 1, 7_000_000_000},
		{"model=o1&by=day", 1, 2, 3_000_000_002},
		{"key=nobody&by=day", 0, 0, 0},
	} {
		got := get[report](h, "/_/api/usage?"+test.query, "admin")
		if len(got.Groups) != test.groups || got.Total.Requests != test.requests || got.Total.Cost != test.cost || got.Next != nil {
			t.Errorf("%s: %+v", test.query, got)
		}
	}
	first := get[report](h, "/_/api/usage?by=key", "admin").Groups[0]
	if first.KeyName != "alice" || first.Key != h.ids["alice"] || first.Cost != "3500000000" {
		t.Errorf("the dearest is %+v", first)
	}
}

// Pages hold every group once, and each has the total of all.
func TestPagesOfUsage(t *testing.T) {
	h := newFixture(t)
	for i := range 25 {
		h.spend(fmt.Sprint(i), "alice", fmt.Sprint("model-", i), now.Add(-time.Hour), price.Money(i+1))
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	offset, pages := 0, 0
	for {
		got := get[report](h, fmt.Sprintf("/_/api/usage?by=model&limit=10&offset=%d", offset), "admin")
		for _, g := range got.Groups {
			seen[g.Model] = true
		}
		if pages++; got.Total.Requests != 25 || got.Count != 25 || pages > 3 {
			t.Fatalf("page %d: %+v", pages, got)
		}
		if got.Next == nil {
			break
		}
		offset = *got.Next
	}
	if len(seen) != 25 || pages != 3 {
		t.Errorf("%d groups on %d pages", len(seen), pages)
	}
	if got := get[report](h, "/_/api/usage?by=model&limit=25", "admin"); len(got.Groups) != 25 || got.Next != nil {
		t.Errorf("a page that all fit on: %+v", got)
	}
	if got := get[report](h, "/_/api/usage?by=model&offset=100", "admin"); len(got.Groups) != 0 || got.Count != 25 {
		t.Errorf("beyond the end: %+v", got)
	}
}

func TestWrongParameters(t *testing.T) {
	h := newFixture(t)
	for _, query := range []string{
		"usage?models=gpt-4o", "usage?by=colour", "usage?by=key,key", "usage?since=yesterday", "usage?until=-3d", "usage?limit=0", "usage?limit=1001", "usage?limit=ten",
		"usage?offset=-1", "usage?key=a&key=b", "usage?by=%zz", "keys?state=asleep", "keys?limit=", "keys/alice?x=1",
	} {
		if w := h.ask(http.MethodGet, "/_/api/"+query, "admin"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"invalid_query"`) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	for _, query := range []string{"start_date=1.11.2026", "end_date=2026-13-01"} {
		if w := h.ask(http.MethodGet, "/dashboard/billing/usage?"+query, "alice"); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

type key struct {
	ID, Name, State, Origin string
	Policy                  struct{ Budgets, Models, Tags []string }
	Budgets                 []struct {
		Budget, Unit             string
		Limit, Spent, Held, Left int64
		Reset                    *time.Time
	}
	Used struct {
		Day, Month struct {
			Requests int
			Cost     int64 `json:"cost_nano_usd"`
		}
	}
}

func TestKeys(t *testing.T) {
	h := newFixture(t).spent()
	type list struct {
		Keys  []key
		Count int
		Next  *int `json:"next_offset"`
	}
	names := func(l list) (out string) {
		for _, k := range l.Keys {
			out += k.Name + "/" + k.State + " "
		}
		return out
	}
	nameless := keys.Mask("fk-nameless-canary-9876543210")
	all := get[list](h, "/_/api/keys", "admin")
	if got := names(all); got != "ci/active "+nameless+"/active alice/active bob/active carol/disabled " || all.Count != 5 || all.Keys[0].Origin != "settings" {
		t.Errorf("keys are %s (%d)", got, all.Count)
	}
	if got := get[list](h, "/_/api/keys?limit=2&offset=2", "admin"); names(got) != "alice/active bob/active " || got.Next == nil || *got.Next != 4 || got.Count != 5 {
		t.Errorf("the second page is %s %+v", names(got), got)
	}
	if got := get[list](h, "/_/api/keys?state=disabled", "admin"); names(got) != "carol/disabled " {
		t.Errorf("disabled are %s", names(got))
	}
	for _, ref := range []string{"alice", h.ids["alice"]} {
		k := get[key](h, "/_/api/keys/"+ref, "admin")
		if k.Name != "alice" || k.Origin != "managed" || len(k.Policy.Tags) != 1 || len(k.Budgets) != 2 {
			t.Fatalf("%s is %+v", ref, k)
		}
		if b := k.Budgets[0]; b.Budget != "20usd/month" || b.Unit != "usd" || b.Limit != 20e9 || b.Spent != 3.5e9 || b.Left != 16.5e9 || !b.Reset.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("the first budget is %+v", b)
		}
		if b := k.Budgets[1]; b.Unit != "tokens" || b.Limit != 1_000_000 || b.Spent != 480 || b.Reset != nil {
			t.Errorf("the second budget is %+v", b)
		}
		if k.Used.Day.Requests != 2 || k.Used.Day.Cost != 2.5e9 || k.Used.Month.Requests != 3 || k.Used.Month.Cost != 3.5e9 {
			t.Errorf("used is %+v", k.Used)
		}
	}
	if k := get[key](h, "/_/api/keys/ci", "admin"); k.Origin != "settings" || k.Used.Day.Cost != 1 {
		t.Errorf("ci is %+v", k)
	}
}

// A holder sees its own key and nothing of others, nor what the administrator
// notes about it.
func TestMe(t *testing.T) {
	h := newFixture(t).spent()
	me := get[key](h, "/_/api/me", "bob")
	if me.Name != "bob" || me.ID != h.ids["bob"] || me.Used.Month.Requests != 1 || me.Used.Month.Cost != 3_000_000_001 || len(me.Budgets) != 0 {
		t.Errorf("bob is %+v", me)
	}
	if body := h.ask(http.MethodGet, "/_/api/me", "alice").Body.String(); strings.Contains(body, "team-red") || !strings.Contains(body, `"rpm": 60`) || !strings.Contains(body, `"20usd/month"`) {
		t.Errorf("alice reads %s", body)
	}
}

type subscription struct {
	Object    string
	HardLimit float64 `json:"hard_limit_usd"`
}

type billed struct {
	Object string
	Total  float64 `json:"total_usage"`
	Daily  []struct {
		Timestamp int64
		Items     []struct {
			Name string
			Cost float64
		} `json:"line_items"`
	} `json:"daily_costs"`
}

// What ChatGPT-Next-Web does: it asks for the month until tomorrow, divides
// cents by 100 and shows both numbers.
func TestBilling(t *testing.T) {
	h := newFixture(t).spent()
	const month = "/dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-22"
	if s := get[subscription](h, "/dashboard/billing/subscription", "alice"); s.Object != "billing_subscription" || s.HardLimit != 20 {
		t.Errorf("alice's limit is %+v", s)
	}
	for _, target := range []string{month, "/v1" + month, "/dashboard/billing/usage", month + "&normalized_usage=false"} {
		if u := get[billed](h, target, "alice"); u.Object != "list" || u.Total != 350 || len(u.Daily) != 2 || len(u.Daily[1].Items) != 2 || u.Daily[1].Items[0].Cost != 200 ||
			u.Daily[1].Timestamp != time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).Unix() {
			t.Errorf("%s: %+v", target, u)
		}
	}
	if u := get[billed](h, "/dashboard/billing/usage?start_date=2026-10-01&end_date=2026-11-21", "alice"); u.Total != 800 {
		t.Errorf("until today, which does not count, it is %v", u.Total)
	}
	if s := get[subscription](h, "/dashboard/billing/subscription", "bob"); s.HardLimit != 100_000_000 {
		t.Errorf("without a budget the limit is %v", s.HardLimit)
	}
}

// The difference of the two numbers is what can still be spent, also when the
// budget is not by month.
func TestBillingShowsWhatIsLeft(t *testing.T) {
	for budget, left := range map[string]float64{"20usd/month": 16.5, "4usd/day": 1.5, "15usd/total": 4.5, "20usd/month,4usd/day": 1.5, "1usd/month": 0, "5mtokens/day,15usd/total": 4.5} {
		h := newFixture(t)
		if _, err := h.store.Update(t.Context(), "alice", func(m *keys.Managed) error { return m.Settings.Apply(map[string]string{"budget": budget}, now) }); err != nil {
			t.Fatal(err)
		}
		h.reread()
		h.spent()
		limit := get[subscription](h, "/dashboard/billing/subscription", "alice").HardLimit
		used := get[billed](h, "/dashboard/billing/usage", "alice").Total / 100
		if limit-used != left {
			t.Errorf("%s: %v of %v used, and %v is left", budget, used, limit, left)
		}
	}
}

func TestNoAnswerHoldsASecret(t *testing.T) {
	h := newFixture(t).spent()
	for _, target := range []string{
		"/_/api/usage?by=key,model,day", "/_/api/keys", "/_/api/keys/alice", "/_/api/keys/ci", "/_/api/me", "/dashboard/billing/usage",
		"/dashboard/billing/subscription", "/_/api/openapi.json", "/_/api/keys/" + declaredKey, "/_/api/nothing", "/_/api/usage?key=%zz",
	} {
		for _, name := range []string{"", "admin", "alice", "ci"} {
			body := h.ask(http.MethodGet, target, name).Body.String()
			for _, secret := range []string{adminKey, declaredKey, storeSecret, "canary", h.secrets["alice"], h.secrets["bob"], declaredKey[:8], "$argon", "hmac"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s asked by %q contains %q", target, name, secret)
				}
			}
		}
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := admin.New(admin.Options{}); err == nil {
		t.Error("it was made of nothing")
	}
}

// A holder's report has the requests of its key and no others, whatever it asks
// for.
func TestUsageOfAHolder(t *testing.T) {
	h := newFixture(t).spent()
	for _, test := range []struct {
		query    string
		status   int
		requests int
	}{
		{"", 200, 1}, {"?by=key,model", 200, 1}, {"?key=bob", 200, 1}, {"?key=" + h.ids["bob"], 200, 1}, {"?model=gpt-4o", 200, 0},
		{"?key=alice", 404, 0}, {"?key=" + h.ids["alice"], 404, 0}, {"?by=slot", 400, 0}, {"?by=upstream", 400, 0}, {"?slot=1", 400, 0},
	} {
		w := h.ask(http.MethodGet, "/_/api/usage"+test.query, "bob")
		if w.Code != test.status {
			t.Errorf("%s: status %d: %s", test.query, w.Code, w.Body)
		} else if test.status == 200 {
			if got := get[report](h, "/_/api/usage"+test.query, "bob"); got.Total.Requests != test.requests {
				t.Errorf("%s: %+v", test.query, got)
			}
		}
		if strings.Contains(w.Body.String(), "alice") {
			t.Errorf("%s: %s", test.query, w.Body)
		}
	}
}
