package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"forward/internal/admin"
	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/config"
	"forward/internal/dialect"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/limits"
	"forward/internal/tokens"
	"forward/internal/upstream"
	"forward/internal/usage"
)

// rooms are the parts of a running gateway, and how to close them.
type rooms struct {
	gateway *forward.Gateway
	table   *upstream.Table
	gate    *limits.Gate
	cache   *cache.Cache // nil: off
	db      *sql.DB      // nil: nothing is kept in it
	keys    *keys.Store  // managed ones; nil without db
	closers []io.Closer  // in the order in which they were opened
}

// Close closes the stores, the last one first. Each flushes what it acknowledged.
func (r *rooms) Close() error {
	var errs []error
	for i := len(r.closers) - 1; i >= 0; i-- {
		errs = append(errs, r.closers[i].Close())
	}
	return errors.Join(errs...)
}

// open builds the gateway out of settings.
func open(cfg *config.Config, logger *slog.Logger) (r *rooms, err error) {
	r = &rooms{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	options := forward.Options{
		Levels: cfg.LevelModels, ExtraAuth: cfg.ExtraAuth, Passthrough: cfg.Passthrough,
		Allow: cfg.IPWhitelist, Deny: cfg.IPBlacklist, TrustedProxies: cfg.TrustedProxy, CORSOrigins: cfg.CORSOrigins,
		CacheChat: cfg.CacheChat, CacheEmbedding: cfg.CacheEmbedding, CacheRoutes: cfg.CacheRoutes,
		CachingDefault: cfg.CachingDefault, CacheShared: cfg.CacheScope == "shared", CacheMode: cfg.CacheMode, CacheMaxEntry: cfg.CacheMaxEntry, CacheTTL: orForever(cfg.CacheTTL), CacheRecorded: cfg.CacheReplay == "recorded",
		MaxBody: cfg.MaxBody, Retries: cfg.Retries, RetryStatus: cfg.RetryStatus, StreamIdleTimeout: orForever(cfg.StreamIdleTimeout),
		QueueKeepalive: cfg.QueueKeepalive, DefaultMaxTokens: cfg.DefaultMaxTokens,
		Estimation: tokens.Estimation{CharsPerToken: cfg.Estimation.CharsPerToken, ByProvider: cfg.Estimation.ByProvider,
			BytesPerToken: cfg.Estimation.BytesPerToken, MaxSample: cfg.Estimation.MaxSample},
		MaxParallel: cfg.MaxParallel, TrustUserIDs: cfg.TrustUserIDs,
		Log: logger, Version: buildVersion(),
	}
	if options.Routes, err = routes(cfg); err != nil {
		return r, err
	}
	options.Models = modelRoutes(cfg, options.Routes)
	for _, f := range cfg.Fallbacks {
		options.Fallbacks = append(options.Fallbacks, forward.Fallback{Models: f.Model, Instead: f.Instead})
	}
	if options.Ring, err = r.ring(cfg, logger); err != nil {
		return r, err
	}
	if options.Gate, options.Paces, err = gate(cfg, logger); err != nil {
		return r, err
	}
	if options.Scheduler, err = scheduler(cfg, options.Gate); err != nil {
		return r, err
	}
	if options.Quotas, err = quotas(cfg, options.Gate, logger); err != nil {
		return r, err
	}
	r.table, r.gate, r.closers = options.Routes, options.Gate, append(r.closers, options.Gate)
	if options.Transport, err = upstream.NewTransport(upstream.Options{Proxy: cfg.Proxy, ConnectTimeout: cfg.ConnectTimeout, HeaderTimeout: orForever(cfg.HeaderTimeout)}); err != nil {
		return r, err
	}
	if cfg.CacheChat || cfg.CacheEmbedding || len(cfg.CacheRoutes) > 0 {
		r.cache, err = openCache(cfg, logger)
		if err != nil {
			return r, fmt.Errorf("opening the cache: %w", err)
		}
		options.Cache, r.closers = r.cache, append(r.closers, r.cache)
	}
	if cfg.LogChat || cfg.PrintChat {
		log, err := openChatLog(cfg, logger)
		if err != nil {
			return r, err
		}
		options.ChatLog, r.closers = log, append(r.closers, log)
	}
	if options.Affinity, err = r.affinity(cfg, logger); err != nil {
		return r, err
	}
	if cfg.Ledger && r.db != nil {
		books, err := openLedger(cfg, r.db, logger)
		if err != nil {
			return r, fmt.Errorf("opening the ledger: %w", err)
		}
		r.closers = append(r.closers, books)
		options.Ledger, options.Location = books.Ledger, cfg.Location
		if options.Prices, err = usage.NewTable(priceOverrides(cfg)); err != nil {
			return r, fmt.Errorf("PRICES: %w", err)
		}
		if options.Admin, err = r.admin(cfg, options.Ring, books.Ledger, logger); err != nil {
			return r, err
		}
	}
	options.Metrics = newMetrics(&options, logger)
	r.gateway, err = forward.New(options)
	return r, err
}

// admin answers what keys and usage there are, to the administrator and to the holders of keys.
func (r *rooms) admin(cfg *config.Config, ring *keys.Ring, ledger *usage.Ledger, logger *slog.Logger) (http.Handler, error) {
	return admin.New(admin.Options{Keys: r.keys, Declared: declaredKeys(cfg), Ledger: ledger, AdminKey: cfg.AdminKey, Location: cfg.Location, Log: logger,
		Caller: func(q *http.Request) (*keys.Key, error) {
			presented, _, err := keys.Presented(q.Header, q.URL.RawQuery)
			if err != nil {
				return nil, err
			}
			return ring.Lookup(presented)
		}})
}

// affinity is needed where a route has several API keys or base URLs. Where nothing can be written it lasts as long as the
// process, with a warning: settings of old that never had a place for state start all the same.
func (r *rooms) affinity(cfg *config.Config, logger *slog.Logger) (*upstream.Affinity, error) {
	if !slices.ContainsFunc(r.table.Routes(), func(u *upstream.Route) bool { return u.Places() > 1 && !u.Open }) {
		return nil, nil
	}
	if r.db == nil {
		db, err := memoryDatabase()
		if err != nil {
			return nil, err
		}
		logger.Warn("which API key made which file, batch or response will be forgotten at the next restart")
		r.db, r.closers = db, append(r.closers, db)
	}
	return upstream.NewAffinity(r.db, nil)
}

// routes makes the route table, with BENCHMARK_MODE's canned upstream if it is on.
func routes(cfg *config.Config) (*upstream.Table, error) {
	var list []*upstream.Route
	for _, c := range cfg.Routes {
		d, ok := dialect.ByName(c.Dialect)
		if !ok {
			return nil, fmt.Errorf("route %q: unknown dialect %q", c.Name, c.Dialect)
		}
		r := &upstream.Route{Name: c.Name, Prefix: c.Prefix, Aliases: c.Aliases, Base: c.BaseURL, Also: c.Also, Dialect: d, Open: c.Open, General: c.Type == "general"}
		if len(c.APIKeys) > 0 {
			var pool []upstream.APIKey
			for _, k := range c.APIKeys {
				pool = append(pool, upstream.APIKey{Secret: k.Secret, Levels: k.Levels})
			}
			r.Keys = upstream.NewPool(pool, nil)
		}
		list = append(list, r)
	}
	if cfg.Benchmark {
		tokens.Warm() // its answers tell their usage; the first one should not wait for the vocabulary
		list = append(list, forward.BenchmarkRoute())
	}
	return upstream.NewTable(list)
}

// modelRoutes makes the table of models for requests on /: what is configured, then Anthropic's and Google's models when
// the gateway has keys for them.
func modelRoutes(cfg *config.Config, table *upstream.Table) []forward.ModelRoute {
	var list []forward.ModelRoute
	for _, m := range cfg.ModelRoutes {
		if r, _, _, ok := table.Match(m.Prefix); ok {
			list = append(list, forward.ModelRoute{Models: m.Model, Route: r})
		}
	}
	for _, r := range table.Routes() {
		glob := map[*dialect.Dialect]string{dialect.Anthropic: "claude-*", dialect.Gemini: "gemini-*"}[r.Dialect]
		if glob != "" && r.Keys.Len() > 0 {
			list = append(list, forward.ModelRoute{Models: glob, Route: r})
		}
	}
	return list
}

// ring makes the forward keys: those of the settings and, where DATA_DIR can be written, those of `forward keys`, which it keeps
// up to date. Settings of old that never had a place for state start all the same; but a gateway that cannot read keys that are there
// does not start, for it would know nobody.
func (r *rooms) ring(cfg *config.Config, logger *slog.Logger) (*keys.Ring, error) {
	db, err := openDatabase(cfg.DataDir)
	if err != nil {
		if _, missing := os.Stat(filepath.Join(cfg.DataDir, databaseFile)); !errors.Is(missing, os.ErrNotExist) {
			return nil, err
		}
		logger.Warn("nothing can be kept, so there are no keys by forward keys; set DATA_DIR to a place that can be written", "error", err)
		return keys.NewRing(declaredKeys(cfg))
	}
	r.db, r.closers = db, append(r.closers, db)
	store, err := openKeys(context.Background(), cfg, db)
	if err != nil {
		return nil, err
	}
	r.keys = store
	ring, err := store.Ring(context.Background(), declaredKeys(cfg))
	if err != nil {
		return nil, err
	}
	watcher, err := store.Watch(ring, logger)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, watcher)
	return ring, nil
}

