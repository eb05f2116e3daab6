package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"

	"pgregory.net/rapid"
)

// tagged is a budget of a tag, in cents a month.
func tagged(tag string, n int64) ledger.Budget {
	b := monthly(n)
	b.Tag = tag
	return b
}

// tagRow is a row of a key with tags.
func tagRow(id string, at time.Time, key string, cost price.Money, tags ...string) ledger.Row {
	return ledger.Row{ID: id, Time: at, Key: key, KeyName: key, Model: "m", Priced: true, Cost: cost, Status: 200, Tags: tags, Added: len(tags)}
}

// mustBalance returns the state of one budget.
func mustBalance(t testing.TB, l *ledger.Ledger, key string, b ledger.Budget) ledger.Balance {
	t.Helper()
	got, err := l.Balances(context.Background(), key, []ledger.Budget{b})
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// TestTagBudgetIsShared spends a tag's budget with several keys, each with a
// budget of its own: a call needs something left of both, and takes from both
// or from neither.
func TestTagBudgetIsShared(t *testing.T) {
	c := newClock(noon)
	path := filepath.Join(t.TempDir(), "forward.db")
	var warnings []string
	l := mustOpen(t, openDB(t, path), ledger.Options{Now: c.read, OnWarning: func(w ledger.Warning) {
		warnings = append(warnings, fmt.Sprintf("%s%s %d%%", w.Key, w.Balance.Budget.Tag, w.Percent))
	}})
	call := func(id, key string, cost int64) error {
		r := tagRow(id, c.read(), key, cents(cost), "team=search", "run=1")
		call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{monthly(100), tagged("team=search", 150)}})
		if err == nil {
			call.Settle(r)
		}
		return err
	}
	if err := errors.Join(call("1", "a", 70), call("2", "b", 80)); err != nil {
		t.Fatal(err)
	}
	var spent *ledger.BudgetError
	if err := call("3", "c", 1); !errors.As(err, &spent) || spent.Budget.Tag != "team=search" ||
		err.Error() != "the budget of $1.50/month for tag 'team=search' is spent: $1.50 used, it starts again at 2026-12-01T00:00:00Z" {
		t.Errorf("%v", err)
	}
	if b := mustBalance(t, l, "c", monthly(100)); b.Spent != 0 || b.Held != 0 {
		t.Errorf("a refused call left something reserved with its key: %+v", b)
	}
	if len(warnings) != 3 || warnings[0] != "a 50%" || warnings[1] != "b 80%" || warnings[2] != "team=search 100%" {
		t.Errorf("warnings %q", warnings)
	}
	// A key's own budget is spent first: the tag's holds nothing of the call.
	if err := errors.Join(call("4", "a", 1)); !errors.As(err, &spent) || spent.Budget.Tag == "" && spent.Spent != int64(cents(70)) {
		t.Errorf("%v", err)
	}
	// The month turns for both, and the next process knows both.
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
	if b := mustBalance(t, l, "", tagged("team=search", 150)); b.Spent != int64(cents(150)) {
		t.Errorf("after a restart: %+v", b)
	}
	if err := call("5", "c", 1); !errors.As(err, &spent) {
		t.Errorf("after a restart: %v", err)
	}
	c.set(c.read().AddDate(0, 1, 0))
	if err := call("6", "c", 1); err != nil {
		t.Errorf("in the next month: %v", err)
	}
}

