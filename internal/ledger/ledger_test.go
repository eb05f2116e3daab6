package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"forward/internal/backlog"
	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	if killedProcess() {
		return
	}
	goleak.VerifyTestMain(m)
}

// openDB opens a database the way the program does.
func openDB(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(ON)&_pragma=synchronous(NORMAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newDB(t testing.TB) *sql.DB { return openDB(t, filepath.Join(t.TempDir(), "forward.db")) }

func mustOpen(t testing.TB, db *sql.DB, o ledger.Options) *ledger.Ledger {
	t.Helper()
	if o.Location == nil {
		o.Location = time.UTC
	}
	l, err := ledger.Open(db, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mustTable(t testing.TB, overrides ...price.Override) *price.Table {
	t.Helper()
	table, err := price.NewTable(overrides)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustFlush(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustReport(t testing.TB, r *ledger.Reader, q ledger.Query) []ledger.Group {
	t.Helper()
	groups, err := r.Report(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

// noon is when tests take place.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func row(id string) ledger.Row {
	return ledger.Row{
		ID: id, Time: noon, Key: "k1", KeyName: "alice", User: "u1", Tags: []string{"web", "beta"}, Route: "openai", Upstream: "openai", Slot: "2",
		Operation: dialect.Chat, Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Status: 200, Finish: "stop", Stream: true, Cache: "miss", Attempts: 2,
		Queue: 5 * time.Millisecond, Ask: time.Second, First: 300 * time.Millisecond, Total: 1200 * time.Millisecond,
		Usage:  dialect.Usage{Input: 2006, Output: 300, Total: 2306, CachedRead: 1920, CachedWrite: 3, CachedWriteHour: 2, Reasoning: 4, Audio: 5, AudioOutput: 1, Seconds: 0.5, Raw: []byte(`{"prompt_tokens":2006}`)},
		Priced: true, Cost: 5_615_000, Price: "openai/gpt-4o of 2026-11-10", BytesIn: 900, BytesOut: 1200,
		Trail: []ledger.Step{{At: time.Millisecond, Name: "cache", Text: "miss: not stored"}},
	}
}

func TestLedgerKeepsARow(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	want := row("a")
	l.Record(want)
	mustFlush(t, l)
	got, open, err := l.Trail(t.Context(), "a")
	if err != nil || open {
		t.Fatalf("open %t, error %v", open, err)
	}
	got.Time = got.Time.UTC()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := l.Trail(t.Context(), "b"); !errors.Is(err, ledger.ErrNoRow) {
		t.Errorf("an unknown id: %v", err)
	}
}

// TestUnpricedIsNotFree checks that a row without a price stays apart from one
// that costs nothing.
func TestUnpricedIsNotFree(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{})
	unpriced, free := row("unpriced"), row("free")
	unpriced.Priced, unpriced.Cost, unpriced.Price = false, 0, "no price"
	free.Cost = 0
	l.Record(unpriced)
	l.Record(free)
	mustFlush(t, l)
	for id, want := range map[string]bool{"unpriced": false, "free": true} {
		if got, _, err := l.Trail(t.Context(), id); err != nil || got.Priced != want || got.Cost != 0 {
			t.Errorf("%s: priced %t at %s (%v)", id, got.Priced, got.Cost, err)
		}
	}
	for _, by := range [][]ledger.Dimension{nil, {ledger.ByAnswered}} { // from sums, and from rows
		if g := mustReport(t, l.Reader, ledger.Query{By: by}); len(g) != 1 || g[0].Requests != 2 || g[0].Unpriced != 1 || g[0].Cost != 0 {
			t.Errorf("by %v: %+v", by, g)
		}
	}
}

func TestRowsCountOnce(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("a")})
	if err != nil {
		t.Fatal(err)
	}
	call.Settle(row("a"))
	call.Settle(row("a")) // a deferred one
	l.Record(row("a"))    // in the same batch
	mustFlush(t, l)
	l.Record(row("a")) // in a later one
	mustFlush(t, l)
	if g := mustReport(t, l.Reader, ledger.Query{}); len(g) != 1 || g[0].Requests != 1 || g[0].Cost != 5_615_000 {
		t.Errorf("%+v", g)
	}
	// And by the next process.
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, db, ledger.Options{})
	again.Record(row("a"))
	mustFlush(t, again)
	if g := mustReport(t, again.Reader, ledger.Query{}); len(g) != 1 || g[0].Requests != 1 {
		t.Errorf("%+v", g)
	}
}

// TestOpenCallsSettleAtTheirReserve checks what the next process finds of calls
// whose process was killed.
func TestOpenCallsSettleAtTheirReserve(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	killed := mustOpen(t, openDB(t, path), ledger.Options{})
	reserve := ledger.Row{ID: "left", Time: noon, Key: "k1", Model: "gpt-4o", Usage: dialect.Usage{Input: 100, Output: 400}, Priced: true, Cost: 4_250_000}
	if _, err := killed.Reserve(t.Context(), ledger.Reservation{Row: reserve}); err != nil {
		t.Fatal(err)
	}
	done, err := killed.Reserve(t.Context(), ledger.Reservation{Row: ledger.Row{ID: "done", Time: noon, Key: "k1"}})
	if err != nil {
		t.Fatal(err)
	}
	mustFlush(t, killed)
	if got, open, err := killed.Trail(t.Context(), "left"); err != nil || !open || got.Cost != reserve.Cost {
		t.Fatalf("under way: open %t, %s, %v", open, got.Cost, err)
	}
	done.Settle(row("done")) // was in the database as open
	mustFlush(t, killed)

	next := mustOpen(t, openDB(t, path), ledger.Options{})
	got, open, err := next.Trail(t.Context(), "left")
	if err != nil || open || !got.Estimated || got.Cost != reserve.Cost || got.Usage.Output != 400 || got.Cause != "interrupted" {
		t.Errorf("open %t, %+v, %v", open, got, err)
	}
	if got, _, err := next.Trail(t.Context(), "done"); err != nil || got.Estimated || got.Cost != 5_615_000 {
		t.Errorf("%+v, %v", got, err)
	}
	if g := mustReport(t, next.Reader, ledger.Query{}); len(g) != 1 || g[0].Requests != 2 || g[0].Estimated != 1 || g[0].EstimatedCost != 4_250_000 || g[0].Cost != 9_865_000 {
		t.Errorf("%+v", g)
	}
	if third := mustOpen(t, openDB(t, path), ledger.Options{}); len(mustReport(t, third.Reader, ledger.Query{})) != 1 {
		t.Error("settled twice")
	}
}

// TestCloseLosesNothing records from many goroutines and closes at once: all
// that was taken is there, and sums are those of the rows.
func TestCloseLosesNothing(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	const writers, each = 8, 250
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				r := row(fmt.Sprintf("%d-%d", w, i))
				r.Key, r.Time = fmt.Sprint("k", w%3), noon.Add(time.Duration(i)*time.Hour)
				call, err := l.Reserve(t.Context(), ledger.Reservation{Row: r, Budgets: []ledger.Budget{{Unit: ledger.USD, Amount: 1000 * int64(price.Dollar), Period: ledger.Total}}})
				if err != nil {
					t.Error(err)
					return
				}
				call.Settle(r)
			}
		})
	}
	all.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := ledger.NewReader(db, time.UTC)
	rows, days := mustReport(t, r, ledger.Query{By: []ledger.Dimension{ledger.ByAnswered}}), mustReport(t, r, ledger.Query{})
	if len(rows) != 1 || len(days) != 1 || rows[0].Sums != days[0].Sums || days[0].Requests != writers*each || days[0].Cost != writers*each*5_615_000 {
		t.Errorf("rows %+v, sums %+v", rows, days)
	}
	var open int
	if err := db.QueryRow(`SELECT COUNT(*) FROM usage_open`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d calls are still open (%v)", open, err)
	}
	l.Record(row("late")) // must neither panic nor hang
	if err := l.Flush(t.Context()); !errors.Is(err, backlog.ErrClosed) {
		t.Errorf("flushing a closed ledger: %v", err)
	}
}

