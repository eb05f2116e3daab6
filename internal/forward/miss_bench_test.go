//go:build unix

package forward_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/database"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/metrics"
	"forward/internal/price"
)

// BenchmarkMissBesideUncached compares a request that may be cached, and that
// no other caller shares, with the same request that may not, on a gateway with
// everything on. The answer is one that no cache keeps, so that the difference
// is the question's key, the lookup and the registration of the call. Both run
// in turn; the medians of the ratios should stay under 1.08. Client and
// upstream are in both sides' figures.
func BenchmarkMissBesideUncached(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Replace(chatBody, `"stop"`, `"content_filter"`, 1))
	}))
	defer server.Close()
	on := start(b, nil, everythingOn(b, server))
	body := `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 120) + `"}]`
	const round, rounds = 100, 10
	side := func(fields string) (ns, allocs, cpu float64) {
		before := cpuTime(b)
		ns, allocs = ask(b, on.url, "plain", body+fields, round)
		return ns, allocs, float64(cpuTime(b)-before) / round
	}
	side(`,"caching":true}`) // connections and pools warm up
	side(`,"caching":false}`)
	var times, allocs, cpus, added ratios
	b.ResetTimer()
	for n := 0; n < b.N || n < rounds*round; n += round {
		t1, a1, c1 := side(`,"caching":true}`)
		t2, a2, c2 := side(`,"caching":false}`)
		times = append(times, t1/t2)
		allocs = append(allocs, a1/a2)
		cpus = append(cpus, c1/c2)
		added = append(added, c1-c2)
	}
	b.ReportMetric(times.median(), "time-ratio")
	b.ReportMetric(allocs.median(), "allocs-ratio")
	b.ReportMetric(cpus.median(), "cpu-ratio")
	b.ReportMetric(added.median()/1e3, "added-cpu-µs")
}

// everythingOn is a gateway with a ledger, budgets, limits, metrics, a cache
// and a chat log, in front of server.
func everythingOn(b *testing.B, server *httptest.Server) func(*setup) {
	db := must(database.Open(b.TempDir()))(b)
	b.Cleanup(func() { db.Close() })
	rows := must(ledger.Open(db, ledger.Options{}))(b)
	b.Cleanup(func() { rows.Close(context.Background()) })
	chats := must(chatlog.Open(chatlog.Options{Dir: b.TempDir()}))(b)
	b.Cleanup(func() { chats.Close() })
	return func(s *setup) {
		caching(memoryCache(b))(s)
		s.Log = nil
		s.routes = append(s.routes, (&bench{upstream: server}).route("openai", "/", []string{canary}))
		s.ChatLog = chats
		s.Ledger = rows
		s.Prices = must(price.NewTable(nil))(b)
		s.Metrics = metrics.New(metrics.Options{})
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-*", "!gpt-5*"}, RPM: 1e9, TPM: 1e12, Tags: []string{"team"},
			Budgets: []keys.Budget{{Unit: "usd", Amount: 1e18, Period: "month"}}}
	}
}
