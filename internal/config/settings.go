package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/limits"
)

// setting is one row of the table: its names, its default and how its text
// becomes part of the Config.
type setting struct {
	name  string
	def   string
	older []string // names of earlier generations and of the tools we replace; read when name has no value
	// secret settings are never shown as written, and may be file:PATH.
	secret bool
	// url settings may hold a password: they may be file:PATH, and are shown
	// without it.
	url bool
	// tree settings may be JSON, YAML lists and objects; all others are one
	// text.
	tree bool
	// fixed settings are those of what is opened at the start, so only a
	// restart can change them.
	fixed bool
	// set writes the value into l.cfg and returns what may be shown of it; ""
	// shows the text as written.
	set func(l *loader, v value) (shown string, err error)
}

// table returns every setting, in the order of .env.example and of `forward
// check`.
func table() []setting {
	return slices.Concat(listenSettings(), routeSettings(), accessSettings(), dashboardSettings(), limitSettings(), cacheSettings(),
		logSettings(), ledgerSettings(), upstreamSettings(), placeSettings())
}

func listenSettings() []setting {
	return []setting{
		{name: "HOST", fixed: true, def: "127.0.0.1", set: host},
		{name: "PORT", fixed: true, def: "8000", set: number(0, 65535, func(c *Config) *int { return &c.Listen.Port })},
		{name: "TLS_CERT", fixed: true, older: []string{"ssl_certfile"}, set: text(func(c *Config) *string { return &c.Listen.TLSCert })},
		{name: "TLS_KEY", fixed: true, older: []string{"ssl_keyfile"}, set: text(func(c *Config) *string { return &c.Listen.TLSKey })},
	}
}

func routeSettings() []setting {
	return append(providerSettings(), []setting{
		{name: "FORWARD_CONFIG", tree: true, set: forwardConfig},
		{name: "EXTRA_BASE_URL", older: []string{"GENERAL_BASE_URL"}, tree: true, set: texts(func(l *loader) *[]string { return &l.extra.bases })},
		{name: "EXTRA_ROUTE_PREFIX", older: []string{"GENERAL_ROUTE_PREFIX"}, tree: true, set: texts(func(l *loader) *[]string { return &l.extra.prefixes })},
		{name: "EXTRA_AUTH", def: "open", set: extraAuth},
		{name: "MODEL_ROUTES", tree: true, set: modelRoutes},
		{name: "MODEL_ALIASES", tree: true, set: aliases},
		{name: "MODEL_FALLBACKS", tree: true, set: fallbacks},
	}...)
}

// providerSettings are the base URLs and API keys of the providers whose routes
// are built in. Several routes of the default dialect can be mounted.
func providerSettings() (rows []setting) {
	for _, d := range dialects.All {
		if d.Provider.BaseURL == "" {
			continue
		}
		name := strings.ToUpper(d.Name)
		key := setting{name: name + "_API_KEY", secret: true, tree: true, set: apiKeys(d)}
		rows = append(rows, setting{name: name + "_BASE_URL", def: d.Provider.BaseURL, tree: true, set: texts(func(l *loader) *[]string { return &l.of(d).bases })})
		if d == dialects.Default {
			rows = append(rows, setting{name: name + "_ROUTE_PREFIX", def: "/", tree: true, set: texts(func(l *loader) *[]string { return &l.of(d).prefixes })})
			key.older = []string{name + "_API_KEY_CONFIG"}
		}
		rows = append(rows, key)
	}
	return rows
}

