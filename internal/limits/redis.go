package limits

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	redisPatience = 40 * time.Millisecond  // a request waits no longer for Redis
	dialPatience  = 250 * time.Millisecond // connections are made beside the requests and may take longer
	redisRetry    = time.Second            // how often is asked whether a Redis that is down is back
)

// probeScript does what the limits do, on a key of its own: a Redis that answers PING but cannot write, because it is a
// replica or full, is down for us.
var probeScript = redis.NewScript(`redis.call('TIME') redis.call('SET', KEYS[1], 1, 'PX', 1000) return {1}`)

// Redis is what the replicas of a gateway share: the connection by which requests, quotas and the buckets of the schedulers are
// counted, and what is known of its health. A Gate opens and closes it. While Redis does not answer, run says so and
// costs nothing, and everybody counts for himself. With go-redis's own defaults each request would block for 1.7 s (measured).
//
// One request that got no answer says little: the machine may have been busy. So it starts a probe, and only if that
// fails too is Redis down, which is said once and lasts until a probe succeeds. Nobody else asks until the probe has told: a
// request that needs Redis three times must not wait three times for one that hangs.
type Redis struct {
	client   *redis.Client
	log      *slog.Logger
	patience time.Duration
	retry    time.Duration
	doubted  atomic.Bool // a probe runs, or the last one failed
	down     atomic.Bool

	ctx     context.Context // of what runs beside the requests; ends with close
	stop    context.CancelFunc
	beside  sync.WaitGroup
	mu      sync.Mutex // guards probing and closed: nothing must start after close has begun to wait
	probing bool
	closed  bool
}

func openRedis(g Options) (*Redis, error) {
	o, err := redis.ParseURL(g.Redis)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL itself is left out: it may contain a password
		}
		return nil, err
	}
	o.MaxRetries, o.DialerRetries = -1, 1
	patience := cmp.Or(g.patience, redisPatience)
	o.DialTimeout = max(patience, dialPatience)
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = patience, patience, patience
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true // saves two commands for each connection
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // it would print each failed dial; we say it once
	r := &Redis{client: redis.NewClient(o), log: g.Log, patience: patience, retry: cmp.Or(g.retry, redisRetry)}
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.probe(o.DialTimeout); err != nil { // also makes a connection before the first request needs it
		r.fail(err)
	}
	return r, nil
}

func (r *Redis) close() error {
	r.stop()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.beside.Wait()
	return r.client.Close()
}

// run runs a script that answers with n numbers, or n = 0 for any. It reports false when Redis did not answer in time, or not as it should.
func (r *Redis) run(ctx context.Context, script *redis.Script, keys []string, n int, args ...any) ([]int64, bool) {
	if r.doubted.Load() {
		return nil, false
	}
	reply, err := r.ask(ctx, script, keys, n, r.patience, args...)
	if err != nil {
		if ctx.Err() == nil { // otherwise the client left, which says nothing of Redis
			r.fail(err)
		}
		return nil, false
	}
	return reply, true
}

func (r *Redis) ask(ctx context.Context, script *redis.Script, keys []string, n int, patience time.Duration, args ...any) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := script.Run(ctx, r.client, keys, args...).Int64Slice()
	if err == nil && len(reply) != n && n > 0 {
		err = errors.New("the script answered something else than it should")
	}
	return reply, err
}

func (r *Redis) probe(patience time.Duration) error {
	_, err := r.ask(r.ctx, probeScript, []string{"forward:limits:{probe}"}, 1, patience)
	return err
}

// start runs what must not hold a request up, unless the connection is closed. close waits for it.
func (r *Redis) start(work func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.beside.Go(work)
	return true
}

// fail starts the probe that decides whether Redis is down, and that finds out when it is back. One runs at a time.
func (r *Redis) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probing || r.closed {
		return
	}
	r.probing = true
	r.doubted.Store(true)
	r.beside.Go(func() { r.watch(err) })
}

// watch probes until Redis answers or the store is closed.
func (r *Redis) watch(cause error) {
	for r.ctx.Err() == nil {
		err := r.probe(r.patience)
		if err == nil {
			break
		}
		if r.ctx.Err() == nil && !r.down.Swap(true) {
			r.log.Warn("Redis does not answer: limits are counted by each replica for itself until it does", "error", cause)
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(r.retry):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	r.probing = false
	r.doubted.Store(false)
	if r.down.Swap(false) {
		r.log.Info("Redis answers again: limits are shared")
	}
}
