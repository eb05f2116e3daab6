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
	script *redis.Script
}

// reserve does what quotaMemory.reserve does. It reports false for answered when Redis did not answer in time.
func (q *quotaRedis) reserve(ctx context.Context, asks []ask, n counts, now time.Time, in *time.Location) (before []used, w windows, at int64, ok, answered bool) {
	args := make([]any, 0, 9+10*len(asks))
	args = append(args, "reserve", n[0], n[1], n[2], n[3])
	for day := -1; day <= 2; day++ { // the zone is known here, and the time there
		y, m, d := now.In(in).Date()
		args = append(args, time.Date(y, m, d+day, 0, 0, 0, 0, in).UnixMicro())
	}
	for _, a := range asks {
		args = append(args, flag(a.counts[0]), flag(a.counts[1]))
		for _, bounds := range a.bounds {
			for _, bound := range bounds {
				args = append(args, bound)
			}
		}
	}
	reply, answered := q.Run(ctx, redis.Call{Script: q.script, Keys: quotaKeys(asks), Args: args, Answers: 5 + 8*len(asks)})
	if !answered {
		return nil, w, 0, false, false
	}
	minute := time.Minute.Microseconds()
	w = windows{{reply[2], reply[2] + minute}, {reply[3], reply[4]}}
	before = make([]used, len(asks))
	for i := range before {
		for j := range before[i] {
			copy(before[i][j][:], reply[5+8*i+4*j:])
		}
	}
	return before, w, reply[1], reply[0] == 1, true
}

// settle does what quotaMemory.settle does, if Redis answers.
func (q *quotaRedis) settle(asks []ask, n counts, w windows) {
	args := make([]any, 0, 7+2*len(asks))
	args = append(args, "settle", n[0], n[1], n[2], n[3], w[0].from, w[1].from)
	for _, a := range asks {
		args = append(args, flag(a.counts[0]), flag(a.counts[1]))
	}
	q.Run(q.Context(), redis.Call{Script: q.script, Keys: quotaKeys(asks), Args: args, Answers: 1})
}

// quotaKeys names the hashes. They have one hash tag: the script needs all of them in one slot of a cluster.
func quotaKeys(asks []ask) []string {
	keys := make([]string, 0, 2*len(asks))
	for _, a := range asks {
		keys = append(keys, "forward:limits:{quota}:minute:"+a.name, "forward:limits:{quota}:day:"+a.name)
	}
	return keys
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func newQuotaRedis(c *redis.Conn) *quotaRedis {
	return &quotaRedis{Conn: c, script: redis.NewScript(quotaScript)}
}
