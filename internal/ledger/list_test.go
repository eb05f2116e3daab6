package ledger_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// TestListPrice is about what callers' own credentials paid: it has a list
// price and no cost, in rows of each kind, in all sums, after a restart and
// when it is priced again.
func TestListPrice(t *testing.T) {
	db := newDB(t)
	l, before := mustOpen(t, db, ledger.Options{}), priced(t, "house", 10, 100)
	row := func(id, model string, change func(*ledger.Row)) {
		r := ledger.Row{ID: id, Time: noon, Key: "k", KeyName: "alice", User: "u", Route: "claude", Upstream: "openai", Operation: dialect.Chat, Model: model, Status: 200, Cache: "miss",
			Usage: dialect.Usage{Input: 100, Output: 10}, Listed: true}
		if change != nil {
			change(&r)
		}
		r.Bill(before)
		l.Record(r)
	}
	row("plain", "house", nil)
	row("hit", "house", func(r *ledger.Row) { r.Cache = "hit" })
	row("failed", "house", func(r *ledger.Row) { r.Status, r.Usage = 502, dialect.Usage{} })
	row("unknown", "cellar", nil)
	row("ours", "house", func(r *ledger.Row) { r.Listed = false })
	batch := ledger.Settlement{Prices: before, Upstream: "openai", Listed: true, Batch: ledger.Batch{Host: "h", ID: "b", Key: "k"}}
	batch.Add(ledger.BatchItem{Model: "house", Usage: dialect.Usage{Input: 100, Output: 10}})
	if _, err := l.SettleBatch(t.Context(), batch.Rows(noon, "req")); err != nil {
		t.Fatal(err)
	}
	reserved := ledger.Row{ID: "reserved", Time: noon, Key: "k", Upstream: "openai", Operation: dialect.Chat, Model: "house", Status: 200, Listed: true, Usage: dialect.Usage{Input: 100, Output: 10}}
	reserved.BillReserved(before)
	l.Record(reserved)
	open := ledger.Row{ID: "open", Time: noon, Key: "k", Upstream: "openai", Operation: dialect.Chat, Model: "house", Listed: true}
	open.Estimate(before, 100, 10)
	if _, err := l.Reserve(t.Context(), ledger.Reservation{Row: open}); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	l.Close(t.Context())
	l = mustOpen(t, db, ledger.Options{}) // which settles the open one at its reserve

	// plain, reserved and open 2000 each, the batch half of it.
	s := sumsOf(t, l)
	if s.Cost != 2000 || s.List != 7000 || s.Saved != 0 || s.Unpriced != 1 || s.EstimatedCost != 0 || s.Requests != 8 {
		t.Errorf("sums %+v", s)
	}
	for id, want := range map[string]price.Money{"plain": 2000, "hit": 0, "failed": 0, "unknown": 0, "reserved": 2000, "open": 2000, "h/b/house": 1000} {
		r, _, err := l.Trail(t.Context(), id)
		if err != nil || !r.Listed || r.List != want || r.Cost != 0 || r.Priced == (id == "unknown") {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
		text, err := json.Marshal(r)
		var wire map[string]any
		if err != nil || json.Unmarshal(text, &wire) != nil || wire["list_nano_usd"] != float64(want) {
			t.Errorf("%s: %s, %v", id, text, err)
		}
	}
	r, _, err := l.Trail(t.Context(), "ours")
	if text, _ := json.Marshal(r); err != nil || r.Listed || r.Cost != 2000 || !strings.Contains(string(text), `"list_nano_usd":null`) {
		t.Errorf("ours: %s, %v", text, err)
	}

	after := mustTable(t,
		price.Override{Model: "house", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 20_000_000, price.Output: 300_000_000}, Batch: price.Rates{price.Input: 7_000_000, price.Output: 70_000_000}}}},
		price.Override{Model: "cellar", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 1_000_000, price.Output: 2_000_000}}}})
	list, err := ledger.Reprice{Prices: after}.Run(t.Context(), db, time.UTC)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	known, cellar := list[0], list[1]
	if known.Before != 2000 || known.After != 5000 || known.ListBefore != 7000 || known.ListAfter != 3*5000+1400 || known.Changed != 5 ||
		cellar.ListAfter != 120 || cellar.After != 0 || cellar.UnpricedBefore != 1 || cellar.UnpricedAfter != 0 {
		t.Errorf("repriced %+v", list)
	}
	if s := sumsOf(t, l); s.Cost != 5000 || s.List != 3*5000+1400+120 || s.Unpriced != 0 {
		t.Errorf("sums after %+v", s)
	}
}

