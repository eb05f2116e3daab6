package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"forward/internal/audit"
	"forward/internal/database"
)

func Example() {
	db, err := database.OpenMemory()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	ctx := context.Background()
	log, err := audit.Open(ctx, db, audit.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = log.Append(ctx, audit.Entry{Actor: "administrator", Action: "key.update", Object: "alice", Before: map[string]int{"rpm": 60}, After: map[string]int{"rpm": 90}})
	if err != nil {
		fmt.Println(err)
		return
	}
	list, err := log.List(ctx, audit.Query{Action: "key."}, time.UTC)
	fmt.Printf("%s by %s: %s to %s, %v\n", list[0].Action, list[0].Actor, list[0].Before, list[0].After, err)
	// Output: key.update by administrator: {"rpm":60} to {"rpm":90}, <nil>
}

// Entries are removed at the age of the retention, and not shown from then on.
func TestRetention(t *testing.T) {
	for retention, left := range map[time.Duration]int{0: 2, 30 * 24 * time.Hour: 1, -1: 3} {
		db, err := database.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
		log, err := audit.Open(t.Context(), db, audit.Options{Retention: retention, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for _, days := range []int{0, 60, 60} {
			now = now.AddDate(0, 0, days)
			if err := log.Append(t.Context(), audit.Entry{Action: "play"}); err != nil {
				t.Fatal(err)
			}
		}
		list, err := log.List(t.Context(), audit.Query{}, time.UTC)
		var rows int
		if scan := db.QueryRow(`SELECT COUNT(*) FROM dash_audit`).Scan(&rows); scan != nil || err != nil {
			t.Fatal(scan, err)
		}
		if len(list) != left || rows != left {
			t.Errorf("with %v: %d entries are shown, %d are there, want %d", retention, len(list), rows, left)
		}
		now = now.AddDate(0, 0, 365)
		if list, err := log.List(t.Context(), audit.Query{}, time.UTC); err != nil || (retention >= 0 && len(list) > 0) {
			t.Errorf("with %v, a year later: %d entries, %v", retention, len(list), err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A page is read by the numbers, and not sorted: it costs the same however many
// entries there are.
func TestPagesAreNotSorted(t *testing.T) {
	db, err := database.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := audit.Open(t.Context(), db, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query(`EXPLAIN QUERY PLAN SELECT id FROM dash_audit WHERE 1 AND id < 5 AND +time >= 3 ORDER BY id DESC LIMIT 100`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var a, b, c int
		var detail string
		if err := rows.Scan(&a, &b, &c, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if text, _ := json.Marshal(plan); string(text) != `["SEARCH dash_audit USING INTEGER PRIMARY KEY (rowid\u003c?)"]` {
		t.Errorf("%s", text)
	}
}
