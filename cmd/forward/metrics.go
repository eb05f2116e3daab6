package main

import "forward/internal/metrics"

// newMetrics counts for Prometheus, and asks the rooms of a gateway how they are whenever somebody reads.
func newMetrics(r *rooms) *metrics.Metrics {
	return metrics.New(metrics.Options{Version: buildVersion(), Log: r.log, Sources: metrics.Sources{
		Lines: func() (list []metrics.Line) {
			if s := r.now.Load().Scheduler; s != nil {
				for _, l := range s.Report() {
					list = append(list, metrics.Line{Route: l.Route, Model: l.Model, Waiting: l.Waiting, InFlight: l.InFlight})
				}
			}
			return list
		},
		APIKeys: func() (list []metrics.APIKeys) {
			for _, route := range r.now.Load().Routes.Routes() {
				count := map[string]int{}
				for _, k := range route.Keys.Report() {
					count[k.State]++
				}
				for state, n := range count {
					list = append(list, metrics.APIKeys{Route: route.Name, State: state, Count: n})
				}
			}
			return list
		},
		Stores: func() map[string]bool {
			o := r.now.Load()
			works := map[string]bool{}
			works["limits"], _ = o.Gate.Healthy()
			if o.Cache != nil {
				works["cache"], _ = o.Cache.Healthy()
			}
			if o.Ledger != nil {
				works["ledger"], _ = o.Ledger.Healthy()
			}
			return works
		},
		Cache:   cacheNumbers(r),
		Ledger:  ledgerNumbers(r),
		ChatLog: droppedLines(r),
	}})
}

// cacheNumbers asks the cache, nil when there is none.
func cacheNumbers(r *rooms) func() metrics.Cache {
	if r.cache == nil {
		return nil
	}
	return func() metrics.Cache {
		s := r.cache.Stats()
		return metrics.Cache{Entries: s.Entries, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Pending: s.Pending, Stored: s.Stored, Dropped: s.Dropped, Damaged: s.Damaged}
	}
}

func ledgerNumbers(r *rooms) func() metrics.Ledger {
	if r.books == nil {
		return nil
	}
	return func() (n metrics.Ledger) {
		n.Pending, n.Dropped = r.books.Pending()
		return n
	}
}

func droppedLines(r *rooms) func() int64 {
	if r.chatLog == nil {
		return nil
	}
	return r.chatLog.Dropped
}
