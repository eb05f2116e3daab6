package main

import (
	"log/slog"

	"forward/internal/forward"
	"forward/internal/metrics"
)

// newMetrics counts for Prometheus, and asks the rooms of a gateway how they are whenever somebody reads.
func newMetrics(o *forward.Options, logger *slog.Logger) *metrics.Metrics {
	return metrics.New(metrics.Options{Version: o.Version, Log: logger, Sources: metrics.Sources{
		Lines: func() (list []metrics.Line) {
			if o.Scheduler != nil {
				for _, l := range o.Scheduler.Report() {
					list = append(list, metrics.Line{Route: l.Route, Model: l.Model, Waiting: l.Waiting, InFlight: l.InFlight})
				}
			}
			return list
		},
		APIKeys: func() (list []metrics.APIKeys) {
			for _, r := range o.Routes.Routes() {
				count := map[string]int{}
				for _, k := range r.Keys.Report() {
					count[k.State]++
				}
				for state, n := range count {
					list = append(list, metrics.APIKeys{Route: r.Name, State: state, Count: n})
				}
			}
			return list
		},
		Stores: func() map[string]bool {
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
		Cache:   cacheNumbers(o),
		Ledger:  ledgerNumbers(o),
		ChatLog: droppedLines(o),
	}})
}

// cacheNumbers asks the cache, nil when there is none.
func cacheNumbers(o *forward.Options) func() metrics.Cache {
	if o.Cache == nil {
		return nil
	}
	return func() metrics.Cache {
		s := o.Cache.Stats()
		return metrics.Cache{Entries: s.Entries, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Pending: s.Pending, Stored: s.Stored, Dropped: s.Dropped, Damaged: s.Damaged}
	}
}

func ledgerNumbers(o *forward.Options) func() metrics.Ledger {
	if o.Ledger == nil {
		return nil
	}
	return func() (n metrics.Ledger) {
		n.Pending, n.Dropped = o.Ledger.Pending()
		return n
	}
}

func droppedLines(o *forward.Options) func() int64 {
	if o.ChatLog == nil {
		return nil
	}
	return o.ChatLog.Dropped
}
