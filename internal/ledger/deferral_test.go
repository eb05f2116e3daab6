package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// reserveDeferred reserves a call of $0.70 and 700 tokens and defers its work.
func reserveDeferred(t *testing.T, l *ledger.Ledger, c *clock, id string, b ledger.Budget) *ledger.Call {
	t.Helper()
	r := ledger.Row{ID: "req_" + id, Time: c.read(), Key: "k1", KeyName: "alice", Model: "m", Operation: dialect.Responses, Priced: true, Cost: cents(70), Status: 200}
	r.Usage = dialect.Usage{Input: 100, Output: 600, Total: 700}
	call, err := l.Reserve(context.Background(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{b}})
	if err != nil {
		t.Fatal(err)
	}
	err = call.Defer(context.Background(), "api.example", id)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func heldOf(t *testing.T, l *ledger.Ledger, b ledger.Budget) (spent, held int64) {
	t.Helper()
	balances, err := l.Balances(context.Background(), "k1", []ledger.Budget{b})
	if err != nil {
		t.Fatal(err)
	}
	return balances[0].Spent, balances[0].Held
}

func TestDeferredWork(t *testing.T) {
	ctx := context.Background()
	c := newClock(noon)
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Now: c.read})
	b := monthly(60)
	call := reserveDeferred(t, l, c, "resp_1", b)
	call.Settle(ledger.Row{Status: 200, Priced: true, Key: "k1"})
	if spent, held := heldOf(t, l, b); spent != 0 || held != int64(cents(70)) {
		t.Fatalf("after the call: spent %d, held %d", spent, held)
	}
	var full *ledger.BudgetError
	err := c.call(l, "req_2", cents(1), cents(1), b)
	if !errors.As(err, &full) {
		t.Fatalf("the reservation of deferred work does not stand: %v", err)
	}

	// The reservation survives a restart, and a call that was left open counts
	// nothing twice.
	reserveDeferred(t, l, c, "resp_2", monthly(1000))
	err = l.Flush(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, db, ledger.Options{Now: c.read})
	b = monthly(1000)
	if spent, held := heldOf(t, l, b); spent != 0 || held != int64(cents(140)) {
		t.Fatalf("after a restart: spent %d, held %d", spent, held)
	}
	op, known := l.IsDeferred("api.example", "resp_1")
	_, elsewhere := l.IsDeferred("other.example", "resp_1")
	if !known || op != dialect.Responses || elsewhere || !l.HasDeferred() {
		t.Errorf("the deferral is not known by its host and id: %t %q %t", known, op, elsewhere)
	}

	// It is settled once, also by two answers at the same time.
	settle := func() bool {
		done, err := l.SettleDeferred(ctx, "api.example", "resp_1", func(r *ledger.Row) {
			r.Usage = dialect.Usage{Input: 100, Output: 200, Total: 300}
			r.Cost = cents(30)
		})
		if err != nil {
			t.Error(err)
		}
		return done
	}
	results := make(chan bool, 2)
	for range 2 {
		go func() { results <- settle() }()
	}
	first := <-results
	second := <-results
	if first == second {
		t.Errorf("settled %t and %t", first, second)
	}
	if spent, held := heldOf(t, l, b); spent != int64(cents(30)) || held != int64(cents(70)) {
		t.Errorf("after it was settled: spent %d, held %d", spent, held)
	}
	err = l.Flush(ctx)
	if err != nil {
		t.Fatal(err)
	}
	row, _, err := l.Trail(ctx, "api.example/resp_1")
	if err != nil || row.Cost != cents(30) || row.Key != "k1" || row.Model != "m" {
		t.Errorf("%v %+v", err, row)
	}
	ids, err := l.Settled(ctx, "resp_1")
	if err != nil || len(ids) != 1 {
		t.Errorf("%v %v", ids, err)
	}
	l = mustOpen(t, db, ledger.Options{Now: c.read})
	if _, ok := l.IsDeferred("api.example", "resp_1"); ok {
		t.Error("it is deferred again after a restart")
	}
}

func TestDeferredWorkExpires(t *testing.T) {
	ctx := context.Background()
	c := newClock(noon)
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Now: c.read, Retention: -1})
	b := monthly(1000)
	call := reserveDeferred(t, l, c, "video_1", b)
	call.Settle(ledger.Row{Status: 200, Priced: true, Key: "k1"})
	err := l.Flush(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.set(noon.Add(25 * time.Hour))
	l = mustOpen(t, db, ledger.Options{Now: c.read, Retention: -1}) // sweeps at once
	deadline := time.Now().Add(10 * time.Second)
	for l.HasDeferred() {
		if time.Now().After(deadline) {
			t.Fatal("it does not expire")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if spent, held := heldOf(t, l, b); spent != int64(cents(70)) || held != 0 {
		t.Errorf("spent %d, held %d", spent, held)
	}
	err = l.Flush(ctx)
	if err != nil {
		t.Fatal(err)
	}
	row, _, err := l.Trail(ctx, "api.example/video_1")
	if err != nil || !row.Estimated || row.Cause != ledger.Expired || row.Cost != cents(70) || row.Usage.Output != 600 {
		t.Errorf("%v %+v", err, row)
	}
}
