// Package queue makes the requests of a model wait until its provider's
// allowance, requests and tokens a minute, has capacity for them.
//
// A Scheduler keeps one queue for each model that a Rule limits. The queue is
// fair between callers on the cost of their requests; its rule is the doc
// comment of Scheduler. What a request may cost is reserved before it is sent
// and corrected by what it used and by what the provider's answer reports is
// left, so that the provider never has to refuse.
//
// The logic of a queue knows no clock and no goroutine. Each call says the
// time, so that property tests and a simulated day drive the same code as the
// gateway does.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"forward/internal/glob"
)

// Rule says what the models of a route that a glob matches allow: each of them for itself. Of several rules the
// one that names the model counts, and else the one with the most characters that are not wildcards; "*" is the default for
// all others, also for requests that name no model.
type Rule struct {
	Route  string // its name; empty: every route that has no rule for the model itself
	Models string // a name or a glob
	Model
}

// Options says what a Scheduler allows. The zero Options allow everything.
type Options struct {
	Rules  []Rule
	Shared Shared // nil: this process has the allowance alone
}

// Shared is the allowance that several replicas have in common. A line asks it for each request that its own buckets let go,
// outside of all locks, so it must answer within the time a request may lose; the lines themselves are not shared.
type Shared interface {
	// Take takes one request and the tokens from the buckets of key, from both or from neither: then wait says when they
	// would be there. An error, or a wait of zero, lets the request go by the local buckets alone.
	Take(ctx context.Context, key string, m Model, tokens int64) (wait time.Duration, err error)
	// Give gives requests and tokens back; fewer than zero tokens are taken in addition. It must not block.
	Give(key string, m Model, requests, tokens int64)
}

// maxModels is how many models a glob can have buckets for. Clients choose the names of models, so it must be bounded; all
// models beyond it share one allowance. Those that have all of theirs back make room.
const maxModels = 256

// sweepModels is how often models that have all of their allowance back are looked for.
const sweepModels = time.Second

// Scheduler lets requests go when the allowance of their model has room for them, and makes them wait in line until
// then. Make one with New and call Acquire before each request; it is safe for concurrent use, starts no goroutine
// and need not be closed.
//
// The allowance is a bucket of requests and one of tokens, each of which starts full, holds a minute's worth and refills
// steadily. MaxParallel bounds what is executed at a time.
//
// The line is fair between callers by this rule. The cost of a request is the time in which the bucket that it needs most
// of regains what it takes, so that requests and tokens are one measure.
//
//   - The requests of one caller go in the order in which they came.
//   - Callers take turns so that while several wait, each gets the same cost, or twice as much with each step of
//     priority. Whoever has not been served lately is next; at equal rights the higher priority is, and then who came first.
//   - For the request whose turn it is the allowance is saved up, however large it is. Meanwhile requests of other callers that
//     fit go past it, those who have asked for least first, but only if they would end before it at a fair share, and
//     together for no more than its own cost. So a large request waits at most twice as long as it would take alone, and
//     small ones get half of what comes in while it does.
//   - In consequence a caller who has nothing else in line waits until there was room for twice the cost of his request and of
//     one request of every other caller in line, whatever the length of the line is.
//   - When the line is full, the newest request of the caller with most in it gives way to one of a caller with less.
//
// A request that is over its time is refused, and one whose wait would foreseeably be over its client's deadline or, behind
// others, over MaxWait is so at once. The first in line may wait in any case, for an answer may give back what it needs at any
// moment. There is one timer for each model with a line, set for the moment of the next event.
type Scheduler struct {
	shared Shared
	origin time.Time // times are kept as offsets from it, which are monotonic

	mu    sync.RWMutex // guards the rest
	rules []Rule
	units map[unitKey]*unit
	count []int // units by rule
	swept int64
}

type unitKey struct{ route, model string }

// others is the name of the model of those that are too many; no request can carry it.
const others = "\x00others"

// New returns a scheduler without lines.
func New(o Options) (*Scheduler, error) {
	rules, err := sortRules(o.Rules)
	if err != nil {
		return nil, err
	}
	s := &Scheduler{rules: rules, count: make([]int, len(rules)), shared: o.Shared, origin: time.Now(), units: make(map[unitKey]*unit)}
	return s, nil
}