func accessSettings() []setting {
	return []setting{
		{name: "FORWARD_KEY", older: []string{"FORWARD_KEY_CONFIG"}, secret: true, tree: true, set: forwardKeys},
		{name: "KEY_SECRET", fixed: true, secret: true, set: keySecret},
		{name: "LEVEL_MODELS", tree: true, set: levelModels},
		{name: "TRUST_USER_IDS", def: "false", set: boolean(func(c *Config) *bool { return &c.Access.TrustUserIDs })},
		{name: "UNKNOWN_OPERATIONS", set: oneOf(func(c *Config) *string { return &c.Access.UnknownOperations }, "deny", "allow")},
		{name: "PASSTHROUGH_KEYS", def: "false", set: boolean(func(c *Config) *bool { return &c.Access.Passthrough })},
		{name: "CLIENT_CREDENTIALS", tree: true, set: texts(func(l *loader) *[]string { return &l.client })},
		{name: "OPEN_ACCESS", def: "false", set: boolean(func(c *Config) *bool { return &c.Access.Open })},
		{name: "OBJECTS", def: "all", set: oneOf(func(c *Config) *string { return &c.Access.Objects }, "all", "own")},
		{name: "ADMIN_KEY", secret: true, set: secret(func(c *Config) *keys.Secret { return &c.Access.AdminKey })},
		{name: "METRICS_KEY", secret: true, set: secret(func(c *Config) *keys.Secret { return &c.Access.MetricsKey })},
		{name: "IP_WHITELIST", tree: true, set: prefixes(func(c *Config) *[]netip.Prefix { return &c.Access.Allow })},
		{name: "IP_BLACKLIST", tree: true, set: prefixes(func(c *Config) *[]netip.Prefix { return &c.Access.Deny })},
		{name: "TRUSTED_PROXIES", tree: true, set: prefixes(func(c *Config) *[]netip.Prefix { return &c.Access.TrustedProxies })},
		{name: "CORS_ORIGINS", def: "*", tree: true, set: origins},
	}
}

func dashboardSettings() []setting {
	return []setting{
		{name: "DASHBOARD", def: "true", set: boolean(func(c *Config) *bool { return &c.Dashboard.On })},
		{name: "DASHBOARD_ADDR", fixed: true, set: dashboardAddr},
		{name: "DASHBOARD_HOSTS", tree: true, set: dashboardHosts},
		{name: "DASHBOARD_CONTENT", def: "true", set: boolean(func(c *Config) *bool { return &c.Dashboard.Content })},
		{name: "KEY_ROTATE_OWN", def: "false", set: boolean(func(c *Config) *bool { return &c.Dashboard.RotateOwn })},
	}
}

func limitSettings() []setting {
	return []setting{
		{name: "REQ_RATE_LIMIT", tree: true, set: rates(func(c *Config) *[]limits.Rule { return &c.Limits.Rules })},
		{name: "GLOBAL_RATE_LIMIT", def: "inf", set: globalRate},
		{name: "RATE_LIMIT_STRATEGY", fixed: true, def: "fixed-window", set: strategy},
		{name: "REQ_RATE_LIMIT_BACKEND", fixed: true, def: "memory", url: true, set: rateBackend},
		{name: "TOKEN_RATE_LIMIT", tree: true, set: rates(func(c *Config) *[]limits.Rule { return &c.Limits.Paces })},
		{name: "QUOTAS", tree: true, set: quotas},
		{name: "TOKEN_ESTIMATION", tree: true, set: estimation},
		{name: "BUDGETS", tree: true, set: budgets},
		{name: "BUDGET_STATUS", def: "402", set: oneOf(func(c *Config) *string { return &c.Limits.BudgetStatus }, "402", "429")},
		{name: "DEFAULT_MAX_TOKENS", def: "1024", set: number(0, 1<<20, func(c *Config) *int64 { return &c.Limits.DefaultMaxTokens })},
		{name: "RESERVE_MAX_OUTPUT", def: "4096", set: number(1, 1<<40, func(c *Config) *int64 { return &c.Limits.ReserveMaxOutput })},
		{name: "QUEUE_KEEPALIVE", def: "0", set: period(0, func(c *Config) *time.Duration { return &c.Limits.QueueKeepalive })},
	}
}

