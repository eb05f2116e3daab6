package main

import (
	"reflect"
	"slices"

	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/dialects"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// setRoutes makes the route table, with BENCHMARK_MODE's canned upstream if it
// is on, and the table of models.
func (a *app) setRoutes(c *change) error {
	var list []*upstream.Route
	for _, r := range c.cfg.Routes {
		route := &upstream.Route{Name: r.Name, Prefix: r.Prefix, Aliases: r.Aliases, Base: r.BaseURL, Also: r.Also, Dialect: r.Dialect, Open: r.Open, Client: r.Client, General: r.Type == "general"}
		if len(r.APIKeys) > 0 {
			route.Keys = upstream.NewPool(r.APIKeys, nil)
		}
		list = append(list, route)
	}
	if c.cfg.Benchmark {
		tokens.Warm() // its answers report their usage; the first one should not wait for the vocabulary
		list = append(list, forward.BenchmarkRoute())
	}
	var err error
	c.Routes, err = upstream.NewTable(list)
	if err != nil {
		return err
	}
	c.Models = modelRoutes(c.cfg, c.Routes)
	return nil
}

// modelRoutes makes the table of models for requests on /: the configured ones,
// those of a dialect before others, then those that only one provider has, if
// the gateway has keys for it.
func modelRoutes(cfg *config.Config, table *upstream.Table) []forward.ModelRoute {
	var list []forward.ModelRoute
	for _, m := range cfg.ModelRoutes {
		if r, _, _, ok := table.Match(m.Prefix); ok {
			list = append(list, forward.ModelRoute{Dialect: m.Dialect, Models: m.Model, Route: r})
		}
	}
	for _, d := range dialects.All {
		routes := slices.DeleteFunc(forward.RoutesOf(table, d), func(r *upstream.Route) bool { return r.Keys.Len() == 0 || r.Client })
		if d.Provider.Models != "" && len(routes) > 0 {
			list = append(list, forward.ModelRoute{Models: d.Provider.Models, Route: routes[0]})
		}
	}
	return list
}

// setTransport keeps the transport from before where none of its settings
// changes, with its open connections.
func (a *app) setTransport(c *change) (err error) {
	options := upstreamOptions(c.cfg)
	if c.before != nil && reflect.DeepEqual(options, upstreamOptions(c.before.cfg)) {
		c.Transport = c.before.Transport
		return nil
	}
	c.Transport, err = upstream.NewTransport(options)
	return err
}

func upstreamOptions(cfg *config.Config) upstream.Options {
	o := cfg.Upstream.Options
	o.HeaderTimeout = orForever(o.HeaderTimeout)
	return o
}

// setAffinity opens the affinity where a route has several API keys or base
// URLs. Where DATA_DIR cannot be written it lasts as long as the process, with
// a warning: older settings have no place for state and start all the same.
func (a *app) setAffinity(c *change) (err error) {
	if !slices.ContainsFunc(c.Routes.Routes(), func(r *upstream.Route) bool { return r.Places() > 1 && !r.Open }) {
		return nil
	}
	if a.affinity == nil {
		db := a.db
		if db == nil {
			db, err = database.OpenMemory()
			if err != nil {
				return err
			}
			a.log.Warn("which API key made which file, batch or response will be forgotten at the next restart")
			a.closers = append(a.closers, db)
		}
		a.affinity, err = upstream.NewAffinity(db, nil)
	}
	c.Affinity = a.affinity
	return err
}

// setOwners opens what remembers which forward key made what. Where DATA_DIR
// cannot be written it lasts as long as the process.
func (a *app) setOwners(c *change) (err error) {
	if a.owners == nil {
		db := a.db
		if db == nil {
			db, err = database.OpenMemory()
			if err != nil {
				return err
			}
			a.closers = append(a.closers, db)
		}
		a.owners, err = keys.NewOwners(db, nil)
	}
	if c.cfg.Access.Objects == "own" && a.db == nil {
		a.log.Warn("OBJECTS=own, and which key made what will be forgotten at the next restart; set DATA_DIR to a place that can be written")
	}
	c.Owners = a.owners
	return err
}
