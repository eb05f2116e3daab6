package ledger_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"forward/internal/ledger"
)

// nearest is the time that a part of others is not longer than.
func nearest(times []time.Duration, percent int) time.Duration {
	slices.Sort(times)
	return times[(len(times)*percent+99)/100-1]
}

// near fails unless a percentile is within a bucket of what it should be.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	const step = 1.1893 // the fourth root of 2
	if ratio := float64(got) / float64(want); got == 0 || math.Max(ratio, 1/ratio) > step {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestLatency draws requests over several hours, a restart between, and
// compares percentiles with those of the rows. Refusals, failures and hits do
// not count.
func TestLatency(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "forward.db")
	db := openDB(t, path)
	l := mustOpen(t, db, ledger.Options{Location: mustZone(t, "America/St_Johns")})
	type times struct{ first, total []time.Duration }
	models, hours := map[string]*times{}, map[string]*times{}
	var all times
	note := func(to *times, r ledger.Row) {
		to.total = append(to.total, r.Total)
		if r.First > 0 {
			to.first = append(to.first, r.First)
		}
	}
	for i := range 4000 {
		r := row(fmt.Sprint("r", i))
		r.Time = noon.Add(-time.Duration(rng.IntN(300)) * time.Minute)
		r.Model = []string{"fast", "slow"}[i%2]
		r.Total = time.Duration(math.Exp(rng.NormFloat64())*float64([]int{300, 9000}[i%2])) * time.Millisecond
		r.First = r.Total / 7
		if i%5 == 0 {
			r.First = 0
		}
		switch i % 11 {
		case 0:
			r.Status, r.Total = 429, time.Millisecond
		case 1:
			r.Cache, r.Total = "hit", time.Millisecond
		default:
			for by, value := range map[string]map[string]*times{r.Model: models, r.Time.In(mustZone(t, "America/St_Johns")).Truncate(time.Hour).Format(time.RFC3339): hours} {
				if value[by] == nil {
					value[by] = &times{}
				}
				note(value[by], r)
			}
			note(&all, r)
		}
		l.Record(r)
		if i%500 == 0 {
			mustFlush(t, l)
		}
		if i == 2000 { // the cells of the hour are read again
			l.Close(t.Context())
			l = mustOpen(t, db, ledger.Options{Location: mustZone(t, "America/St_Johns")})
		}
	}
	mustFlush(t, l)
	compare := func(by ledger.Dimension, want map[string]*times) {
		t.Helper()
		groups, err := l.Latency(t.Context(), ledger.LatencyQuery{By: by})
		if err != nil || len(groups) != len(want) {
			t.Fatalf("by %s: %d groups of %d, %v", by, len(groups), len(want), err)
		}
		for _, g := range groups {
			w := want[g.Value]
			if w == nil || g.Requests != int64(len(w.total)) || g.Firsts != int64(len(w.first)) {
				t.Fatalf("by %s: %+v", by, g)
			}
			near(t, g.Value+" p50", g.Total.P50, nearest(w.total, 50))
			near(t, g.Value+" p95", g.Total.P95, nearest(w.total, 95))
			near(t, g.Value+" p99", g.Total.P99, nearest(w.total, 99))
			near(t, g.Value+" first p50", g.First.P50, nearest(w.first, 50))
		}
	}
	compare(ledger.ByModel, models)
	compare(ledger.ByHour, hours)
	compare("", map[string]*times{"": &all})
	groups, err := l.Latency(t.Context(), ledger.LatencyQuery{By: ledger.ByKey, Since: noon.Add(-90 * time.Minute), Terms: []ledger.Term{{Dimension: ledger.ByModel, Value: "fast"}, {Dimension: ledger.ByKey, Value: "alice"}}})
	if err != nil || len(groups) != 1 || groups[0].Value != "k1" || groups[0].KeyName != "alice" || groups[0].Requests >= int64(len(models["fast"].total)) {
		t.Errorf("of one key and model: %+v, %v", groups, err)
	}
	for _, q := range []ledger.LatencyQuery{{By: ledger.ByUser}, {Terms: []ledger.Term{{Dimension: ledger.ByStatus, Value: "200"}}}} {
		if _, err := l.Latency(t.Context(), q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
}

// TestLatencyOfOlderRows opens a ledger that an earlier version wrote: the
// times of its rows are there.
func TestLatencyOfOlderRows(t *testing.T) {
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{})
	for i := range 100 {
		r := row(fmt.Sprint("r", i))
		r.Time = noon.Add(-time.Duration(i) * time.Hour)
		l.Record(r)
	}
	mustFlush(t, l)
	want, err := l.Latency(t.Context(), ledger.LatencyQuery{By: ledger.ByHour})
	if err != nil || len(want) != 100 {
		t.Fatal(len(want), err)
	}
	l.Close(t.Context())
	for _, s := range []string{`DROP TABLE usage_latency`, `DELETE FROM usage_schema WHERE version >= 10`} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := mustOpen(t, db, ledger.Options{}).Latency(t.Context(), ledger.LatencyQuery{By: ledger.ByHour})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
}
