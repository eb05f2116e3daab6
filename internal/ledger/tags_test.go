package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"forward/internal/ledger"
)

// TestTagsThatRequestsBring writes rows whose requests brought tags: each row
// has all of its tags, and made-up ones make no kinds.
func TestTagsThatRequestsBring(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	for i := range 50 {
		r := row(fmt.Sprintf("req_%012x%020x", noon.UnixMilli(), i))
		r.Time = noon.Add(time.Duration(i))
		r.Tags = []string{"team=search", fmt.Sprintf("run=%d", i)}
		r.Added = 1
		l.Record(r)
	}
	mustFlush(t, l)
	got, _, err := l.Trail(t.Context(), fmt.Sprintf("req_%012x%020x", noon.UnixMilli(), 7))
	if want := []string{"team=search", "run=7"}; err != nil || !slices.Equal(got.Tags, want) {
		t.Errorf("tags %q, %v", got.Tags, err)
	}
	var kinds int
	if err := db.QueryRow(`SELECT COUNT(*) FROM usage_kinds`).Scan(&kinds); err != nil || kinds != 1 {
		t.Errorf("%d kinds, %v", kinds, err)
	}
	groups := mustReport(t, l.Reader, ledger.Query{By: []ledger.Dimension{ledger.ByTag}})
	if len(groups) != 51 || groups[0].Values[0] != "team=search" || groups[0].Requests != 50 {
		t.Errorf("%d groups, the first %+v", len(groups), groups[0])
	}
}
