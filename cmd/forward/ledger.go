package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"forward/internal/config"
	"forward/internal/ledger"
	"forward/internal/ledger/sink"
)

// ledgerPatience is how long a stop waits for the ledger's last rows to be taken by the database and the sinks.
const ledgerPatience = 10 * time.Second

// books are the ledger with all that it tells. Close writes what waits; the database is closed after it, by whoever opened it.
type books struct {
	*ledger.Ledger
	warn *sink.Webhook // nil: nobody is told of budgets
}

// openLedger opens the ledger on the gateway's database, with the sinks of the settings.
func openLedger(cfg *config.Config, db *sql.DB, logger *slog.Logger) (b *books, err error) {
	b = &books{}
	options := ledger.Options{Location: cfg.Location, Log: logger, Strict: cfg.LedgerStrict, Retention: cfg.LedgerRetention}
	if cfg.LedgerRetention == 0 {
		options.Retention = -1 // keep all
	}
	if !cfg.BudgetWebhook.IsZero() {
		if b.warn, err = sink.NewWebhook(sink.WebhookOptions{URL: cfg.BudgetWebhook.Reveal(), Secret: cfg.WebhookSecret.Reveal()}); err != nil {
			return nil, fmt.Errorf("BUDGET_WEBHOOK: %w", err)
		}
		options.OnWarning = func(w ledger.Warning) {
			if !b.warn.Warn(w) {
				logger.Warn("the webhook for budgets is too slow and loses warnings")
			}
		}
	}
	if options.Sinks, err = sinks(cfg); err == nil {
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

// sinks opens everything that is told of each request. What was opened is returned with an error, too.
func sinks(cfg *config.Config) (list []ledger.Sink, err error) {
	if cfg.UsageFile != "" {
		s, err := sink.NewFile(cfg.UsageFile)
		if err != nil {
			return list, fmt.Errorf("USAGE_FILE: %w", err)
		}
		list = append(list, s)
	}
	if u := cfg.UsageStatsD; u != nil {
		s, err := sink.NewStatsD(sink.StatsDOptions{Address: u.Host, Datadog: u.Scheme == "datadog"})
		if err != nil {
			return list, fmt.Errorf("USAGE_STATSD: %w", err)
		}
		list = append(list, s)
	}
	if !cfg.UsageWebhook.IsZero() {
		s, err := sink.NewWebhook(sink.WebhookOptions{URL: cfg.UsageWebhook.Reveal(), Secret: cfg.WebhookSecret.Reveal()})
		if err != nil {
			return list, fmt.Errorf("USAGE_WEBHOOK: %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// Close writes what waits, within bounds.
func (b *books) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), ledgerPatience)
	defer cancel()
	err := b.Ledger.Close(ctx)
	if b.warn != nil {
		err = errors.Join(err, b.warn.Close())
	}
	return err
}
