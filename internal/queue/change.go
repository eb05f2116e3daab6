package queue

import (
	"cmp"
	"slices"
)

// Change checks other rules and returns the function that applies them, which
// cannot fail.
//
// The queues go on: a request that waits keeps its place under the new rule,
// what was taken from a bucket stays taken of the new limit, and what requests
// in flight give back comes back to the same bucket. Requests that wait for a
// model that no rule limits any more may start.
func (s *Scheduler) Change(rules []Rule) (apply func(), err error) {
	sorted, err := sortRules(rules)
	if err != nil {
		return nil, err
	}
	return func() { s.change(sorted) }, nil
}

func (s *Scheduler) change(rules []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.rules
	s.rules = rules
	s.count = make([]int, len(rules))
	for key, r := range s.drivers {
		rule := s.rule(key.route, key.model)
		if old := before[r.rule]; key.model == others+old.Models {
			rule = slices.IndexFunc(rules, func(r Rule) bool {
				return r.Route == old.Route && r.Models == old.Models
			})
		}
		if rule < 0 {
			delete(s.drivers, key)
			r.change(Model{}, true)
			continue
		}
		r.rule = rule
		s.count[rule]++
		r.change(rules[rule].Model, false)
	}
}

// change applies another model. All requests queue again in the order in which
// they came, because costs are measured in the limits. Only the service that
// their callers had is forgotten.
func (q *modelQueue) change(now int64, m Model) {
	var all []*waiter
	for _, f := range q.order.byStart.items {
		for w := f.head; w != nil; w = w.after {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *waiter) int { return cmp.Compare(a.number, b.number) })
	for _, w := range all {
		q.remove(w)
	}
	q.model = m
	q.allowance.requests.resize(now, m.RPM)
	q.allowance.tokens.resize(now, m.TPM)
	for _, w := range all {
		if m.TPM > 0 && w.tokens > m.TPM {
			w.err = q.tooLarge(w.tokens)
			q.decided = append(q.decided, w)
			continue
		}
		w.cost = q.allowance.cost(w.tokens)
		w.passed = 0
		q.order.append(w)
		q.schedule(w)
	}
	q.advance(now)
}
