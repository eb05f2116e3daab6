package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forward/internal/ledger"
	"forward/internal/metrics"
)

// TestCasesOfTheLedger has the cases of what is written down, by their numbers.
func TestCasesOfTheLedger(t *testing.T) {
	t.Run("M11 an answer without usage is counted as such", func(t *testing.T) {
		account, rows := accounting(t)
		counted := metrics.New(metrics.Options{})
		b := start(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, "nothing that reports a usage")
		}, func(s *setup) { account(s); s.Metrics = counted })
		b.do("POST", "/v1/images/generations", `{"model":"picture-maker","prompt":"a cat"}`).want(t, 200)
		got := rows(b)
		if len(got) != 1 || got[0].Priced || !got[0].Unmetered {
			t.Fatalf("rows %+v", got)
		}
		if metric := scrape(counted); !strings.Contains(metric, `forward_unmetered_total{model="picture-maker",route="openai"} 1`) ||
			!strings.Contains(metric, `forward_unpriced_total{model="picture-maker",route="openai"} 1`) {
			t.Errorf("metrics:\n%s", metric)
		}
	})
	t.Run("M12 the log has the cost of a call that may be shared", func(t *testing.T) {
		for _, fields := range []string{`,"caching":true`, `,"caching":true,"stream":true`} {
			account, rows := accounting(t)
			logged, lines := logging(t, func(s *setup) { account(s); caching(memoryCache(t))(s) })
			b := start(t, provider, logged)
			b.chat(fields).want(t, 200)
			b.chat(fields).want(t, 200)
			b.gateway.Wait(10 * time.Second)
			var paid ledger.Row
			for _, r := range rows(b) {
				if r.Cache == "miss" {
					paid = r
				}
			}
			got := lines("openai")
			if len(got) != 4 || paid.Cost == 0 || got[1]["cost"] != strings.TrimPrefix(paid.Cost.String(), "$") || got[3]["cost"] != "0.00" {
				t.Errorf("%s costs %s, lines %v", fields, paid.Cost, got)
			}
		}
	})
	t.Run("M12 of callers that share a call one has its cost", func(t *testing.T) {
		account, _ := accounting(t)
		logged, lines := logging(t, func(s *setup) { account(s); caching(memoryCache(t))(s) })
		s := newSlow()
		b := start(t, s.serve, logged)
		crowd(t, b, s, 5)
		b.gateway.Wait(10 * time.Second)
		costs := map[string]int{}
		for _, line := range lines("openai") {
			if cost, ok := line["cost"].(string); ok {
				costs[cost]++
			}
		}
		if len(costs) != 2 || costs["0.00"] != 4 {
			t.Errorf("costs %v", costs)
		}
	})
}

// scrape returns what Prometheus reads.
func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
