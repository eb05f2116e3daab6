package metrics_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"forward/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text returns the metrics of these names as they are read, or all.
func text(t testing.TB, m *metrics.Metrics, names ...string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics?"+url.Values{"name[]": names}.Encode(), nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// families parses the metrics of these names, or all.
func families(t testing.TB, m *metrics.Metrics, names ...string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	found, err := parser.TextToMetricFamilies(strings.NewReader(text(t, m, names...)))
	if err != nil {
		t.Fatalf("not in the text format: %v", err)
	}
	return found
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// mixed is a Metrics that has seen one request of each kind.
func mixed() *metrics.Metrics {
	m := metrics.New(metrics.Options{Version: "v1.2.3", Models: 2})
	for _, r := range []metrics.Request{
		{Route: "openai", Model: "gpt-4o", Status: 200, Duration: 1500 * time.Millisecond, FirstToken: 180 * time.Millisecond, Queued: 700 * time.Millisecond, Stream: true,
			Cache: "miss", Attempts: 2, Input: 1000, Output: 300, CachedRead: 400, Reasoning: 120, CostNano: 4_150_000_001},
		{Route: "openai", Model: "gpt-4o", Status: 200, Duration: 3 * time.Millisecond, FirstToken: time.Millisecond, Stream: true, Cache: "hit", Input: 7, Output: 5},
		{Route: "openai", Model: "gpt-4o", Status: 200, Duration: 2 * time.Second, Attempts: 1, Input: 9, Output: 1, Estimated: true, CostNano: 1},
		{Route: "openai", Model: "gpt-4o", Status: 429, Cause: "rate_limit_exceeded"},
		{Route: "openai", Model: "gpt-4o", Status: 429, Attempts: 1}, // the upstream's own
		{Route: "openai", Model: "made-up", Status: 404, Attempts: 1},
		{Route: "openai", Model: "mine", Status: 200, Attempts: 1, Output: 3, Unpriced: true},
		{Route: "openai", Model: "third", Status: 200, Attempts: 1},
		{Route: "openai", Status: 200, Cache: "bypass", Attempts: 1}, // names no model, and there is no label left
		{Route: "openai", Model: "gpt-4o", Status: 502, Duration: time.Minute, Cause: "upstream_reset", Attempts: 1, Input: -4},
		{Route: "anthropic", Model: "gpt-4o", Status: 503, Cause: "no_healthy_upstream"},
		{Route: "anthropic", Status: 401, Cause: "invalid_api_key"},
		{Status: 404, Cause: "route_not_found"},
	} {
		m.Start()
		m.Observe(r)
	}
	return m
}

func TestWhatIsRead(t *testing.T) {
	const want = `# HELP forward_cache_total What the cache did with requests that may be cached: hit, miss or bypass.
# TYPE forward_cache_total counter
forward_cache_total{result="bypass",route="openai"} 1
forward_cache_total{result="hit",route="openai"} 1
forward_cache_total{result="miss",route="openai"} 1
# HELP forward_cost_usd_total What requests cost, in US dollars.
# TYPE forward_cost_usd_total counter
forward_cost_usd_total{model="gpt-4o",route="openai"} 4.150000002
# HELP forward_first_token_seconds Time from a request's headers to the first part of a streamed answer, without those out of the cache.
# TYPE forward_first_token_seconds histogram
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.05"} 0
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.1"} 0
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.2"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.3"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.5"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="0.75"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="1"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="1.5"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="2.5"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="5"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="10"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="20"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="60"} 1
forward_first_token_seconds_bucket{model="gpt-4o",route="openai",le="+Inf"} 1
forward_first_token_seconds_sum{model="gpt-4o",route="openai"} 0.18
forward_first_token_seconds_count{model="gpt-4o",route="openai"} 1
# HELP forward_in_flight_requests Requests that are being served.
# TYPE forward_in_flight_requests gauge
forward_in_flight_requests 0
# HELP forward_limited_total Requests that the gateway refused with 429, or with 402 for a spent budget, by the code of the error.
# TYPE forward_limited_total counter
forward_limited_total{reason="rate_limit_exceeded",route="openai"} 1
# HELP forward_queue_wait_seconds Time that requests which had to wait spent in their model's queue.
# TYPE forward_queue_wait_seconds histogram
forward_queue_wait_seconds_bucket{route="openai",le="0.01"} 0
forward_queue_wait_seconds_bucket{route="openai",le="0.1"} 0
forward_queue_wait_seconds_bucket{route="openai",le="0.5"} 0
forward_queue_wait_seconds_bucket{route="openai",le="1"} 1
forward_queue_wait_seconds_bucket{route="openai",le="2.5"} 1
forward_queue_wait_seconds_bucket{route="openai",le="5"} 1
forward_queue_wait_seconds_bucket{route="openai",le="10"} 1
forward_queue_wait_seconds_bucket{route="openai",le="20"} 1
forward_queue_wait_seconds_bucket{route="openai",le="40"} 1
forward_queue_wait_seconds_bucket{route="openai",le="80"} 1
forward_queue_wait_seconds_bucket{route="openai",le="160"} 1
forward_queue_wait_seconds_bucket{route="openai",le="+Inf"} 1
forward_queue_wait_seconds_sum{route="openai"} 0.7
forward_queue_wait_seconds_count{route="openai"} 1
# HELP forward_requests_total Requests by what the client got; 499 when it left first.
# TYPE forward_requests_total counter
forward_requests_total{model="gpt-4o",route="openai",status="200"} 3
forward_requests_total{model="gpt-4o",route="openai",status="429"} 2
forward_requests_total{model="gpt-4o",route="openai",status="502"} 1
forward_requests_total{model="mine",route="openai",status="200"} 1
forward_requests_total{model="other",route="anthropic",status="401"} 1
forward_requests_total{model="other",route="anthropic",status="503"} 1
forward_requests_total{model="other",route="none",status="404"} 1
forward_requests_total{model="other",route="openai",status="200"} 2
forward_requests_total{model="other",route="openai",status="404"} 1
# HELP forward_tokens_total Tokens. The kinds add up: input is without cached_read, output without reasoning.
# TYPE forward_tokens_total counter
forward_tokens_total{kind="cached_read",model="gpt-4o",route="openai"} 400
forward_tokens_total{kind="input",model="gpt-4o",route="openai"} 616
forward_tokens_total{kind="output",model="gpt-4o",route="openai"} 186
forward_tokens_total{kind="output",model="mine",route="openai"} 3
forward_tokens_total{kind="reasoning",model="gpt-4o",route="openai"} 120
# HELP forward_unpriced_total Requests that no price is known for and whose cost is not counted.
# TYPE forward_unpriced_total counter
forward_unpriced_total{model="mine",route="openai"} 1
# HELP forward_upstream_attempts_total Attempts to ask an upstream, retries and fallbacks included.
# TYPE forward_upstream_attempts_total counter
forward_upstream_attempts_total{route="anthropic"} 0
forward_upstream_attempts_total{route="none"} 0
forward_upstream_attempts_total{route="openai"} 9
# HELP forward_upstream_errors_total Requests that failed because no upstream answered, or not to the end, by the code of the error.
# TYPE forward_upstream_errors_total counter
forward_upstream_errors_total{cause="no_healthy_upstream",route="anthropic"} 1
forward_upstream_errors_total{cause="upstream_reset",route="openai"} 1
# HELP forward_usage_estimated_total Requests whose tokens the gateway counted because the upstream did not report them.
# TYPE forward_usage_estimated_total counter
forward_usage_estimated_total{model="gpt-4o",route="openai"} 1
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	got := text(t, mixed(), names...)
	if got != want {
		g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d is\n%s\nand not\n%s", i+1, g[i], w[i])
			}
		}
		t.Fatalf("%d lines, not %d", len(g), len(w))
	}
}

func TestDurationsHaveTheClassOfStatus(t *testing.T) {
	counts := map[string]uint64{}
	sums := map[string]float64{}
	for _, m := range families(t, mixed())["forward_request_duration_seconds"].Metric {
		key := labelOf(m, "route") + " " + labelOf(m, "model") + " " + labelOf(m, "status")
		counts[key], sums[key] = m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum()
	}
	if counts["openai gpt-4o 2xx"] != 3 || counts["openai gpt-4o 4xx"] != 2 || counts["openai gpt-4o 5xx"] != 1 || counts["none other 4xx"] != 1 {
		t.Errorf("counts are %v", counts)
	}
	if sum := sums["openai gpt-4o 2xx"]; math.Abs(sum-3.503) > 1e-9 || sums["openai gpt-4o 5xx"] != 60 {
		t.Errorf("sums are %v", sums)
	}
}

func TestProgramAndProcess(t *testing.T) {
	found := families(t, mixed())
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "forward_streams_in_flight"} {
		if found[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	build := found["forward_build_info"].Metric[0]
	if labelOf(build, "version") != "v1.2.3" || !strings.HasPrefix(labelOf(build, "go_version"), "go1.") || build.Gauge.GetValue() != 1 {
		t.Errorf("forward_build_info is %v", build)
	}
}

func TestInFlight(t *testing.T) {
	m := metrics.New(metrics.Options{})
	m.Start()
	m.Start()
	m.StartStream()
	if got := text(t, m, "forward_in_flight_requests", "forward_streams_in_flight"); !strings.Contains(got, "requests 2\n") || !strings.Contains(got, "flight 1\n") {
		t.Errorf("while they run:\n%s", got)
	}
	m.EndStream()
	m.Observe(metrics.Request{Status: 200})
	if got := text(t, m, "forward_in_flight_requests", "forward_streams_in_flight"); !strings.Contains(got, "requests 1\n") || !strings.Contains(got, "flight 0\n") {
		t.Errorf("when one is over:\n%s", got)
	}
}

// TestListPricesAreNoCost: what callers' own credentials paid has a counter of
// its own.
func TestListPricesAreNoCost(t *testing.T) {
	m := metrics.New(metrics.Options{})
	m.Observe(metrics.Request{Route: "claude", Model: "opus", Status: 200, Attempts: 1, ListNano: 2_500_000_000})
	m.Observe(metrics.Request{Route: "claude", Model: "opus", Status: 200, Attempts: 1, CostNano: 1_000_000_000})
	want := "forward_list_price_usd_total{model=\"opus\",route=\"claude\"} 2.5\n"
	if got := text(t, m, "forward_list_price_usd_total", "forward_cost_usd_total"); !strings.Contains(got, want) || !strings.Contains(got, "forward_cost_usd_total{model=\"opus\",route=\"claude\"} 1\n") {
		t.Errorf("metrics:\n%s", got)
	}
}

// Names are part of what users build on, and the linter of Prometheus knows its
// rules better than we do.
func TestNamesFollowTheRulesOfPrometheus(t *testing.T) {
	m := metrics.New(metrics.Options{Sources: everySource()})
	m.Observe(metrics.Request{Route: "openai", Model: "gpt-4o", Status: 200, Stream: true, FirstToken: 1, Queued: 1, Cache: "miss", Input: 1, Estimated: true, Unpriced: true, CostNano: 1, ListNano: 1})
	m.Observe(metrics.Request{Route: "openai", Status: 429, Cause: "queue_full"})
	m.Observe(metrics.Request{Route: "openai", Status: 504, Cause: "upstream_timeout", Attempts: 1})
	var list []*dto.MetricFamily
	for name, family := range families(t, m) {
		if strings.HasPrefix(name, "forward_") {
			list = append(list, family)
		}
	}
	if len(list) != 29 {
		t.Errorf("%d names were looked at, not 29", len(list))
	}
	problems, err := promlint.NewWithMetricFamilies(list).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// Clients choose model names, upstreams statuses. Whatever they do, there are
// no more series than the bounds allow, every model with a label of its own was
// answered, and every request is counted once.
func TestLabelsAreBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(1, 5).Draw(rt, "models")
		m := metrics.New(metrics.Options{Models: most})
		answered := map[[2]string]bool{}
		names := rapid.OneOf(rapid.SampledFrom([]string{"", "other", "none", "gpt-4o", "a", "b"}), rapid.String(),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }), rapid.StringN(150, 300, -1))
		requests := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) metrics.Request {
			return metrics.Request{
				Route: names.Draw(rt, "route"), Model: names.Draw(rt, "model"), Status: rapid.OneOf(rapid.SampledFrom([]int{200, 404}), rapid.IntRange(-1, 1100)).Draw(rt, "status"),
				Cause: names.Draw(rt, "cause"), Cache: names.Draw(rt, "cache"), Input: rapid.Int64().Draw(rt, "input"), CachedRead: rapid.Int64().Draw(rt, "cached"),
				CostNano: rapid.Int64Range(-5, 5).Draw(rt, "cost"),
			}
		}), 1, 60).Draw(rt, "requests")
		var cost int64
		for _, r := range requests {
			m.Observe(r)
			cost += max(0, r.CostNano)
			if r.Status/100 == 2 {
				answered[[2]string{r.Route, r.Model}] = true
			}
		}
		found := families(t, m)
		models := map[string]map[string]bool{}
		var total float64
		for _, metric := range found["forward_requests_total"].Metric {
			total += metric.Counter.GetValue()
			route, name := labelOf(metric, "route"), labelOf(metric, "model")
			if name == "other" {
				continue
			}
			if models[route] == nil {
				models[route] = map[string]bool{}
			}
			models[route][name] = true
			if !answered[[2]string{route, name}] && !(route == "none" && answered[[2]string{"", name}]) && len(route) < 190 && !strings.Contains(route, "�") {
				rt.Fatalf("model %q of route %q was never answered", name, route)
			}
		}
		for route, names := range models {
			if len(names) > most {
				rt.Fatalf("route %q has %d models, at most %d are to have a label", route, len(names), most)
			}
		}
		if int(total) != len(requests) {
			rt.Fatalf("%v requests are counted, there were %d", total, len(requests))
		}
		var dollars float64
		for _, metric := range found["forward_cost_usd_total"].GetMetric() {
			dollars += metric.Counter.GetValue()
		}
		if int64(math.Round(dollars*1e9)) != cost {
			rt.Fatalf("%v dollars, not %d nano-dollars", dollars, cost)
		}
	})
}

func TestSeriesStayFewUnderMadeUpNames(t *testing.T) {
	m := metrics.New(metrics.Options{Models: 10})
	series := func() (n int) {
		for name, family := range families(t, m) {
			if strings.HasPrefix(name, "forward_") {
				n += len(family.Metric)
			}
		}
		return n
	}
	ask := func(from, to int) {
		for i := from; i < to; i++ {
			m.Observe(metrics.Request{Route: "openai", Model: fmt.Sprint("made-up-", i), Status: 404, Cause: "model_not_found", Duration: 1})
			m.Observe(metrics.Request{Route: "open", Model: fmt.Sprint("made-up-", i), Status: 200, Duration: 1, Input: 1, Output: 1}) // of an upstream that takes all
			m.Observe(metrics.Request{Route: "open", Model: "gpt-4o", Status: 100 + i%900, Cache: fmt.Sprint(i), Cause: fmt.Sprint("upstream_", i)})
		}
	}
	ask(0, 40_000) // as many as it takes for all to be full
	before := series()
	ask(40_000, 60_000)
	if after := series(); after != before || after > 300 {
		t.Errorf("%d series after 120,000 requests and %d after 180,000", before, after)
	}
}

func TestNilCountsNothing(t *testing.T) {
	var m *metrics.Metrics
	m.Start()
	m.StartStream()
	m.EndStream()
	m.Observe(metrics.Request{Route: "openai", Status: 200})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	server := httptest.NewServer(mixed().Handler())
	defer server.Close()
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405, http.MethodOptions: 405} {
		r, _ := http.NewRequest(method, server.URL, nil)
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || want == 405 && res.Header.Get("Allow") != "GET, HEAD" || method == http.MethodHead && len(body) > 0 {
			t.Errorf("%s: status %d, Allow %q, %d bytes", method, res.StatusCode, res.Header.Get("Allow"), len(body))
		}
	}
	server.Client().CloseIdleConnections()
}

func TestIsPackedForWhoTakesIt(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	mixed().Handler().ServeHTTP(w, r)
	unpacked, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(unpacked); err != nil || !strings.Contains(string(all), "forward_requests_total") {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

// Nothing is lost when many requests end at once, first of a model or not,
// while they are read.
func TestManyAtOnce(t *testing.T) {
	m := metrics.New(metrics.Options{Models: 20})
	const workers, each = 8, 3000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				m.Start()
				m.Observe(metrics.Request{
					Route: []string{"openai", "anthropic"}[i%2], Model: fmt.Sprint("model-", (i+w)%40), Status: 200 + i%3, Duration: time.Millisecond, Stream: true,
					FirstToken: time.Microsecond, Cache: "miss", Attempts: 1, Input: 3, CachedRead: 1, Output: 2, CostNano: 7,
				})
			}
		})
	}
	for range 5 {
		families(t, m)
	}
	wg.Wait()
	found := families(t, m)
	total := func(name string) (sum float64) {
		for _, metric := range found[name].Metric {
			sum += metric.Counter.GetValue() + metric.Gauge.GetValue() + float64(metric.Histogram.GetSampleCount())
		}
		return sum
	}
	const n = workers * each
	for name, want := range map[string]float64{
		"forward_requests_total": n, "forward_request_duration_seconds": n, "forward_first_token_seconds": n, "forward_cache_total": n,
		"forward_upstream_attempts_total": n, "forward_tokens_total": 5 * n, "forward_in_flight_requests": 0,
	} {
		if got := total(name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	if nano := math.Round(total("forward_cost_usd_total") * 1e9); nano != 7*n {
		t.Errorf("%v nano-dollars, not %d", nano, 7*n)
	}
	names := map[string]bool{}
	for _, metric := range found["forward_requests_total"].Metric {
		if labelOf(metric, "route") == "openai" {
			names[labelOf(metric, "model")] = true
		}
	}
	if len(names) != 21 || !names["other"] {
		t.Errorf("%d models of one route, not 20 and other", len(names))
	}
}

func TestReadersAtOnceReadTheSame(t *testing.T) {
	m := mixed()
	texts := make([]string, 6)
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() { texts[i] = text(t, m, "forward_requests_total", "forward_tokens_total") })
	}
	wg.Wait()
	if len(slices.Compact(texts)) != 1 {
		t.Error("they differ")
	}
}
