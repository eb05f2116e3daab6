package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"forward/internal/admin"
	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/clientip"
	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/metrics"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/redis"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// rooms are the parts of a running gateway, and how to close them. What keeps state lives as long as the process: other settings get
// other options that use it. Only put changes a rooms, one call at a time.
type rooms struct {
	log   *slog.Logger
	level *slog.LevelVar // of log; nil: LOG_LEVEL is not ours
	now   atomic.Pointer[inForce]

	leaving     atomic.Bool // answers ask their clients to come on another connection
	certificate atomic.Pointer[tls.Certificate]

	scheduler *queue.Scheduler // nil: there were no queues yet
	redis     *redis.Conn      // that the replicas share; nil: limits are counted in memory
	cache     *cache.Cache     // nil: it was off so far
	chatLog   *chatlog.Log     // nil: it was off so far
	redactor  *chatlog.Redactor
	affinity  *upstream.Affinity // nil: it was not needed so far
	books     *books             // nil: off
	metrics   *metrics.Metrics
	db        *sql.DB     // nil: nothing is kept in it
	keys      *keys.Store // managed ones; nil without db
	closers   []io.Closer // in the order in which they were opened
}

// inForce is what serves by one set of settings.
type inForce struct {
	forward.Options
	cfg     *config.Config
	gateway *forward.Gateway
	handler http.Handler
}

// ServeHTTP serves a request from its begin to its end by the settings that are in force when it comes.
func (r *rooms) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if r.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	r.now.Load().handler.ServeHTTP(w, q)
}

// gateway returns the one that serves now. To drain any of them is to drain all.
func (r *rooms) gateway() *forward.Gateway { return r.now.Load().gateway }

// Close closes the stores, the last one first. Each flushes what it acknowledged.
func (r *rooms) Close() error {
	var errs []error
	for i := len(r.closers) - 1; i >= 0; i-- {
		errs = append(errs, r.closers[i].Close())
	}
	return errors.Join(errs...)
}