// TestTagBudgetGivenLater names a tag when rows have it already: those of its
// keys, and those that requests brought. What they cost counts, and is not
// counted twice by the rows that follow, nor by the next process.
func TestTagBudgetGivenLater(t *testing.T) {
	c := newClock(noon)
	path := filepath.Join(t.TempDir(), "forward.db")
	l := mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
	add := func(id string, cost int64, added int, tags ...string) {
		r := tagRow(id, c.read(), "a", cents(cost), tags...)
		r.Added = added
		r.Usage = dialect.Usage{Input: cost, Output: cost}
		l.Record(r)
	}
	last := noon.AddDate(0, -1, 0)
	c.set(last)
	add("last month", 7, 0, "team=search")
	c.set(noon)
	add("of the key", 10, 0, "x", "team=search")
	add("brought", 20, 1, "x", "team=search")
	add("twice", 1, 1, "team=search", "team=search")
	add("another", 5, 0, "team=searchers")
	add("none", 5, 0)
	mustFlush(t, l)
	add("waiting", 40, 0, "team=search")
	all := tagged("team=search", 1000)
	all.Period = ledger.Total
	tokens := tagged("team=search", 1)
	tokens.Unit = ledger.Tokens
	want := func(when string, month, total int64) {
		t.Helper()
		if b := mustBalance(t, l, "", tagged("team=search", 1000)); b.Spent != int64(cents(month)) {
			t.Errorf("%s: %d cents in the month, want %d", when, b.Spent/int64(cents(1)), month)
		}
		if b := mustBalance(t, l, "", all); b.Spent != int64(cents(total)) {
			t.Errorf("%s: %d cents in all, want %d", when, b.Spent/int64(cents(1)), total)
		}
		if b := mustBalance(t, l, "", tokens); b.Spent != 2*month {
			t.Errorf("%s: %d tokens in the month, want %d", when, b.Spent, 2*month)
		}
	}
	want("at first", 71, 78)
	add("after", 3, 1, "team=search", "team=search")
	want("after another", 74, 81)
	mustFlush(t, l)
	want("when all is written", 74, 81)
	for range 2 {
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
		want("after a restart", 74, 81)
	}
}

// TestTagsWithoutBudgetsAreNotCounted writes rows with made-up tags: none is in
// the sums of budgets.
func TestTagsWithoutBudgetsAreNotCounted(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	if err := l.TrackTags(t.Context(), "team=search"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		l.Record(tagRow(fmt.Sprint(i), noon, "a", 1, "team=search", fmt.Sprint("run=", i)))
	}
	mustFlush(t, l)
	var sums, cost int64
	if err := db.QueryRow(`SELECT COUNT(*), SUM(cost) FROM usage_tag_spend`).Scan(&sums, &cost); err != nil || sums != 1 || cost != 100 {
		t.Errorf("%d sums of %d, %v", sums, cost, err)
	}
}

// TestOverrunIsOfEachBudget reserves where less is left than a call may cost:
// only the budgets that may be overrun let it start.
func TestOverrunIsOfEachBudget(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Now: newClock(noon).read})
	reserve := func(id string, key, tag bool) error {
		own, shared := monthly(10), tagged("x", 10)
		own.Overrun, shared.Overrun = key, tag
		_, err := l.Reserve(t.Context(), ledger.Reservation{
			Row: tagRow(id, noon, id, cents(1), "x"), Budgets: []ledger.Budget{own, shared}, Least: func(r *ledger.Row) { r.Cost = cents(20) },
		})
		return err
	}
	var refused *ledger.BudgetError
	if err := reserve("1", false, true); !errors.As(err, &refused) || refused.Budget.Tag != "" || refused.Needed == 0 {
		t.Errorf("%v", err)
	}
	if err := reserve("2", true, false); !errors.As(err, &refused) || refused.Budget.Tag != "x" || refused.Needed == 0 {
		t.Errorf("%v", err)
	}
	if err := reserve("3", true, true); err != nil {
		t.Error(err)
	}
}

