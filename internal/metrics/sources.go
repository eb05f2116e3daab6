package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sources are called whenever the metrics are read. They return the state of
// other packages at that time; counts in it are those since the start. They
// must be safe for concurrent use and quick.
type Sources struct {
	Queues  func() []Queue         // of the models with rpm or tpm
	APIKeys func() []APIKeys       // of the routes
	Stores  func() map[string]bool // whether each store works: cache, limits, ledger
	Cache   func() Cache
	Ledger  func() Ledger
	ChatLog func() (dropped int64) // lines that were lost
}

// Queue is the queue of a route's model.
type Queue struct {
	Route, Model string
	Waiting      int
	InFlight     int
}

// APIKeys is how many of a route's API keys are in a state: ok, resting or
// set_aside.
type APIKeys struct {
	Route, State string
	Count        int
}

// Cache is the state of the cache; an unknown number is below zero.
type Cache struct {
	Entries, Bytes, MaxBytes int64
	Pending                  int   // entries that wait to be written
	Stored, Dropped, Damaged int64 // entries
}

// Ledger is the state of the ledger.
type Ledger struct {
	Pending int   // rows that wait to be written
	Dropped int64 // rows that were lost, for the queue was full
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("forward_"+name, help, labels, nil)
}

var (
	queueDepth    = desc("queue_depth", "Requests that wait in a model's queue.", "route", "model")
	queueRunning  = desc("queue_in_flight", "Requests that a model's queue has let through and that are not over.", "route", "model")
	apiKeys       = desc("api_keys", "API keys by state: ok, resting (rate limited, or its account has no credit) or set_aside (refused by the upstream).", "route", "state")
	storeUp       = desc("store_up", "Whether a store works: 1 or 0. Requests are served without it.", "store")
	cacheEntries  = desc("cache_entries", "Answers in the cache, about.")
	cacheBytes    = desc("cache_bytes", "What the cache takes, on disk or in memory.")
	cacheMaxBytes = desc("cache_max_bytes", "What the cache may take; 0 when the gateway does not bound it.")
	cachePending  = desc("cache_pending", "Answers that wait to be written into the cache.")
	cacheStored   = desc("cache_stored_total", "Answers that were written into the cache.")
	cacheDropped  = desc("cache_dropped_total", "Answers that the cache refused or lost.")
	cacheDamaged  = desc("cache_damaged_total", "Records of the cache that were not what had been written.")
	ledgerQueue   = desc("ledger_queue", "Rows that wait to be written into the ledger.")
	ledgerDropped = desc("ledger_dropped_total", "Rows that are missing in the ledger, for it could not be written for too long.")
	chatDropped   = desc("chat_log_dropped_total", "Lines that are missing in the chat log, for it could not be written fast enough.")
)

// collector makes metrics of Sources.
type collector struct{ Sources }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		queueDepth, queueRunning, apiKeys, storeUp, cacheEntries, cacheBytes, cacheMaxBytes, cachePending, cacheStored, cacheDropped,
		cacheDamaged, ledgerQueue, ledgerDropped, chatDropped,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		if v >= 0 {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
		}
	}
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	c.collectQueues(gauge)
	if c.APIKeys != nil {
		counts := sums{}
		for _, k := range c.APIKeys() {
			counts.add(k.Route, k.State, k.Count)
		}
		counts.each(apiKeys, gauge)
	}
	if c.Stores != nil {
		for name, up := range c.Stores() {
			var v int64
			if up {
				v = 1
			}
			gauge(storeUp, v, name)
		}
	}
	if c.Cache != nil {
		s := c.Cache()
		gauge(cacheEntries, s.Entries)
		gauge(cacheBytes, s.Bytes)
		gauge(cacheMaxBytes, s.MaxBytes)
		gauge(cachePending, int64(s.Pending))
		counter(cacheStored, s.Stored)
		counter(cacheDropped, s.Dropped)
		counter(cacheDamaged, s.Damaged)
	}
	if c.Ledger != nil {
		s := c.Ledger()
		gauge(ledgerQueue, int64(s.Pending))
		counter(ledgerDropped, s.Dropped)
	}
	if c.ChatLog != nil {
		counter(chatDropped, c.ChatLog())
	}
}

func (c collector) collectQueues(gauge func(*prometheus.Desc, int64, ...string)) {
	if c.Queues == nil {
		return
	}
	waiting, running := sums{}, sums{}
	for _, l := range c.Queues() {
		waiting.add(l.Route, l.Model, l.Waiting)
		running.add(l.Route, l.Model, l.InFlight)
	}
	waiting.each(queueDepth, gauge)
	running.each(queueRunning, gauge)
}

// sums adds up by two labels. Two metrics of the same labels would spoil the
// whole answer, and names that are cut may become the same.
type sums map[[2]string]int64

func (s sums) add(a, b string, n int) { s[[2]string{fit(a), fit(b)}] += int64(n) }

func (s sums) each(d *prometheus.Desc, emit func(*prometheus.Desc, int64, ...string)) {
	for labels, n := range s {
		emit(d, n, labels[0], labels[1])
	}
}
