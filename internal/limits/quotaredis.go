package limits

import (
	"context"
	_ "embed"
	"time"

	"forward/internal/redis"
)

//go:embed quota.lua
var quotaScript string

// quotaRedis counts quotas in Redis, by its clock.
type quotaRedis struct {
	*redis.Conn
	calendar
	script *redis.Script
}

// reserve counts n for all claims, if all of their bounds allow it. It reports
// false when Redis did not answer in time.
func (q *quotaRedis) reserve(ctx context.Context, claims []claim, n counts) (reading, bool) {
	args := make([]any, 0, 9+10*len(claims))
	args = append(args, "reserve", n[0], n[1], n[2], n[3])
	now := q.now()
	for days := -1; days <= 2; days++ { // the zone is known here, and the time there
		args = append(args, midnight(now, q.location, days))
	}
	for _, c := range claims {
		args = append(args, flag(c.counted[0]), flag(c.counted[1]))
		for _, bounds := range c.bounds {
			for _, bound := range bounds {
				args = append(args, bound)
			}
		}
	}
	call := redis.Call{Script: q.script, Keys: quotaKeys(claims), Args: args, Answers: 5 + 8*len(claims)}
	reply, ok := q.Run(ctx, call)
	if !ok {
		return reading{}, false
	}
	r := reading{
		counted: reply[0] == 1,
		at:      reply[1],
		windows: windows{{reply[2], reply[2] + time.Minute.Microseconds()}, {reply[3], reply[4]}},
		before:  make([]tally, len(claims)),
	}
	for i := range r.before {
		for j := range r.before[i] {
			copy(r.before[i][j][:], reply[5+8*i+4*j:])
		}
	}
	return r, true
}

// settle adds n in those of the windows that still run, if Redis answers.
func (q *quotaRedis) settle(claims []claim, n counts, w windows) {
	args := make([]any, 0, 7+2*len(claims))
	args = append(args, "settle", n[0], n[1], n[2], n[3], w[0].from, w[1].from)
	for _, c := range claims {
		args = append(args, flag(c.counted[0]), flag(c.counted[1]))
	}
	q.Run(q.Context(), redis.Call{Script: q.script, Keys: quotaKeys(claims), Args: args, Answers: 1})
}

// quotaKeys names the hashes. They have one hash tag, because the script needs
// all of them in one slot of a cluster.
func quotaKeys(claims []claim) []string {
	keys := make([]string, 0, 2*len(claims))
	for _, c := range claims {
		keys = append(keys, "forward:limits:{quota}:minute:"+c.key, "forward:limits:{quota}:day:"+c.key)
	}
	return keys
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