// TestDeferredWorkHoldsItsTags defers a call that has moved to another model:
// what that one may cost is held of the budgets of its key and its tags until
// the work is settled, in the next process too.
func TestDeferredWorkHoldsItsTags(t *testing.T) {
	c := newClock(noon)
	path := filepath.Join(t.TempDir(), "forward.db")
	for _, budgets := range [][]ledger.Budget{nil, {monthly(100), tagged("x", 100)}} {
		l := mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
		work := fmt.Sprint("work", len(budgets))
		first := tagRow("1"+work, noon, "a", cents(1), "x")
		first.Model = "first"
		call, err := l.Reserve(t.Context(), ledger.Reservation{Row: first, Budgets: budgets})
		if err != nil {
			t.Fatal(err)
		}
		second := first
		second.Model = "second"
		second.Cost = cents(30)
		if err := call.Move(t.Context(), ledger.Reservation{Row: second, Budgets: budgets}); err != nil {
			t.Fatal(err)
		}
		if err := call.Defer(t.Context(), "api.example", work); err != nil {
			t.Fatal(err)
		}
		own := second
		own.Defer()
		call.Settle(own)
		for range 2 {
			for _, b := range budgets {
				if got := mustBalance(t, l, "a", b); got.Held != int64(cents(30)) {
					t.Errorf("%s: held %d", b, got.Held)
				}
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, openDB(t, path), ledger.Options{Now: c.read})
		}
		settled, err := l.SettleDeferred(t.Context(), "api.example", work, func(r *ledger.Row) {
			if r.Model != "second" || r.Cost != cents(30) {
				t.Errorf("the row of the work is of model %q at %s", r.Model, r.Cost)
			}
			r.Cost = cents(20)
		})
		if err != nil || !settled {
			t.Fatal(settled, err)
		}
		for _, b := range budgets {
			if got := mustBalance(t, l, "a", b); got.Held != 0 || got.Spent != int64(cents(40)) { // of both rounds
				t.Errorf("%s: held %d, spent %d", b, got.Held, got.Spent)
			}
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBatchesCountForTheirTags settles a batch of a key with tags.
func TestBatchesCountForTheirTags(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Now: newClock(noon).read})
	b := tagged("x", 100)
	mustBalance(t, l, "", b)
	r := tagRow("host/batch_1/m", noon, "a", cents(30), "x")
	r.Settles = "batch_1"
	for range 2 { // fetched twice, settled once
		if _, err := l.SettleBatch(t.Context(), []ledger.Row{r}); err != nil {
			t.Fatal(err)
		}
	}
	if got := mustBalance(t, l, "", b); got.Spent != int64(cents(30)) {
		t.Errorf("%+v", got)
	}
}

// TestParallelCallsOfSharedTags starts calls of several keys with tags in any
// order at once: none waits for another forever, and no budget is passed by
// more than one reservation.
func TestParallelCallsOfSharedTags(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Now: newClock(noon).read})
	tags := []string{"a", "b", "c", "d"}
	var all sync.WaitGroup
	var started atomic.Int64
	for i := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range 2000 {
				order := random.Perm(len(tags))[:1+random.IntN(len(tags))]
				r := tagRow(fmt.Sprint(i, "-", n), noon, fmt.Sprint("k", i%2), cents(3))
				budgets := []ledger.Budget{monthly(400)}
				for _, at := range order {
					r.Tags = append(r.Tags, tags[at])
					budgets = append(budgets, tagged(tags[at], 100))
				}
				call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: budgets})
				if err != nil {
					continue
				}
				started.Add(1)
				call.Settle(r)
			}
		})
	}
	all.Wait()
	for _, tag := range tags {
		if b := mustBalance(t, l, "", tagged(tag, 100)); b.Spent > int64(cents(103)) || b.Spent < int64(cents(100)) || b.Held != 0 {
			t.Errorf("%s: %+v after %d calls", tag, b, started.Load())
		}
	}
}

