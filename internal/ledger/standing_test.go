package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"forward/internal/ledger"
	"forward/internal/price"

	"pgregory.net/rapid"
)

// TestHistoryAgainstEveryRow draws requests, a budget and a zone, and compares
// the history with what counting each request in turn finds.
func TestHistoryAgainstEveryRow(t *testing.T) {
	zones := []*time.Location{time.UTC, mustZone(t, "Asia/Shanghai"), mustZone(t, "America/St_Johns"), mustZone(t, "Asia/Kathmandu"), mustZone(t, "Europe/Berlin")}
	// After a change of the clocks in Berlin and St. John's.
	now := time.Date(2026, 11, 3, 9, 26, 0, 0, time.UTC)
	l := mustOpen(t, newDB(t), ledger.Options{Now: func() time.Time { return now }, Location: time.UTC, Retention: -1})
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		mine, other := fmt.Sprint("k", runs), fmt.Sprint("other", runs)
		type use struct {
			at   time.Time
			cost int64
		}
		var uses []use
		n := rapid.IntRange(0, 60).Draw(rt, "requests")
		for i := range n {
			u := use{now.Add(-time.Duration(rapid.Int64Range(0, int64(70*24*time.Hour)).Draw(rt, "age"))).Truncate(time.Millisecond), rapid.Int64Range(0, 40).Draw(rt, "cost")}
			key := mine
			if rapid.IntRange(0, 9).Draw(rt, "of another key") == 0 {
				key = other
			} else {
				uses = append(uses, u)
			}
			l.Record(ledger.Row{ID: fmt.Sprint(runs, "-", i), Time: u.at, Key: key, KeyName: key, Model: "m", Priced: true, Cost: price.Money(u.cost), Status: 200})
			if i == n/2 {
				mustFlush(t, l) // the other half waits to be written
			}
		}
		b := ledger.Budget{
			Unit: ledger.USD, Amount: rapid.Int64Range(1, 300).Draw(rt, "amount"), Zone: rapid.SampledFrom(zones).Draw(rt, "zone"),
			Period: rapid.SampledFrom([]ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly, ledger.Total}).Draw(rt, "period"),
		}
		since := now.Add(-time.Duration(rapid.Int64Range(0, int64(60*24*time.Hour)).Draw(rt, "since")))
		got, err := l.History(t.Context(), mine, b, since)
		if err != nil {
			rt.Fatal(err)
		}
		slices.SortFunc(uses, func(a, b use) int { return a.at.Compare(b.at) })
		covered := 0
		for i, p := range got {
			if i > 0 && !p.Start.Equal(got[i-1].End) {
				rt.Errorf("period %d starts at %v, not at %v", i, p.Start, got[i-1].End)
			}
			var spent int64
			var stopped time.Time
			for _, u := range uses {
				if b.Period != ledger.Total && (u.at.Before(p.Start) || !u.at.Before(p.End)) {
					continue
				}
				covered++
				spent += u.cost
				if stopped.IsZero() && spent >= b.Amount {
					stopped = u.at.Truncate(15 * time.Minute)
				}
			}
			if spent != p.Spent || !stopped.Equal(p.Stopped) {
				rt.Errorf("%v: from %v to %v it spent %d and stopped at %v; counted are %d and %v", b, p.Start, p.End, p.Spent, p.Stopped, spent, stopped)
			}
		}
		if b.Period == ledger.Total {
			if len(got) != 1 {
				rt.Errorf("%d totals", len(got))
			}
		} else if got[0].Start.After(since) || !got[0].End.After(since) || !got[len(got)-1].End.After(now) || got[len(got)-1].Start.After(now) {
			rt.Errorf("from %v to %v is not from %v to %v", got[0].Start, got[len(got)-1].End, since, now)
		}
	})
}

