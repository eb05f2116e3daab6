package metrics

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// costs reports what calls cost. It is no counter of the client library, which
// would add up dollars in a float: these are whole nano-dollars until they are
// read.
type costs struct {
	mu     sync.Mutex // guards series
	series []*series
}

var (
	costDesc = prometheus.NewDesc("forward_cost_usd_total", "What requests cost, in US dollars.", []string{"route", "model"}, nil)
	listDesc = prometheus.NewDesc("forward_list_price_usd_total", "The list price of requests that callers' own credentials paid, not billed, in US dollars.", []string{"route", "model"}, nil)
)

func (c *costs) add(s *series) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.series = append(c.series, s)
}

// Describe implements prometheus.Collector.
func (c *costs) Describe(ch chan<- *prometheus.Desc) {
	ch <- costDesc
	ch <- listDesc
}

// Collect implements prometheus.Collector.
func (c *costs) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	all := slices.Clip(c.series) // only ever appended to
	c.mu.Unlock()
	for _, s := range all {
		if nano := s.cost.Load(); nano > 0 {
			ch <- prometheus.MustNewConstMetric(costDesc, prometheus.CounterValue, float64(nano)/1e9, s.route, s.model)
		}
		if nano := s.list.Load(); nano > 0 {
			ch <- prometheus.MustNewConstMetric(listDesc, prometheus.CounterValue, float64(nano)/1e9, s.route, s.model)
		}
	}
}