func cacheSettings() []setting {
	return []setting{
		{name: "CACHE_CHAT_COMPLETION", def: "false", older: []string{"CACHE_OPENAI"}, set: boolean(func(c *Config) *bool { return &c.Cache.Chat })},
		{name: "CACHE_EMBEDDING", def: "false", older: []string{"CACHE_OPENAI"}, set: boolean(func(c *Config) *bool { return &c.Cache.Embedding })},
		{name: "CACHE_ROUTES", tree: true, set: cacheRoutes},
		{name: "CACHE_BACKEND", fixed: true, def: "BADGER", url: true, set: cacheBackend},
		{name: "CACHE_ROOT_PATH_OR_URL", fixed: true, set: cacheDir},
		{name: "DEFAULT_REQUEST_CACHING_VALUE", def: "false", set: boolean(func(c *Config) *bool { return &c.Cache.Default })},
		{name: "CACHE_TTL", fixed: true, def: "30d", set: period(0, func(c *Config) *time.Duration { return &c.Cache.TTL })},
		{name: "CACHE_MAX_BYTES", fixed: true, def: "1GiB", set: size(1<<20, func(c *Config) *int64 { return &c.Cache.MaxBytes })},
		{name: "CACHE_MAX_ENTRY_BYTES", fixed: true, def: "8MiB", set: size(1<<10, func(c *Config) *int64 { return &c.Cache.MaxEntryBytes })},
		{name: "CACHE_SCOPE", def: "key", set: oneOf(func(c *Config) *string { return &c.Cache.Scope }, "key", "shared")},
		{name: "CACHE_REPLAY", def: "immediate", set: oneOf(func(c *Config) *string { return &c.Cache.Replay }, "immediate", "recorded")},
		{name: "CACHE_MODE", def: "normal", set: oneOf(func(c *Config) *string { return &c.Cache.Mode }, "normal", "refresh", "offline")},
	}
}

func logSettings() []setting {
	return []setting{
		{name: "LOG_CHAT", def: "false", older: []string{"LOG_OPENAI"}, set: boolean(func(c *Config) *bool { return &c.Log.Chat })},
		{name: "PRINT_CHAT", fixed: true, def: "false", set: boolean(func(c *Config) *bool { return &c.Log.Console })},
		{name: "LOG_DIR", fixed: true, def: "Log", set: text(func(c *Config) *string { return &c.Log.Dir })},
		{name: "LOG_CONTENT", def: "full", set: oneOf(func(c *Config) *string { return &c.Log.Content }, "full", "meta", "redacted")},
		{name: "LOG_REDACT", fixed: true, tree: true, set: redactions},
		{name: "LOG_MAX_SIZE", fixed: true, def: "50MB", set: size(1<<10, func(c *Config) *int64 { return &c.Log.MaxSize })},
		{name: "LOG_MEDIA", fixed: true, def: "digest", set: logMedia},
		{name: "LOG_REPEATS", fixed: true, def: "refer", set: logRepeats},
		{name: "LOG_MAX_TOTAL", fixed: true, def: "10GB", set: size(0, func(c *Config) *int64 { return &c.Log.MaxTotal })},
		{name: "LOG_RETENTION", fixed: true, def: "0", set: period(0, func(c *Config) *time.Duration { return &c.Log.Retention })},
		{name: "LOG_LEVEL", def: "info", set: logLevel},
		{name: "LOG_FORMAT", fixed: true, def: "text", set: logFormat},
	}
}

func ledgerSettings() []setting {
	return []setting{
		{name: "PRICES", tree: true, set: prices},
		{name: "LEDGER", fixed: true, def: "true", set: boolean(func(c *Config) *bool { return &c.Ledger.On })},
		{name: "LEDGER_RETENTION", fixed: true, def: "90d", set: period(0, func(c *Config) *time.Duration { return &c.Ledger.Retention })},
		{name: "LEDGER_STRICT", fixed: true, def: "false", set: boolean(func(c *Config) *bool { return &c.Ledger.Strict })},
		{name: "USAGE_FILE", fixed: true, set: text(func(c *Config) *string { return &c.Ledger.File })},
		{name: "USAGE_STATSD", fixed: true, set: statsD},
		{name: "USAGE_WEBHOOK", fixed: true, secret: true, set: webhook(func(c *Config) *keys.Secret { return &c.Ledger.Webhook })},
		{name: "BUDGET_WEBHOOK", fixed: true, secret: true, set: webhook(func(c *Config) *keys.Secret { return &c.Ledger.BudgetWebhook })},
		{name: "WEBHOOK_SECRET", fixed: true, secret: true, set: secret(func(c *Config) *keys.Secret { return &c.Ledger.WebhookSecret })},
	}
}

