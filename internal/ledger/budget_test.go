package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"

	"pgregory.net/rapid"
)

// clock is a time that tests set.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock(t time.Time) *clock { c := &clock{}; c.set(t); return c }

func (c *clock) set(t time.Time) { c.now.Store(&t) }
func (c *clock) read() time.Time { return *c.now.Load() }
func cents(n int64) price.Money  { return price.Money(n) * price.Dollar / 100 }
func monthly(n int64) ledger.Budget {
	return ledger.Budget{Unit: ledger.USD, Amount: int64(cents(n)), Period: ledger.Monthly, Zone: time.UTC}
}

// call reserves and settles a call at the clock's time.
func (c *clock) call(l *ledger.Ledger, id string, reserve, cost price.Money, budgets ...ledger.Budget) error {
	r := ledger.Row{ID: id, Time: c.read(), Key: "k1", KeyName: "alice", Model: "m", Priced: true, Cost: reserve, Status: 200}
	call, err := l.Reserve(context.Background(), ledger.Reservation{Row: r, Budgets: budgets})
	if err == nil {
		r.Cost = cost
		call.Settle(r)
	}
	return err
}

func TestBudgetIsSpent(t *testing.T) {
	c := newClock(noon)
	l := mustOpen(t, newDB(t), ledger.Options{Now: c.read})
	b := monthly(100)
	if err := c.call(l, "1", cents(70), cents(60), b); err != nil {
		t.Fatal(err)
	}
	if err := c.call(l, "2", cents(70), cents(50), b); err != nil { // something is left: it may start
		t.Fatal(err)
	}
	var spent *ledger.BudgetError
	if err := c.call(l, "3", cents(1), cents(1), b); !errors.As(err, &spent) {
		t.Fatalf("a call after the budget was spent: %v", err)
	}
	if spent.Spent != int64(cents(110)) || spent.Budget.Amount != int64(cents(100)) || !spent.Reset.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", spent)
	}
	if got, want := spent.Error(), "the budget of $1.00/month is spent: $1.10 used, it starts again at 2026-12-01T00:00:00Z"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Raised and lowered, with the next call; what was spent stays.
	if err := c.call(l, "4", cents(1), cents(1), monthly(120)); err != nil {
		t.Error(err)
	}
	if err := c.call(l, "5", cents(1), cents(1), monthly(50)); !errors.As(err, &spent) || spent.Spent != int64(cents(111)) {
		t.Errorf("after it was lowered: %v", err)
	}
	// The month turns.
	c.set(time.Date(2026, 11, 30, 23, 59, 59, 999, time.UTC))
	if err := c.call(l, "6", cents(1), cents(1), b); !errors.As(err, &spent) {
		t.Errorf("in the month's last second: %v", err)
	}
	c.set(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
	if err := c.call(l, "7", cents(1), cents(1), b); err != nil {
		t.Errorf("in the next month: %v", err)
	}
}

// TestBudgetOutlivesTheProcess checks that the database is the truth: for a new
// process, for a budget that is given later, and for another period or zone.
func TestBudgetOutlivesTheProcess(t *testing.T) {
	c := newClock(noon)
	path := filepath.Join(t.TempDir(), "forward.db")
	l := mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
	for i := range 10 {
		if err := c.call(l, fmt.Sprint(i), 0, cents(10)); err != nil { // no budget yet
			t.Fatal(err)
		}
	}
	want := func(l *ledger.Ledger, b ledger.Budget, cents10 int64) {
		t.Helper()
		got, err := l.Balances(t.Context(), "k1", []ledger.Budget{b})
		if err != nil || got[0].Spent != int64(cents(cents10)) {
			t.Errorf("%s: spent %d (%v), want %d", b, got[0].Spent, err, cents(cents10))
		}
	}
	want(l, monthly(500), 100) // rows that are not yet written count
	mustFlush(t, l)
	want(l, ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Weekly}, 100)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
	want(next, monthly(500), 100)
	kathmandu, err := time.LoadLocation("Asia/Kathmandu") // 5:45 ahead
	if err != nil {
		t.Fatal(err)
	}
	want(next, ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Daily, Zone: kathmandu}, 100)
	c.set(time.Date(2026, 11, 21, 18, 15, 0, 0, time.UTC))         // midnight there
	if err := c.call(next, "midnight", 0, cents(10)); err != nil { // in the day's first instant, and not yet written
		t.Fatal(err)
	}
	want(next, ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Daily, Zone: kathmandu}, 10)
	want(next, ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Daily}, 110)
	want(next, ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Total}, 110)
}

