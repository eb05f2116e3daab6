// Package metrics counts what the gateway does, for Prometheus. No other
// package imports the client library.
//
// A request costs a few map reads and atomic additions: the counters and
// histograms of a route and a model are looked up once and then kept
// (series.go), for WithLabelValues at each of them is ten times the price of
// the addition.
//
// Labels are bounded, for clients choose model names, and every new one is
// series that the process and the database keep forever. A model gets a label
// of its own when a request for it was answered with 2xx, and each route has at
// most Options.Models of them. All others are "other", and so is whatever an
// upstream makes up. A request that names no model has an empty label, which in
// Prometheus is none.
//
// Other packages know how many requests wait and what the cache holds; Metrics
// calls their functions (Sources) whenever it is read. There is no global
// registry: each Metrics has its own, and a nil one counts nothing.
package metrics

import (
	"cmp"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Buckets in seconds. A completion takes from a replayed hit's milliseconds to
// the ten minutes after which SDKs give up.
var (
	durationBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 600}
	firstBuckets    = []float64{.05, .1, .2, .3, .5, .75, 1, 1.5, 2.5, 5, 10, 20, 60}
	queueBuckets    = []float64{.01, .1, .5, 1, 2.5, 5, 10, 20, 40, 80, 160}
)

// Options set up Metrics. Zero fields mean the defaults; a nil function means
// that there is nothing of its kind.
type Options struct {
	Version string // of forward, in forward_build_info
	Models  int    // of each route, with labels of their own; 100 by default
	Sources Sources
	Log     *slog.Logger // for metrics that cannot be gathered
}

// Request is what is counted of one request when it is over. Fields that do not
// apply stay zero.
type Request struct {
	Route      string // its name; "" when the request came to none
	Model      string // as asked for
	Status     int    // what the client got; 499 when it left first
	Duration   time.Duration
	FirstToken time.Duration // of a stream that an upstream answered
	Queued     time.Duration // in its model's queue
	Stream     bool
	Cache      string // hit, miss or bypass; "" when the cache had nothing to do with it
	Attempts   int    // of asking an upstream
	Cause      string // why it did not go well, in the words of the error codes

	// Input holds CachedRead and Output holds Reasoning, as providers count
	// them.
	Input, Output, CachedRead, Reasoning int64
	Estimated                            bool  // the tokens are a count of the gateway's
	CostNano                             int64 // nano-dollars
	ListNano                             int64 // of what callers' own credentials paid, by the price list
	Unpriced                             bool  // CostNano is not known, which is not the same as nothing
	Unmetered                            bool  // it was sent, and nothing is known of what it used
}

// Metrics counts requests. New makes one; it is safe for concurrent use, and a
// nil one does nothing.
type Metrics struct {
	models   int
	registry *prometheus.Registry
	handler  http.Handler

	inFlight, streams prometheus.Gauge

	requests, tokens, cache        *prometheus.CounterVec
	estimated, unpriced, unmetered *prometheus.CounterVec
	limited, attempts, failures    *prometheus.CounterVec
	duration, first, queue         *prometheus.HistogramVec

	costs  costs
	routes bounded[string, *route]
}

// New returns Metrics that have counted nothing yet.
func New(o Options) *Metrics {
	m := &Metrics{models: cmp.Or(max(o.Models, 0), 100), registry: prometheus.NewRegistry()}
	m.routes.init(maxRoutes, other, m.newRoute)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))

	m.inFlight = m.gauge("in_flight_requests", "Requests that are being served.")
	m.streams = m.gauge("streams_in_flight", "Answers that are being streamed.")
	m.requests = m.counter("requests_total", "Requests by what the client got; 499 when it left first.", "route", "model", "status")
	m.duration = m.histogram("request_duration_seconds", "Time from a request's headers to the end of its answer.", durationBuckets, "route", "model", "status")
	m.first = m.histogram("first_token_seconds", "Time from a request's headers to the first part of a streamed answer, without those out of the cache.", firstBuckets, "route", "model")
	m.tokens = m.counter("tokens_total", "Tokens. The kinds add up: input is without cached_read, output without reasoning.", "route", "model", "kind")
	m.estimated = m.counter("usage_estimated_total", "Requests whose tokens the gateway counted because the upstream did not report them.", "route", "model")
	m.unpriced = m.counter("unpriced_total", "Requests that no price is known for and whose cost is not counted.", "route", "model")
	m.unmetered = m.counter("unmetered_total", "Requests that were sent and of whose usage nothing is known.", "route", "model")
	m.cache = m.counter("cache_total", "What the cache did with requests that may be cached: hit, miss or bypass.", "route", "result")
	m.limited = m.counter("limited_total", "Requests that the gateway refused with 429, or with 402 for a spent budget, by the code of the error.", "route", "reason")
	m.attempts = m.counter("upstream_attempts_total", "Attempts to ask an upstream, retries and fallbacks included.", "route")
	m.failures = m.counter("upstream_errors_total", "Requests that failed because no upstream answered, or not to the end, by the code of the error.", "route", "cause")
	m.queue = m.histogram("queue_wait_seconds", "Time that requests which had to wait spent in their model's queue.", queueBuckets, "route")

	m.registry.MustRegister(&m.costs, collector{o.Sources},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "forward_build_info", Help: "Always 1; the labels have the version.",
			ConstLabels: prometheus.Labels{"version": fit(o.Version), "go_version": runtime.Version()},
		}, func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// One source in trouble must not hide the others, and readers that come at
	// once share one gathering.
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, CoalesceGather: true, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
	})
	return m
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "forward_" + name, Help: help})
	m.registry.MustRegister(g)
	return g
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "forward_" + name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "forward_" + name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

// Start counts a request in. Observe counts it out.
func (m *Metrics) Start() {
	if m != nil {
		m.inFlight.Inc()
	}
}

// Leave ends a request that is not observed.
func (m *Metrics) Leave() {
	if m != nil {
		m.inFlight.Dec()
	}
}

// StartStream counts a streamed answer in. EndStream counts it out.
func (m *Metrics) StartStream() {
	if m != nil {
		m.streams.Inc()
	}
}

// EndStream counts a streamed answer out.
func (m *Metrics) EndStream() {
	if m != nil {
		m.streams.Dec()
	}
}

// Observe counts a request that is over.
func (m *Metrics) Observe(r Request) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	route := m.routes.get(cmp.Or(fit(r.Route), "none"))
	route.observe(&r)
	route.series(&r).observe(&r)
}

// Handler answers GET and HEAD with all metrics, in the text format or in the
// one that the reader prefers. It checks no credentials.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		m.handler.ServeHTTP(w, r)
	})
}
