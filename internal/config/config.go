// Package config turns flags, the environment, .env and forward.yaml into one typed Config.
//
// Every setting is one row of the table in settings.go: its names over all generations, its default as text, and the parser
// that writes it into Config. Where a value comes from (layers) is decided before and apart from what it means (rows), so
// `forward check` can say for each setting which value holds and which file and line said so.
//
// Three promises shape the rest. Files written for openai-forward and LLProxy start the gateway unchanged, so all sources
// become the same small tree (node) and one grammar reads a comma list, JSON in an environment variable, and YAML alike.
// All mistakes are reported in one pass, each with the line to write instead, so nothing here returns at the first error.
// And no secret is ever printed: values of secret settings are hidden before they reach an error, warning or Setting.
//
// The package knows no option type of the rooms below it; cmd translates a Config into theirs. Nothing is written into the
// process environment, so two Configs can be loaded side by side.
package config

import (
	"net/netip"
	"net/url"
	"time"

	"forward/internal/keys"
)

// Source says which layer a value comes from.
type Source string

// The layers, lowest first.
const (
	Default     Source = "default"
	File        Source = "forward.yaml"
	DotEnv      Source = ".env"
	Environment Source = "environment"
	Flag        Source = "flag"
)

// Flags are the command line's settings; they win over every other source. A nil pointer is a flag that was not given.
type Flags struct {
	Host *string
	Port *int
	// EnvFile is the .env to read; "" means ".env". A missing file is an error only when EnvFileSet.
	EnvFile    string
	EnvFileSet bool
	// ConfigFile is the YAML (or LLProxy JSON) file to read; "" means forward.yaml, else openai-forward-config.yaml.
	// A missing file is an error only when ConfigFileSet.
	ConfigFile    string
	ConfigFileSet bool
	// ManagedKeys reports whether DATA_DIR holds forward keys that were made by command; nil: it holds none.
	ManagedKeys func(dataDir string) bool
	// Running is the Config of the process that reads its settings anew; nil at the start. Settings that only a restart can change
	// keep what they have in it.
	Running *Config
	// Workers is accepted from openai-forward command lines and ignored with a note.
	Workers *int
}

// Config is every setting after parsing and validation. It is read-only after Load; a nil or empty field means "none".
type Config struct {
	Host            string // listen address without port
	Port            int    // 0 picks a free one
	TLSCert, TLSKey string // PEM files; both or neither

	Routes      []Route // in the order in which they were written, built-in ones last
	ModelRoutes []ModelRoute
	Fallbacks   []Fallback
	Models      []Model // rpm/tpm of forward.yaml's routes

	ForwardKeys  []ForwardKey
	KeySecret    keys.Secret      // of the HMACs of managed keys; zero: a file in DATA_DIR has it
	LevelModels  map[int][]string // level → model globs; level 0 is never in it and may use all
	ExtraAuth    bool             // EXTRA routes ask for a forward key too
	TrustUserIDs bool             // callers whose key has no policy of its own may name the user they ask for
	Passthrough  bool             // with forward keys configured, clients may also use provider keys of their own
	OpenAccess   bool             // serve without forward keys on a public address although API keys are configured
	AdminKey     keys.Secret
	IPWhitelist  []netip.Prefix
	IPBlacklist  []netip.Prefix
	TrustedProxy []netip.Prefix
	CORSOrigins  []string // "*" or exact origins

	ReqRates    []RateRule
	GlobalRate  string // "" or "inf" means no limit
	Strategy    string
	RateBackend string // "memory" or a redis URL (may hold a password: do not print)
	TokenRates  []RateRule

	Quotas           []Quota
	Estimation       Estimation
	DefaultMaxTokens int64         // reserved for the answer of a request that sets no limit
	QueueKeepalive   time.Duration // between SSE comments to a stream that waits in line; 0 sends none

	CacheChat      bool
	CacheEmbedding bool
	CacheRoutes    []string // further paths below a route prefix that may be cached
	CacheBackend   string   // BADGER, MEMORY or a redis URL (may hold a password: do not print)
	CacheDir       string
	CachingDefault bool          // what a request without a `caching` field means
	CacheTTL       time.Duration // 0 keeps entries until the size bound evicts them
	CacheMaxBytes  int64
	CacheMaxEntry  int64  // bytes; larger answers are not stored
	CacheScope     string // key or shared
	CacheMode      string // normal, refresh or offline
	CacheReplay    string // immediate or recorded

	LogChat      bool
	PrintChat    bool
	LogDir       string
	LogContent   string        // full, meta or redacted
	LogRedact    []Redaction   // what is redacted beside what always is
	LogMaxSize   int64         // bytes per file before rotation
	LogMaxTotal  int64         // bytes of all chat logs together; 0 means no bound
	LogRetention time.Duration // 0 keeps all
	LogLevel     string        // debug, info, warn or error
	LogFormat    string        // text or json

	Prices          []Price
	Ledger          bool          // write every request down
	LedgerRetention time.Duration // of single requests; 0 keeps all
	LedgerStrict    bool          // refuse calls while the ledger cannot be written
	UsageFile       string        // JSON lines of every request; "" for none
	UsageStatsD     *url.URL      // datadog or statsd, with host and port
	UsageWebhook    keys.Secret   // an address that every request is posted to
	BudgetWebhook   keys.Secret   // one that warnings about budgets are posted to
	WebhookSecret   keys.Secret   // signs what is posted

	Proxy             *url.URL      // http, https or socks5; nil connects directly
	ConnectTimeout    time.Duration // TIMEOUT
	HeaderTimeout     time.Duration // from the request sent to the answer's headers; 0 waits for ever
	StreamIdleTimeout time.Duration // between two reads of a streamed answer; 0 waits for ever
	ShutdownDelay     time.Duration // how long a stop serves new requests while it says that it is not ready
	ShutdownTimeout   time.Duration // how long it then waits for running requests
	Retries           int           // further attempts after a failure in which nothing was sent
	RetryStatus       []int         // 5xx answers to retry before the first byte
	MaxParallel       int           // requests of one caller at the same time; 0: no bound
	MaxBody           int64         // bytes of a request body that is parsed

	DataDir   string
	Benchmark bool
	Location  *time.Location // TZ; time.Local when not set

	settings []Setting
	reading
}

