package ledger_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// full is a row that has something in every field.
func full(id string, at time.Time) ledger.Row {
	return ledger.Row{
		ID: id, Time: at, Key: "k1", KeyName: "alice", User: "bob", Tags: []string{"a", `"b"`, "\x01ü"}, Route: "openai", Upstream: "openai", Slot: "0",
		Operation: dialect.Chat, Model: "gpt-4o", Answered: "gpt-4o-2024-08-06", Status: 200, Cause: "none", Finish: "stop", Stream: true, Cache: "miss", Attempts: 2,
		Queue: time.Millisecond, Ask: 2 * time.Millisecond, First: 3 * time.Millisecond, Total: 4 * time.Millisecond,
		Usage: dialect.Usage{Input: 9, Output: 8, Total: 17, CachedRead: 7, CachedWrite: 6, CachedWriteHour: 5, Reasoning: 4, Audio: 3, AudioOutput: 2, Seconds: 1.5,
			Raw: json.RawMessage(`{"input":9}`)},
		Tier: "flex", Estimated: true, Priced: true, Cost: 123, Price: "openai/gpt-4o", Saved: 5, BytesIn: 10, BytesOut: 20,
		Trail: []ledger.Step{{At: time.Second, Name: "price", Text: `9 input × $1/M "quoted" \ <&>`}, {Name: "x", Text: "\xff\n"}},
	}
}

// TestEveryFieldIsKept writes rows with everything and with nothing, and reads
// them back.
func TestEveryFieldIsKept(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Location: time.UTC})
	bare := ledger.Row{ID: "bare", Time: noon}
	one := full("one", noon)
	for _, r := range []ledger.Row{one, bare} {
		l.Record(r)
	}
	mustFlush(t, l)
	one.Trail[1].Text = "\ufffd\n" // what is no text is not kept as it is
	for _, want := range []ledger.Row{one, bare} {
		got, open, err := l.Trail(t.Context(), want.ID)
		got.Time = got.Time.UTC()
		if diff := cmp.Diff(want, got); err != nil || open || diff != "" {
			t.Errorf("%s: open %t, %v, (-want +got)\n%s", want.ID, open, err, diff)
		}
	}
}

// TestKindsAreFewAndGoWithTheirRows checks that like rows have one kind a day,
// also after a restart of the day's first, and that retention takes kinds when
// it has taken their rows.
func TestKindsAreFewAndGoWithTheirRows(t *testing.T) {
	db, c := newDB(t), newClock(noon)
	count := func(table string) (n int) {
		t.Helper()
		if err := db.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	open := func() *ledger.Ledger {
		return mustOpen(t, db, ledger.Options{Now: c.read, Retention: 10 * 24 * time.Hour})
	}
	l := open()
	for i := range 100 {
		l.Record(full(fmt.Sprint(i), noon.Add(time.Duration(i)*30*time.Minute))) // 50 hours
	}
	mustFlush(t, l)
	if kinds, rows := count("usage_kinds"), count("usage_requests"); kinds != 3 || rows != 100 {
		t.Errorf("%d kinds of %d rows, want 3 of 100", kinds, rows)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.set(noon.AddDate(0, 0, 11).Add(time.Second)) // the first 24 hours are too old
	if err := open().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kinds, rows := count("usage_kinds"), count("usage_requests"); kinds != 2 || rows != 51 {
		t.Errorf("%d kinds of %d rows are left, want 2 of 51", kinds, rows)
	}
}
