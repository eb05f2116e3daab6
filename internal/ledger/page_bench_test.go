//go:build unix

package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// fillPages writes n requests over 60 days, in the order of time: 50 keys, 20
// models on 3 routes, 1000 users, 2000 sessions, and errors, one in a thousand
// of them rare.
func fillPages(b *testing.B, l *ledger.Ledger, n int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(15, 15))
	step := 60 * 24 * time.Hour / time.Duration(n)
	for i := range n {
		at := noon.Add(-60 * 24 * time.Hour).Add(time.Duration(i) * step)
		model := i / 500 % 20
		r := ledger.Row{
			ID: fmt.Sprintf("req_%012x%020x", at.UnixMilli(), rng.Uint64()), Time: at, Key: fmt.Sprint("key", rng.IntN(50)), KeyName: "name", User: fmt.Sprint("user", rng.IntN(1000)),
			Session: fmt.Sprint("s", rng.IntN(2000)), Route: fmt.Sprint("route", model%3), Upstream: "openai", Slot: "0", Operation: dialect.Chat, Model: fmt.Sprint("model", model),
			Status: 200, Finish: "stop", Cache: "bypass", Attempts: 1, First: time.Duration(rng.IntN(900)) * time.Millisecond, Total: time.Duration(rng.IntN(9000)) * time.Millisecond,
			Usage:  dialect.Usage{Input: 1000, Output: 100, Raw: []byte(`{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`)},
			Priced: true, Cost: 1e6, Price: "openai/gpt-4o in the table of 2026-11-10", BytesIn: 900, BytesOut: 1200,
			Trail: []ledger.Step{{Name: "price", Text: "1000 input × $2.50/M = $0.0025"}, {Name: "price", Text: "100 output × $10.00/M = $0.001"}},
		}
		switch {
		case i%100_000 == 500:
			r.Key, r.Model, r.Status, r.Cause, r.Cost, r.Total, r.User, r.Session, r.Priced, r.Tags = "rare", "rare", 418, "rare", 9e12, time.Hour, "rare", "rare", false, []string{"rare"}
		case i%97 == 0:
			r.Status, r.Cause = 502, "timeout"
		}
		l.Record(r)
		if i%20_000 == 19_999 {
			if err := l.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// benchRows returns how many rows a benchmark's ledger has.
func benchRows(b *testing.B) int {
	n := 50_000
	if s := os.Getenv("USAGE_BENCH_ROWS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// BenchmarkPages shows the first page of requests over 30 days with each single
// filter, from a ledger of USAGE_BENCH_ROWS requests: the time in which 95 of
// 100 pages are there. The bound is 200 ms for a million.
//
//	USAGE_BENCH_ROWS=1000000 go test -run '^$' -bench Pages -benchtime 20x -timeout 60m ./internal/ledger
func BenchmarkPages(b *testing.B) {
	n := benchRows(b)
	l := mustOpen(b, newDB(b), ledger.Options{Retention: -1, Delay: time.Nanosecond})
	fillPages(b, l, n)
	month := ledger.Selection{Since: noon.AddDate(0, 0, -30), Until: noon}
	selections := map[string]ledger.Selection{"none": month}
	for _, d := range ledger.Dimensions() {
		for value, of := range map[string]map[ledger.Dimension]string{
			"common": {ledger.ByKey: "key7", ledger.ByModel: "model7", ledger.ByRoute: "route1", ledger.ByStatus: "5xx", ledger.ByCause: "timeout", ledger.ByUser: "user7", ledger.BySession: "s7"},
			"rare":   {ledger.ByKey: "rare", ledger.ByModel: "rare", ledger.ByStatus: "418", ledger.ByCause: "rare", ledger.ByUser: "rare", ledger.BySession: "rare", ledger.ByTag: "rare"},
			"absent": {ledger.ByKey: "x", ledger.ByModel: "x", ledger.ByStatus: "1xx", ledger.ByCause: "x", ledger.ByUser: "x", ledger.BySession: "x", ledger.ByTag: "x", ledger.ByFinish: "x"},
		} {
			if text, ok := of[d]; ok {
				s := month
				s.Terms = []ledger.Term{{Dimension: d, Value: text}}
				selections[string(d)+" "+value] = s
			}
		}
	}
	slow, dear, unpriced := month, month, month
	slow.MinTotal, dear.MinCost, unpriced.Unpriced = time.Hour, 8e12, true
	selections["min_ms"], selections["min_cost"], selections["unpriced"] = slow, dear, unpriced
	var names []string
	for name := range selections {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			var p ledger.Page
			used := cpuTime(b)
			for b.Loop() {
				start := time.Now()
				var err error
				p, err = l.Page(b.Context(), ledger.PageQuery{Selection: selections[name], Limit: 100})
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[(len(took)-1)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64((cpuTime(b)-used).Microseconds())/1000/float64(b.N), "cpu-ms")
			b.ReportMetric(float64(len(p.Rows)), "rows")
			if whole := p.Scanned; !whole.IsZero() {
				b.ReportMetric(noon.Sub(whole).Hours()/24, "days")
			}
		})
	}
	overview := map[string]func() error{
		"histogram": func() error { _, err := l.Histogram(b.Context(), month, 120); return err },
		"histogram, 1 day": func() error {
			s := month
			s.Since = noon.AddDate(0, 0, -1)
			_, err := l.Histogram(b.Context(), s, 120)
			return err
		},
		"histogram, user":  func() error { _, err := l.Histogram(b.Context(), selections["user common"], 120); return err },
		"histogram, cause": func() error { _, err := l.Histogram(b.Context(), selections["cause common"], 120); return err },
		"latency":          func() error { _, err := l.Latency(b.Context(), ledger.LatencyQuery{Since: month.Since}); return err },
		"usage, day": func() error {
			_, err := l.Report(b.Context(), ledger.Query{By: []ledger.Dimension{ledger.ByDay, ledger.ByModel}, Since: month.Since})
			return err
		},
		"usage, key": func() error {
			_, err := l.Report(b.Context(), ledger.Query{By: []ledger.Dimension{ledger.ByKey}, Since: month.Since})
			return err
		},
	}
	for _, name := range []string{"histogram", "histogram, 1 day", "histogram, user", "histogram, cause", "latency", "usage, day", "usage, key"} {
		b.Run(name, func(b *testing.B) {
			used := cpuTime(b)
			for b.Loop() {
				if err := overview[name](); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-used).Microseconds())/1000/float64(b.N), "cpu-ms")
		})
	}
}
