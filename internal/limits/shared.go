package limits

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed shared.lua
var sharedScript string

// maxGifts bounds the buckets whose corrections wait to be sent to Redis.
const maxGifts = 4096

// ErrAlone says that Redis does not answer, so that this replica is to count for itself. The connection tells the log, and
// Gate.Healthy.
var ErrAlone = errors.New("Redis does not answer: each replica counts for itself")

// BucketDemand asks a bucket for Take units. The bucket starts full, holds Capacity and gains PerMinute a minute without
// steps. What is demanded together should have a {tag} of Redis in common, where Redis is a cluster behind a proxy.
type BucketDemand struct {
	Name                string
	Capacity, PerMinute int64 // above zero
	Take                int64
}

// SharedBuckets are token buckets in Redis, for the schedulers of several replicas. They go by the clock of Redis. Make them
// with NewSharedBuckets; they are safe for concurrent use, and the connection's owner closes what they use.
type SharedBuckets struct {
	redis  *Redis
	script *redis.Script

	mu    sync.Mutex              // guards the rest
	gifts map[string]BucketDemand // that wait to be sent
	sends bool
}

var _ Shared = ModelBuckets{}

// NewSharedBuckets returns the buckets of a Redis, Gate.Redis().
func NewSharedBuckets(r *Redis) *SharedBuckets {
	return &SharedBuckets{redis: r, script: redis.NewScript(sharedScript), gifts: make(map[string]BucketDemand)}
}

// Take takes from all buckets or from none. If it took nothing, wait says when it could, if nobody else takes meanwhile.
// The error is ErrAlone when Redis did not answer in time, which is 40 ms; and says which demand is more than its
// bucket holds and so could never be met.
func (b *SharedBuckets) Take(ctx context.Context, demands []BucketDemand) (ok bool, wait time.Duration, err error) {
	for _, d := range demands {
		if d.Take > d.Capacity || d.Take < 0 || d.PerMinute <= 0 {
			return false, 0, fmt.Errorf("%d of bucket %q, which holds %d and gains %d a minute, can never be taken", d.Take, d.Name, d.Capacity, d.PerMinute)
		}
	}
	if len(demands) == 0 {
		return true, 0, nil
	}
	reply, answered := b.run(ctx, "take", demands)
	if !answered {
		return false, 0, ErrAlone
	}
	return reply[0] == 1, time.Duration(reply[1]) * time.Microsecond, nil
}

// Give puts units back, up to the capacity; fewer than zero are taken in addition, into debt if need be. It does not wait for Redis:
// what comes together is summed up and sent beside the requests. While Redis does not answer it is lost, and
// the buckets refill.
func (b *SharedBuckets) Give(_ context.Context, demands []BucketDemand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range demands {
		if have, ok := b.gifts[d.Name]; ok {
			d.Take += have.Take
		} else if len(b.gifts) >= maxGifts || d.PerMinute <= 0 {
			continue
		}
		b.gifts[d.Name] = d
	}
	if !b.sends && len(b.gifts) > 0 {
		b.sends = b.redis.start(b.send)
	}
}

// send sends gifts until there are none.
func (b *SharedBuckets) send() {
	for {
		b.mu.Lock()
		batch := make([]BucketDemand, 0, 64)
		for name, d := range b.gifts {
			delete(b.gifts, name)
			if batch = append(batch, d); len(batch) == cap(batch) {
				break
			}
		}
		b.sends = len(batch) > 0
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, d := range batch { // each for itself: they need not be in one slot
			b.run(b.redis.ctx, "give", []BucketDemand{d})
		}
	}
}

// Lower leaves at most Take units in each bucket, below zero a debt, because a provider says that there are no more. It reports
// ErrAlone when Redis does not answer.
func (b *SharedBuckets) Lower(ctx context.Context, demands []BucketDemand) error {
	if len(demands) > 0 {
		if _, ok := b.run(ctx, "lower", demands); !ok {
			return ErrAlone
		}
	}
	return nil
}

func (b *SharedBuckets) run(ctx context.Context, verb string, demands []BucketDemand) ([]int64, bool) {
	keys, args := make([]string, len(demands)), make([]any, 1, 1+3*len(demands))
	args[0] = verb
	for i, d := range demands {
		keys[i] = "forward:limits:bucket:" + d.Name
		args = append(args, d.Capacity, d.PerMinute, d.Take)
	}
	return b.redis.run(ctx, b.script, keys, 2, args...)
}

// ModelBuckets are the buckets as a Scheduler asks for them: one of requests and one of tokens for each model.
type ModelBuckets struct{ *SharedBuckets }

// Take implements Shared.
func (b ModelBuckets) Take(ctx context.Context, key string, m Model, tokens int64) (time.Duration, error) {
	demands := modelDemands(key, m, 1, tokens)
	ok, wait, err := b.SharedBuckets.Take(ctx, demands)
	if ok || err != nil {
		return 0, err
	}
	return max(wait, time.Microsecond), nil
}

// Give implements Shared.
func (b ModelBuckets) Give(key string, m Model, requests, tokens int64) {
	b.SharedBuckets.Give(b.redis.ctx, modelDemands(key, m, requests, tokens))
}

// modelDemands leaves out what has no limit. Names of models are the clients' choice, so long ones are cut down.
func modelDemands(key string, m Model, requests, tokens int64) []BucketDemand {
	key = "{" + shortName(key) + "}:"
	demands := make([]BucketDemand, 0, 2)
	if m.RPM > 0 && requests != 0 {
		demands = append(demands, BucketDemand{Name: key + "requests", Capacity: m.RPM, PerMinute: m.RPM, Take: requests})
	}
	if m.TPM > 0 && tokens != 0 {
		demands = append(demands, BucketDemand{Name: key + "tokens", Capacity: m.TPM, PerMinute: m.TPM, Take: tokens})
	}
	return demands
}
