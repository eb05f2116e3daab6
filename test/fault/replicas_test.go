//go:build fault

package fault

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/tidwall/gjson"
)

// sharedFaults are those of what several gateways or several callers share.
func sharedFaults() []scenario {
	return []scenario{
		{id: "F47", fault: "Redis goes away under load, and comes back",
			promise: "No request fails: each gateway counts for itself, /readyz reports it, and they count together again when Redis answers.",
			run:     redisAway},
		{id: "F48", fault: "Redis loses all data",
			promise: "What budgets have spent is in the ledger and stays; requests go on.",
			run:     redisEmptied},
		{id: "F49", fault: "two gateways are asked the same at the same time",
			promise: "The provider is paid once or twice, each caller gets the whole answer, and afterwards both gateways remember it.",
			run:     sameQuestion},
		{id: "F50", fault: "the caller whose call answers others too leaves",
			promise: "The others get their answer, out of the same call.",
			run:     leaderLeaves},
	}
}

// redis starts a Redis for the length of a scenario.
func (s *scene) redis() *miniredis.Miniredis {
	s.Helper()
	r := miniredis.NewMiniRedis()
	if err := r.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(r.Close)
	return r
}

// counted reports whether /readyz reports that Redis counts.
func (g *gateway) counted() bool {
	g.s.Helper()
	return gjson.GetBytes(g.ask(call{method: "GET", path: "/readyz", key: "-"}).body, "stores.limits.ok").Bool()
}

func redisAway(s *scene) {
	redis := s.redis()
	env := []string{"REQ_RATE_LIMIT_BACKEND=redis://" + redis.Addr()}
	var gateways []*gateway
	for range 2 {
		gateways = append(gateways, s.start(setup{env: env, slack: redisPool}))
	}
	var stop atomic.Bool
	var failed atomic.Int64
	var all sync.WaitGroup
	for _, g := range gateways {
		all.Go(func() {
			for !stop.Load() {
				if a := g.chat("", ""); a.status != 200 || a.err != nil {
					failed.Add(1)
				}
			}
		})
	}
	redis.Close()
	for _, g := range gateways {
		s.within("/readyz says that Redis is gone", func() bool { return !g.counted() })
	}
	if err := redis.Restart(); err != nil {
		s.Fatal(err)
	}
	for _, g := range gateways {
		s.within("/readyz says that Redis is back", g.counted)
	}
	stop.Store(true)
	if all.Wait(); failed.Load() != 0 {
		s.Errorf("%d requests failed", failed.Load())
	}
}

// redisPool is by how many descriptors and goroutines the connections to Redis
// may grow.
const redisPool = 40

func redisEmptied(s *scene) {
	redis := s.redis()
	g := s.start(setup{env: []string{"REQ_RATE_LIMIT_BACKEND=redis://" + redis.Addr()}, slack: redisPool})
	for range 5 {
		s.served(g.chat("", ""))
	}
	before := g.spent()
	redis.FlushAll()
	s.served(g.chat("", ""))
	s.within("the budget has spent what it had and some more", func() bool { return g.spent() > before && before > 0 })
}

func sameQuestion(s *scene) {
	redis := s.redis()
	env := []string{"CACHE_BACKEND=redis://" + redis.Addr(), "REQ_RATE_LIMIT_BACKEND=redis://" + redis.Addr()}
	a, b := s.start(setup{env: env, slack: redisPool}), s.start(setup{env: env, slack: redisPool})
	for round := range 5 {
		question := call{path: chatPath, script: "delay-100-ms", body: chatBody("gpt-4o-mini", fmt.Sprint("the same ", round), caching)}
		var all sync.WaitGroup
		var mu sync.Mutex
		var answers []answer
		for i := range 20 {
			all.Go(func() {
				got := []*gateway{a, b}[i%2].ask(question)
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, got)
			})
		}
		all.Wait()
		calls := 0
		for _, got := range answers {
			s.served(got)
			if text := gjson.GetBytes(got.body, "choices.0.message.content").String(); text != fmt.Sprint("You said: the same ", round) {
				s.Errorf("the answer is %q", text)
			}
			calls += len(s.seen(got.name))
		}
		if calls < 1 || calls > 2 {
			s.Errorf("20 equal requests to two gateways made %d calls", calls)
		}
		for _, g := range []*gateway{a, b} {
			s.within("it is remembered", func() bool { return g.ask(question).header.Get("X-Cache") == "HIT" })
		}
	}
}

func leaderLeaves(s *scene) {
	g := s.start(setup{})
	for _, extra := range []string{caching, caching + streaming} {
		question := call{path: chatPath, script: "delay-1500-ms", body: chatBody("gpt-4o-mini", "shared "+extra, extra)}
		ctx, leave := context.WithCancel(s.Context())
		leader := question
		leader.ctx = ctx
		var all sync.WaitGroup
		all.Go(func() { g.ask(leader) })
		before := s.up.Count()
		s.within("the first one's call is made", func() bool { return s.up.Count() > before })
		followers := make([]answer, 5)
		for i := range followers {
			all.Go(func() { followers[i] = g.ask(question) })
		}
		s.within("all ask", func() bool { return g.metric("forward_in_flight_requests") >= 5 })
		time.Sleep(50 * time.Millisecond)
		leave()
		all.Wait()
		for _, a := range followers {
			if s.served(a); !bytes.Contains(a.body, []byte("shared")) {
				s.Errorf("a follower got %s", a.text())
			}
		}
		if calls := s.up.Count() - before; calls > 2 {
			s.Errorf("%d calls were made for six equal requests", calls)
		}
	}
}
