// Package forward carries one request from the socket to its answer.
//
// The whole story is the function serve in pipeline.go; every other file holds the steps it names. One exchange value
// lives for one request and is touched by that request's goroutine only, so nothing here locks. The rooms below
// (upstream, keys, limits, cache, chatlog, dialect) do the work and know nothing of each other; only serve decides order.
//
// Two rules shape the code. Bytes pass through untouched: what the gateway reads it reads on the side (tap.go), and
// what it cuts out of a request it cuts by offset. And a broken answer never looks complete: a stream ends with an
// error event of its dialect, anything else with an aborted connection, which is why recovery is our own (routes.go).
package forward

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/cache"
	"forward/internal/chatlog"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/metrics"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/tokens"
	"forward/internal/upstream"
)

// Cache modes, see Options.CacheMode.
const (
	CacheNormal  = "normal"
	CacheRefresh = "refresh"
	CacheOffline = "offline"
)

// Options says how a Gateway behaves. Routes, Ring, Gate and Transport are required; every other zero field means its
// default or that the feature is off. The stores stay the caller's: the Gateway never closes them.
type Options struct {
	Routes     *upstream.Table
	Ring       *keys.Ring        // forward keys; an empty ring asks nobody for one
	Models     []ModelRoute      // where requests on / go whose model matches; the first one wins
	Fallbacks  []Fallback        // which models are asked instead; the first one that matches wins
	Levels     keys.Levels       // which models each level may use
	Gate       *limits.Gate      // request limits
	Quotas     *limits.Quotas    // requests and tokens a minute and a day; nil: none
	Estimation tokens.Estimation // of prompts by their length, where it is on
	Scheduler  *queue.Scheduler  // the lines of models with rpm or tpm; nil: none has any
	Paces      *limits.Paces
	Transport  http.RoundTripper // to every route without a transport of its own

	Cache          *cache.Cache // nil: no cache
	CacheChat      bool         // chat and text completions may be cached
	CacheEmbedding bool
	CacheRoutes    []string      // further paths, after the route prefix, whose answers may be cached
	CachingDefault bool          // what a request without the caching flag means
	CacheShared    bool          // callers share answers; otherwise each has its own
	CacheMode      string        // CacheNormal (default), CacheRefresh or CacheOffline
	CacheTTL       time.Duration // no client can ask for longer; 0: no bound
	CacheRecorded  bool          // remembered streams are replayed as they came, and not at once
	CacheMaxEntry  int64         // bytes of one remembered answer; 8 MiB by default

	ChatLog    *chatlog.Log // nil: no chat log
	LogContent string       // what it keeps of exchanges whose key says nothing of it; empty: what it was opened with

	Redactor *chatlog.Redactor // of the ledger's rows where the key or LogContent is not full; nil: they are written as they are

	Ledger   *ledger.Ledger // one row for each request; nil: none
	Prices   *price.Table   // needed with a Ledger
	Location *time.Location // whose calendar budgets go by that name none; UTC by default

	Affinity *upstream.Affinity // which API key made what; nil: not remembered

	TrustUserIDs bool // callers may name the user they ask for

	ExtraAuth   bool // open routes ask for a forward key too
	Passthrough bool // with forward keys configured, provider keys of the client's own are let through

	Allow, Deny    []netip.Prefix // callers' addresses; an empty Allow lets everybody in
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For counts
	CORSOrigins    []string       // "*" or exact origins; empty: no CORS headers

	QueueKeepalive    time.Duration // between comments to a stream that waits in line; 0: none
	DefaultMaxTokens  int64         // reserved for the completion of a request that names no bound; 1024 by default
	MaxParallel       int           // requests of one caller at the same time; 0: no bound
	MaxBody           int64         // bytes of a request body that is parsed; 32 MiB by default
	MaxBodies         int64         // bytes of all such bodies together; 0: no bound
	Retries           int           // further tries after a failure in which nothing was sent
	RetryStatus       []int         // 5xx answers to try again before the first byte
	StreamIdleTimeout time.Duration // silence of an upstream in the middle of an answer; 120 s by default
	WriteTimeout      time.Duration // one write to a client that does not read; 30 s by default

	Admin   http.Handler     // of /_/ and, for holders of forward keys, of OpenAI's old /dashboard/billing; nil: both are forwarded
	Metrics *metrics.Metrics // nil: nothing is counted, and there is no /metrics
	Log     *slog.Logger
	Version string
}

