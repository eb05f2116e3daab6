// Package config turns flags, the environment, .env and forward.yaml into one
// typed Config.
//
// Every setting is one row of the table in settings.go: its names over all
// generations, its default as text, and the parser that writes it into Config,
// as far as possible in the option types of the packages that it is for. Where
// a value comes from (layers) is decided before and apart from what it means
// (rows), so `forward check` can show for each setting which value is current
// and which file and line has it.
//
// Three promises shape the rest. Files written for openai-forward and LLProxy
// start the gateway unchanged, so all sources become the same small tree (node)
// and one grammar reads a comma list, JSON in an environment variable, and YAML
// alike. All mistakes are reported in one pass, each with the line to write
// instead, so nothing here returns at the first error. And no secret is ever
// printed: values of secret settings are hidden before they reach an error,
// warning or Setting.
//
// Nothing is written into the process environment, so two Configs can be loaded
// side by side.
package config

import (
	"net/netip"
	"net/url"
	"time"

	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// Source is the layer that a value comes from.
type Source string

// The layers, lowest first.
const (
	Default     Source = "default"
	File        Source = "forward.yaml"
	DotEnv      Source = ".env"
	Environment Source = "environment"
	Flag        Source = "flag"
)

// Flags are the command line's settings; they win over every other source. A
// nil pointer is a flag that was not given.
type Flags struct {
	Host *string
	Port *int
	// EnvFile is the .env to read; "" means ".env". A missing file is an error
	// only when EnvFileSet.
	EnvFile    string
	EnvFileSet bool
	// ConfigFile is the YAML (or LLProxy JSON) file to read; "" means
	// forward.yaml, else openai-forward-config.yaml. A missing file is an error
	// only when ConfigFileSet.
	ConfigFile    string
	ConfigFileSet bool
	// ManagedKeys reports whether DATA_DIR holds forward keys that were made by
	// command; nil: it holds none.
	ManagedKeys func(dataDir string) bool
	// Running is the Config of the process that reads its settings again; nil
	// at the start. Settings that only a restart can change keep what they have
	// in it.
	Running *Config
	// Workers is accepted from openai-forward command lines and ignored with a
	// note.
	Workers *int
}

// Config is every setting after parsing and validation. It is read-only after
// Load; a nil or empty field means "none". A time of 0 is written for "no
// bound", which cmd maps to what each package takes for it.
type Config struct {
	Listen Listen

	Routes      []Route // in the order in which they were written, built-in ones last
	ModelRoutes []ModelRoute
	Fallbacks   []forward.Fallback
	Aliases     map[string]string // other names of models
	Models      []queue.Rule      // rpm and tpm of forward.yaml's routes

	Access   Access
	Limits   Limits
	Cache    Cache
	Log      Log
	Ledger   Ledger
	Upstream Upstream

	Dashboard Dashboard

	DataDir   string
	Benchmark bool
	Location  *time.Location // TZ; time.Local when not set

	settings []Setting
	reading
}

// Listen is where the gateway serves, and how it stops.
type Listen struct {
	Host            string        // address without port
	Port            int           // 0 picks a free one
	TLSCert, TLSKey string        // PEM files; both or neither
	ShutdownDelay   time.Duration // how long a stop serves new requests while the gateway reports that it is not ready
	ShutdownTimeout time.Duration // how long it then waits for running requests
}

// Route is one mount: requests below Prefix go to BaseURL. An upstream.Route is
// made of it and also has the state of keys and base URLs.
type Route struct {
	Name    string     // unique; the prefix with "/" as "_", the root is "openai"
	Prefix  string     // "/" or "/name", no trailing slash
	Aliases []string   // further prefixes, "/openai" beside "/"
	BaseURL *url.URL   // scheme, host and path without trailing slash
	Also    []*url.URL // further base URLs of the same API, tried in this order when those before cannot be used
	Type    string     // the name of a dialect, or general
	Dialect *dialect.Dialect
	Open    bool // EXTRA: no key is required and none swapped
	Client  bool // the clients' own credentials go there, and X-Forward-Key identifies their callers
	APIKeys []upstream.APIKey
	BuiltIn bool // mounted by default, not because it was configured

	setting string // where its base URL was written
}

// ModelRoute sends requests on "/" whose model matches the glob to the route
// mounted at Prefix: those in one dialect, or all that the route serves.
type ModelRoute struct {
	Dialect       *dialect.Dialect // nil: all
	Model, Prefix string
}

// Access is who may use the gateway.
type Access struct {
	Keys              keys.Declared
	KeySecret         keys.Secret // of the HMACs of managed keys; zero: a file in DATA_DIR has it
	Levels            keys.Levels // level 0 is never in it and may use all models
	ExtraAuth         bool        // EXTRA routes require a forward key too
	TrustUserIDs      bool        // callers whose key has no policy of its own may name their user
	Passthrough       bool        // with forward keys configured, clients may also use provider keys of their own
	Open              bool        // serve without forward keys on a public address although API keys are configured
	Objects           string      // all or own: which stored objects callers may use whose key has no setting of its own
	AdminKey          keys.Secret
	MetricsKey        keys.Secret // of /metrics and the details of /health; zero: they are open
	UnknownOperations string      // deny or allow; "": the keys' other settings decide

	Allow, Deny    []netip.Prefix
	TrustedProxies []netip.Prefix
	CORSOrigins    []string // "*" or exact origins
}

// Dashboard is what browsers may see below /_/, and where.
type Dashboard struct {
	On        bool
	Addr      string   // host and port of a listener of its own; "": that of the gateway
	Hosts     []string // names by which browsers may reach it, "*" for all; none: any over TLS
	Content   bool     // of requests, as far as the chat log keeps it
	RotateOwn bool     // holders may rotate their own keys
}

// Limits are the bounds on what callers use.
type Limits struct {
	limits.Options          // of requests: Rules, Global and Strategy
	Backend          string // "memory" or a redis URL (may hold a password: do not print)
	Paces            []limits.Rule
	Quotas           []limits.Quota
	Estimation       tokens.Estimation
	Budgets          []ledger.TagBudget
	DefaultMaxTokens int64         // reserved for the answer of a request that sets no limit
	ReserveMaxOutput int64         // the most that limits of tokens reserve for an answer, unless the model answered more lately
	BudgetStatus     string        // of the answer to a key whose budget is spent: 402 or 429
	QueueKeepalive   time.Duration // between SSE comments to a stream that waits in a queue; 0 sends none
	MaxParallel      int           // requests of one caller at the same time; 0: no bound
}

// Cache is what answers are remembered, and where: Backend (BADGER, MEMORY or a
// redis URL, which may hold a password: do not print), Dir, TTL and sizes.
type Cache struct {
	cache.Options
	Chat, Embedding bool
	Routes          []string // further paths below a route prefix that may be cached
	Default         bool     // what a request without a `caching` field means
	Scope           string   // key or shared
	Mode            string   // normal, refresh or offline
	Replay          string   // immediate or recorded
}

// Log is the chat log with its Dir, sizes and Retention, and the gateway's own.
type Log struct {
	chatlog.Options
	Chat    bool
	Console bool              // PRINT_CHAT
	Content string            // full, meta or redacted
	Redact  []chatlog.Pattern // redacted beside what always is
	Level   string            // debug, info, warn or error
	Format  string            // text or json
}

// Ledger is how usage is recorded, and where else it is sent.
type Ledger struct {
	ledger.Options // Strict and Retention
	On             bool
	Prices         []price.Override
	File           string      // JSON lines of every request; "" for none
	StatsD         *url.URL    // datadog or statsd, with host and port
	Webhook        keys.Secret // an address that every request is posted to
	BudgetWebhook  keys.Secret // one that warnings about budgets are posted to
	WebhookSecret  keys.Secret // signs the posts
}

// Upstream is how requests reach the providers.
type Upstream struct {
	upstream.Options                // Proxy, ConnectTimeout (TIMEOUT) and HeaderTimeout
	StreamIdleTimeout time.Duration // between two reads of a streamed answer
	SocketIdle        time.Duration // for which nothing may come over a WebSocket
	Retries           int           // further attempts after a failure in which nothing was sent
	RetryStatus       []int         // 5xx answers to retry before the first byte
	MaxBody           int64         // bytes of a request body that is read; 0: as many as the provider takes
}

// Setting is one line of `forward check`.
type Setting struct {
	Name   string
	Value  string // the current one; secrets masked
	Source Source
	Where  string // file:line, or ""
	Fixed  bool   // only a restart can change it
}

// Effective returns every setting in the order of .env.example: its current
// value, secrets masked, and its source.
func (c *Config) Effective() []Setting { return append([]Setting(nil), c.settings...) }
