package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"forward/internal/metrics"
)

// full is a request with everything that is counted.
var full = metrics.Request{
	Route: "openai", Model: "gpt-4o-mini-2024-07-18", Status: 200, Duration: 2300 * time.Millisecond, FirstToken: 420 * time.Millisecond, Queued: time.Second,
	Stream: true, Cache: "miss", Attempts: 1, Input: 1200, Output: 350, CachedRead: 1024, Reasoning: 64, Estimated: true, CostNano: 315_000,
}

func TestKnownSeriesCostNoMemory(t *testing.T) {
	m := metrics.New(metrics.Options{})
	refused := metrics.Request{Route: "openai", Model: "made-up", Status: 429, Cause: "rate_limit_exceeded", Duration: time.Millisecond}
	for _, r := range []metrics.Request{full, refused} {
		if n := testing.AllocsPerRun(1000, func() { m.Start(); m.Observe(r) }); n != 0 {
			t.Errorf("%v allocations for a request answered with %d", n, r.Status)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	plain := full
	plain.Stream, plain.Queued, plain.Cache, plain.CachedRead, plain.Reasoning, plain.Estimated = false, 0, "", 0, 0, false
	for _, bench := range []struct {
		name string
		r    metrics.Request
	}{{"everything", full}, {"plain", plain}, {"refused", metrics.Request{Route: "openai", Model: "made-up", Status: 429, Cause: "rate_limit_exceeded"}}} {
		b.Run(bench.name, func(b *testing.B) {
			m := metrics.New(metrics.Options{})
			b.ReportAllocs()
			for b.Loop() {
				m.Start()
				m.Observe(bench.r)
			}
		})
	}
	b.Run("everything/parallel", func(b *testing.B) {
		m := metrics.New(metrics.Options{})
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Start()
				m.Observe(full)
			}
		})
	})
}

// discard is a ResponseWriter without a recorder's buffer.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (d discard) WriteHeader(int)             {}

// BenchmarkRead reads all metrics of one route with as many models as have
// labels.
func BenchmarkRead(b *testing.B) {
	for _, models := range []int{10, 100} {
		b.Run(fmt.Sprint(models, "models"), func(b *testing.B) {
			m := metrics.New(metrics.Options{Models: models})
			for i := range models {
				r := full
				r.Model = fmt.Sprint("model-", i)
				m.Observe(r)
				r.Status = 503
				m.Observe(r)
			}
			handler, r := m.Handler(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
			for b.Loop() {
				handler.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}
