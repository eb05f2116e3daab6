package main

import (
	"context"
	"net/http"
	"net/netip"

	"forward/internal/admin"
	"forward/internal/audit"
	"forward/internal/clientip"
	"forward/internal/config"
	"forward/internal/dashboard"
	"forward/internal/keys"
	"forward/internal/price"
	"forward/internal/session"
)

// setAdmin makes the handler of the API below /_/ and of the dashboard, for the
// administrator and the holders of keys. Without a database and an
// administrator there is nothing that it could show.
func (a *app) setAdmin(c *change) (err error) {
	if a.db == nil && c.cfg.Access.AdminKey.IsZero() {
		return nil
	}
	err = a.openSessions(c.cfg)
	if err != nil {
		return err
	}
	trusted := c.cfg.Access.TrustedProxies
	o := admin.Options{
		Ring: c.Ring, Keys: a.keys, Declared: c.cfg.Access.Keys, Ledger: c.Ledger, TagBudgets: c.cfg.Limits.Budgets, AdminKey: c.cfg.Access.AdminKey, Guard: c.Guard,
		Traffic: admin.Traffic{Live: &a.live, Queues: queuesOf(c.Scheduler), Play: a.play},
		Audit:   a.audit, Models: a.models,
		Features: admin.Features{
			Chats:  admin.Chats{On: c.cfg.Log.Chat, Dir: c.cfg.Log.Options.Dir, Content: c.cfg.Log.Options.Content, Retention: c.cfg.Log.Options.Retention},
			Ledger: c.Ledger != nil, Content: c.cfg.Dashboard.Content, Cache: c.Cache != nil, Playground: true,
			ManagedKeys: a.keys != nil, RotateOwn: c.cfg.Dashboard.RotateOwn, Version: buildVersion(),
		},
		Gateway:  a.gatewayOf(c),
		Address:  func(r *http.Request) netip.Addr { return clientip.Of(r, trusted) },
		Origin:   func(r *http.Request) string { return clientip.Origin(r, trusted) },
		Location: c.cfg.Location, Log: a.log,
	}
	return a.setDashboard(c, o)
}

// setDashboard makes the handlers of the API: with the dashboard's pages and
// its sign-in where it is, and without both where programs ask.
func (a *app) setDashboard(c *change, o admin.Options) (err error) {
	if !c.cfg.Dashboard.On || a.sessions == nil {
		c.Admin, err = admin.New(o)
		return err
	}
	if a.pages == nil {
		a.pages, err = dashboard.New("/_/")
		if err != nil {
			return err
		}
	}
	with := o
	with.Sessions, with.Pages = a.sessions, a.pages
	with.Browser = admin.Browser{Hosts: c.cfg.Dashboard.Hosts, Prefix: func(r *http.Request) string { return clientip.Prefix(r, c.cfg.Access.TrustedProxies) }}
	if c.cfg.Dashboard.Addr == "" {
		c.Dashboard = true
		c.Admin, err = admin.New(with)
		return err
	}
	c.Admin, err = admin.New(o)
	if err != nil {
		return err
	}
	there, err := admin.New(with)
	c.pages = there
	return err
}

// models returns the models that a key may use now.
func (a *app) models(ctx context.Context, k *keys.Key) (list []admin.Model) {
	gateway := a.gateway()
	for _, o := range gateway.Offered(ctx, k) {
		m := admin.Model{ID: o.Model, Routes: o.Routes, Aliases: o.Aliases, Fallbacks: o.Fallbacks, RPM: o.Limits.RPM, TPM: o.Limits.TPM}
		if o.Price != nil {
			rates := o.Price.Tiers[0].Rates
			rate := func(q price.Quantity) *int64 {
				n, _, ok := rates.Of(q)
				if !ok {
					return nil
				}
				return (*int64)(&n)
			}
			m.Price = &admin.ModelPrice{Input: rate(price.Input), Output: rate(price.Output), Cached: rate(price.CachedRead), Source: o.Price.Source, Date: gateway.PriceDate(o.Price)}
			if o.Price.MaxOutput > 0 {
				m.MaxOutput = &o.Price.MaxOutput
			}
		}
		list = append(list, m)
	}
	return list
}

// openSessions opens what the dashboard keeps in the database.
func (a *app) openSessions(cfg *config.Config) (err error) {
	if a.db == nil || a.sessions != nil {
		return nil
	}
	ctx := context.Background()
	secret, err := keySecret(cfg)
	if err != nil {
		return err
	}
	retention := cfg.Ledger.Retention
	if retention == 0 {
		retention = -1 // keep all
	}
	a.audit, err = audit.Open(ctx, a.db, audit.Options{Retention: retention})
	if err != nil {
		return err
	}
	a.sessions, err = session.Open(ctx, a.db, []byte(secret.Reveal()), nil)
	return err
}