// TestNoLayerIsPassedByMoreThanOneReservation tries random interleavings of
// calls of several keys and tags that start, move, end, are deferred, and of
// changes of amounts, turns of the period and new processes, against a model of
// what was spent.
func TestNoLayerIsPassedByMoreThanOneReservation(t *testing.T) {
	db := newDB(t)
	run, id := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		run++
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
		const largest = 300
		// Layers 0 and 1 are keys, the others tags.
		names := make([]string, 5)
		amounts := make([]int64, len(names))
		limits := make([]int64, len(names))
		for i := range names {
			names[i] = fmt.Sprintf("%d-%d", run, i)
			amounts[i] = 1000
			limits[i] = 1000
		}
		layer := func(i int) ledger.Budget {
			b := ledger.Budget{Unit: ledger.USD, Amount: amounts[i], Period: ledger.Daily, Zone: time.UTC}
			if i > 1 {
				b.Tag = names[i]
			}
			return b
		}
		type underWay struct {
			call   *ledger.Call
			row    ledger.Row
			layers []int
		}
		var calls []underWay
		var deferred []underWay
		type cell struct {
			layer int
			day   string
		}
		spent := map[cell]int64{}
		count := func(f underWay, at time.Time) {
			for _, i := range f.layers {
				spent[cell{i, at.Format(time.DateOnly)}] += int64(f.row.Cost)
			}
		}
		budgets := func(f underWay) (list []ledger.Budget) {
			for _, i := range f.layers {
				list = append(list, layer(i))
			}
			return list
		}
		take := func(t *rapid.T, from *[]underWay) underWay {
			if len(*from) == 0 {
				t.Skip("there is none")
			}
			at := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
			f := (*from)[at]
			*from = append((*from)[:at], (*from)[at+1:]...)
			return f
		}
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				id++
				f := underWay{layers: []int{rapid.IntRange(0, 1).Draw(t, "key")}}
				f.row = tagRow(fmt.Sprint(id), c.read(), names[f.layers[0]], price.Money(rapid.Int64Range(1, largest).Draw(t, "reserve")))
				for i := 2; i < len(names); i++ {
					if rapid.Bool().Draw(t, "tag") {
						f.row.Tags = append(f.row.Tags, names[i])
						f.layers = append(f.layers, i)
					}
				}
				var err error
				f.call, err = l.Reserve(context.Background(), ledger.Reservation{Row: f.row, Budgets: budgets(f)})
				var refused *ledger.BudgetError
				switch {
				case err == nil:
					calls = append(calls, f)
				case !errors.As(err, &refused):
					t.Fatal(err)
				case refused.Spent+refused.Held < refused.Budget.Amount:
					t.Fatalf("refused although something was left: %+v", refused)
				}
			},
			"move": func(t *rapid.T) {
				f := take(t, &calls)
				f.row.Cost = price.Money(rapid.Int64Range(1, largest).Draw(t, "reserve"))
				err := f.call.Move(context.Background(), ledger.Reservation{Row: f.row, Budgets: budgets(f)})
				if err == nil {
					calls = append(calls, f)
					return
				}
				f.row.Cost = 0
				f.call.Settle(f.row)
			},
			"end": func(t *rapid.T) {
				f := take(t, &calls)
				started := f.row.Time
				f.row.Cost = price.Money(rapid.Int64Range(0, int64(f.row.Cost)).Draw(t, "cost")) // 0: it failed
				count(f, started)
				f.call.Settle(f.row)
			},
			"defer": func(t *rapid.T) {
				f := take(t, &calls)
				if err := f.call.Defer(context.Background(), "host", f.row.ID); err != nil {
					t.Fatal(err)
				}
				r := f.row
				r.Defer()
				f.call.Settle(r)
				deferred = append(deferred, f)
			},
			"settle deferred": func(t *rapid.T) {
				f := take(t, &deferred)
				f.row.Cost = price.Money(rapid.Int64Range(0, int64(f.row.Cost)).Draw(t, "cost"))
				_, err := l.SettleDeferred(context.Background(), "host", f.row.ID, func(r *ledger.Row) { r.Cost = f.row.Cost })
				if err != nil {
					t.Fatal(err)
				}
				count(f, c.read())
			},
			"change": func(t *rapid.T) {
				i := rapid.IntRange(0, len(names)-1).Draw(t, "layer")
				amounts[i] = rapid.Int64Range(1, 2000).Draw(t, "amount")
				limits[i] = max(limits[i], amounts[i])
			},
			"": func(t *rapid.T) {
				for i := range names {
					b, err := l.Balances(context.Background(), names[i], []ledger.Budget{layer(i)})
					if err != nil {
						t.Fatal(err)
					}
					if want := spent[cell{i, c.read().Format(time.DateOnly)}]; b[0].Spent != want {
						t.Fatalf("layer %d: spent %d, should be %d", i, b[0].Spent, want)
					}
					if b[0].Spent+b[0].Held > limits[i]+largest {
						t.Fatalf("layer %d: spent %d and held %d of %d, with reserves of %d at most", i, b[0].Spent, b[0].Held, limits[i], largest)
					}
				}
			},
			"restart": func(t *rapid.T) {
				if len(calls) > 0 {
					t.Skip("a call that moved counts with its first model after a crash")
				}
				if err := l.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				l = open()
			},
		})
		for _, f := range deferred { // the database is the next run's too
			if _, err := l.SettleDeferred(context.Background(), "host", f.row.ID, func(r *ledger.Row) { r.Cost = 0 }); err != nil {
				t.Fatal(err)
			}
		}
	})
}
