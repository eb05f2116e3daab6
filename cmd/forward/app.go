package main

import (
	"crypto/tls"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/config"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/metrics"
	"forward/internal/queue"
	"forward/internal/redis"
	"forward/internal/upstream"
)

// app is a running gateway: its components and the settings by which they
// serve. Components that keep state are opened when settings need them for the
// first time and live until Close, so a reload makes new options over the same
// state. Requests may come at any time; apply is called by one goroutine at a
// time.
type app struct {
	log     *slog.Logger
	level   *slog.LevelVar // of log; nil: LOG_LEVEL does not change it
	current atomic.Pointer[generation]

	draining    atomic.Bool // answers ask their clients to use another connection next time
	certificate atomic.Pointer[tls.Certificate]
	cache       atomic.Pointer[cache.Cache] // nil: no settings needed it yet

	scheduler *queue.Scheduler // nil: no settings needed it yet, as below
	chatLog   *chatlog.Log
	redactor  *chatlog.Redactor
	affinity  *upstream.Affinity
	owners    *keys.Owners
	guard     keys.Guard
	accounts  *accounting
	metrics   *metrics.Metrics
	redis     *redis.Conn // that the replicas share; nil: limits are counted in memory
	db        *sql.DB     // nil: DATA_DIR cannot be written
	keys      *keys.Store // managed keys; nil without db
	administration
	closers []io.Closer // in the order in which they were opened
}

// generation serves by one set of settings. It never changes; requests hold
// theirs from start to end.
type generation struct {
	forward.Options
	cfg     *config.Config
	gateway *forward.Gateway
	handler http.Handler
	pages   http.Handler // of DASHBOARD_ADDR; nil: there is no such listener, or nothing to show on it
}

// change is a generation in the making.
type change struct {
	forward.Options
	cfg    *config.Config
	before *generation  // nil at the start
	pages  http.Handler // of DASHBOARD_ADDR
	// commit are the changes of components in place. They are made once nothing
	// can fail any more.
	commit []func()
}

// open builds the gateway from settings.
func open(cfg *config.Config, logger *slog.Logger) (*app, error) {
	a := &app{log: logger}
	if _, err := a.apply(cfg); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// ServeHTTP serves a request by the settings that are current when it comes.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	a.current.Load().handler.ServeHTTP(w, r)
}

// gateway returns the current gateway. Draining one of them drains all.
func (a *app) gateway() *forward.Gateway { return a.current.Load().gateway }

// Close closes the components, the last one first. Each flushes what it
// acknowledged.
func (a *app) Close() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i].Close())
	}
	return errors.Join(errs...)
}

// apply switches to new settings atomically; on error the old ones stay. It
// returns the settings whose files have other content than before, although
// their text is the same.
func (a *app) apply(cfg *config.Config) (changed []string, err error) {
	c, err := a.prepare(cfg)
	if err != nil {
		return nil, err
	}
	next := &generation{Options: c.Options, cfg: cfg}
	if c.before == nil {
		next.gateway, err = forward.New(c.Options)
	} else {
		c.Routes.TakeOver(c.before.Routes)
		next.gateway, err = c.before.gateway.With(c.Options)
	}
	if err != nil {
		return nil, err
	}
	next.handler = next.gateway.Handler()
	if c.pages != nil {
		next.pages = next.gateway.OnlyAllowed(c.pages)
	}
	certificate := a.certificate.Load()
	for _, commit := range c.commit {
		commit()
	}
	a.current.Store(next)
	a.live.Interrupt() // viewers come back, and are judged by the new settings
	if c.before != nil && c.before.Transport != next.Transport {
		c.before.Transport.(*http.Transport).CloseIdleConnections()
	}
	if !sameCertificate(certificate, a.certificate.Load()) {
		changed = append(changed, "TLS_CERT")
	}
	return changed, nil
}

// prepare makes the options of settings. It opens components that are needed
// for the first time; requests notice nothing of it until the change is
// committed. Each step sets the options that it is named after and may use
// those before it.
func (a *app) prepare(cfg *config.Config) (*change, error) {
	c := &change{cfg: cfg, before: a.current.Load(), Options: requestOptions(cfg)}
	c.Log = a.log
	c.Live = &a.live
	c.Guard = &a.guard
	for _, step := range []func(*change) error{
		a.setCertificate, a.setRoutes, a.setRing, a.setGate, a.setScheduler, a.setQuotas, a.setTransport,
		a.setCache, a.setRedactor, a.setChatLog, a.setAffinity, a.setOwners, a.setLedger, a.setAdmin, a.setMetrics,
	} {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	c.commit = append(c.commit, func() {
		if a.level != nil {
			a.level.Set(logLevel(cfg))
		}
	})
	return c, nil
}

// requestOptions are the options that need no component.
func requestOptions(cfg *config.Config) forward.Options {
	return forward.Options{
		Routing: forward.Routing{
			Fallbacks: cfg.Fallbacks, Aliases: cfg.Aliases, Retries: cfg.Upstream.Retries, RetryStatus: cfg.Upstream.RetryStatus,
			StreamIdleTimeout: orForever(cfg.Upstream.StreamIdleTimeout), SocketIdle: orForever(cfg.Upstream.SocketIdle),
		},
		Access: forward.Access{
			Levels: cfg.Access.Levels, ExtraAuth: cfg.Access.ExtraAuth, UnknownOperations: cfg.Access.UnknownOperations, Passthrough: cfg.Access.Passthrough, TrustUserIDs: cfg.Access.TrustUserIDs,
			Allow: cfg.Access.Allow, Deny: cfg.Access.Deny, TrustedProxies: cfg.Access.TrustedProxies, CORSOrigins: cfg.Access.CORSOrigins,
			Objects: cfg.Access.Objects, MetricsKey: cfg.Access.MetricsKey, AdminKey: cfg.Access.AdminKey,
		},
		Limiting: forward.Limiting{
			QueueKeepalive: cfg.Limits.QueueKeepalive, DefaultMaxTokens: cfg.Limits.DefaultMaxTokens, ReserveMaxOutput: cfg.Limits.ReserveMaxOutput,
			Estimation: cfg.Limits.Estimation, MaxParallel: cfg.Limits.MaxParallel,
			BudgetStatus: budgetStatus(cfg), TagBudgets: cfg.Limits.Budgets,
			MaxBody: cfg.Upstream.MaxBody, MaxBodies: debug.SetMemoryLimit(-1) / bodyShare,
		},
		Caching: forward.Caching{
			CacheChat: cfg.Cache.Chat, CacheEmbedding: cfg.Cache.Embedding, CacheRoutes: cfg.Cache.Routes,
			CachingDefault: cfg.Cache.Default, CacheShared: cfg.Cache.Scope == "shared", CacheMode: cfg.Cache.Mode,
			CacheMaxEntry: cfg.Cache.MaxEntryBytes, CacheTTL: orForever(cfg.Cache.TTL), CacheRecorded: cfg.Cache.Replay == "recorded",
		},
		Recording: forward.Recording{LogContent: cfg.Log.Content},
		Version:   buildVersion(),
	}
}

// budgetStatus is the status of the answer to a key whose budget is spent.
func budgetStatus(cfg *config.Config) int {
	if cfg.Limits.BudgetStatus == "429" {
		return http.StatusTooManyRequests
	}
	return http.StatusPaymentRequired
}

// orForever maps a time of 0, which settings write for "no bound", to one that
// never ends: packages take 0 for their default.
func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return d
}
