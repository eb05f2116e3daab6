package ledger_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/ledger"
)

// TestTagsCountOnceInTheTotal groups requests with two tags, with one and with
// none, and with a condition: groups have a request for each tag, the total has
// it once.
func TestTagsCountOnceInTheTotal(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Location: time.UTC})
	for i, tags := range [][]string{{"a", "b"}, {"a"}, {"b", "c"}, nil} {
		r := tagRow(fmt.Sprint(i), noon.Add(time.Duration(i)*24*time.Hour), fmt.Sprint("k", i%2), cents(10), tags...)
		r.Session = fmt.Sprint("s", i%2)
		l.Record(r)
	}
	mustFlush(t, l)
	for name, c := range map[string]struct {
		q             ledger.Query
		groups, total int64
	}{
		"by tag":                 {ledger.Query{By: []ledger.Dimension{ledger.ByTag}}, 6, 4},
		"by tag and day":         {ledger.Query{By: []ledger.Dimension{ledger.ByTag, ledger.ByDay}}, 6, 4},
		"of a tag":               {ledger.Query{By: []ledger.Dimension{ledger.ByTag}, Filter: map[ledger.Dimension]string{ledger.ByTag: "a"}}, 3, 2},
		"of a session":           {ledger.Query{By: []ledger.Dimension{ledger.ByTag, ledger.BySession}, Filter: map[ledger.Dimension]string{ledger.BySession: "s0"}}, 4, 2},
		"of two days":            {ledger.Query{By: []ledger.Dimension{ledger.ByTag}, Since: noon, Until: noon.Add(30 * time.Hour)}, 3, 2},
		"the cheapest are added": {ledger.Query{By: []ledger.Dimension{ledger.ByTag}, Top: 1}, 6, 4},
		"by key":                 {ledger.Query{By: []ledger.Dimension{ledger.ByKey}}, 4, 4},
		"nothing":                {ledger.Query{By: []ledger.Dimension{ledger.ByTag}, Until: noon.AddDate(-1, 0, 0)}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			groups := mustReport(t, l.Reader, c.q)
			total, err := l.Total(t.Context(), c.q, groups)
			if err != nil {
				t.Fatal(err)
			}
			sum := ledger.SumUp(groups)
			if sum.Requests != c.groups || sum.Cost != cents(10*c.groups) || total.Requests != c.total || total.Cost != cents(10*c.total) {
				t.Errorf("groups of %d requests, %s; total %d, %s", sum.Requests, sum.Cost, total.Requests, total.Cost)
			}
			var out strings.Builder
			if err := ledger.WriteJSON(&out, c.q, groups, total); err != nil {
				t.Fatal(err)
			}
			var got struct{ Total struct{ Requests int64 } }
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.Total.Requests != c.total {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}

// TestTop bounds the groups of a report: the dearest are there, and the others
// are added up.
func TestTop(t *testing.T) {
	l := mustOpen(t, newDB(t), ledger.Options{Location: time.UTC})
	for i := range 50 {
		r := tagRow(fmt.Sprint(i), noon.Add(time.Duration(i%2)*24*time.Hour), "k", cents(int64(i+1)))
		r.Session = fmt.Sprintf("s%02d", i)
		l.Record(r)
	}
	mustFlush(t, l)
	show := func(by ...ledger.Dimension) string {
		var out []string
		for _, g := range mustReport(t, l.Reader, ledger.Query{By: by, Top: 3}) {
			out = append(out, fmt.Sprintf("%s %d %s", strings.Join(g.Values, "/"), g.Requests, g.Cost))
		}
		return strings.Join(out, "; ")
	}
	if got, want := show(ledger.BySession), "(other) 47 $11.28; s49 1 $0.50; s48 1 $0.49; s47 1 $0.48"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	want := "2026-11-21/(other) 24 $5.76; 2026-11-21/s48 1 $0.49; 2026-11-22/(other) 23 $5.52; 2026-11-22/s49 1 $0.50; 2026-11-22/s47 1 $0.48"
	if got := show(ledger.ByDay, ledger.BySession); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