// gate makes the request limits and the paces of streams. The settings were checked when they were loaded.
func gate(cfg *config.Config, logger *slog.Logger) (*limits.Gate, *limits.Paces, error) {
	options := limits.Options{Log: logger}
	var err error
	if options.Rules, err = rules(cfg.ReqRates); err != nil {
		return nil, nil, fmt.Errorf("REQ_RATE_LIMIT: %w", err)
	}
	paces, err := rules(cfg.TokenRates)
	if err != nil {
		return nil, nil, fmt.Errorf("TOKEN_RATE_LIMIT: %w", err)
	}
	if options.Global, err = limits.ParseRates(cfg.GlobalRate); err != nil {
		return nil, nil, fmt.Errorf("GLOBAL_RATE_LIMIT: %w", err)
	}
	if options.Strategy, err = limits.ParseStrategy(cmp.Or(cfg.Strategy, string(limits.FixedWindow))); err != nil {
		return nil, nil, fmt.Errorf("RATE_LIMIT_STRATEGY: %w", err)
	}
	if cfg.RateBackend != "memory" {
		options.Redis = cfg.RateBackend
	}
	g, err := limits.NewGate(options)
	return g, limits.NewPaces(paces), err
}

// scheduler makes the lines of the models that forward.yaml bounds; nil when there are none.
func scheduler(cfg *config.Config, gate *limits.Gate) (*limits.Scheduler, error) {
	if len(cfg.Models) == 0 {
		return nil, nil
	}
	var list []limits.ModelRule
	for _, m := range cfg.Models {
		list = append(list, limits.ModelRule{Route: m.Route, Models: m.Model, Model: limits.Model{
			RPM: m.RPM, TPM: m.TPM, MaxParallel: m.MaxParallel, MaxQueue: m.MaxQueueSize, MaxWait: m.MaxQueueWait}})
	}
	options := limits.SchedulerOptions{Rules: list, Match: keys.Match}
	if redis := gate.Redis(); redis != nil {
		options.Shared = limits.ModelBuckets{SharedBuckets: limits.NewSharedBuckets(redis)}
	}
	return limits.NewScheduler(options)
}

