package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"forward/internal/config"
	"forward/internal/ledger"
	"forward/internal/ledger/sink"
	"forward/internal/price"
)

// setLedger opens the ledger unless LEDGER is off, and makes the table of
// prices.
func (a *app) setLedger(c *change) (err error) {
	if !c.cfg.Ledger.On || a.db == nil {
		return nil
	}
	if a.accounts == nil {
		opened, err := openLedger(c.cfg, a.db, a.log)
		if err != nil {
			return fmt.Errorf("opening the ledger: %w", err)
		}
		a.accounts = opened
		a.closers = append(a.closers, opened)
	}
	c.Ledger = a.accounts.Ledger
	var tags []string
	for _, b := range c.cfg.Limits.Budgets {
		tags = append(tags, b.Tag)
	}
	err = c.Ledger.TrackTags(context.Background(), tags...) // bounded by the database's own waits
	if err != nil {
		return fmt.Errorf("BUDGETS: %w", err)
	}
	c.Location = c.cfg.Location
	if c.before != nil && reflect.DeepEqual(c.cfg.Ledger.Prices, c.before.cfg.Ledger.Prices) {
		c.Prices = c.before.Prices // unpacking the table is nine tenths of the cost of a reload
		return nil
	}
	c.Prices, err = price.NewTable(c.cfg.Ledger.Prices)
	if err != nil {
		return fmt.Errorf("PRICES: %w", err)
	}
	return nil
}

// ledgerPatience is how long a stop waits for the ledger's last rows to be
// taken by the database and the sinks.
const ledgerPatience = 10 * time.Second

// accounting is the ledger with everything that it reports to. Close writes
// what is queued; the database is closed after it, by the component that opened
// it.
type accounting struct {
	*ledger.Ledger
	warn *sink.Webhook // nil: warnings about budgets are not posted
}

// openLedger opens the ledger on the gateway's database, with the sinks of the
// settings.
func openLedger(cfg *config.Config, db *sql.DB, logger *slog.Logger) (b *accounting, err error) {
	b = &accounting{}
	options := cfg.Ledger.Options
	options.Location = cfg.Location
	options.Log = logger
	if options.Retention == 0 {
		options.Retention = -1 // keep all
	}
	if !cfg.Ledger.BudgetWebhook.IsZero() {
		b.warn, err = sink.NewWebhook(sink.WebhookOptions{URL: cfg.Ledger.BudgetWebhook.Reveal(), Secret: cfg.Ledger.WebhookSecret.Reveal()})
		if err != nil {
			return nil, fmt.Errorf("BUDGET_WEBHOOK: %w", err)
		}
		options.OnWarning = func(w ledger.Warning) {
			if !b.warn.Warn(w) {
				logger.Warn("the webhook for budgets is too slow and loses warnings")
			}
		}
	}
	options.Sinks, err = openSinks(cfg)
	if err == nil {
		b.Ledger, err = ledger.Open(db, options)
	}
	if err == nil {
		return b, nil
	}
	for _, s := range options.Sinks {
		err = errors.Join(err, s.Close())
	}
	if b.warn != nil {
		err = errors.Join(err, b.warn.Close())
	}
	return nil, err
}

// openSinks opens everything that gets a copy of each row. With an error it
// returns the sinks that are open.
func openSinks(cfg *config.Config) (list []ledger.Sink, err error) {
	if cfg.Ledger.File != "" {
		s, err := sink.NewFile(cfg.Ledger.File)
		if err != nil {
			return list, fmt.Errorf("USAGE_FILE: %w", err)
		}
		list = append(list, s)
	}
	if u := cfg.Ledger.StatsD; u != nil {
		s, err := sink.NewStatsD(sink.StatsDOptions{Address: u.Host, Datadog: u.Scheme == "datadog"})
		if err != nil {
			return list, fmt.Errorf("USAGE_STATSD: %w", err)
		}
		list = append(list, s)
	}
	if !cfg.Ledger.Webhook.IsZero() {
		s, err := sink.NewWebhook(sink.WebhookOptions{URL: cfg.Ledger.Webhook.Reveal(), Secret: cfg.Ledger.WebhookSecret.Reveal()})
		if err != nil {
			return list, fmt.Errorf("USAGE_WEBHOOK: %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// Close writes what is queued, within bounds.
func (b *accounting) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerPatience)
	defer cancel()
	err := b.Ledger.Close(ctx)
	if b.warn != nil {
		err = errors.Join(err, b.warn.Close())
	}
	return err
}
