package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// shared keeps entries in Redis, where the replicas of a gateway share them.
// The records are those of the disk, with their sums. Redis bounds what is kept
// (maxmemory, with an allkeys policy).
//
// Redis may be slow or gone, and no answer may wait for it then: a request
// waits redisPatience at most, a few failures in a row turn it off for all
// requests, and the writer, not a request, tries it again.
type shared struct {
	client *redis.Client
	codec  *codec
	now    func() time.Time
	log    *slog.Logger

	down   atomic.Bool
	failed atomic.Int64 // reads in a row; one may be a long answer over a slow connection
	wrong  complaint
	*writer
	counters

	err error // of closing
}

const (
	redisPrefix   = "forward:cache:2:"    // the number is that of the record format
	redisPatience = 40 * time.Millisecond // the promise is 50 ms, all in all
	redisWrite    = 2 * time.Second       // of one batch, by the writer
	redisRetry    = time.Second
	redisFailures = 3
)

func openRedis(o Options, c *codec) (store, error) {
	opt, err := redis.ParseURL(o.Backend)
	if err != nil { // its text may repeat the URL, and that may hold a password
		return store{}, fmt.Errorf("%w: the URL of Redis is not one, write redis://user:password@host:6379/0", ErrOptions)
	}
	// With the defaults a request waits 1.7 s for a Redis that is gone.
	opt.MaxRetries, opt.DialerRetries = -1, 1
	opt.DialTimeout = 200 * time.Millisecond
	opt.ReadTimeout, opt.WriteTimeout = redisWrite, redisWrite // the context of each call allows less
	opt.PoolTimeout = redisPatience
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	// go-redis writes a line to stderr for each connection that fails. The
	// cache logs once that Redis is gone.
	redis.SetLogger(&logging.VoidLogger{})
	s := &shared{
		client: redis.NewClient(opt), codec: c, now: o.Now, log: o.Log, writer: newWriter(newQueue(4 << 20)),
	}
	s.probe()
	go s.run(s.write, redisRetry, s.retry, func() {})
	return store{
		get: s.get, put: s.put, report: s.report, close: s.close,
		each: s.each, load: s.load, remove: s.remove, clear: s.clear,
	}, nil
}

// errPatience is the cause with which a Get that took too long ends.
var errPatience = errors.New("redis took too long")

func redisKey(k Key) string { return redisPrefix + string(k[:]) }

func (s *shared) get(ctx context.Context, k Key) (*Entry, bool) {
	if e := s.queue.get(k); e != nil {
		return e, true
	}
	if s.down.Load() {
		return nil, false
	}
	record, err := s.client.Get(ctx, redisKey(k)).Bytes()
	if errors.Is(err, redis.Nil) {
		s.failed.Store(0)
		return nil, false
	}
	if err != nil {
		// A client that left proves nothing about Redis.
		if cause := context.Cause(ctx); (cause == nil || cause == errPatience) && s.failed.Add(1) >= redisFailures {
			s.fail(err)
		}
		return nil, false
	}
	s.failed.Store(0)
	e, err := s.codec.decode(k, record)
	if errors.Is(err, errVersion) {
		return nil, false
	}
	if err != nil {
		s.damaged.Add(1)
		s.wrong.log(s.log, "cache: a record is damaged; it is deleted and asked for again", err)
		s.queue.put(&pending{key: k})
		return nil, false
	}
	return e, true
}

func (s *shared) put(k Key, e *Entry) bool {
	return !s.down.Load() && s.queue.put(&pending{key: k, entry: e})
}

// fail turns Redis off until a probe succeeds.
func (s *shared) fail(err error) {
	if !s.down.Swap(true) {
		s.log.Warn("cache: redis does not answer and is left alone until it does", "error", firstLine(err))
	}
}

// probe tries a Redis that was turned off, or was never tried.
func (s *shared) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*redisPatience)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		s.fail(err)
	} else if s.down.Swap(false) {
		s.log.Info("cache: redis answers again")
	}
}