// TestCallsBelongToThePeriodOfTheirStart ends a call after the month turned.
func TestCallsBelongToThePeriodOfTheirStart(t *testing.T) {
	c := newClock(time.Date(2028, 2, 29, 23, 59, 0, 0, time.UTC)) // a leap day
	l := mustOpen(t, newDB(t), ledger.Options{Now: c.read})
	r := ledger.Row{ID: "a", Time: c.read(), Key: "k1", Priced: true, Cost: cents(80)}
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{monthly(100)}})
	if err != nil {
		t.Fatal(err)
	}
	c.set(time.Date(2028, 3, 1, 0, 1, 0, 0, time.UTC))
	before, err := l.Balances(t.Context(), "k1", []ledger.Budget{monthly(100)})
	if err != nil || before[0].Held != 0 || before[0].Spent != 0 {
		t.Errorf("in March: %+v, %v", before, err)
	}
	r.Cost = cents(90)
	call.Settle(r)
	after, err := l.Balances(t.Context(), "k1", []ledger.Budget{monthly(100)})
	if err != nil || after[0].Held != 0 || after[0].Spent != 0 {
		t.Errorf("after it ended: %+v, %v", after, err)
	}
}

// TestWaitingOverMidnight lets a call through that had come the day before: it
// counts in the day in which it was let through, so that the new day's budget
// holds, also in the next process; reports have it where it started.
func TestWaitingOverMidnight(t *testing.T) {
	c := newClock(time.Date(2026, 11, 22, 0, 0, 1, 0, time.UTC))
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Now: c.read})
	daily := []ledger.Budget{{Unit: ledger.USD, Amount: int64(cents(10)), Period: ledger.Daily}}
	r := ledger.Row{ID: "a", Time: time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC), Key: "k1", Priced: true, Cost: cents(8)}
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: daily})
	if err != nil {
		t.Fatal(err)
	}
	call.Settle(r)
	for _, process := range []string{"this", "the next"} {
		if b, err := l.Balances(t.Context(), "k1", daily); err != nil || b[0].Spent != int64(cents(8)) || b[0].Held != 0 {
			t.Errorf("%s process: %+v, %v", process, b, err)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, db, ledger.Options{Now: c.read})
	}
	if g := mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{ledger.ByDay}}); g[0].Values[0] != "2026-11-21" {
		t.Errorf("%+v", g)
	}
}

func TestTokenBudgetsAndUnpricedModels(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{})
	reserve := func(id string, budgets ...ledger.Budget) error {
		r := ledger.Row{ID: id, Time: time.Now(), Key: "k", Model: "mystery", Usage: dialect.Usage{Input: 10, Output: 90}}
		call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: budgets})
		if err == nil {
			call.Settle(r)
		}
		return err
	}
	tokens := ledger.Budget{Unit: ledger.Tokens, Amount: 150, Period: ledger.Daily}
	dollars := ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Daily}
	var unpriced *ledger.UnpricedError
	if err := reserve("1", tokens, dollars); !errors.As(err, &unpriced) || unpriced.Model != "mystery" {
		t.Errorf("an unpriced model with a budget in dollars: %v", err)
	}
	dollars.AllowUnpriced = true
	for _, id := range []string{"2", "3"} {
		if err := reserve(id, tokens, dollars); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	var spent *ledger.BudgetError
	if err := reserve("4", dollars, tokens); !errors.As(err, &spent) || spent.Budget.Unit != ledger.Tokens || spent.Spent != 200 {
		t.Errorf("%v", err)
	}
	if b, err := l.Balances(t.Context(), "k", []ledger.Budget{dollars, tokens}); err != nil || b[0].Held != 0 || b[1].Held != 0 || b[0].Spent != 0 {
		t.Errorf("a refused call left something reserved: %+v, %v", b, err)
	}
}

