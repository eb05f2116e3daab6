package limits

import (
	"context"
	"crypto/rand"
	_ "embed"
	"strconv"
	"sync/atomic"
	"time"

	"forward/internal/redis"
)

// takeScript looks at all windows of a caller before it counts in any, by the
// clock of Redis.
//
//go:embed take.lua
var takeScript string

// redisStore counts requests in Redis.
type redisStore struct {
	*redis.Conn
	script   *redis.Script
	strategy Strategy

	instance string // with requests, the unique name of each admitted request
	requests atomic.Uint64
}

func newRedisStore(c *redis.Conn, s Strategy) *redisStore {
	return &redisStore{Conn: c, script: redis.NewScript(takeScript), strategy: s, instance: rand.Text()}
}

// take counts one request in every window of the key, or in none. It reports
// false when Redis did not answer in time.
func (r *redisStore) take(ctx context.Context, key string, rates []Rate) ([]Window, bool) {
	keys := make([]string, len(rates))
	args := []any{string(r.strategy), r.instance + strconv.FormatUint(r.requests.Add(1), 36)}
	for i, rate := range rates {
		// One hash tag for all windows of a caller: a cluster keeps them in one
		// slot, as the script needs.
		keys[i] = "forward:limits:{" + key + "}:" + string(r.strategy) + ":" + rate.String()
		args = append(args, rate.Limit, rate.Period.Microseconds(), time.Duration(rate.slice()).Microseconds())
	}
	reply, ok := r.Run(ctx, redis.Call{Script: r.script, Keys: keys, Args: args, Answers: 3 * len(rates)})
	if !ok {
		return nil, false
	}
	windows := make([]Window, len(rates))
	for i, rate := range rates {
		windows[i] = Window{
			Rate:      rate,
			Remaining: reply[3*i],
			Reset:     time.Duration(reply[3*i+1]) * time.Microsecond,
			Wait:      time.Duration(reply[3*i+2]) * time.Microsecond,
		}
	}
	return windows, true
}
