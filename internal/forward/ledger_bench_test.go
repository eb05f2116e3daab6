//go:build unix

package forward_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/metrics"
	"forward/internal/price"
)

// BenchmarkAccountingBesideNone compares a gateway that writes its ledger to a
// file, counts for Prometheus and holds a key to budgets with one that does
// nothing of it. Both run in turn, as in BenchmarkAgainstBareProxy: the medians
// of the ratios should stay under 1.10. The ledger is flushed at the end of
// each of its rounds. The processor's time has that in it, so that the writer's
// work counts where it belongs, and it is steadier than the time that passes,
// which has it only as far as it is done beside the requests.
func BenchmarkAccountingBesideNone(b *testing.B) {
	words := strings.Repeat(chunk(`{"content":"word"}`, "null"), 99)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Case") == "stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			flush := http.NewResponseController(w)
			for event := range strings.SplitAfterSeq(words+usage+"data: [DONE]\n\n", "\n\n") {
				io.WriteString(w, event)
				flush.Flush()
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, chatBody)
	}))
	defer server.Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "forward.db")+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)&_pragma=synchronous(full)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	ledger := must(ledger.Open(db, ledger.Options{}))(b)
	b.Cleanup(func() { ledger.Close(context.Background()) })

	plain := func(s *setup) {
		s.Log = nil
		s.routes = append(s.routes, (&bench{upstream: server}).route("openai", "/", []string{canary}))
	}
	off := start(b, nil, plain)
	on := start(b, nil, func(s *setup) {
		plain(s)
		s.Ledger, s.Prices, s.Metrics = ledger, must(price.NewTable(nil))(b), metrics.New(metrics.Options{})
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-*", "!gpt-5*"}, RPM: 1e9, TPM: 1e12, Tags: []string{"team"},
			Budgets: []keys.Budget{{Unit: "usd", Amount: 1e18, Period: "month"}}}
	})
	body := `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 120) + `"}]`
	for _, c := range []struct{ name, fields string }{{"plain", "}"}, {"stream", `,"stream":true,"stream_options":{"include_usage":true}}`}} {
		b.Run(c.name, func(b *testing.B) { compareAccounting(b, ledger, on.url, off.url, c.name, body+c.fields) })
	}
}

// compareAccounting runs both in rounds that are long enough for the ledger's
// batches, turn by turn.
func compareAccounting(b *testing.B, ledger *ledger.Ledger, on, off, name, body string) {
	const round, rounds = 250, 5
	side := func(url string) (ns, allocs, cpu float64) {
		before, count := cpuTime(b), mallocs()
		ns, _ = ask(b, url, name, body, round)
		if url == on {
			if err := ledger.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		return ns, float64(mallocs()-count) / round, float64(cpuTime(b)-before) / round
	}
	side(on) // connections, caches and pools warm up
	side(off)
	var times, allocs, cpus, added ratios
	b.ResetTimer()
	for n := 0; n < b.N || n < rounds*round; n += round {
		t1, a1, c1 := side(on)
		t2, a2, c2 := side(off)
		times, allocs, cpus, added = append(times, t1/t2), append(allocs, a1/a2), append(cpus, c1/c2), append(added, c1-c2)
	}
	b.ReportMetric(times.median(), "time-ratio")
	b.ReportMetric(allocs.median(), "allocs-ratio")
	b.ReportMetric(cpus.median(), "cpu-ratio")
	b.ReportMetric(added.median()/1e3, "added-cpu-µs")
}

// cpuTime is what the process has taken of the processors so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