// TestParallelCallsAtTheLastCent starts 100 calls at once with one cent left.
func TestParallelCallsAtTheLastCent(t *testing.T) {
	c := newClock(noon)
	l := mustOpen(t, newDB(t), ledger.Options{Now: c.read})
	b := monthly(100)
	if err := c.call(l, "first", cents(99), cents(99), b); err != nil {
		t.Fatal(err)
	}
	var admitted atomic.Int64
	var started, all sync.WaitGroup
	started.Add(100)
	for i := range 100 {
		all.Go(func() {
			r := ledger.Row{ID: fmt.Sprint(i), Time: c.read(), Key: "k1", Priced: true, Cost: cents(3)}
			call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{b}})
			started.Done()
			started.Wait() // none ends before all have tried
			if err == nil {
				admitted.Add(1)
				r.Cost = cents(2)
				call.Settle(r)
			} else if !errors.As(err, new(*ledger.BudgetError)) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, err := l.Balances(t.Context(), "k1", []ledger.Budget{b})
	if err != nil || got[0].Spent > b.Amount+int64(cents(3)) || admitted.Load() != 1 {
		t.Errorf("%d calls passed, %+v, %v", admitted.Load(), got, err)
	}
}

// TestSpentNeverPassesTheBudgetByMoreThanOneReserve tries random interleavings
// of calls that start, end, fail, of changes of the amount, of turns of the
// period and of new processes, against a model of what was spent.
func TestSpentNeverPassesTheBudgetByMoreThanOneReserve(t *testing.T) {
	db := newDB(t)
	run, id := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		key := fmt.Sprint("k", run)
		c := newClock(noon)
		open := func() *ledger.Ledger {
			l, err := ledger.Open(db, ledger.Options{Now: c.read, Location: time.UTC, Delay: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := open()
		defer func() { l.Close(context.Background()) }()
		type underWay struct {
			call *ledger.Call
			row  ledger.Row
		}
		budget := ledger.Budget{Unit: ledger.USD, Amount: 1000, Period: ledger.Daily, Zone: time.UTC}
		var calls []underWay
		spent := map[string]int64{} // by day
		limit := budget.Amount
		const largest = 300
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id++
				r := ledger.Row{ID: fmt.Sprint(id), Time: c.read(), Key: key, Priced: true, Cost: price.Money(rapid.Int64Range(1, largest).Draw(t, "reserve")), Status: 200}
				call, err := l.Reserve(context.Background(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{budget}})
				var refused *ledger.BudgetError
				if err != nil && !errors.As(err, &refused) {
					t.Fatal(err)
				}
				if err == nil {
					calls = append(calls, underWay{call, r})
				} else if held := refused.Held; refused.Spent+held < budget.Amount {
					t.Fatalf("refused although something was left: %+v", refused)
				}
			},
			"end": func(t *rapid.T) {
				if len(calls) == 0 {
					t.Skip("nothing is under way")
				}
				at := rapid.IntRange(0, len(calls)-1).Draw(t, "which")
				f := calls[at]
				calls = append(calls[:at], calls[at+1:]...)
				f.row.Cost = price.Money(rapid.Int64Range(0, int64(f.row.Cost)).Draw(t, "cost")) // 0: it failed
				spent[f.row.Time.Format(time.DateOnly)] += int64(f.row.Cost)
				f.call.Settle(f.row)
			},
			"change": func(t *rapid.T) {
				budget.Amount = rapid.Int64Range(1, 2000).Draw(t, "amount")
				limit = max(limit, budget.Amount)
			},
			"tomorrow": func(t *rapid.T) {
				c.set(c.read().Add(24 * time.Hour))
				limit = budget.Amount
			},
			"restart": func(t *rapid.T) {
				for _, f := range calls { // their process is gone: they count in full
					spent[f.row.Time.Format(time.DateOnly)] += int64(f.row.Cost)
				}
				calls = nil
				if err := l.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				l = open()
			},
			"": func(t *rapid.T) {
				b, err := l.Balances(context.Background(), key, []ledger.Budget{budget})
				if err != nil {
					t.Fatal(err)
				}
				today := c.read().Format(time.DateOnly)
				if b[0].Spent != spent[today] {
					t.Fatalf("spent %d, should be %d", b[0].Spent, spent[today])
				}
				if b[0].Spent+b[0].Held > limit+largest {
					t.Fatalf("spent %d and held %d of %d, with reserves of %d at most", b[0].Spent, b[0].Held, limit, largest)
				}
			},
		})
	})
}

