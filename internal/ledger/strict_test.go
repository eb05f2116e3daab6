package ledger_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"forward/internal/ledger"
	"forward/internal/price"
)

// TestStrictCallsAreWrittenFirst checks that a strict ledger has a call in the
// database as soon as it is reserved (M15).
func TestStrictCallsAreWrittenFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	l := mustOpen(t, openDB(t, path), ledger.Options{Strict: true, Delay: time.Hour})
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("open")})
	if err != nil {
		t.Fatal(err)
	}
	other := openDB(t, path)
	if _, open, err := ledger.NewReader(other, time.UTC).Trail(t.Context(), "open"); err != nil || !open {
		t.Errorf("open %t, %v", open, err)
	}
	call.Settle(row("open"))
}

// TestStrictCallsThatCannotBeWritten reserves a call while another process has
// the database: it is refused, and neither holds a budget nor is left open.
func TestStrictCallsThatCannotBeWritten(t *testing.T) {
	t.Parallel() // it waits
	path := filepath.Join(t.TempDir(), "forward.db")
	l := mustOpen(t, openDB(t, path), ledger.Options{Strict: true})
	other, err := openDB(t, path).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	budgets := []ledger.Budget{{Unit: ledger.USD, Amount: int64(price.Dollar), Period: ledger.Total}}
	r := row("refused")
	if _, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: budgets}); !errors.Is(err, ledger.ErrUnwritable) {
		t.Fatalf("a call was reserved: %v", err)
	}
	if b, err := l.Balances(t.Context(), r.Key, budgets); err != nil || b[0].Held != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, l)
	if _, _, err := l.Trail(t.Context(), r.ID); !errors.Is(err, ledger.ErrNoRow) {
		t.Errorf("the refused call is in the ledger: %v", err)
	}
}

// TestBudgetsDoNotWaitForOtherProcesses uses a budget for the first time while
// another process has the database and the writer waits for it (M16).
func TestBudgetsDoNotWaitForOtherProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	l := mustOpen(t, openDB(t, path), ledger.Options{Delay: time.Millisecond})
	other, err := openDB(t, path).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Record(row("waits"))
	time.Sleep(50 * time.Millisecond) // the writer waits by then
	start := time.Now()
	budgets := []ledger.Budget{{Unit: ledger.USD, Amount: int64(price.Dollar), Period: ledger.Total}}
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("first"), Budgets: budgets})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("the reservation took %v", took)
	}
	if b, err := l.Balances(t.Context(), "k1", budgets); err != nil || b[0].Spent != 5_615_000 {
		t.Errorf("the row that waits is not counted: %+v, %v", b, err)
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	call.Settle(row("first"))
	mustFlush(t, l)
}