// retry probes Redis if it is off.
func (s *shared) retry() {
	if s.down.Load() {
		s.probe()
	}
}

func (s *shared) write() {
	batch := s.queue.take()
	defer s.queue.done(batch)
	ctx, cancel := context.WithTimeout(context.Background(), redisWrite)
	defer cancel()
	var count int64
	pipe := s.client.Pipeline()
	for _, p := range batch {
		if p.entry == nil {
			pipe.Del(ctx, redisKey(p.key))
			continue
		}
		if left := p.entry.Expires.Sub(s.now()); left > 0 {
			// Redis counts in whole milliseconds; the record has the exact
			// time.
			pipe.Set(ctx, redisKey(p.key), s.codec.encode(p.key, p.entry), left.Truncate(time.Millisecond)+time.Millisecond)
			count++
		}
	}
	if s.down.Load() {
		s.dropped.Add(count)
		return
	}
	if _, err := pipe.Exec(ctx); err != nil {
		s.dropped.Add(count)
		s.fail(err)
		return
	}
	s.stored.Add(count)
}

// each lists the keys and then reads their records. It serves the operator, who
// waits longer than a request.
func (s *shared) each(ctx context.Context, visit func(item) bool) error {
	seen := make(map[Key]bool)
	for _, h := range s.queue.waiting() {
		seen[h.key] = true
		if !visit(h) {
			return nil
		}
	}
	var cursor uint64
	for {
		names, next, err := s.client.Scan(ctx, cursor, redisPrefix+"*", 200).Result()
		if err != nil {
			return fmt.Errorf("listing what redis has: %w", err)
		}
		for batch := range slices.Chunk(names, 50) {
			values, err := s.client.MGet(ctx, batch...).Result()
			if err != nil {
				return fmt.Errorf("reading from redis: %w", err)
			}
			for i, name := range batch {
				record, there := values[i].(string)
				raw := strings.TrimPrefix(name, redisPrefix)
				if !there || len(raw) != len(Key{}) || seen[Key([]byte(raw))] {
					continue // expired meanwhile, not ours, or queued to be written again
				}
				if !visit(item{key: Key([]byte(raw)), record: []byte(record)}) {
					return nil
				}
			}
		}
		cursor = next
		if cursor == 0 {
			return nil
		}
	}
}

func (s *shared) load(ctx context.Context, k Key) (item, bool) {
	if e := s.queue.get(k); e != nil {
		return item{key: k, entry: e}, true
	}
	record, err := s.client.Get(ctx, redisKey(k)).Bytes()
	return item{key: k, record: record}, err == nil
}

func (s *shared) remove(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	return s.do(func() error {
		s.queue.forget(keys...)
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = redisKey(k)
		}
		if err := s.client.Unlink(ctx, names...).Err(); err != nil {
			return fmt.Errorf("deleting from redis: %w", err)
		}
		return nil
	})
}

func (s *shared) clear(ctx context.Context) error {
	if err := s.do(func() error { s.queue.forget(); return nil }); err != nil {
		return err
	}
	var cursor uint64
	for {
		names, next, err := s.client.Scan(ctx, cursor, redisPrefix+"*", 1000).Result()
		if err == nil && len(names) > 0 {
			err = s.client.Unlink(ctx, names...).Err()
		}
		if err != nil {
			return fmt.Errorf("emptying redis: %w", err)
		}
		cursor = next
		if cursor == 0 {
			return nil
		}
	}
}

func (s *shared) report(st *Stats) {
	st.Entries = -1
	st.Bytes = -1
	st.Pending = s.queue.len()
	s.counters.report(st)
	if s.down.Load() {
		st.Disabled = "redis does not answer"
	}
}

func (s *shared) close() error {
	s.writer.close(func() {
		s.down.Store(true)
		if err := s.client.Close(); err != nil {
			s.err = fmt.Errorf("closing redis: %w", err)
		}
	})
	return s.err
}