// TestListPricesUseNoDollars: budgets in dollars neither hold nor count what
// the caller's own credential pays, unless the key wants it; those in tokens
// do.
func TestListPricesUseNoDollars(t *testing.T) {
	dollars := monthly(100)
	tokens := ledger.Budget{Unit: ledger.Tokens, Amount: 1000, Period: ledger.Monthly, Zone: time.UTC}
	for _, counts := range []bool{false, true} {
		c := newClock(noon)
		db := newDB(t)
		l := mustOpen(t, db, ledger.Options{Now: c.read})
		call := func(id string, list price.Money, known bool, settle bool, budgets ...ledger.Budget) error {
			r := ledger.Row{ID: id, Time: c.read(), Key: "k1", KeyName: "alice", Model: "m", Priced: known, Status: 200, Listed: true, List: list, CountList: counts}
			r.Usage = dialect.Usage{Input: 100, Output: 300, Total: 400}
			call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: budgets})
			if err == nil && settle {
				call.Settle(r)
			}
			return err
		}
		if err := call("1", cents(150), true, true, dollars, tokens); err != nil {
			t.Fatal(err)
		}
		var spent *ledger.BudgetError
		var unpriced *ledger.UnpricedError
		err := call("2", cents(10), true, true, dollars, tokens)
		if errors.As(err, &spent) != counts || (err != nil) != counts {
			t.Errorf("counts %v: a second call: %v", counts, err)
		}
		err = call("3", 0, false, false, monthly(1000))
		if errors.As(err, &unpriced) != counts || (err != nil) != counts {
			t.Errorf("counts %v: without a price: %v", counts, err)
		}
		balances, err := l.Balances(t.Context(), "k1", []ledger.Budget{dollars, tokens})
		want := map[bool][2]int64{false: {0, 800}, true: {int64(cents(150)), 400}}[counts]
		if err != nil || balances[0].Spent != want[0] || balances[0].Held != 0 || balances[1].Spent != want[1] {
			t.Errorf("counts %v: balances %+v, %v", counts, balances, err)
		}
		if counts {
			continue
		}
		mustFlush(t, l)
		err = call("4", 0, true, true, dollars, tokens)
		if err != nil {
			t.Fatal(err)
		}
		if err := call("5", 0, true, true, dollars, tokens); !errors.As(err, &spent) {
			t.Errorf("the tokens are spent: %v", err)
		}
		// The same after a restart, and for deferred work.
		r := ledger.Row{ID: "req_6", Time: c.read(), Key: "k1", Model: "m", Operation: dialect.Responses, Priced: true, Listed: true, List: cents(70), Status: 200}
		deferred, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{dollars}})
		if err == nil {
			err = deferred.Defer(t.Context(), "api.example", "resp_1")
		}
		if err != nil {
			t.Fatal(err)
		}
		mustFlush(t, l)
		l = mustOpen(t, db, ledger.Options{Now: c.read})
		if spent, held := heldOf(t, l, dollars); spent != 0 || held != 0 {
			t.Errorf("after a restart: spent %d, held %d", spent, held)
		}
		_, err = l.SettleDeferred(t.Context(), "api.example", "resp_1", func(r *ledger.Row) { r.Bill(priced(t, "m", 10, 100)) })
		if spent, _ := heldOf(t, l, dollars); err != nil || spent != 0 {
			t.Errorf("settled later: spent %d, %v", spent, err)
		}
	}
}
