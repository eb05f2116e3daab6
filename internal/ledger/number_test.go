package ledger_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// TestNumbersThatMeet records rows of one millisecond whose ids agree in all
// that a number holds, also in the last number of the millisecond: each is
// found, counted once, and stays where it is when it comes again.
func TestNumbersThatMeet(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	var ids []string
	for _, random := range []string{"abcdef", "ffffff", "1fffff", "200000"} {
		for i := range 20 {
			ids = append(ids, fmt.Sprintf("req_%012x%s%014x", noon.UnixMilli(), random, i))
		}
	}
	for range 2 {
		for _, id := range ids {
			l.Record(row(id))
		}
		mustFlush(t, l)
	}
	next := row(fmt.Sprintf("req_%012x%020x", noon.UnixMilli()+1, 0)) // of the next millisecond
	l.Record(next)
	mustFlush(t, l)
	for _, id := range append(ids, next.ID) {
		if r, _, err := l.Trail(t.Context(), id); err != nil || r.ID != id {
			t.Errorf("%s: %q, %v", id, r.ID, err)
		}
	}
	for _, by := range []ledger.Dimension{ledger.ByKey, ledger.ByFinish} {
		if s := ledger.SumUp(mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{by}})); s.Requests != int64(len(ids)+1) {
			t.Errorf("by %s: %d requests", by, s.Requests)
		}
	}
	var wrong int
	if err := db.QueryRow(`SELECT COUNT(*) FROM usage_calls WHERE number >> 21 != time / 1000`).Scan(&wrong); err != nil || wrong > 1 {
		t.Errorf("%d rows are not in their millisecond, %v", wrong, err)
	}
	if _, _, err := l.Trail(t.Context(), fmt.Sprintf("req_%012xabcdef%014x", noon.UnixMilli(), 99)); err != ledger.ErrNoRow {
		t.Errorf("an id beside those that are known: %v", err)
	}
}

// TestRowsHaveNoIndex keeps the cost of a row: it is written to one tree.
func TestRowsHaveNoIndex(t *testing.T) {
	db := newDB(t)
	mustOpen(t, db, ledger.Options{})
	var indexes int
	err := db.QueryRow(`SELECT COUNT(*) FROM sqlite_master WHERE type = 'index' AND tbl_name IN ('usage_calls', 'usage_open')
		AND name NOT LIKE 'sqlite_autoindex_usage_open%'`).Scan(&indexes)
	if err != nil || indexes != 0 {
		t.Errorf("%d indexes, %v", indexes, err)
	}
	page := `SELECT id FROM usage_requests WHERE number < ? ORDER BY number DESC LIMIT 50`
	if plan := planOf(t, db, page, 1<<62); plan != "SEARCH c USING INTEGER PRIMARY KEY (rowid<?)" &&
		plan != "SEARCH c USING INTEGER PRIMARY KEY (rowid<?); SEARCH k USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN" {
		t.Errorf("a page is found by: %s", plan)
	}
}

// TestQuantitiesAreKept settles one call with all that a usage can have, and
// leaves another open: the next process has both as they were.
func TestQuantitiesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.db")
	want := row(fmt.Sprintf("req_%012x%020x", noon.UnixMilli(), 1))
	want.Session = "conversation-1"
	want.Unmetered = true
	want.Usage.Media = dialect.Media{Characters: 12, Images: 3, ImageKind: "1024x1024/high", VideoSeconds: 4.5, VideoKind: "1280x720"}
	want.Usage.Terms = dialect.Terms{
		Fees: []dialect.Fee{{Name: "web_search", Count: 2}}, Speed: "fast", Geo: "us", Reported: 77, HasReported: true, Doubt: "parts of a new kind",
	}
	left := want
	left.ID = fmt.Sprintf("req_%012x%020x", noon.UnixMilli(), 2)
	killed := mustOpen(t, openDB(t, path), ledger.Options{Delay: time.Millisecond})
	killed.Record(want)
	if _, err := killed.Reserve(t.Context(), ledger.Reservation{Row: left}); err != nil {
		t.Fatal(err)
	}
	mustFlush(t, killed)
	db := openDB(t, path)
	next := mustOpen(t, db, ledger.Options{})
	left.Cause, left.Estimated = "interrupted", true
	for _, want := range []ledger.Row{want, left} {
		got, open, err := next.Trail(t.Context(), want.ID)
		got.Time = got.Time.UTC()
		if diff := cmp.Diff(want, got); err != nil || open || diff != "" {
			t.Errorf("%v, open %t\n%s", err, open, diff)
		}
	}
	var quantities string
	if err := db.QueryRow(`SELECT quantities FROM usage_requests LIMIT 1`).Scan(&quantities); err != nil || quantities !=
		`{"characters":12,"images":3,"image_kind":"1024x1024/high","video_seconds":4.5,"video_kind":"1280x720",`+
			`"fees":[{"name":"web_search","count":2}],"speed":"fast","geo":"us","doubt":"parts of a new kind"}` {
		t.Errorf("%s, %v", quantities, err)
	}
}
