package forward_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/keys"
	"forward/internal/metrics"
	books "forward/internal/usage"
)

// BenchmarkAccountingBesideNone compares a gateway that writes its ledger to a file, counts for Prometheus and holds a key to
// budgets with one that does nothing of it. Both run in turn, as in BenchmarkAgainstBareProxy: the medians of the ratios should stay
// under 1.10. The writer's work for a round is a part of what runs in it, for it works beside the requests.
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
	ledger := must(books.Open(db, books.Options{}))(b)
	b.Cleanup(func() { ledger.Close(context.Background()) })

	plain := func(s *setup) {
		s.Log = nil
		s.routes = append(s.routes, (&bench{upstream: server}).route("openai", "/", []string{canary}))
	}
	off := start(b, nil, plain)
	on := start(b, nil, func(s *setup) {
		plain(s)
		s.Ledger, s.Prices, s.Metrics = ledger, must(books.NewTable(nil))(b), metrics.New(metrics.Options{})
		s.keys[0].Policy = keys.Policy{Models: []string{"gpt-*", "!gpt-5*"}, RPM: 1e9, TPM: 1e12, Tags: []string{"team"},
			Budgets: []keys.Budget{{Unit: "usd", Amount: 1e18, Period: "month"}}}
	})
	body := `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 120) + `"}]`
	for _, c := range []struct{ name, fields string }{{"plain", "}"}, {"stream", `,"stream":true,"stream_options":{"include_usage":true}}`}} {
		b.Run(c.name, func(b *testing.B) { compare(b, on.url, off.url, c.name, body+c.fields) })
	}
}
