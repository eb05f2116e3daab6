package forward

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/live"
	"forward/internal/metrics"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// Options configures a Gateway. Routes, Ring, Gate and Transport are required;
// every other zero field means its default, or that the feature is off. The
// stores stay the caller's: the Gateway never closes them.
type Options struct {
	Routing
	Access
	Limiting
	Caching
	Recording

	Live  *live.Requests // those under way, for viewers; nil: one of the gateway's own
	Admin http.Handler   // of /_/ and, for holders of forward keys, of OpenAI's old /dashboard/billing; nil: both are forwarded
	// Dashboard reports whether browsers use pages of Admin at this origin, so
	// that pages of upstreams must not be of it.
	Dashboard bool
	Log       *slog.Logger
	Version   string
}

// Routing configures where requests go, and how an upstream is asked.
type Routing struct {
	Routes            *upstream.Table
	Models            []ModelRoute       // where requests on / go whose model matches; the first one wins
	Fallbacks         []Fallback         // which models are asked instead; the first one that matches wins
	Aliases           map[string]string  // other names of models, by which clients may ask for them
	Affinity          *upstream.Affinity // which API key made what; nil: not remembered
	Transport         http.RoundTripper  // to every route without a transport of its own
	Retries           int                // further tries after a failure in which nothing was sent
	RetryStatus       []int              // 5xx answers to try again before the first byte
	SocketIdle        time.Duration      // for which nothing may come over a WebSocket; an hour by default
	StreamIdleTimeout time.Duration      // silence of an upstream in the middle of an answer; 15 minutes by default
}

// Access configures which callers may ask, and what.
type Access struct {
	Ring              *keys.Ring   // forward keys; an empty ring asks no caller for one
	Owners            *keys.Owners // which forward key made what the providers keep; nil: nothing is known
	Objects           string       // own: callers whose key has no setting of its own may use only what they made
	Guard             *keys.Guard  // of wrong credentials; by default one of the gateway's own
	MetricsKey        keys.Secret  // of /metrics and the details of /health, which AdminKey opens too; zero: they are open
	AdminKey          keys.Secret
	Levels            keys.Levels    // which models each level may use
	ExtraAuth         bool           // open routes ask for a forward key too
	Passthrough       bool           // with forward keys configured, provider keys of the client's own are let through
	TrustUserIDs      bool           // callers may name the user on whose behalf they ask
	Allow, Deny       []netip.Prefix // callers' addresses; an empty Allow lets all in
	TrustedProxies    []netip.Prefix // peers whose X-Forwarded-For counts
	CORSOrigins       []string       // "*" or exact origins; empty: no CORS headers
	UnknownOperations string         // what keys without a setting of their own may do with operations that no dialect knows: deny or allow; "": deny to those with budgets or models
}

// Limiting bounds what requests take.
type Limiting struct {
	Gate             *limits.Gate       // request limits
	Quotas           *limits.Quotas     // requests and tokens a minute and a day; nil: none
	Scheduler        *queue.Scheduler   // the queues of models with rpm or tpm; nil: none has any
	QueueKeepalive   time.Duration      // between comments to a stream that waits in a queue; 0: none
	Paces            *limits.Paces      // of streamed answers
	Estimation       tokens.Estimation  // of prompts by their length, where it is on
	DefaultMaxTokens int64              // reserved for the completion of a request that names no bound; 1024 by default
	ReserveMaxOutput int64              // the most that limits of tokens reserve for a completion, unless the model answered more lately; 4096 by default
	BudgetStatus     int                // of the answer to a key whose budget is spent; 402 by default
	TagBudgets       []ledger.TagBudget // what all requests with a tag may use together
	MaxParallel      int                // requests of one caller at the same time; 0: no bound
	MaxBody          int64              // bytes of a request body that is read; by default as many as the provider takes
	MaxBodies        int64              // bytes of all such bodies together; 0: no bound
	WriteTimeout     time.Duration      // one write to a client that does not read; 30 s by default
}

// Caching configures which answers are cached, and for which callers.
type Caching struct {
	Cache          *cache.Cache // nil: no cache
	CacheChat      bool         // chat and text completions may be cached
	CacheEmbedding bool
	CacheRoutes    []string      // further paths, after the route prefix, whose answers may be cached
	CachingDefault bool          // what a request without the caching flag means
	CacheShared    bool          // callers share answers; otherwise each has its own
	CacheMode      string        // CacheNormal (default), CacheRefresh or CacheOffline
	CacheTTL       time.Duration // no client can ask for longer; 0: no bound
	CacheRecorded  bool          // stored streams are replayed at the pace at which they came, and not at once
	CacheMaxEntry  int64         // bytes of one stored answer; 8 MiB by default
}

// Cache modes, see Caching.CacheMode.
const (
	CacheNormal  = "normal"
	CacheRefresh = "refresh"
	CacheOffline = "offline"
)

// Recording configures what is written about requests.
type Recording struct {
	ChatLog    *chatlog.Log      // nil: no chat log
	LogContent string            // what it keeps of requests whose key has no setting of its own; empty: what it was opened with
	Redactor   *chatlog.Redactor // of the ledger's rows where the key or LogContent is not full; nil: they are written as they are
	Ledger     *ledger.Ledger    // one row for each request; nil: none
	Prices     *price.Table      // needed with a Ledger
	Location   *time.Location    // whose calendar budgets use that name none; UTC by default
	Metrics    *metrics.Metrics  // nil: nothing is counted, and there is no /metrics
}

// withDefaults fills in the defaults.
func (o Options) withDefaults() (Options, error) {
	if o.Routes == nil || o.Ring == nil || o.Gate == nil || o.Transport == nil {
		return o, errors.New("forward: Options needs Routes, Ring, Gate and Transport")
	}
	o.CacheMode = cmp.Or(o.CacheMode, CacheNormal)
	o.CacheMaxEntry = cmp.Or(o.CacheMaxEntry, 8<<20)
	o.Location = cmp.Or(o.Location, time.UTC)
	o.DefaultMaxTokens = cmp.Or(o.DefaultMaxTokens, 1024)
	o.ReserveMaxOutput = cmp.Or(o.ReserveMaxOutput, 4096)
	o.StreamIdleTimeout = cmp.Or(o.StreamIdleTimeout, 15*time.Minute)
	o.SocketIdle = cmp.Or(o.SocketIdle, time.Hour)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard = &keys.Guard{}
	}
	if o.Paces == nil {
		o.Paces = limits.NewPaces(nil)
	}
	var err error
	if o.Quotas == nil { // keys may have limits of their own
		o.Quotas, err = limits.NewQuotas(limits.QuotaOptions{})
	}
	return o, err
}
