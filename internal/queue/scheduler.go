// Package queue makes requests wait until the allowance of their model,
// requests and tokens a minute, has capacity for them.
//
// A Scheduler keeps one queue for each model that a Rule limits. Without it the
// provider refuses what is over the allowance, and the callers that retry
// fastest get all of it. With it, requests start as fast as the provider
// accepts them, in an order that is fair between callers by the cost of what
// they ask for; the doc comment of Scheduler states the rule.
//
// What a request may cost is reserved before it is sent. Afterwards the
// reservation is corrected by what was used, and by what the provider reports
// to be left, since other programs may share the allowance.
//
// The logic of a queue (modelQueue, bucket) knows no clock and no goroutine:
// time is an argument. So property tests and a simulated day drive the code
// that the gateway runs. A driver adds the lock, the clock and the timer.
package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"forward/internal/glob"
)

// Options configure a Scheduler. The zero Options limit nothing.
type Options struct {
	Rules  []Rule
	Shared Shared // nil: this process has the allowance alone
}

// Shared is an allowance that several replicas have in common. A Scheduler asks
// it for each request that its own buckets let start. It does so outside of all
// locks and while the request waits, so Take must answer within the time that a
// request may lose. The queues themselves are not shared.
type Shared interface {
	// Take takes one request and the tokens from the buckets of key, from both
	// or from neither. In the latter case wait is the time until both have
	// enough. An error, or a wait of zero, lets the request start by the local
	// buckets alone.
	Take(ctx context.Context, key string, m Model, tokens int64) (wait time.Duration, err error)
	// Give puts requests and tokens back, or takes more tokens when their
	// number is negative. It must not block.
	Give(key string, m Model, requests, tokens int64)
}

// maxModels bounds the models of one rule that have queues of their own,
// because clients choose the names of models. All further models of the rule
// share one queue. Models that have all of their allowance back are forgotten
// first.
const maxModels = 256

// sweepEvery is the shortest time between two searches for models to forget.
const sweepEvery = time.Second

// Scheduler lets a request start when the allowance of its model has capacity
// for it, and makes it wait in the queue of the model until then. Make one with
// New, and call Acquire before each request. It is safe for concurrent use,
// starts no goroutine and needs no Close.
//
// The allowance is a bucket of requests and a bucket of tokens. Each starts
// full, holds a minute's worth and refills continuously. MaxParallel bounds how
// many requests are executed at a time.
//
// The queue is fair between callers. The cost of a request is the time in which
// the bucket that it needs most of regains what it takes, so requests and
// tokens have one measure.
//
//   - The requests of one caller start in the order in which they came.
//   - Callers take turns: while several wait, each gets the same cost, or twice
//     as much for each step of priority. The caller with the least service is
//     next; among equals the one with the higher priority, and then the one
//     whose request came first.
//   - For the request whose turn it is the allowance is saved up, however large
//     the request is. Meanwhile requests of other callers that fit pass it, the
//     caller with the least demand first, but only if they end before it at a
//     fair share, and together for no more than its own cost. So a large request
//     waits at most twice as long as it would alone, and small ones get half of
//     the refill until then.
//   - In consequence a caller with a single request waits until the buckets have
//     refilled twice the cost of this request and of one request of every other
//     caller, whatever the length of the queue is.
//   - When the queue is full, the newest request of the caller with the most
//     requests gives way to a request of a caller with fewer.
//
// A request is refused once its time is over. It is refused at once if its
// expected wait is over its client's deadline or, behind other requests, over
// MaxWait. The first request in a queue may wait in any case, for an answer can
// return what it needs at any moment. Each model with a queue has one timer,
// which is set for the moment of the next event.
type Scheduler struct {
	shared Shared
	origin time.Time // times are offsets from it, which are monotonic

	mu      sync.RWMutex // guards the rest
	rules   []Rule
	drivers map[modelKey]*driver
	count   []int // of the drivers, by rule
	swept   int64
}

type modelKey struct{ route, model string }

// others starts the name of the queue that the models beyond maxModels share.
// No request can carry it.
const others = "\x00others"

// New returns a scheduler without queues.
func New(o Options) (*Scheduler, error) {
	rules, err := sortRules(o.Rules)
	if err != nil {
		return nil, err
	}
	return &Scheduler{
		rules:   rules,
		count:   make([]int, len(rules)),
		shared:  o.Shared,
		origin:  time.Now(),
		drivers: make(map[modelKey]*driver),
	}, nil
}

// Acquire returns when the request may start. The error is an *Error, or that
// of ctx if it ends first; in both cases nothing is consumed. The Grant is nil
// when no rule limits the model; any other Grant must be settled or canceled.
func (s *Scheduler) Acquire(ctx context.Context, d Demand) (*Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		r := s.driver(d.Route, d.Model)
		if r == nil {
			return nil, nil
		}
		g, err := r.acquire(ctx, d)
		if err == errRetired {
			continue
		}
		if refused, ok := errors.AsType[*Error](err); ok {
			refused.Route = d.Route
			refused.Model = d.Model
		}
		return g, err
	}
}

// driver returns the driver of a model's queue, nil when no rule limits it.
func (s *Scheduler) driver(route, model string) *driver {
	s.mu.RLock()
	r := s.drivers[modelKey{route, model}]
	limited := r != nil || s.rule(route, model) >= 0
	s.mu.RUnlock()
	if r != nil || !limited {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rule := s.rule(route, model)
	if rule < 0 { // the rules have changed since
		return nil
	}
	// Cloned, because a short name may keep a large request body alive.
	key := modelKey{strings.Clone(route), strings.Clone(model)}
	if s.drivers[key] == nil && s.count[rule] >= maxModels {
		s.sweep()
		if s.count[rule] >= maxModels {
			key.model = others + s.rules[rule].Models
		}
	}
	if r := s.drivers[key]; r != nil {
		return r
	}
	r = &driver{s: s, key: key, rule: rule, queue: newModelQueue(s.rules[rule].Model), timerAt: never}
	r.queue.confirms = s.shared != nil
	s.drivers[key] = r
	s.count[rule]++
	return r
}

// Limits returns the limits of a model of a route; zero where it has none.
func (s *Scheduler) Limits(route, model string) Model {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := s.rule(route, model)
	if i < 0 {
		return Model{}
	}
	return s.rules[i].Model
}

// rule returns the index of the rule that limits a model, negative when there
// is none. The caller holds mu.
func (s *Scheduler) rule(route, model string) int {
	return slices.IndexFunc(s.rules, func(r Rule) bool {
		return (r.Route == "" || r.Route == route) && (r.Models == model || glob.Match(r.Models, model))
	})
}

// sweep forgets the models that have all of their allowance back. The caller
// holds mu.
func (s *Scheduler) sweep() {
	now := s.now()
	if s.swept > 0 && now-s.swept < int64(sweepEvery) {
		return
	}
	s.swept = now
	for key, r := range s.drivers {
		if r.retireIdle(now) {
			delete(s.drivers, key)
			s.count[r.rule]--
		}
	}
}

// now returns the time on the clock of all queues.
func (s *Scheduler) now() int64 { return int64(time.Since(s.origin)) }