func TestWarnings(t *testing.T) {
	c := newClock(noon)
	db := newDB(t)
	var warnings []string
	l := mustOpen(t, db, ledger.Options{Now: c.read, OnWarning: func(w ledger.Warning) {
		warnings = append(warnings, fmt.Sprintf("%s %d%% of %s", w.KeyName, w.Percent, w.Balance.Budget))
	}})
	want := func(list ...string) {
		t.Helper()
		if strings.Join(warnings, "; ") != strings.Join(list, "; ") {
			t.Errorf("warnings %q, want %q", warnings, list)
		}
		warnings = nil
	}
	call := func(id string, cost, budget int64) {
		t.Helper()
		if err := c.call(l, id, cents(cost), cents(cost), monthly(budget)); err != nil {
			t.Error(err)
		}
	}
	call("1", 49, 100)
	want()
	call("2", 1, 100)
	want("alice 50% of $1.00/month")
	call("3", 1, 100)
	want()
	call("4", 60, 100) // passes two levels at once: one warning, of the higher one
	want("alice 100% of $1.00/month")
	call("5", 1, 200) // raised: 112 of 200, half was passed before
	want()
	call("6", 60, 200)
	want("alice 80% of $2.00/month")
	c.set(c.read().AddDate(0, 1, 0))
	call("7", 50, 100)
	want("alice 50% of $1.00/month")
	mustFlush(t, l)
	kept := func(where string) (list []string) {
		t.Helper()
		rows, err := db.Query(`SELECT key, budget, percent, spent, amount FROM usage_warnings WHERE ` + where)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var key, budget string
			var percent, spent, amount int64
			if err := rows.Scan(&key, &budget, &percent, &spent, &amount); err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%s %d%% of %s: %d of %d", key, percent, budget, spent, amount))
		}
		return list
	}
	late := fmt.Sprintf("time >= %d", noon.AddDate(0, 0, 1).UnixMicro())
	if got := kept(late); len(got) != 1 || got[0] != fmt.Sprintf("k1 50%% of $1.00/month: %d of %d", cents(50), cents(100)) {
		t.Errorf("%q", got)
	}
	if got := kept("TRUE"); len(got) != 4 {
		t.Errorf("%q", got)
	}
	read, err := l.Warnings(t.Context(), 3)
	if err != nil || len(read) != 3 {
		t.Fatal(read, err)
	}
	text, err := json.Marshal(read[0])
	if err != nil || string(text) != `{"time":"2026-12-21T12:00:00Z","key":"k1","key_name":"alice","percent":50,"budget":"$1.00/month","unit":"usd","spent":500000000,"limit":1000000000}` {
		t.Errorf("%s %v", text, err)
	}
	if read[1].Percent != 80 || read[2].Percent != 100 {
		t.Errorf("not the latest first: %+v", read)
	}
	// A new process does not warn again.
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := mustOpen(t, db, ledger.Options{Now: c.read, OnWarning: func(w ledger.Warning) { warnings = append(warnings, fmt.Sprint(w.Percent)) }})
	if err := c.call(next, "8", 1, 1, monthly(100)); err != nil {
		t.Fatal(err)
	}
	want()
}

// TestBoundsAreCountedNearABudget checks that calls which are bound only hold
// no more than half of a budget, and that the other half is held by what was
// counted: no call is refused because others hold more than they may take.
func TestBoundsAreCountedNearABudget(t *testing.T) {
	c := newClock(noon)
	l := mustOpen(t, newDB(t), ledger.Options{Now: c.read})
	counted, started := 0, 0
	for {
		r := ledger.Row{ID: fmt.Sprint(started), Time: c.read(), Key: "k1", Model: "m", Priced: true, Cost: cents(10)}
		_, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{monthly(100)}, Exact: func(r *ledger.Row) { counted++; r.Cost = cents(1) }})
		if err != nil {
			break
		}
		started++
	}
	if started != 5+50 || counted != 50 {
		t.Errorf("%d started and %d were counted, want 55 and 50", started, counted)
	}
}