func upstreamSettings() []setting {
	return []setting{
		{name: "PROXY", url: true, set: proxy},
		{name: "NO_PROXY", set: text(func(c *Config) *string { return &c.Upstream.NoProxy })},
		{name: "TIMEOUT", def: "10s", set: period(time.Millisecond, func(c *Config) *time.Duration { return &c.Upstream.ConnectTimeout })},
		{name: "HEADER_TIMEOUT", def: "3600s", set: period(0, func(c *Config) *time.Duration { return &c.Upstream.HeaderTimeout })},
		{name: "WEBSOCKET_IDLE_TIMEOUT", def: "3600s", set: period(0, func(c *Config) *time.Duration { return &c.Upstream.SocketIdle })},
		{name: "STREAM_IDLE_TIMEOUT", def: "900s", set: period(0, func(c *Config) *time.Duration { return &c.Upstream.StreamIdleTimeout })},
		{name: "SHUTDOWN_TIMEOUT", def: "30s", set: period(0, func(c *Config) *time.Duration { return &c.Listen.ShutdownTimeout })},
		{name: "SHUTDOWN_DELAY", def: "0", set: period(0, func(c *Config) *time.Duration { return &c.Listen.ShutdownDelay })},
		{name: "RETRIES", def: "2", set: number(0, 10, func(c *Config) *int { return &c.Upstream.Retries })},
		{name: "RETRY_STATUS", tree: true, set: retryStatus},
		{name: "MAX_PARALLEL_REQUESTS", def: "0", set: number(0, 1<<20, func(c *Config) *int { return &c.Limits.MaxParallel })},
		{name: "MAX_BODY_BYTES", set: size(1<<10, func(c *Config) *int64 { return &c.Upstream.MaxBody })},
	}
}

func placeSettings() []setting {
	return []setting{
		{name: "DATA_DIR", fixed: true, def: "./data", set: text(func(c *Config) *string { return &c.DataDir })},
		{name: "BENCHMARK_MODE", def: "false", set: boolean(func(c *Config) *bool { return &c.Benchmark })},
		{name: "TZ", fixed: true, set: location},
	}
}

// ignored lists the names of openai-forward and LLProxy that need no setting
// here, each with the reason.
func ignored() map[string]string {
	return map[string]string{
		"CHAT_COMPLETION_ROUTE":   "operations are known by their path on every route",
		"COMPLETION_ROUTE":        "operations are known by their path on every route",
		"EMBEDDING_ROUTE":         "operations are known by their path on every route",
		"CUSTOM_GENERAL_ROUTE":    "models are checked on every route",
		"CUSTOM_MODEL_CONFIG":     "model names are not rewritten; point a route at the server's OpenAI-compatible address",
		"DEFAULT_STREAM_RESPONSE": "answers are always relayed as they arrive",
		"ITER_CHUNK_TYPE":         "streams are relayed event by event",
		"LOG_CACHE_DB_INFO":       "the cache reports in the ordinary log",
		"LOG_GENERAL":             "LOG_CHAT covers every route",
		"CACHE_GENERAL":           "CACHE_ROUTES lists what else is cached",
		"WEBUI_RESTART_PORT":      "there is no separate web UI process",
		"WEBUI_LOG_PORT":          "there is no separate web UI process",
		"OPENAI_FORWARD_HOST":     "there is no separate web UI process",
		"OPENAI_FORWARD_WEBUI":    "there is no separate web UI process",
		"app.healthPort":          "/healthz answers on the main port",
	}
}

// allNames returns every name that is understood, older and ignored ones
// included.
func allNames() []string {
	var names []string
	for _, s := range table() {
		names = append(append(names, s.name), s.older...)
	}
	return append(names, keysOf(ignored())...)
}

// known reports whether name is understood.
func known(name string) bool {
	for _, n := range allNames() {
		if n == name {
			return true
		}
	}
	return false
}