// sortRules checks rules and puts them in the order in which the first that matches counts.
func sortRules(list []Rule) ([]Rule, error) {
	list = slices.Clone(list)
	seen := make(map[unitKey]bool)
	for _, r := range list {
		if r.RPM < 0 || r.TPM < 0 || r.MaxParallel < 0 || r.MaxQueue < 0 || r.MaxWait < 0 {
			return nil, fmt.Errorf("limits of model %q of route %q: none may be below zero; leave one out for no limit", r.Models, r.Route)
		}
		if r.RPM > maxReading || r.TPM > maxReading {
			return nil, fmt.Errorf("limits of model %q of route %q: %d a minute is too large; leave it out for no limit", r.Models, r.Route, max(r.RPM, r.TPM))
		}
		if r.Models == "" {
			return nil, fmt.Errorf("limits of route %q: a rule names no models; write a name, a glob or *", r.Route)
		}
		if key := (unitKey{r.Route, r.Models}); seen[key] {
			return nil, fmt.Errorf("limits of model %q of route %q are said twice", r.Models, r.Route)
		} else {
			seen[key] = true
		}
	}
	slices.SortStableFunc(list, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(glob.Specificity(b.Models), glob.Specificity(a.Models)), cmp.Compare(len(b.Route), len(a.Route)))
	})
	return list, nil
}

// Acquire returns when the request may go. The error is a *Error, or that of ctx when it ends before; both ways
// nothing is consumed. The Grant is nil when no rule holds for the model, and must be ended when it is not.
func (s *Scheduler) Acquire(ctx context.Context, d Demand) (*Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		u := s.unit(d)
		if u == nil {
			return nil, nil
		}
		g, w, err := u.ask(d)
		if err == errGone {
			continue
		}
		for {
			if err == nil && w != nil {
				g, err = u.wait(ctx, d, w)
			}
			if err != nil || s.shared == nil {
				break
			}
			var wait time.Duration
			if wait, err = s.shared.Take(ctx, u.sharedKey(), u.model(), g.tokens); err != nil || wait <= 0 {
				if err = ctx.Err(); err != nil {
					g.Cancel()
				}
				u.confirm(g)
				break
			}
			g, w, err = u.back(d, g, w, wait)
		}
		if queue, ok := errors.AsType[*Error](err); ok {
			queue.Route, queue.Model = d.Route, d.Model
		}
		if err != nil {
			return nil, err
		}
		return g, nil
	}
}

// unit returns the line of a request, nil when it needs none.
func (s *Scheduler) unit(d Demand) *unit {
	s.mu.RLock()
	u := s.units[unitKey{d.Route, d.Model}]
	s.mu.RUnlock()
	if u != nil {
		return u
	}
	s.mu.RLock()
	rule := s.rule(d.Route, d.Model)
	s.mu.RUnlock()
	if rule < 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rule = s.rule(d.Route, d.Model); rule < 0 { // they were changed in between
		return nil
	}
	key := unitKey{strings.Clone(d.Route), strings.Clone(d.Model)}
	if s.units[key] == nil && s.count[rule] >= maxModels {
		if s.sweep(); s.count[rule] >= maxModels {
			key.model = others + s.rules[rule].Models
		}
	}
	if u := s.units[key]; u != nil {
		return u
	}
	u = &unit{s: s, key: key, rule: rule, line: newLine(s.rules[rule].Model), set: never}
	u.line.confirms = s.shared != nil
	s.units[key] = u
	s.count[rule]++
	return u
}

// rule returns the index of the rule that holds for a model, below zero when there is none. Its caller holds mu.
func (s *Scheduler) rule(route, model string) int {
	return slices.IndexFunc(s.rules, func(r Rule) bool {
		return (r.Route == "" || r.Route == route) && (r.Models == "*" || r.Models == model || glob.Match(r.Models, model))
	})
}

// sweep forgets the models that have all of their allowance back.
func (s *Scheduler) sweep() {
	now := s.now()
	if s.swept > 0 && now-s.swept < int64(sweepModels) {
		return
	}
	s.swept = now
	for key, u := range s.units {
		u.mu.Lock()
		if u.gone = u.line.idle(now); u.gone {
			delete(s.units, key)
			s.count[u.rule]--
		}
		u.mu.Unlock()
	}
}

// now is the time on the clock of all lines.
func (s *Scheduler) now() int64 { return int64(time.Since(s.origin)) }

// idle reports whether a new line would be the same.
func (l *line) idle(now int64) bool {
	return l.waiting == 0 && l.inFlight == 0 && max(l.requests.full, l.tokens.full, l.held, l.notice.held) <= now
}
