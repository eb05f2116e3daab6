package admin_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/live"
	"forward/internal/price"
	"forward/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	adminKey    = "admin-canary-4f9a8b7c6d5e"
	declaredKey = "fk-declared-canary-0123456789"
	storeSecret = "store-canary-0123456789abcdef012"
)

// now is when all tests happen.
var now = time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)

// tagBudgets are those of the settings: alice's key has the first tag.
var tagBudgets = []ledger.TagBudget{
	{Tag: "team-red", Limit: keys.Budget{Unit: "usd", Amount: 9 * int64(price.Dollar), Period: "month"}},
	{Tag: "nightly", Limit: keys.Budget{Unit: "tokens", Amount: 1000, Period: "day", Zone: "Europe/Berlin"}},
}

func withTagBudgets(o *admin.Options) { o.TagBudgets = tagBudgets }

// fixture is a handler on real stores: alice has budgets, bob has none, carol's
// key is disabled, and one key is of the settings.
type fixture struct {
	http.Handler
	t       *testing.T
	passed  atomic.Int64 // nanoseconds since now, when requests happen; the ledger looks from a goroutine of its own
	db      *sql.DB
	store   *keys.Store
	ledger  *ledger.Ledger
	options admin.Options
	secrets map[string]string
	ids     map[string]string
}

func newFixture(t *testing.T, change ...func(*admin.Options)) *fixture {
	t.Helper()
	db, err := database.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &fixture{t: t, db: db, secrets: map[string]string{"ci": declaredKey, "admin": adminKey}, ids: map[string]string{}}
	clock := func() time.Time { return now.Add(time.Duration(h.passed.Load())) }
	if h.store, err = keys.Open(t.Context(), db, keys.NewSecret(storeSecret), clock); err != nil {
		t.Fatal(err)
	}
	h.add("alice", map[string]string{"budget": "20usd/month,1mtokens/total", "models": "gpt-*", "rpm": "60", "tags": "team-red"})
	h.add("bob", nil)
	h.add("carol", nil)
	if _, err := h.store.Update(t.Context(), "carol", func(m *keys.Managed) error { m.Disabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	declared := []keys.Key{{Name: "ci", Secret: keys.NewSecret(declaredKey), Level: 1}, {Secret: keys.NewSecret("fk-nameless-canary-9876543210")}}
	ring, err := h.store.Ring(t.Context(), declared)
	if err != nil {
		t.Fatal(err)
	}
	if h.ledger, err = ledger.Open(db, ledger.Options{Location: time.UTC, Now: clock, Retention: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.ledger.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	h.ids["ci"] = declared[0].ID()
	sessions, err := session.Open(t.Context(), db, []byte(storeSecret), clock)
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.Open(t.Context(), db, audit.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	h.options = admin.Options{Sessions: sessions, Audit: record, Ring: ring, Keys: h.store, Declared: declared, Ledger: h.ledger, AdminKey: keys.NewSecret(adminKey), Location: time.UTC, Now: clock,
		Traffic: admin.Traffic{Live: &live.Requests{}, Play: func(w http.ResponseWriter, _ *http.Request, _ string, _ []string) { w.WriteHeader(http.StatusOK) }}}
	h.options.Gateway = testGateway(t)
	h.options.Features.Content = true
	for _, f := range change {
		f(&h.options)
	}
	h.rebuild()
	return h
}

// rebuild makes the handler again, as a reload does.
func (h *fixture) rebuild() {
	h.t.Helper()
	var err error
	if h.Handler, err = admin.New(h.options); err != nil {
		h.t.Fatal(err)
	}
}

// reread makes the handler know the keys as the store has them.
func (h *fixture) reread() {
	h.t.Helper()
	ring, err := h.store.Ring(h.t.Context(), h.options.Declared)
	if err != nil {
		h.t.Fatal(err)
	}
	h.options.Ring = ring
	h.rebuild()
}

func (h *fixture) add(name string, texts map[string]string) {
	h.t.Helper()
	settings := keys.Settings{Name: name}
	if err := settings.Apply(texts, now); err != nil {
		h.t.Fatal(err)
	}
	m, secret, err := h.store.Add(h.t.Context(), settings)
	if err != nil {
		h.t.Fatal(err)
	}
	h.secrets[name], h.ids[name] = secret.Reveal(), m.ID
}

// spend writes a request down.
func (h *fixture) spend(id, name, model string, at time.Time, cost price.Money) {
	var tags []string
	if name == "alice" {
		tags = []string{"team-red"}
	}
	h.ledger.Record(ledger.Row{Tags: tags, ID: id, Time: at, Key: h.ids[name], KeyName: name, Route: "openai", Operation: dialect.Chat, Model: model, Status: 200,
		Usage: dialect.Usage{Input: 100, Output: 20, Total: 120}, Priced: true, Cost: cost})
}

// spent is what most tests start with.
func (h *fixture) spent() *fixture {
	h.t.Helper()
	h.spend("1", "alice", "gpt-4o", now.Add(-time.Hour), 2*price.Dollar)
	h.spend("2", "alice", "gpt-4o-mini", now.Add(-time.Hour), price.Dollar/2)
	h.spend("3", "alice", "gpt-4o", now.AddDate(0, 0, -3), price.Dollar)
	h.spend("4", "alice", "gpt-4o", now.AddDate(0, -1, 0), 7*price.Dollar)
	h.spend("5", "bob", "o1", now.Add(-2*time.Hour), 3*price.Dollar+1)
	h.spend("6", "ci", "o1", now.Add(-2*time.Hour), 1)
	if err := h.ledger.Flush(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return h
}

// ask sends a request with the key of a name; "" is none.
func (h *fixture) ask(method, target, name string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8000"
	if name != "" {
		r.Header.Set("Authorization", "Bearer "+h.secrets[name])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get reads a 200 into a T.
func get[T any](h *fixture, target, name string) (v T) {
	h.t.Helper()
	w := h.ask(http.MethodGet, target, name)
	if w.Code != http.StatusOK {
		h.t.Fatalf("%s: status %d: %s", target, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		h.t.Fatalf("%s: %v", target, err)
	}
	return v
}