// Route is one mount: requests below Prefix go to BaseURL.
type Route struct {
	Name    string     // unique; the prefix with "/" as "_", the root is "openai"
	Prefix  string     // "/" or "/name", no trailing slash
	Aliases []string   // further prefixes, "/openai" beside "/"
	BaseURL *url.URL   // scheme, host and path without trailing slash
	Also    []*url.URL // further base URLs of the same API, tried in this order when those before cannot be used
	Type    string     // openai, anthropic, gemini or general
	Dialect string     // openai, anthropic or gemini; differs from Type for general only
	Open    bool       // EXTRA: no key is asked and none swapped
	APIKeys []APIKey
	BuiltIn bool // mounted by default, not because somebody wrote it

	setting string // where its base URL was written
}

// APIKey is a provider key and the levels of forward keys it serves; no levels means all.
type APIKey struct {
	Secret keys.Secret
	Levels []int
}

// ForwardKey is a key of ours. Name is "" unless one was configured.
type ForwardKey struct {
	Secret  keys.Secret
	Name    string
	Level   int
	Expires time.Time // zero: never
	Policy  keys.Policy
}

// AnyLevel is the RateRule.Level of a rule for every caller.
const AnyLevel = -1

// RateRule limits one path. Limit is in the grammar of limits.ParseRates and has been checked.
type RateRule struct {
	Path  string
	Level int
	Limit string
}

// ModelRoute sends requests on "/" whose model matches the glob to the route mounted at Prefix.
type ModelRoute struct{ Model, Prefix string }

// Fallback names the models that are asked instead, in turn, when a model that matches the glob cannot be.
type Fallback struct {
	Model   string
	Instead []string
}

// Model bounds one model of one route (`routes.NAME.models` of forward.yaml). Zero bounds are not limits.
type Model struct {
	Route        string // Route.Name
	Model        string
	RPM, TPM     int64 // requests and tokens per minute
	MaxParallel  int
	MaxQueueSize int
	MaxQueueWait time.Duration
}

// Setting is one line of `forward check`.
type Setting struct {
	Name   string
	Value  string // as in force; secrets masked
	Source Source
	Where  string // file:line, or ""
}

// Effective returns every setting in the order of .env.example: its value in force, secrets masked, and where it came from.
func (c *Config) Effective() []Setting { return append([]Setting(nil), c.settings...) }
