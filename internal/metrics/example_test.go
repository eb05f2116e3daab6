package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"forward/internal/metrics"
)

func Example() {
	m := metrics.New(metrics.Options{Version: "v1.0.0"})
	m.Start()
	m.Observe(metrics.Request{Route: "openai", Model: "gpt-4o", Status: 200, Duration: time.Second, Input: 12, Output: 3, CostNano: 60_000})

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics?name[]=forward_cost_usd_total", nil))
	fmt.Print(w.Body)
	// Output:
	// # HELP forward_cost_usd_total What requests cost, in US dollars.
	// # TYPE forward_cost_usd_total counter
	// forward_cost_usd_total{model="gpt-4o",route="openai"} 6e-05
}
