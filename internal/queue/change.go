package queue

import (
	"cmp"
	"math/bits"
	"slices"
)

// Change checks other rules and returns the function that puts them in force, which cannot fail. Lines go on: who waits keeps his place
// under the new rule, what was taken from a bucket stays taken of the new limit, and what requests under way give back comes back to
// the same bucket. Those who wait for a model that no rule holds for any more may go.
func (s *Scheduler) Change(list []Rule) (apply func(), err error) {
	sorted, err := sortRules(list)
	if err != nil {
		return nil, err
	}
	return func() { s.change(sorted) }, nil
}

func (s *Scheduler) change(list []Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.rules
	s.rules, s.count = list, make([]int, len(list))
	for key, u := range s.units {
		rule := s.rule(key.route, key.model)
		if old := before[u.rule]; key.model == others+old.Models {
			rule = slices.IndexFunc(list, func(r Rule) bool { return r.Route == old.Route && r.Models == old.Models })
		}
		if rule < 0 {
			delete(s.units, key)
			u.change(Model{}, true)
			continue
		}
		u.rule = rule
		s.count[rule]++
		u.change(list[rule].Model, false)
	}
}

// change puts another model in force in the line.
func (u *unit) change(m Model, gone bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = gone
	if u.line.model != m {
		u.line.change(u.s.now(), m)
		u.tell()
	}
}

// change makes the line that of another model. Who waits is put in line again in the order in which all came, for costs are measured
// in the limits; what is forgotten is only who among them was served lately.
func (l *line) change(now int64, m Model) {
	var all []*waiter
	for _, f := range l.byStart.items {
		for w := f.head; w != nil; w = w.after {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *waiter) int { return cmp.Compare(a.order, b.order) })
	for _, w := range all {
		l.remove(w)
	}
	l.model = m
	l.requests.resize(now, m.RPM)
	l.tokens.resize(now, m.TPM)
	for _, w := range all {
		if m.TPM > 0 && w.tokens > m.TPM {
			w.err = &Error{Reason: TooLarge, Limits: m, Tokens: w.tokens}
			l.decided = append(l.decided, w)
			continue
		}
		l.arrival, w.cost, w.passed = w.order, l.price(w.tokens), 0
		l.append(w)
	}
	l.advance(now)
}

// resize makes it a bucket of another limit. What was taken of the old one is taken of the new one, of which at most all is: nobody
// is to wait longer than for an empty bucket because a limit was lowered.
func (b *bucket) resize(now, limit int64) {
	if limit == b.limit {
		return
	}
	if b.limit <= 0 || limit <= 0 {
		*b = bucket{limit: limit, takes: b.takes}
		return
	}
	b.spill(now)
	lack := b.full - now
	most := max(lack, minute)
	b.full = now + min(rescale(lack, b.limit, limit), most)
	for i, d := range b.dips {
		b.dips[i].lack = min(rescale(d.lack, b.limit, limit), most)
	}
	b.spilled, b.learned, b.cushion = rescale(b.spilled, b.limit, limit), rescale(b.learned, b.limit, limit), rescale(b.cushion, b.limit, limit)
	b.limit = limit
}

// today returns a mark as it reads with the limit of today. It says nothing when there was no limit, or there is none now.
func (b *bucket) today(m mark) (mark, bool) {
	if b.limit <= 0 || m.limit <= 0 {
		return m, false
	}
	if m.limit != b.limit {
		m.lack, m.spilled, m.learned = rescale(m.lack, m.limit, b.limit), rescale(m.spilled, m.limit, b.limit), rescale(m.learned, m.limit, b.limit)
		m.limit = b.limit
	}
	return m, true
}

// rescale returns the time in which a bucket of limit after gains what one of limit before gains in t. Both limits are above zero.
func rescale(t, before, after int64) int64 {
	if t < 0 {
		return -rescale(-t, before, after)
	}
	hi, lo := bits.Mul64(uint64(t), uint64(before))
	if hi >= uint64(after) {
		return never / 4 // longer than any clock of ours runs
	}
	q, _ := bits.Div64(hi, lo, uint64(after))
	return int64(min(q, uint64(never/4)))
}
