package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

// drawn returns rows over 40 days before noon, in no order: what dimensions
// have is drawn out of few values, so that a filter finds some.
func drawn(rng *rand.Rand, n int) []ledger.Row {
	one := func(words ...string) string { return words[rng.IntN(len(words))] }
	list := make([]ledger.Row, n)
	for i := range list {
		at := noon.Add(-time.Duration(rng.Int64N(int64(40 * 24 * time.Hour)))).Truncate(time.Microsecond)
		if rng.IntN(4) == 0 {
			at = noon.Add(-time.Duration(rng.IntN(100)) * time.Millisecond) // many in one millisecond
		}
		r := ledger.Row{
			ID: fmt.Sprintf("req_%012x%020x", at.UnixMilli(), rng.Uint64()), Time: at, User: one("", "ann", "bob"), Tags: []string{"team=a", "web"}[:rng.IntN(3)],
			Route: one("openai", "claude"), Upstream: one("openai", "anthropic"), Slot: one("0", "1"), Operation: dialect.Operation(one("chat", "embedding")),
			Model: one("gpt-4o", "o3", strings.Repeat("m", 130)), Answered: one("gpt-4o-2024", ""), Status: []int{200, 200, 200, 429, 400, 502, 0}[rng.IntN(7)], Cause: one("", "timeout"),
			Finish: one("stop", "length"), Cache: one("hit", "miss", "bypass"), Session: one("", "s1", "s2"),
			Total: time.Duration(rng.IntN(5000)) * time.Millisecond, First: time.Duration(rng.IntN(900)) * time.Millisecond,
			Usage: dialect.Usage{Input: rng.Int64N(1000), Output: rng.Int64N(100)}, Unmetered: rng.IntN(9) == 0,
		}
		r.Key = one("k1", "k2", "k3")
		r.KeyName = map[string]string{"k1": "alice", "k2": "bob", "k3": "carol"}[r.Key]
		if rng.IntN(3) == 0 {
			r.Tags = append(slices.Clone(r.Tags), "own")
			r.Added = 1
		}
		if rng.IntN(5) > 0 {
			r.Priced = true
			r.Cost = price.Money(rng.Int64N(1e9))
		}
		if rng.IntN(50) == 0 {
			r.ID = fmt.Sprintf("host/batch_%d/gpt-4o", i)
		}
		list[i] = r
	}
	return list
}

// matches reports whether a row has what a selection means, worked out for
// itself.
func matches(s ledger.Selection, r ledger.Row) bool {
	in := func(t ledger.Term) bool {
		switch t.Dimension {
		case ledger.ByKey:
			return r.Key == t.Value || r.KeyName == t.Value
		case ledger.ByModel:
			return r.Model == t.Value
		case ledger.ByRoute:
			return r.Route == t.Value
		case ledger.ByOperation:
			return string(r.Operation) == t.Value
		case ledger.ByStatus:
			return fmt.Sprint(r.Status) == t.Value || fmt.Sprintf("%dxx", r.Status/100) == t.Value
		case ledger.ByCache:
			return r.Cache == t.Value
		case ledger.ByUser:
			return r.User == t.Value
		case ledger.ByUpstream:
			return r.Upstream == t.Value
		case ledger.BySlot:
			return r.Slot == t.Value
		case ledger.ByAnswered:
			return r.Answered == t.Value
		case ledger.ByCause:
			return r.Cause == t.Value
		case ledger.ByFinish:
			return r.Finish == t.Value
		case ledger.ByTag:
			return slices.Contains(r.Tags, t.Value)
		case ledger.BySession:
			return r.Session == t.Value
		}
		panic(t.Dimension)
	}
	for _, t := range s.Terms {
		if in(t) == t.Not {
			return false
		}
	}
	switch {
	case !s.Since.IsZero() && r.Time.Before(s.Since), !s.Until.IsZero() && !r.Time.Before(s.Until):
		return false
	case s.Unpriced && r.Priced, s.Unmetered && !r.Unmetered:
		return false
	}
	return r.Total >= s.MinTotal && (s.MinCost == 0 || (r.Priced && r.Cost >= s.MinCost)) && strings.HasPrefix(r.ID, s.ID)
}

