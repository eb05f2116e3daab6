// Package forward carries one request from the socket to its answer.
//
// The whole story is the function serve in pipeline.go; every other file holds
// the steps that it names. Steps take values and return values. What they
// return is collected in a record, which lives for one request and is touched
// by that request's goroutine only, so nothing of it locks. The packages below
// (upstream, keys, limits, queue, cache, chatlog, ledger, dialect) do the work
// and know nothing of each other.
//
// Two rules shape the code. Bytes pass through untouched: what the gateway
// reads it reads on the side (tap.go), and what it cuts out of a request it
// cuts by offset. And a broken answer never looks complete: a stream ends with
// an error event of its dialect, anything else with an aborted connection,
// which is why recovery is our own (routes.go).
//
// Requests share work in one place: callers with the same question read one
// upstream call (call.go).
package forward

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/limits"
	"forward/internal/live"
	"forward/internal/upstream"
)

// Gateway is the HTTP handler of forward under one set of settings, which never
// change: other settings make another Gateway, see With. Make the first with
// New; it is safe for concurrent use.
type Gateway struct {
	Options
	*running
	cacheRoutes map[string]bool
	tagBudgets  map[string][]ledger.Budget
	catalogue   catalogue
	noUsage     sync.Map // *upstream.Route → time.Time until which it is not asked for usage, which it refuses
}

// running is what outlives settings: the requests under way.
type running struct {
	buffers     copyBuffers
	draining    atomic.Bool
	parallel    limits.Parallel
	bodies      atomic.Int64 // bytes of request bodies that are held
	calls       calls
	requests    tally // requests that are not settled yet
	live        *live.Requests
	sockets     sockets
	current     atomic.Pointer[Gateway] // of the latest settings
	lengths     lengths                 // of the answers of each model
	deployments deployments             // and which model answers to which name
	life                                // ends when streams still open are to end because the gateway stops
}

// errShuttingDown is the cause with which streams that outlive the drain end.
var errShuttingDown = errors.New("the gateway is shutting down")

// New returns a Gateway that serves o.
func New(o Options) (*Gateway, error) {
	r := &running{live: o.Live}
	if r.live == nil {
		r.live = &live.Requests{}
	}
	r.Context, r.end = context.WithCancelCause(context.Background())
	return build(o, r)
}

// With returns a Gateway that serves o in the place of g. Requests that g has
// started finish under its own options; the messages of a WebSocket are
// requests of their own. Drain, Abort and Wait of either concern
// both, parallel requests of one caller are counted together, and callers of
// either share calls. Other state is in the stores of o, and it is for the
// caller to hand them on.
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

func build(o Options, r *running) (*Gateway, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{Options: o, running: r, cacheRoutes: make(map[string]bool, len(o.CacheRoutes)), tagBudgets: ledger.TagBudgets(o.TagBudgets, o.Location)}
	for _, path := range o.CacheRoutes {
		g.cacheRoutes[dialect.FoldPath(dialect.JudgedPath(path))] = true
	}
	r.current.Store(g)
	return g, nil
}

// isCacheRoute reports whether the path of a request is one of CacheRoutes.
func (g *Gateway) isCacheRoute(a *ask) bool {
	return len(g.cacheRoutes) > 0 && g.cacheRoutes[dialect.FoldPath(a.from.plain)]
}

// Drain makes the gateway not ready: /readyz answers 503 from now on, while
// requests are still served. Viewers of what is under way are ended at once:
// they would keep their connections for as long as they look.
func (g *Gateway) Drain() {
	g.draining.Store(true)
	g.live.EndViews()
}

// Abort ends what is still open: streams get an error event of their dialect,
// other answers an aborted connection.
func (g *Gateway) Abort() {
	g.Drain()
	g.end(errShuttingDown)
	g.live.End(errShuttingDown)
}

// Wait returns when every request is settled, or after d. Stores may be closed
// then.
func (g *Gateway) Wait(d time.Duration) { g.requests.wait(d) }

// copyBuffers are what answers are read into that are no streams. Without a
// pool each would cost a fresh 32 KiB.
type copyBuffers struct{ pool sync.Pool }

const copyBufferSize = 32 << 10

// Get returns a buffer.
func (b *copyBuffers) Get() []byte {
	if p, ok := b.pool.Get().(*[copyBufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, copyBufferSize)
}

// Put gives a buffer back.
func (b *copyBuffers) Put(p []byte) { b.pool.Put((*[copyBufferSize]byte)(p)) }
