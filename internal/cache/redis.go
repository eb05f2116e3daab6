package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// shared keeps entries in Redis, where the replicas of a gateway share them. The records are those of the disk, sum and
// all. How much is kept is Redis's to bound (maxmemory, with an allkeys policy).
//
// Redis may be slow or gone, and then an answer must not wait for it: a request gives it redisPatience, a few failures
// in a row switch it off for all, and it is tried again beside the requests, not by them.
type shared struct {
	client *redis.Client
	codec  *codec
	queue  *queue
	now    func() time.Time
	log    *slog.Logger

	down    atomic.Bool
	failed  atomic.Int64 // reads in a row; one may just be a long answer on a slow line
	stored  atomic.Int64
	dropped atomic.Int64
	damaged atomic.Int64
	wrong   complaint

	tasks chan func() // what the writer does besides writing
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	err   error
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
	// The defaults make a request wait 1.7 s for a Redis that is gone.
	opt.MaxRetries, opt.DialerRetries = -1, 1
	opt.DialTimeout = 200 * time.Millisecond
	opt.ReadTimeout, opt.WriteTimeout = redisWrite, redisWrite // the context of each call says less
	opt.PoolTimeout = redisPatience
	opt.ContextTimeoutEnabled = true
	opt.DisableIdentity = true
	// It writes a line to stderr for each connection that fails. We say once that Redis is gone, in our own log.
	redis.SetLogger(&logging.VoidLogger{})
	s := &shared{
		client: redis.NewClient(opt), codec: c, queue: newQueue(4 << 20), now: o.Now, log: o.Log,
		tasks: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
	}
	s.probe()
	go s.run()
	return store{get: s.get, put: s.put, report: s.report, close: s.close, each: s.each, load: s.load, remove: s.remove, clear: s.clear}, nil
}

// errPatience is why a Get that took too long was ended.
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
		// A client that left says nothing about Redis.
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

// fail switches Redis off until a probe gets through.
func (s *shared) fail(err error) {
	if !s.down.Swap(true) {
		s.log.Warn("cache: redis does not answer and is left alone until it does", "error", firstLine(err))
	}
}

// probe tries a Redis that was switched off, or was never tried.
func (s *shared) probe() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*redisPatience)
	defer cancel()
	if err := s.client.Ping(ctx).Err(); err != nil {
		s.fail(err)
	} else if s.down.Swap(false) {
		s.log.Info("cache: redis answers again")
	}
}

// run is the writer.
func (s *shared) run() {
	defer close(s.done)
	tick := time.NewTicker(redisRetry)
	defer tick.Stop()
	for {
		select {
		case <-s.queue.ready:
			s.write()
		case task := <-s.tasks:
			task()
		case <-tick.C:
			if s.down.Load() {
				s.probe()
			}
		case <-s.stop:
			for s.queue.len() > 0 {
				s.write()
			}
			return
		}
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
			// A millisecond is the least that Redis knows; the record says it exactly.
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

// each asks Redis for its keys and then for their records. It is for the operator, who waits longer than a request.
func (s *shared) each(ctx context.Context, visit func(item) bool) error {
	seen := make(map[Key]bool)
	for _, h := range s.queue.waiting() {
		if seen[h.key] = true; !visit(h) {
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
					continue // expired meanwhile, not ours, or waiting to be written anew
				}
				if !visit(item{key: Key([]byte(raw)), record: []byte(record)}) {
					return nil
				}
			}
		}
		if cursor = next; cursor == 0 {
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
	return do(s.tasks, s.done, func() error {
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
	if err := do(s.tasks, s.done, func() error { s.queue.forget(); return nil }); err != nil {
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
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// do has the writer run a task between two batches, and waits for it.
func do(tasks chan<- func(), done <-chan struct{}, task func() error) error {
	result := make(chan error, 1)
	select {
	case tasks <- func() { result <- task() }:
		return <-result
	case <-done:
		return ErrClosed
	}
}

func (s *shared) report(st *Stats) {
	st.Entries, st.Bytes, st.Pending = -1, -1, s.queue.len()
	st.Stored, st.Dropped, st.Damaged = s.stored.Load(), s.dropped.Load(), s.damaged.Load()
	if s.down.Load() {
		st.Disabled = "redis does not answer"
	}
}

func (s *shared) close() error {
	s.once.Do(func() {
		s.queue.close()
		close(s.stop)
		<-s.done
		s.down.Store(true)
		if err := s.client.Close(); err != nil {
			s.err = fmt.Errorf("closing redis: %w", err)
		}
	})
	return s.err
}
