//go:build unix

package ledger_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
)

// BenchmarkBatch is what the processors do for a row of an ordinary request,
// from Record until it is in the database, by how many rows come in one batch:
// at 5,000 requests a second that is 250.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{1, 50, 250} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := mustOpen(b, newDB(b), ledger.Options{Retention: -1, Delay: time.Hour})
			rows, seq, took := make([]ledger.Row, size), uint64(0), time.Duration(0)
			for b.Loop() {
				for i := range rows {
					seq++
					rows[i] = ordinary(seq)
				}
				before := cpuTime(b)
				for _, r := range rows {
					l.Record(r)
				}
				mustFlush(b, l)
				took += cpuTime(b) - before
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*size)/1e3, "cpu-µs/row")
		})
	}
}

// ordinary is a row like those of the gateway: its id starts with the time.
func ordinary(seq uint64) ledger.Row {
	return ledger.Row{
		ID: fmt.Sprintf("req_0195d%08x%019x", seq/8, seq*0x9e3779b97f4a7c15), Time: time.Now(), Key: "alice-key", KeyName: "alice", Tags: []string{"team"},
		Route: "openai", Upstream: "openai", Slot: "0", Operation: dialect.Chat, Model: "gpt-4o-mini", Answered: "gpt-4o-mini-2024-07-18", Status: 200, Finish: "stop",
		Cache: "bypass", Attempts: 1, First: 3 * time.Millisecond, Total: 4 * time.Millisecond,
		Usage: dialect.Usage{Input: 300, Output: 100, Total: 400, Raw: []byte(`{"prompt_tokens":300,"completion_tokens":100,"total_tokens":400,` +
			`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`)},
		Priced: true, Cost: 105_000, Price: "openai/gpt-4o-mini in the table of 2026-11-01", BytesIn: 1500, BytesOut: 600,
		Trail: []ledger.Step{
			{At: 4 * time.Millisecond, Name: "price", Text: "300 input × $0.15/M = $0.000045"},
			{At: 4 * time.Millisecond, Name: "price", Text: "100 output × $0.60/M = $0.00006"},
		},
	}
}

// cpuTime is what the process has taken of the processors so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
