package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"forward/internal/redis"
)

//go:embed shared.lua
var bucketScript string

// maxRefunds bounds the buckets whose corrections wait to be sent to Redis.
const maxRefunds = 4096

// errAlone reports that Redis does not answer, so this replica counts by its
// own buckets. The connection logs it.
var errAlone = errors.New("no answer from Redis: each replica counts for itself")

// amount is a number of units of one bucket. The bucket starts full, holds
// capacity and gains perMinute a minute, continuously. Amounts that are taken
// together have a {tag} in common, which keeps their keys in one slot of a
// Redis cluster.
type amount struct {
	name                string
	capacity, perMinute int64 // above zero
	n                   int64
}

// SharedBuckets implement Shared with token buckets in Redis, one of requests
// and one of tokens for each model. They go by the clock of Redis. Make them
// with NewSharedBuckets; they are safe for concurrent use, and the opener of
// the connection closes it.
type SharedBuckets struct {
	redis  *redis.Conn
	script *redis.Script

	mu      sync.Mutex        // guards the rest
	refunds map[string]amount // that wait to be sent
	sends   bool
}

var _ Shared = (*SharedBuckets)(nil)

// NewSharedBuckets returns the buckets in a Redis.
func NewSharedBuckets(c *redis.Conn) *SharedBuckets {
	return &SharedBuckets{redis: c, script: redis.NewScript(bucketScript), refunds: make(map[string]amount)}
}

// Take implements Shared. The error is errAlone when Redis did not answer in
// time.
func (b *SharedBuckets) Take(ctx context.Context, key string, m Model, tokens int64) (time.Duration, error) {
	ok, wait, err := b.take(ctx, amountsOf(key, m, 1, tokens))
	if ok || err != nil {
		return 0, err
	}
	return max(wait, time.Microsecond), nil
}

// Give implements Shared. It does not wait for Redis: refunds of one bucket are
// summed up and sent beside the requests. While Redis does not answer they are
// lost, and the buckets refill.
func (b *SharedBuckets) Give(key string, m Model, requests, tokens int64) {
	b.give(amountsOf(key, m, requests, tokens))
}

// amountsOf leaves out what has no limit.
func amountsOf(key string, m Model, requests, tokens int64) []amount {
	key = "{" + redis.KeyName(key) + "}:"
	list := make([]amount, 0, 2)
	if m.RPM > 0 && requests != 0 {
		list = append(list, amount{name: key + "requests", capacity: m.RPM, perMinute: m.RPM, n: requests})
	}
	if m.TPM > 0 && tokens != 0 {
		list = append(list, amount{name: key + "tokens", capacity: m.TPM, perMinute: m.TPM, n: tokens})
	}
	return list
}

// take takes from all buckets or from none. If it took nothing, wait is the
// time until it can, if nothing else is taken meanwhile. An amount that its
// bucket can never hold is an error.
func (b *SharedBuckets) take(ctx context.Context, list []amount) (ok bool, wait time.Duration, err error) {
	for _, a := range list {
		if a.n > a.capacity || a.n < 0 || a.perMinute <= 0 {
			return false, 0, fmt.Errorf("%d of bucket %q, which holds %d and gains %d a minute, can never be taken", a.n, a.name, a.capacity, a.perMinute)
		}
	}
	if len(list) == 0 {
		return true, 0, nil
	}
	reply, answered := b.run(ctx, "take", list)
	if !answered {
		return false, 0, errAlone
	}
	return reply[0] == 1, time.Duration(reply[1]) * time.Microsecond, nil
}

// give puts units back, up to the capacity; a negative amount is taken, into
// debt if need be.
func (b *SharedBuckets) give(list []amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range list {
		if have, ok := b.refunds[a.name]; ok {
			a.n += have.n
		} else if len(b.refunds) >= maxRefunds {
			continue
		}
		b.refunds[a.name] = a
	}
	if !b.sends && len(b.refunds) > 0 {
		b.sends = b.redis.Start(b.send)
	}
}

// send sends refunds until there are none.
func (b *SharedBuckets) send() {
	for {
		b.mu.Lock()
		batch := make([]amount, 0, 64)
		for name, a := range b.refunds {
			delete(b.refunds, name)
			if batch = append(batch, a); len(batch) == cap(batch) {
				break
			}
		}
		b.sends = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, a := range batch { // one by one: they need not be in one slot
			b.run(b.redis.Context(), "give", []amount{a})
		}
	}
}

func (b *SharedBuckets) run(ctx context.Context, verb string, list []amount) ([]int64, bool) {
	keys := make([]string, len(list))
	args := make([]any, 1, 1+3*len(list))
	args[0] = verb
	for i, a := range list {
		keys[i] = "forward:limits:bucket:" + a.name
		args = append(args, a.capacity, a.perMinute, a.n)
	}
	return b.redis.Run(ctx, redis.Call{Script: b.script, Keys: keys, Args: args, Answers: 2})
}
