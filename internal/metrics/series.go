package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// The bounds of labels other than model. All of these are few unless an
// upstream makes them up: routes come from the settings, codes of errors from
// the gateway, but statuses from the upstream.
const (
	maxRoutes   = 1000
	maxStatuses = 24 // of one model
	maxWords    = 32
)

// route has the children of one route, and those of its models.
type route struct {
	name     string
	models   bounded[string, *series]
	attempts prometheus.Counter
	queue    func() prometheus.Observer // made when a request waits for the first time, as all functions here

	cache, limited, failures bounded[string, prometheus.Counter]
}

func (m *Metrics) newRoute(name string) *route {
	r := &route{
		name: name, attempts: m.attempts.WithLabelValues(name),
		queue: sync.OnceValue(func() prometheus.Observer { return m.queue.WithLabelValues(name) }),
	}
	r.models.init(m.models, other, func(model string) *series { return m.newSeries(name, model) })
	for words, v := range map[*bounded[string, prometheus.Counter]]*prometheus.CounterVec{
		&r.cache: m.cache, &r.limited: m.limited, &r.failures: m.failures,
	} {
		words.init(maxWords, other, func(word string) prometheus.Counter { return v.WithLabelValues(name, fit(word)) })
	}
	return r
}

// observe counts what only the route is a label of.
func (r *route) observe(q *Request) {
	if q.Attempts > 0 {
		r.attempts.Add(float64(q.Attempts))
	}
	if q.Cache != "" {
		r.cache.get(q.Cache).Inc()
	}
	if q.Queued > 0 {
		r.queue().Observe(q.Queued.Seconds())
	}
	switch {
	case q.Cause == "":
	case q.Status == http.StatusTooManyRequests, q.Status == http.StatusPaymentRequired: // an upstream's own 429 has no cause
		r.limited.get(q.Cause).Inc()
	case strings.HasPrefix(q.Cause, "upstream_") || q.Cause == "no_healthy_upstream":
		r.failures.get(q.Cause).Inc()
	}
}

// series returns the children of the model of a request.
func (r *route) series(q *Request) *series {
	if q.Status < 200 || q.Status > 299 || !fits(q.Model) {
		return r.models.known(q.Model)
	}
	return r.models.get(q.Model)
}

// series has the children of one route and model.
type series struct {
	route, model string
	requests     bounded[int, prometheus.Counter]  // by status
	duration     bounded[int, prometheus.Observer] // by class of status, 2 for 2xx
	first        func() prometheus.Observer

	input, cachedRead, output, reasoning func() prometheus.Counter
	estimated, unpriced, unmetered       func() prometheus.Counter

	cost atomic.Int64 // nano-dollars; see costs
	list atomic.Int64 // of callers' own credentials
}

func (m *Metrics) newSeries(route, model string) *series {
	s := &series{route: route, model: model}
	s.requests.init(maxStatuses, 0, func(status int) prometheus.Counter {
		text := other
		if status != 0 {
			text = strconv.Itoa(status)
		}
		return m.requests.WithLabelValues(route, model, text)
	})
	s.duration.init(5, 0, func(class int) prometheus.Observer {
		text := other
		if class != 0 {
			text = strconv.Itoa(class) + "xx"
		}
		return m.duration.WithLabelValues(route, model, text)
	})
	s.first = sync.OnceValue(func() prometheus.Observer { return m.first.WithLabelValues(route, model) })
	counter := func(v *prometheus.CounterVec, labels ...string) func() prometheus.Counter {
		return sync.OnceValue(func() prometheus.Counter { return v.WithLabelValues(append([]string{route, model}, labels...)...) })
	}
	s.input, s.cachedRead = counter(m.tokens, "input"), counter(m.tokens, "cached_read")
	s.output, s.reasoning = counter(m.tokens, "output"), counter(m.tokens, "reasoning")
	s.estimated, s.unpriced, s.unmetered = counter(m.estimated), counter(m.unpriced), counter(m.unmetered)
	m.costs.add(s)
	return s
}

// observe counts what route and model are labels of.
func (s *series) observe(q *Request) {
	s.requests.get(q.Status).Inc()
	class := q.Status / 100
	if class > 5 {
		class = 0
	}
	s.duration.get(class).Observe(q.Duration.Seconds())
	if q.Stream && q.FirstToken > 0 && q.Cache != "hit" {
		s.first().Observe(q.FirstToken.Seconds())
	}
	// Prometheus wants labels over which sums mean something, so what providers
	// count in another number is taken out of it.
	count(s.input, q.Input-q.CachedRead)
	count(s.cachedRead, q.CachedRead)
	count(s.output, q.Output-q.Reasoning)
	count(s.reasoning, q.Reasoning)
	if q.Estimated {
		s.estimated().Inc()
	}
	if q.Unpriced {
		s.unpriced().Inc()
	}
	if q.Unmetered {
		s.unmetered().Inc()
	}
	if q.CostNano > 0 {
		s.cost.Add(q.CostNano)
	}
	if q.ListNano > 0 {
		s.list.Add(q.ListNano)
	}
}

// count adds to a counter. Upstreams report any number, and counters panic
// below zero.
func count(c func() prometheus.Counter, n int64) {
	if n > 0 {
		c().Add(float64(n))
	}
}
