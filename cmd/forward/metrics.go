package main

import "forward/internal/metrics"

// setMetrics makes the metrics once: they count through reloads. What
// components know is read when metrics are scraped.
func (a *app) setMetrics(c *change) error {
	if a.metrics == nil {
		sources := metrics.Sources{Queues: a.queues, APIKeys: a.apiKeys, Stores: a.stores}
		if store := a.cache.Load(); store != nil {
			sources.Cache = func() metrics.Cache {
				s := store.Stats()
				return metrics.Cache{Entries: s.Entries, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Pending: s.Pending, Stored: s.Stored, Dropped: s.Dropped, Damaged: s.Damaged}
			}
		}
		if accounts := a.accounts; accounts != nil {
			sources.Ledger = func() (n metrics.Ledger) {
				n.Pending, n.Dropped = accounts.Pending()
				return n
			}
		}
		if a.chatLog != nil {
			sources.ChatLog = a.chatLog.Dropped
		}
		a.metrics = metrics.New(metrics.Options{Version: buildVersion(), Log: a.log, Sources: sources})
	}
	c.Metrics = a.metrics
	return nil
}

// queues are the queues of models as they stand.
func (a *app) queues() (list []metrics.Queue) {
	if s := a.current.Load().Scheduler; s != nil {
		for _, l := range s.Report() {
			list = append(list, metrics.Queue{Route: l.Route, Model: l.Model, Waiting: l.Waiting, InFlight: l.InFlight})
		}
	}
	return list
}

// apiKeys counts the API keys of each route by their state.
func (a *app) apiKeys() (list []metrics.APIKeys) {
	for _, route := range a.current.Load().Routes.Routes() {
		count := map[string]int{}
		for _, k := range route.Keys.Report() {
			count[k.State]++
		}
		for state, n := range count {
			list = append(list, metrics.APIKeys{Route: route.Name, State: state, Count: n})
		}
	}
	return list
}

// stores reports of each store whether it works.
func (a *app) stores() map[string]bool {
	g := a.current.Load()
	works := map[string]bool{}
	works["limits"], _ = g.Gate.Healthy()
	if g.Cache != nil {
		works["cache"], _ = g.Cache.Healthy()
	}
	if g.Ledger != nil {
		works["ledger"], _ = g.Ledger.Healthy()
	}
	return works
}
