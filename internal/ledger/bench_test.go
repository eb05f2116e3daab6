package ledger_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// fill writes n requests through the ledger, by 50 keys in bursts of 40, over
// 60 days: 20 models on 3 routes, 1000 users, and a few errors.
func fill(b *testing.B, l *ledger.Ledger, n int) {
	b.Helper()
	step := 60 * 24 * time.Hour / time.Duration(n)
	for i := range n {
		r := row(strconv.FormatUint(uint64(i)*0x9e3779b97f4a7c15, 36)) // ids come in no order
		r.Time = noon.Add(-time.Duration(i) * step)
		model := i / 2000 % 20
		r.Key, r.Model, r.Route, r.User = fmt.Sprint("key", i/40%50), fmt.Sprint("model", model), fmt.Sprint("route", model%3), fmt.Sprint("user", i/40%1000)
		if r.Status = 200; i%97 == 0 {
			r.Status = 502
		}
		r.Usage, r.Tags, r.Trail = dialect.Usage{Input: 1000, Output: 100, Raw: []byte(`{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}`)}, nil, nil
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

// BenchmarkReport answers `usage --by key,model,day --since 30d` from a ledger
// of USAGE_BENCH_ROWS requests, 50,000 unless it is set. The bound is a second
// for 5 million:
//
//	USAGE_BENCH_ROWS=5000000 go test -run '^$' -bench Report -benchtime 5x -timeout 60m ./internal/ledger
func BenchmarkReport(b *testing.B) {
	n := 50_000
	if s := os.Getenv("USAGE_BENCH_ROWS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	db := newDB(b)
	l := mustOpen(b, db, ledger.Options{Retention: -1, Delay: time.Nanosecond})
	start := time.Now()
	fill(b, l, n)
	written := time.Since(start)
	query := ledger.Query{By: []ledger.Dimension{ledger.ByKey, ledger.ByModel, ledger.ByDay}, Since: noon.AddDate(0, 0, -30).Truncate(24 * time.Hour)}
	var groups int
	for b.Loop() {
		g, err := l.Report(b.Context(), query)
		if err != nil {
			b.Fatal(err)
		}
		groups = len(g)
	}
	b.ReportMetric(float64(n), "rows")
	b.ReportMetric(float64(groups), "groups")
	if groups < min(n/2000, 30_000) {
		b.Errorf("only %d groups: the requests are not spread over the days", groups)
	}
	b.ReportMetric(float64(written.Microseconds())/float64(n), "µs/row-written")
}

// BenchmarkSettle is what a request pays for being accounted for: a reservation
// in a budget and its end.
func BenchmarkSettle(b *testing.B) {
	l := mustOpen(b, newDB(b), ledger.Options{MaxPending: 1 << 40})
	budgets := []ledger.Budget{{Unit: ledger.USD, Amount: 1 << 60, Period: ledger.Monthly}}
	r := row("")
	r.Time = time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.ID = strconv.Itoa(i)
		call, err := l.Reserve(b.Context(), ledger.Reservation{Row: r, Budgets: budgets})
		if err != nil {
			b.Fatal(err)
		}
		call.Settle(r)
	}
}

// BenchmarkWrite is what the writer pays for a row, beside the requests: µs/row
// is its processor time where nothing else runs.
func BenchmarkWrite(b *testing.B) {
	l := mustOpen(b, newDB(b), ledger.Options{Retention: -1, Delay: time.Nanosecond})
	const rows = 10_000
	for i := 0; b.Loop(); i++ {
		for n := range rows {
			r := row(strconv.FormatUint(uint64(i*rows+n)*0x9e3779b97f4a7c15, 36))
			r.Time, r.Key, r.Model = noon.Add(time.Duration(i)*time.Minute), fmt.Sprint("key", n%5), fmt.Sprint("model", n%3)
			l.Record(r)
		}
		if err := l.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*rows), "µs/row")
}
