package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// TestBatchesHaveTheTierOfEachAnswer: the threshold is one of prompts, and not
// of all that a batch was asked.
func TestBatchesHaveTheTierOfEachAnswer(t *testing.T) {
	for _, c := range []struct {
		prompts []int64
		want    price.Money
	}{
		// gemini-2.5-pro in a batch: 0.625 and 5 millionths of a dollar, with
		// more than 200,000 prompt tokens 1.25 and 7.50.
		{[]int64{199_999}, 199_999*625 + 10*5_000},
		{[]int64{200_000}, 200_000*625 + 10*5_000},
		{[]int64{200_001}, 200_001*1_250 + 10*7_500},
		{[]int64{150_000, 150_000}, 300_000*625 + 20*5_000},
		{[]int64{200_001, 100, 200_001}, 400_002*1_250 + 20*7_500 + 100*625 + 10*5_000},
	} {
		s := ledger.Settlement{Prices: mustTable(t), Upstream: "google", Batch: ledger.Batch{ID: "batches/b"}}
		for _, n := range c.prompts {
			s.Add(ledger.BatchItem{Model: "gemini-2.5-pro", Usage: dialect.Usage{Input: n, Output: 10}})
		}
		rows := s.Rows(noon, "req")
		if len(rows) != 1 || rows[0].Cost != c.want || !rows[0].Priced {
			t.Errorf("%v: %+v, want %v", c.prompts, rows, c.want)
		}
	}
}

// TestBatchesOutliveTheirRows fetches results again after retention took the
// row.
func TestBatchesOutliveTheirRows(t *testing.T) {
	db := newDB(t)
	now := noon
	open := func() *ledger.Ledger {
		return mustOpen(t, db, ledger.Options{Retention: 24 * time.Hour, Now: func() time.Time { return now }})
	}
	settle := func(l *ledger.Ledger) int {
		s := ledger.Settlement{Prices: mustTable(t), Upstream: "openai", Batch: ledger.Batch{Host: "h", ID: "b", Key: "k"}}
		s.Add(ledger.BatchItem{Model: "gpt-4o", Usage: dialect.Usage{Input: 10, Output: 10}})
		n, err := l.SettleBatch(t.Context(), s.Rows(now, "req"))
		if err != nil {
			t.Fatal(err)
		}
		mustFlush(t, l)
		return n
	}
	l := open()
	if n := settle(l); n != 1 {
		t.Fatalf("%d rows", n)
	}
	if n := settle(l); n != 0 {
		t.Fatalf("%d rows the second time", n)
	}
	l.Close(t.Context())
	now = now.Add(48 * time.Hour)
	l = open()
	waitFor(t, func() bool { _, _, err := l.Trail(t.Context(), "h/b/gpt-4o"); return err == ledger.ErrNoRow })
	if n := settle(l); n != 0 {
		t.Errorf("%d rows after the first were removed", n)
	}
	if g := mustReport(t, l.Reader, ledger.Query{Filter: map[ledger.Dimension]string{ledger.ByOperation: "batch"}}); len(g) != 1 || g[0].Requests != 1 {
		t.Errorf("%+v", g)
	}
}

// TestBatchesSeenFirst fills in who made a batch that was first seen in a list
// before its maker's answer was there.
func TestBatchesSeenFirst(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{})
	note := func(b ledger.Batch) string {
		t.Helper()
		b.Host, b.ID = "h", "b"
		if err := l.NoteBatches(t.Context(), []ledger.Batch{b}); err != nil {
			t.Fatal(err)
		}
		b, ok, err := l.FindBatch(t.Context(), "h", "b")
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		return fmt.Sprintf("%s %s %s %v", b.Key, b.Results, b.Model, b.Tags)
	}
	for _, c := range []struct {
		b    ledger.Batch
		want string
	}{
		{ledger.Batch{}, "   []"},
		{ledger.Batch{Key: "alice", Tags: []string{"x"}}, "alice   [x]"},
		{ledger.Batch{Key: "bob"}, "alice   [x]"},
		{ledger.Batch{Results: "file-1", Model: "m"}, "alice file-1 m [x]"},
		{ledger.Batch{}, "alice file-1 m [x]"},
	} {
		if got := note(c.b); got != c.want {
			t.Errorf("%+v: %q, want %q", c.b, got, c.want)
		}
	}
	if b, ok, err := l.FindBatch(t.Context(), "h", "file-1"); b.ID != "b" || !ok || err != nil {
		t.Errorf("%+v %v %v", b, ok, err)
	}
	if _, ok, err := l.FindBatch(t.Context(), "elsewhere", "file-1"); ok || err != nil {
		t.Errorf("found at another host: %v", err)
	}
}