// drawSelection draws what is asked for, often of several dimensions.
func drawSelection(rng *rand.Rand, rows []ledger.Row) (s ledger.Selection) {
	values := map[ledger.Dimension][]string{
		ledger.ByKey: {"k1", "alice", "k3", "nobody"}, ledger.ByModel: {"gpt-4o", "o3", strings.Repeat("m", 130), "none"}, ledger.ByRoute: {"openai", "claude"},
		ledger.ByOperation: {"chat", "embedding"}, ledger.ByStatus: {"200", "4xx", "5xx", "502", "2xx"}, ledger.ByCache: {"hit", "miss"}, ledger.ByUser: {"ann", ""},
		ledger.ByUpstream: {"openai"}, ledger.BySlot: {"1"}, ledger.ByAnswered: {"", "gpt-4o-2024"}, ledger.ByCause: {"timeout"}, ledger.ByFinish: {"length"},
		ledger.ByTag: {"web", "team=a", "own"}, ledger.BySession: {"s1", "", "s3"},
	}
	dimensions := slices.Sorted(func(yield func(ledger.Dimension) bool) {
		for d := range values {
			if !yield(d) {
				return
			}
		}
	})
	for range rng.IntN(4) {
		d := dimensions[rng.IntN(len(dimensions))]
		s.Terms = append(s.Terms, ledger.Term{Dimension: d, Value: values[d][rng.IntN(len(values[d]))], Not: rng.IntN(4) == 0})
	}
	if rng.IntN(2) == 0 {
		s.Since = noon.Add(-time.Duration(rng.Int64N(int64(40 * 24 * time.Hour))))
	}
	if rng.IntN(3) == 0 {
		s.Until = noon.Add(-time.Duration(rng.Int64N(int64(20 * 24 * time.Hour))))
	}
	switch rng.IntN(8) {
	case 0:
		s.MinTotal = 4 * time.Second
	case 1:
		s.MinCost = 9e8
	case 2:
		s.Unpriced = true
	case 3:
		s.Unmetered = true
	case 4:
		id := rows[rng.IntN(len(rows))].ID
		s.ID = id[:min(len(id), 4+rng.IntN(30))]
	}
	return s
}

// TestPagesAreEveryRowOnce draws rows and filters: the pages of each filter,
// with bounds that stop them anywhere, are all rows that match, each once, the
// newest first, and the histogram counts the same.
func TestPagesAreEveryRowOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 14))
	db := newDB(t)
	l := mustOpen(t, db, ledger.Options{Retention: -1, Location: mustZone(t, "America/St_Johns")})
	rows := drawn(rng, 3000)
	for _, r := range rows {
		l.Record(r)
	}
	mustFlush(t, l)
	for n := range 100 {
		s := drawSelection(rng, rows)
		want := map[string]bool{}
		for _, r := range rows {
			if matches(s, r) {
				want[r.ID] = true
			}
		}
		q := ledger.PageQuery{Selection: s, Limit: 1 + rng.IntN(200), MaxRows: 1 + rng.IntN(2000), MaxTime: time.Hour}
		if n%10 == 0 {
			q.MaxTime = time.Nanosecond
		}
		var got []ledger.Row
		for pages := 0; ; pages++ {
			p, err := l.Page(t.Context(), q)
			if err != nil || len(p.Rows) > q.Limit || pages > 4000 {
				t.Fatalf("%+v: %d rows, page %d, %v", q, len(p.Rows), pages, err)
			}
			got = append(got, p.Rows...)
			if !p.Scanned.IsZero() && p.Next == 0 {
				t.Errorf("%+v: it ended early, and goes on nowhere", q)
			}
			if p.Next == 0 {
				break
			}
			q.Before = p.Next
		}
		for i, r := range got {
			if !want[r.ID] {
				t.Errorf("%+v: %s does not match, or comes twice", s, r.ID)
			}
			delete(want, r.ID)
			if i > 0 && r.Time.Truncate(time.Millisecond).After(got[i-1].Time) {
				t.Errorf("%+v: %v is behind %v", s, r.Time, got[i-1].Time)
			}
		}
		for id := range want {
			t.Errorf("%+v: %s is missing", s, id)
		}
		checkHistogram(t, l, s, rows, 2+rng.IntN(200))
		if t.Failed() {
			return
		}
	}
}

// checkHistogram compares a histogram with the rows that a selection means.
func checkHistogram(t *testing.T, l *ledger.Ledger, s ledger.Selection, rows []ledger.Row, buckets int) {
	t.Helper()
	if s.Since.IsZero() {
		s.Since = noon.AddDate(0, 0, -41)
	}
	if s.Until.IsZero() {
		s.Until = noon.Add(time.Millisecond)
	}
	if !s.Since.Before(s.Until) {
		return
	}
	h, err := l.Histogram(t.Context(), s, buckets)
	if err != nil || len(h.Buckets) > buckets || h.Since.After(s.Since) || h.Buckets[len(h.Buckets)-1].Time.Add(h.Width).Before(s.Until) {
		t.Fatalf("%+v: %d buckets of %d, %v to %v, %v", s, len(h.Buckets), buckets, h.Since, h.Until, err)
	}
	want := slices.Clone(h.Buckets)
	for i := range want {
		want[i] = ledger.Bucket{Time: want[i].Time}
	}
	for _, r := range rows {
		if matches(s, r) {
			b := &want[r.Time.Sub(h.Since)/h.Width]
			b.Requests++
			b.Cost += r.Cost
			if r.Status >= 400 || r.Status == 0 {
				b.Errors++
			}
		}
	}
	if !slices.Equal(want, h.Buckets) {
		t.Errorf("%+v in %d buckets of %v: got %v, want %v", s, buckets, h.Width, h.Buckets, want)
	}
}
