// Package redis is the connection to the Redis that the replicas of a gateway
// share: request limits, quotas and the token buckets of the schedulers are
// counted there, by Lua scripts that run by the clock of Redis.
//
// No request waits for a Redis that does not answer. Run gives up after
// Options.Patience and reports it, and the caller then counts in its own
// memory. With go-redis's defaults each request would block for 1.7 s
// (measured).
//
// One request without an answer proves little, for the machine may have been
// busy. So it starts a probe, and only when the probe fails too is Redis down,
// which is logged once and lasts until a probe succeeds. Until the probe has
// ended, Run returns at once: a request that needs Redis three times must not
// wait three times for one that hangs.
package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options configure a Conn. Only URL is required.
type Options struct {
	URL      string        // of Redis 5 or later
	Log      *slog.Logger  // discarded by default
	Patience time.Duration // the longest that a request waits for an answer; 40 ms by default
	Retry    time.Duration // between two probes of a Redis that is down; 1 s by default
}

const (
	defaultPatience = 40 * time.Millisecond
	defaultRetry    = time.Second

	// dialPatience is longer than a request waits, because connections are made
	// beside the requests.
	dialPatience = 250 * time.Millisecond
)

// maxName is how many bytes of a name a key holds as they are.
const maxName = 128

// Conn is a connection, and what is known of the health of its Redis. Open
// makes one. It is safe for concurrent use, and the opener closes it.
type Conn struct {
	client   *goredis.Client
	log      *slog.Logger
	patience time.Duration
	retry    time.Duration
	doubted  atomic.Bool // a probe runs, or the last one failed
	down     atomic.Bool

	ctx        context.Context // of background work; ends with Close
	stop       context.CancelFunc
	background sync.WaitGroup
	mu         sync.Mutex // guards probing and closed: no work may start after Close waits for it
	probing    bool
	closed     bool
}

// Script is a Lua script that answers with numbers.
type Script struct{ script *goredis.Script }

// NewScript returns the script of a source.
func NewScript(source string) *Script { return &Script{goredis.NewScript(source)} }

// probeScript does what the limits do, on a key of its own: a Redis that
// answers PING but cannot write, because it is a replica or full, is of no use.
var probeScript = NewScript(`redis.call('TIME') redis.call('SET', KEYS[1], 1, 'PX', 1000) return {1}`)

// Open connects to a Redis. An unreadable URL is an error, which does not
// repeat the URL; a Redis that does not answer is logged, and is no error.
func Open(o Options) (*Conn, error) {
	settings, err := goredis.ParseURL(o.URL)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL itself is left out: it may contain a password
		}
		return nil, err
	}
	patience := cmp.Or(o.Patience, defaultPatience)
	settings.MaxRetries = -1
	settings.DialerRetries = 1
	settings.DialTimeout = max(patience, dialPatience)
	settings.ReadTimeout = patience
	settings.WriteTimeout = patience
	settings.PoolTimeout = patience
	settings.ContextTimeoutEnabled = true
	settings.DisableIdentity = true // saves two commands for each connection
	settings.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // it would print each failed dial; we log the first
	c := &Conn{
		client:   goredis.NewClient(settings),
		log:      cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		patience: patience,
		retry:    cmp.Or(o.Retry, defaultRetry),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	// This also makes a connection before the first request needs it.
	if err := c.probe(settings.DialTimeout); err != nil {
		c.fail(err)
	}
	return c, nil
}

// Close waits for background work and closes the connection.
func (c *Conn) Close() error {
	c.stop()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.background.Wait()
	return c.client.Close()
}

// Healthy reports whether Redis answers, as far as is known.
func (c *Conn) Healthy() bool { return !c.down.Load() }

// Context returns the context of background work, which ends with Close.
func (c *Conn) Context() context.Context { return c.ctx }

// Call is one run of a script.
type Call struct {
	Script  *Script
	Keys    []string
	Args    []any
	Answers int // how many numbers it answers; 0 is any
}

// Run runs a script and returns its answer. It reports false when Redis did not
// answer in time, or not as it should.
func (c *Conn) Run(ctx context.Context, call Call) ([]int64, bool) {
	if c.doubted.Load() {
		return nil, false
	}
	reply, err := c.run(ctx, call, c.patience)
	if err != nil {
		if ctx.Err() == nil { // otherwise the client left, which proves nothing about Redis
			c.fail(err)
		}
		return nil, false
	}
	return reply, true
}

func (c *Conn) run(ctx context.Context, call Call, patience time.Duration) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := call.Script.script.Run(ctx, c.client, call.Keys, call.Args...).Int64Slice()
	if err == nil && call.Answers > 0 && len(reply) != call.Answers {
		err = errors.New("the script answered something else than it should")
	}
	return reply, err
}

// Start runs work in a goroutine that Close waits for. It reports false, and
// runs nothing, when the connection is closed.
func (c *Conn) Start(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.background.Go(work)
	return true
}

// fail starts the watch that finds out whether Redis is down, and when it is
// back. One runs at a time.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probing || c.closed {
		return
	}
	c.probing = true
	c.doubted.Store(true)
	c.background.Go(func() { c.watch(err) })
}

// watch probes until Redis answers or the connection is closed.
func (c *Conn) watch(cause error) {
	for c.ctx.Err() == nil {
		err := c.probe(c.patience)
		if err == nil {
			break
		}
		if c.ctx.Err() == nil && !c.down.Swap(true) {
			c.log.Warn("Redis does not answer: limits are counted by each replica for itself until it does", "error", cause)
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(c.retry):
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.probing = false
	c.doubted.Store(false)
	if c.down.Swap(false) {
		c.log.Info("Redis answers again: limits are shared")
	}
}

func (c *Conn) probe(patience time.Duration) error {
	_, err := c.run(c.ctx, Call{Script: probeScript, Keys: []string{"forward:limits:{probe}"}, Answers: 1}, patience)
	return err
}

// KeyName returns a name as it stands in a key. Clients choose names, so a long
// one is replaced by its digest.
func KeyName(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(sum[:])
}