// TestFullDisk fills the database: rows wait, Healthy reports it, nothing fails
// unless the ledger is strict, and when there is space again everything is
// there.
func TestFullDisk(t *testing.T) {
	db := newDB(t)
	db.SetMaxOpenConns(1) // max_page_count is the connection's own
	l := mustOpen(t, db, ledger.Options{Delay: time.Millisecond})
	l.Record(row("before"))
	mustFlush(t, l)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`PRAGMA max_page_count = 1`) // SQLite makes it what the file has now
	call, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("held")})
	if err != nil {
		t.Fatal(err)
	}
	big := row("big")
	big.Trail = []ledger.Step{{Name: "x", Text: strings.Repeat("x", 1<<20)}}
	l.Record(big)
	call.Settle(row("held"))
	waitFor(t, func() bool { ok, _ := l.Healthy(); return !ok })
	if _, detail := l.Healthy(); !strings.Contains(detail, "has not been written since") || !strings.Contains(detail, "full") {
		t.Error(detail)
	}
	if _, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("more")}); err != nil {
		t.Errorf("a call was refused: %v", err)
	}
	exec(`PRAGMA max_page_count = 1000000`)
	mustFlush(t, l)
	if ok, detail := l.Healthy(); !ok || detail != "" {
		t.Errorf("healthy %t, %q", ok, detail)
	}
	for _, id := range []string{"before", "held", "big", "more"} {
		if _, _, err := l.Trail(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestFullDiskStrictAndBounded(t *testing.T) {
	db := newDB(t)
	db.SetMaxOpenConns(1)
	l, err := ledger.Open(db, ledger.Options{Delay: time.Millisecond, Strict: true, MaxPending: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`PRAGMA max_page_count = 1`); err != nil {
		t.Fatal(err)
	}
	big := row("big")
	big.Trail = []ledger.Step{{Name: "x", Text: strings.Repeat("x", 32<<10)}}
	l.Record(big)
	waitFor(t, func() bool { ok, _ := l.Healthy(); return !ok })
	if _, err := l.Reserve(t.Context(), ledger.Reservation{Row: row("refused")}); !errors.Is(err, ledger.ErrUnwritable) {
		t.Errorf("a strict ledger reserved a call: %v", err)
	}
	for i := range 1000 { // about a megabyte
		l.Record(row(fmt.Sprint(i)))
	}
	if _, detail := l.Healthy(); !strings.Contains(detail, "are lost") {
		t.Error(detail)
	}
	if waiting, lost := l.Pending(); waiting == 0 || lost == 0 || int64(waiting)+lost != 1001 {
		t.Errorf("%d rows wait and %d are lost, of 1001", waiting, lost)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Close(ctx); err == nil || !strings.Contains(err.Error(), "rows of the ledger could not be written") {
		t.Errorf("closing: %v", err)
	}
}

// waitFor waits for something that another goroutine does soon.
func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen within 30 s")
		}
	}
}

// TestRetention checks that old rows go and their sums stay.
func TestRetention(t *testing.T) {
	db := newDB(t)
	first := mustOpen(t, db, ledger.Options{Retention: -1})
	for i := range 6_000 { // more than one step of a sweep
		r := row(fmt.Sprint("old", i))
		r.Time, r.Trail, r.Usage.Raw = noon.AddDate(0, 0, -40), nil, nil
		first.Record(r)
	}
	r := row("ancient")
	r.Time = noon.AddDate(-2, 0, 0)
	first.Record(r)
	first.Record(row("new"))
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return noon }
	l := mustOpen(t, db, ledger.Options{Retention: 30 * 24 * time.Hour, Now: now})
	waitFor(t, func() bool { // the start sweeps
		var rows, hours, folded int
		err := db.QueryRow(`SELECT (SELECT COUNT(*) FROM usage_requests), (SELECT COUNT(*) FROM usage_hours), (SELECT COUNT(*) FROM usage_spend WHERE quarter = 0)`).Scan(&rows, &hours, &folded)
		return err == nil && rows == 1 && hours == 2 && folded == 1
	})
	if g := mustReport(t, l.Reader, ledger.Query{}); len(g) != 1 || g[0].Requests != 6_002 {
		t.Errorf("%+v", g)
	}
	budgets := []ledger.Budget{{Unit: ledger.USD, Amount: int64(price.Dollar), Period: ledger.Total}}
	if b, err := l.Balances(t.Context(), "k1", budgets); err != nil || b[0].Spent != 6_002*5_615_000 {
		t.Errorf("%+v, %v", b, err)
	}
}

func exampleDB() *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	return db
}
