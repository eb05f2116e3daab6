package limits

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
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

// takeScript looks at all windows of a caller before it counts in any, by the clock of Redis.
//
//go:embed take.lua
var takeScript string

// redisStore counts in Redis, for several replicas. While Redis does not answer, take says so and costs nothing.
// With go-redis's own defaults each request would block for 1.7 s (measured).
//
// One request that got no answer says little: the machine may have been busy. So it starts a probe, and only if that
// fails too is Redis down, which is said once and lasts until a probe succeeds.
type redisStore struct {
	client   *redis.Client
	script   *redis.Script
	strategy Strategy
	log      *slog.Logger
	patience time.Duration
	retry    time.Duration
	down     atomic.Bool

	instance string // with moves, the unique name of each admitted request
	moves    atomic.Uint64

	ctx     context.Context // of the probe; ends with close
	stop    context.CancelFunc
	probes  sync.WaitGroup
	mu      sync.Mutex // guards probing: a probe must not start after close has begun to wait
	probing bool
}

func newRedisStore(g Options) (*redisStore, error) {
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
	r := &redisStore{
		client: redis.NewClient(o), script: redis.NewScript(takeScript), strategy: g.Strategy, log: g.Log,
		patience: patience, retry: cmp.Or(g.retry, redisRetry), instance: rand.Text(),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	if err := r.probe(o.DialTimeout); err != nil { // also makes a connection before the first request needs it
		r.fail(err)
	}
	return r, nil
}

func (r *redisStore) close() error {
	r.stop()
	r.mu.Lock()
	r.probing = true // no other begins
	r.mu.Unlock()
	r.probes.Wait()
	return r.client.Close()
}

// take asks for one request in every window of the key. It reports false when Redis did not answer in time.
func (r *redisStore) take(ctx context.Context, key string, rates []Rate) ([]Window, bool) {
	if r.down.Load() {
		return nil, false
	}
	windows, err := r.run(ctx, key, rates, r.patience)
	if err != nil {
		if ctx.Err() == nil { // otherwise the client left, which says nothing of Redis
			r.fail(err)
		}
		return nil, false
	}
	return windows, true
}

func (r *redisStore) run(ctx context.Context, key string, rates []Rate, patience time.Duration) ([]Window, error) {
	keys := make([]string, len(rates))
	args := []any{string(r.strategy), r.instance + strconv.FormatUint(r.moves.Add(1), 36)}
	for i, rate := range rates {
		// One hash tag for all windows of a caller: a cluster keeps them in one slot, as the script needs.
		keys[i] = "forward:limits:{" + key + "}:" + string(r.strategy) + ":" + rate.String()
		args = append(args, rate.Limit, rate.Period.Microseconds(), time.Duration(rate.slice()).Microseconds())
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reply, err := r.script.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return nil, err
	}
	if len(reply) != 3*len(rates) {
		return nil, errors.New("the script answered something else than it should")
	}
	windows := make([]Window, len(rates))
	for i, rate := range rates {
		reset, wait := time.Duration(reply[3*i+1])*time.Microsecond, time.Duration(reply[3*i+2])*time.Microsecond
		windows[i] = Window{Rate: rate, Remaining: reply[3*i], Reset: reset, Wait: wait}
	}
	return windows, nil
}

// probe does what a request does, on a key of its own: a Redis that answers PING but cannot write, because it is a
// replica or full, is down for us.
func (r *redisStore) probe(patience time.Duration) error {
	_, err := r.run(r.ctx, "probe", []Rate{{Limit: 1 << 30, Period: time.Second}}, patience)
	return err
}

// fail starts the probe that decides whether Redis is down, and that finds out when it is back. One runs at a time.
func (r *redisStore) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probing {
		return
	}
	r.probing = true
	r.probes.Go(func() { r.watch(err) })
}

// watch probes until Redis answers or the store is closed.
func (r *redisStore) watch(cause error) {
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
	if r.down.Swap(false) {
		r.log.Info("Redis answers again: limits are shared")
	}
}