// Gateway is the HTTP handler of forward under one set of settings, which never change: other ones make another Gateway, see With.
// Make the first with New; it is safe for concurrent use.
type Gateway struct {
	Options
	*running
	cacheRoutes map[string]bool
	zones       sync.Map // name → *time.Location
	catalogue   catalogue
	noUsage     sync.Map // *upstream.Route → time.Time: it refuses to be asked for usage, and is not asked until then
}

// running is what outlives settings: who is under way, under whichever.
type running struct {
	buffers  copyBuffers
	quiet    atomic.Bool // not ready: draining
	parallel limits.Parallel
	bodies   atomic.Int64 // bytes of request bodies that are held
	calls    calls

	requests sync.WaitGroup // requests that are not settled yet
	underway underway
	life     context.Context // ends when streams still open are told that the gateway stops
	end      context.CancelCauseFunc
}

// errShuttingDown is the cause with which streams that outlive the drain end.
var errShuttingDown = errors.New("the gateway is shutting down")

// New returns a Gateway that serves o.
func New(o Options) (*Gateway, error) {
	life := &running{}
	life.life, life.end = context.WithCancelCause(context.Background())
	return build(o, life)
}

// With returns a Gateway that serves o in the place of g. Exchanges that g has begun finish under its own options. Drain, Abort and
// Wait of either concern both, requests of one caller at the same time are counted together, and whoever asks what a call of g is
// answering shares that call. What else keeps state is in the rooms of o, and it is for the caller to hand them on.
func (g *Gateway) With(o Options) (*Gateway, error) {
	next, err := build(o, g.running)
	if err != nil {
		return nil, err
	}
	g.noUsage.Range(func(key, until any) bool {
		before := key.(*upstream.Route)
		for _, r := range o.Routes.Routes() {
			if r.Name == before.Name && r.Base.String() == before.Base.String() {
				next.noUsage.Store(r, until)
			}
		}
		return true
	})
	return next, nil
}

func build(o Options, life *running) (*Gateway, error) {
	if o.Routes == nil || o.Ring == nil || o.Gate == nil || o.Transport == nil {
		return nil, errors.New("forward: Options needs Routes, Ring, Gate and Transport")
	}
	o.CacheMode = cmp.Or(o.CacheMode, CacheNormal)
	o.CacheMaxEntry = cmp.Or(o.CacheMaxEntry, 8<<20)
	o.MaxBody = cmp.Or(o.MaxBody, 32<<20)
	o.Location = cmp.Or(o.Location, time.UTC)
	o.DefaultMaxTokens = cmp.Or(o.DefaultMaxTokens, 1024)
	o.StreamIdleTimeout = cmp.Or(o.StreamIdleTimeout, 120*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Paces == nil {
		o.Paces = limits.NewPaces(nil)
	}
	if o.Quotas == nil { // keys may have limits of their own
		var err error
		if o.Quotas, err = limits.NewQuotas(limits.QuotaOptions{}); err != nil {
			return nil, err
		}
	}
	g := &Gateway{Options: o, running: life, cacheRoutes: make(map[string]bool, len(o.CacheRoutes))}
	for _, path := range o.CacheRoutes {
		g.cacheRoutes[path] = true
	}
	return g, nil
}

// Drain makes the gateway not ready: /readyz answers 503 from now on, while requests are still served.
func (g *Gateway) Drain() { g.quiet.Store(true) }

// Abort ends what is still open: streams get an error event of their dialect, other answers an aborted connection.
func (g *Gateway) Abort() {
	g.Drain()
	g.end(errShuttingDown)
	g.underway.end()
}

// Wait returns when every exchange is settled, or after d. Stores may be closed then.
func (g *Gateway) Wait(d time.Duration) {
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		g.requests.Wait()
	}()
	select {
	case <-settled:
	case <-time.After(d):
	}
}

// copyBuffers are what answers are read into that are no streams. Without a pool each would cost a fresh 32 KiB.
type copyBuffers struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

func (b *copyBuffers) Get() []byte {
	if p, ok := b.pool.Get().(*[copyBufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, copyBufferSize)
}

func (b *copyBuffers) Put(p []byte) { b.pool.Put((*[copyBufferSize]byte)(p)) }