// What is older than the quarters that are kept counts in a total, and what a
// total spent before Start has stopped it at Start.
func TestHistoryOfWhatWasFolded(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Now: func() time.Time { return noon }, Retention: -1})
	for quarter, cost := range map[int64]int64{0: 70, noon.Add(-time.Hour).Unix() / 900: 20} {
		if _, err := db.Exec(`INSERT INTO usage_spend VALUES ('k1', ?, ?, 0)`, quarter, cost); err != nil {
			t.Fatal(err)
		}
	}
	for limit, stopped := range map[int64]time.Time{60: noon.Add(-time.Hour), 90: noon.Add(-time.Hour), 91: {}} {
		got, err := l.History(t.Context(), "k1", ledger.Budget{Unit: ledger.USD, Amount: limit, Period: ledger.Total}, noon)
		if err != nil || got[0].Spent != 90 || !got[0].Stopped.Equal(stopped) || !got[0].Start.Equal(noon.Add(-time.Hour)) {
			t.Errorf("%d: %+v, %v", limit, got, err)
		}
	}
	if _, err := l.History(t.Context(), "k1", ledger.Budget{Unit: ledger.USD, Amount: 1, Period: ledger.Daily}, noon.AddDate(-3, 0, 0)); err == nil {
		t.Error("a thousand days are answered")
	}
}

// TestBalancesOfManyKeys compares what many keys have left with what each has.
func TestBalancesOfManyKeys(t *testing.T) {
	c := newClock(noon)
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Now: c.read})
	budgets := map[string][]ledger.Budget{}
	list := []ledger.Budget{monthly(500), {Unit: ledger.Tokens, Amount: 5000, Period: ledger.Daily, Zone: mustZone(t, "Asia/Tokyo")}, {Unit: ledger.USD, Amount: 1e12, Period: ledger.Total}}
	for i := range 200 {
		key := fmt.Sprint("k", i)
		budgets[key] = list[:i%4]
		for j := range rand.IntN(5) {
			r := tagRow(fmt.Sprint(i, "-", j), noon.Add(-time.Duration(rand.IntN(60))*24*time.Hour), key, cents(int64(rand.IntN(100))))
			r.Usage.Input = 7
			l.Record(r)
		}
		if i == 100 {
			mustFlush(t, l)
		}
		if i%3 == 0 && len(budgets[key]) > 0 { // some are in memory, with a call under way
			_, err := l.Reserve(t.Context(), ledger.Reservation{Row: tagRow(fmt.Sprint("open", i), noon, key, cents(3)), Budgets: budgets[key]})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := l.BalancesOf(t.Context(), budgets)
	if err != nil || len(got) != len(budgets) {
		t.Fatal(len(got), err)
	}
	held := false
	for key, of := range budgets {
		want, err := l.Balances(t.Context(), key, of)
		if err != nil || !slices.EqualFunc(got[key], want, func(a, b ledger.Balance) bool {
			return a.Spent == b.Spent && a.Held == b.Held && a.Reset.Equal(b.Reset) && a.Budget == b.Budget
		}) {
			t.Errorf("%s has %+v, not %+v: %v", key, got[key], want, err)
		}
		for _, b := range got[key] {
			held = held || b.Held > 0
		}
	}
	if !held {
		t.Error("no call is under way")
	}
}

func TestLastUsed(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Now: func() time.Time { return noon }, Location: mustZone(t, "Asia/Kolkata")})
	for i, age := range []time.Duration{50 * time.Hour, 30 * time.Minute, 3 * time.Hour} {
		r := tagRow(fmt.Sprint(i), noon.Add(-age), "k1", 1)
		r.Model = fmt.Sprint("m", i%2)
		l.Record(r)
	}
	l.Record(tagRow("4", noon, "k2", 1))
	mustFlush(t, l)
	got, err := l.LastUsed(t.Context(), "")
	if want := noon.Add(-time.Hour); err != nil || len(got) != 2 || !got["k1"].Equal(want) || !got["k2"].Equal(noon) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if one, err := l.LastUsed(t.Context(), "k1"); err != nil || len(one) != 1 || !one["k1"].Equal(got["k1"]) {
		t.Errorf("%v, %v", one, err)
	}
	if none, err := l.LastUsed(t.Context(), "k3"); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	models, err := l.ModelsUsed(t.Context(), "k1", noon.Add(-24*time.Hour))
	if err != nil || len(models) != 2 || !models["m1"].Equal(noon.Add(-time.Hour)) || !models["m0"].Equal(noon.Add(-3*time.Hour)) {
		t.Errorf("%v, %v", models, err)
	}
	if all, err := l.ModelsUsed(t.Context(), "", noon.Add(-24*time.Hour)); err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
}