// open builds the gateway out of settings.
func open(cfg *config.Config, logger *slog.Logger) (*rooms, error) {
	r := &rooms{log: logger}
	if err := r.put(cfg); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// put puts settings in force, or none of them with an error. Requests under way finish by those that they began with.
func (r *rooms) put(cfg *config.Config) (err error) {
	before := r.now.Load()
	options, apply, err := r.options(cfg, before)
	if err != nil {
		return err
	}
	next := &inForce{Options: options, cfg: cfg}
	if before == nil {
		next.gateway, err = forward.New(options)
	} else {
		options.Routes.TakeOver(before.Routes)
		next.gateway, err = before.gateway.With(options)
	}
	if err != nil {
		return err
	}
	next.handler = next.gateway.Handler()
	for _, f := range apply {
		f()
	}
	r.now.Store(next)
	if before != nil && before.Transport != next.Transport {
		before.Transport.(*http.Transport).CloseIdleConnections()
	}
	return nil
}

// options makes the options of settings. Stores that are open are used on, those that are needed for the first time are opened. Nothing
// that a request could notice changes before the functions in apply are called, which cannot fail.
func (r *rooms) options(cfg *config.Config, before *inForce) (o forward.Options, apply []func(), err error) {
	o = plainOptions(cfg)
	o.Log = r.log
	certificate, err := readCertificate(cfg)
	if err != nil {
		return o, nil, err
	}
	if o.Routes, err = routes(cfg); err != nil {
		return o, nil, err
	}
	o.Models = modelRoutes(cfg, o.Routes)
	if o.Ring, err = r.ring(cfg, before); err != nil {
		return o, nil, err
	}
	if o.Gate, o.Paces, err = r.gate(cfg, before); err != nil {
		return o, nil, err
	}
	lines, err := r.lines(cfg)
	if err != nil {
		return o, nil, err
	}
	o.Scheduler = r.scheduler
	if o.Quotas, err = r.quotas(cfg, before); err != nil {
		return o, nil, err
	}
	if o.Transport, err = transport(cfg, before); err != nil {
		return o, nil, err
	}
	if o.Cache, err = r.openCache(cfg); err != nil {
		return o, nil, fmt.Errorf("opening the cache: %w", err)
	}
	if r.redactor == nil {
		if r.redactor, err = redactor(cfg); err != nil {
			return o, nil, err
		}
	}
	o.Redactor = r.redactor
	keepFiles, err := r.openChatLog(cfg, &o)
	if err != nil {
		return o, nil, err
	}
	if o.Affinity, err = r.openAffinity(o.Routes); err != nil {
		return o, nil, err
	}
	if err = r.openLedger(cfg, before, &o); err != nil {
		return o, nil, err
	}
	if r.metrics == nil {
		r.metrics = newMetrics(r)
	}
	o.Metrics = r.metrics
	return o, []func(){lines, keepFiles, func() { r.setLevel(cfg); r.certificate.Store(certificate) }}, nil
}

// plainOptions are those that need no room.
func plainOptions(cfg *config.Config) forward.Options {
	o := forward.Options{
		Levels: cfg.LevelModels, ExtraAuth: cfg.ExtraAuth, Passthrough: cfg.Passthrough,
		Allow: cfg.IPWhitelist, Deny: cfg.IPBlacklist, TrustedProxies: cfg.TrustedProxy, CORSOrigins: cfg.CORSOrigins,
		CacheChat: cfg.CacheChat, CacheEmbedding: cfg.CacheEmbedding, CacheRoutes: cfg.CacheRoutes,
		CachingDefault: cfg.CachingDefault, CacheShared: cfg.CacheScope == "shared", CacheMode: cfg.CacheMode, CacheMaxEntry: cfg.CacheMaxEntry, CacheTTL: orForever(cfg.CacheTTL), CacheRecorded: cfg.CacheReplay == "recorded",
		LogContent: cfg.LogContent,
		MaxBody:    cfg.MaxBody, MaxBodies: debug.SetMemoryLimit(-1) / bodyShare, Retries: cfg.Retries, RetryStatus: cfg.RetryStatus, StreamIdleTimeout: orForever(cfg.StreamIdleTimeout),
		QueueKeepalive: cfg.QueueKeepalive, DefaultMaxTokens: cfg.DefaultMaxTokens,
		Estimation: tokens.Estimation{CharsPerToken: cfg.Estimation.CharsPerToken, ByProvider: cfg.Estimation.ByProvider,
			BytesPerToken: cfg.Estimation.BytesPerToken, MaxSample: cfg.Estimation.MaxSample},
		MaxParallel: cfg.MaxParallel, TrustUserIDs: cfg.TrustUserIDs,
		Version: buildVersion(),
	}
	for _, f := range cfg.Fallbacks {
		o.Fallbacks = append(o.Fallbacks, forward.Fallback{Models: f.Model, Instead: f.Instead})
	}
	return o
}

// transport is the one from before where nothing of it changes, so that its connections are used on.
func transport(cfg *config.Config, before *inForce) (http.RoundTripper, error) {
	of := func(cfg *config.Config) upstream.Options {
		return upstream.Options{Proxy: cfg.Proxy, ConnectTimeout: cfg.ConnectTimeout, HeaderTimeout: orForever(cfg.HeaderTimeout)}
	}
	if before != nil && reflect.DeepEqual(of(cfg), of(before.cfg)) {
		return before.Transport, nil
	}
	return upstream.NewTransport(of(cfg))
}

// openCache returns the cache where anything may be cached, nil elsewhere.
func (r *rooms) openCache(cfg *config.Config) (*cache.Cache, error) {
	if !cfg.CacheChat && !cfg.CacheEmbedding && len(cfg.CacheRoutes) == 0 {
		return nil, nil
	}
	if r.cache == nil {
		c, err := openCache(cfg, r.log)
		if err != nil {
			return nil, err
		}
		r.cache, r.closers = c, append(r.closers, c)
	}
	return r.cache, nil
}

// openLedger opens the books if they are kept, and what is told of them.
func (r *rooms) openLedger(cfg *config.Config, before *inForce, o *forward.Options) (err error) {
	if !cfg.Ledger || r.db == nil {
		return nil
	}
	if r.books == nil {
		b, err := openLedger(cfg, r.db, r.log)
		if err != nil {
			return fmt.Errorf("opening the ledger: %w", err)
		}
		r.books, r.closers = b, append(r.closers, b)
	}
	o.Ledger, o.Location = r.books.Ledger, cfg.Location
	if before != nil && reflect.DeepEqual(cfg.Prices, before.cfg.Prices) {
		o.Prices = before.Prices // to unpack the table is nine tenths of what a reload costs
	} else if o.Prices, err = price.NewTable(priceOverrides(cfg)); err != nil {
		return fmt.Errorf("PRICES: %w", err)
	}
	o.Admin, err = r.admin(cfg, o.Ring, r.books.Ledger)
	return err
}

// admin answers what keys and usage there are, to the administrator and to the holders of keys.
func (r *rooms) admin(cfg *config.Config, ring *keys.Ring, ledger *ledger.Ledger) (http.Handler, error) {
	return admin.New(admin.Options{Keys: r.keys, Declared: declaredKeys(cfg), Ledger: ledger, AdminKey: cfg.AdminKey, Location: cfg.Location, Log: r.log,
		Address: func(q *http.Request) netip.Addr { return clientip.Of(q, cfg.TrustedProxy) },
		Caller: func(q *http.Request) (*keys.Key, error) {
			presented, _, err := keys.Presented(q.Header, q.URL.RawQuery)
			if err != nil {
				return nil, err
			}
			return ring.Lookup(presented)
		}})
}

// openAffinity is needed where a route has several API keys or base URLs. Where nothing can be written it lasts as long as the
// process, with a warning: settings of old that never had a place for state start all the same.
func (r *rooms) openAffinity(table *upstream.Table) (_ *upstream.Affinity, err error) {
	if !slices.ContainsFunc(table.Routes(), func(u *upstream.Route) bool { return u.Places() > 1 && !u.Open }) {
		return nil, nil
	}
	if r.affinity != nil {
		return r.affinity, nil
	}
	db := r.db
	if db == nil {
		db, err := database.OpenMemory()
		if err != nil {
			return nil, err
		}
		r.log.Warn("which API key made which file, batch or response will be forgotten at the next restart")
		r.closers = append(r.closers, db)
	}
	r.affinity, err = upstream.NewAffinity(db, nil)
	return r.affinity, err
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
func (r *rooms) ring(cfg *config.Config, before *inForce) (*keys.Ring, error) {
	if before != nil {
		return before.Ring.With(declaredKeys(cfg))
	}
	db, err := database.Open(cfg.DataDir)
	if err != nil {
		if database.Exists(cfg.DataDir) {
			return nil, err
		}
		r.log.Warn("nothing can be kept, so there are no keys by forward keys; set DATA_DIR to a place that can be written", "error", err)
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
	watcher, err := store.Watch(ring, r.log)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, watcher)
	return ring, nil
}

// redactor keeps out of what is written what is not to be there. Its pseudonyms go with the secret of the keys; where there is no
// place for one, they are others after each start.
func redactor(cfg *config.Config) (*chatlog.Redactor, error) {
	secret := cfg.KeySecret
	if secret.IsZero() {
		secret, _ = keys.LoadSecret(cfg.DataDir) // who needs it there was told when the keys were opened
	}
	if secret.IsZero() {
		secret = keys.NewSecret(rand.Text())
	}
	patterns := make([]chatlog.Pattern, len(cfg.LogRedact))
	for i, p := range cfg.LogRedact {
		patterns[i] = chatlog.Pattern{Name: p.Name, RE2: p.RE2}
	}
	return chatlog.NewRedactor(patterns, []byte("names in logs "+secret.Reveal()))
}

// openChatLog sets the chat log where there is one, and returns what puts LOG_CHAT in force beside PRINT_CHAT.
func (r *rooms) openChatLog(cfg *config.Config, o *forward.Options) (apply func(), err error) {
	if !cfg.LogChat && !cfg.PrintChat {
		return func() {}, nil // exchanges under way write their second lines all the same
	}
	if r.chatLog == nil {
		options := chatlog.Options{Dir: cfg.LogDir, NoFiles: !cfg.LogChat, Redactor: o.Redactor,
			MaxSize: cfg.LogMaxSize, MaxTotal: cfg.LogMaxTotal, Retention: cfg.LogRetention, Location: cfg.Location, Log: r.log}
		if cfg.PrintChat {
			options.Print = os.Stdout
		}
		if r.chatLog, err = chatlog.Open(options); err != nil {
			return nil, fmt.Errorf("opening the chat log in %s: %w", filepath.Clean(cfg.LogDir), err)
		}
		r.closers = append(r.closers, r.chatLog)
	}
	o.ChatLog = r.chatLog
	if err := r.chatLog.TryFiles(cfg.LogChat); err != nil {
		return nil, fmt.Errorf("opening the chat log in %s: %w", filepath.Clean(cfg.LogDir), err)
	}
	return func() { r.chatLog.KeepFiles(cfg.LogChat) }, nil
}

func (r *rooms) setLevel(cfg *config.Config) {
	if r.level != nil {
		r.level.Set(logLevel(cfg))
	}
}

// orForever is what a setting of 0 means for a time: no bound. The rooms take 0 for their own default.
func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return d
}