// quotas makes the requests and tokens that names of each scope may use a minute and a day.
func quotas(cfg *config.Config, gate *limits.Gate, logger *slog.Logger) (*limits.Quotas, error) {
	options := limits.QuotaOptions{Match: keys.Match, Redis: gate.Redis(), Location: cfg.Location, Log: logger}
	for _, q := range cfg.Quotas {
		options.Quotas = append(options.Quotas, limits.Quota{Scope: limits.Scope(q.Scope), Match: q.Match,
			RequestsPerMinute: q.RequestsPerMinute, RequestsPerDay: q.RequestsPerDay, TokensPerMinute: q.TokensPerMinute, TokensPerDay: q.TokensPerDay,
			InputPerMinute: q.InputPerMinute, InputPerDay: q.InputPerDay, OutputPerMinute: q.OutputPerMinute, OutputPerDay: q.OutputPerDay, Shadow: q.Shadow})
	}
	return limits.NewQuotas(options)
}

func rules(list []config.RateRule) ([]limits.Rule, error) {
	var out []limits.Rule
	for _, r := range list {
		rates, err := limits.ParseRates(r.Limit)
		if err != nil {
			return nil, err
		}
		out = append(out, limits.Rule{Path: r.Path, Level: r.Level, Rates: rates})
	}
	return out, nil
}

func openChatLog(cfg *config.Config, logger *slog.Logger) (*chatlog.Log, error) {
	options := chatlog.Options{Dir: cfg.LogDir, NoFiles: !cfg.LogChat, Content: cfg.LogContent, MaxSize: cfg.LogMaxSize, Retention: cfg.LogRetention, Location: cfg.Location, Log: logger}
	if cfg.PrintChat {
		options.Print = os.Stdout
	}
	log, err := chatlog.Open(options)
	if err != nil {
		return nil, fmt.Errorf("opening the chat log in %s: %w", filepath.Clean(cfg.LogDir), err)
	}
	return log, nil
}

// orForever is what a setting of 0 means for a time: no bound. The rooms take 0 for their own default.
func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return d
}
