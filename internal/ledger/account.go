package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"forward/internal/price"
)

// accountID names what budgets are about: a key, or a tag.
type accountID struct{ key, tag string }

// account returns what a budget is about, for a call of a key.
func (b Budget) account(key string) accountID {
	if b.Tag != "" {
		return accountID{tag: b.Tag}
	}
	return accountID{key: key}
}

// accounts returns what a row counts for: its key, and then those of its tags
// that are counted, in the order of their names.
func (r *Row) accounts(tracked map[string]bool) []accountID {
	ids := []accountID{{key: r.Key}}
	if len(tracked) == 0 {
		return ids
	}
	for _, tag := range r.Tags {
		if tracked[tag] {
			ids = append(ids, accountID{tag: tag})
		}
	}
	slices.SortFunc(ids[1:], func(a, b accountID) int { return strings.Compare(a.tag, b.tag) })
	return slices.Compact(ids)
}

// account is what memory knows of a key or a tag with budgets: a meter for each
// of them.
type account struct {
	accountID
	ledger *Ledger

	mu     sync.Mutex // guards the meters; held while the sum of a period is read from the database, once in the period
	meters map[meterID]*meter
}

// meterID identifies a meter of an account. The amount of the budget is no part
// of it, nor is whether unpriced models pass.
type meterID struct {
	unit   Unit
	period Period
	zone   string
}

// meter counts what was spent in one period.
type meter struct {
	unit        Unit
	start, end  time.Time // zero: a total
	spent, held int64
	budget      Budget // as it was last given
	warned      int    // the highest level with a warning, in percent
}

// hold is the part of a meter that is reserved for a call. It belongs to the
// meter of its period: released after the period's end, it gives nothing away
// in the next one.
type hold struct {
	meter  *meter
	amount int64
}

// spent is what a key used, in each unit.
type spent struct{ cost, tokens int64 }

// spentBy returns what a row takes from budgets.
func spentBy(r *Row) spent {
	s := spent{tokens: r.Tokens()}
	if r.Priced {
		s.cost = max(0, int64(r.Cost))
		if r.CountList {
			s.cost = price.Add(s.cost, max(0, int64(r.List)))
		}
	}
	return s
}

// uses reports whether a row can take anything from a budget in a unit: what
// the caller's own credential paid takes no dollars, unless its key wants it.
func (r *Row) uses(u Unit) bool { return u != USD || !r.Listed || r.CountList }

func (s spent) plus(o spent) spent {
	return spent{price.Add(s.cost, o.cost), price.Add(s.tokens, o.tokens)}
}

func (s spent) in(u Unit) int64 {
	if u == USD {
		return s.cost
	}
	return s.tokens
}

// levels are the parts of a budget at which there is a warning, in percent.
var levels = []int{50, 80, 100}

// errInexact is the error of a reservation whose bound is not good enough.
var errInexact = errors.New("the call has to be counted")

// joint is the accounts that a call counts in. They are locked in their order,
// which is the same for every call: that of the key, then those of tags by
// name.
type joint []*account

func (j joint) lock() {
	for _, a := range j {
		a.mu.Lock()
	}
}

func (j joint) unlock() {
	for _, a := range j {
		a.mu.Unlock()
	}
}

// of returns the account that a budget is in.
func (j joint) of(b Budget) *account {
	for _, a := range j {
		if a.tag == b.Tag {
			return a
		}
	}
	return nil
}

// reserve holds an amount in every budget, or in none. A call may start while
// anything is left, and as much as it needs has not been spent: spent and held
// together may exceed the amount by the reservation of this one call, and not
// by more.
func (j joint) reserve(ctx context.Context, r *Reservation) ([]hold, error) {
	least := r.least() // pricing needs no lock
	j.lock()
	defer j.unlock()
	// The time is read with the locks held. Otherwise a call that waited for
	// them over the end of a period would turn the meter back.
	now := j[0].ledger.o.Now()
	r.Row.Booked = now
	holds := make([]hold, 0, len(r.Budgets))
	for _, b := range r.Budgets {
		if !r.Row.uses(b.Unit) {
			continue
		}
		if b.Unit == USD && !r.Row.Priced && !b.AllowUnpriced {
			return nil, &UnpricedError{Budget: b, Upstream: r.Row.Upstream, Model: r.Row.Model, Why: r.Row.Price}
		}
		a := j.of(b)
		m, err := a.meter(ctx, b, now)
		if err != nil {
			return nil, err
		}
		used := price.Add(m.spent, m.held)
		used = price.Add(used, a.ledger.deferrals.heldBy(a.accountID, b.Unit))
		if used >= b.Amount {
			return nil, &BudgetError{Balance: a.balance(m)}
		}
		amount := max(0, spentBy(&r.Row).in(b.Unit))
		if r.Exact != nil && price.Add(used, amount) > b.Amount/2 {
			return nil, errInexact
		}
		// What others hold does not count: it may come back.
		if needed := least.in(b.Unit); !b.Overrun && needed > b.Amount-m.spent {
			return nil, &BudgetError{Balance: a.balance(m), Needed: needed}
		}
		holds = append(holds, hold{m, amount})
	}
	for _, h := range holds {
		h.meter.held = price.Add(h.meter.held, h.amount)
	}
	return holds, nil
}

// meter returns the meter of a budget at now. It fills the meter from the
// database when the period is new or the budget is used for the first time. The
// caller holds a.mu.
func (a *account) meter(ctx context.Context, b Budget, now time.Time) (*meter, error) {
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	id := meterID{b.Unit, b.Period, zone.String()}
	if m := a.meters[id]; m != nil && m.covers(now) {
		m.setBudget(b)
		return m, nil
	}
	start, end, err := b.Period.Window(now, zone)
	if err != nil {
		return nil, err
	}
	s, err := a.ledger.spentSince(ctx, a.accountID, start)
	if err != nil {
		return nil, fmt.Errorf("reading what was spent of a budget: %w", err)
	}
	m := &meter{unit: b.Unit, start: start, end: end, spent: s.in(b.Unit), budget: b}
	m.warned = m.level() // levels that were reached before this process knew of it had their warning
	a.meters[id] = m
	return m, nil
}

// passing is a meter that passed a level.
type passing struct {
	balance Balance
	percent int
}

// release gives back what was held. The caller holds the locks of the meters'
// accounts.
func release(holds []hold) {
	for _, h := range holds {
		h.meter.held -= h.amount
	}
}

// settle counts what was spent in every meter that the call belongs to. These
// may be more than it held: the account may have been given a budget while the
// call ran. The caller holds a.mu. It returns the meters that passed a level.
func (a *account) settle(r *Row) (passed []passing) {
	s := spentBy(r)
	for _, m := range a.meters {
		if !m.covers(r.booked()) {
			continue
		}
		m.spent = price.Add(m.spent, s.in(m.unit))
		if level := m.level(); level > m.warned {
			m.warned = level
			passed = append(passed, passing{a.balance(m), level})
		}
	}
	return passed
}

// covers reports whether t is in the meter's period.
func (m *meter) covers(t time.Time) bool {
	return m.end.IsZero() || (!t.Before(m.start) && t.Before(m.end))
}

// setBudget takes the amount of a budget over. After a raise, levels that are
// no longer reached can be reached again.
func (m *meter) setBudget(b Budget) {
	changed := b.Amount != m.budget.Amount
	m.budget = b
	if changed {
		m.warned = min(m.warned, m.level())
	}
}

// level returns the highest level that is reached, in percent.
func (m *meter) level() (reached int) {
	for _, percent := range levels {
		if m.budget.Amount > 0 && float64(m.spent) >= float64(m.budget.Amount)*float64(percent)/100 {
			reached = percent
		}
	}
	return reached
}

// balanceOf returns the state of a budget.
func (a *account) balanceOf(ctx context.Context, b Budget) (Balance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, err := a.meter(ctx, b, a.ledger.o.Now())
	if err != nil {
		return Balance{}, err
	}
	return a.balance(m), nil
}

// balance is the state of a meter's budget, with what deferred work holds of
// it.
func (a *account) balance(m *meter) Balance {
	held := price.Add(m.held, a.ledger.deferrals.heldBy(a.accountID, m.unit))
	return Balance{Budget: m.budget, Spent: m.spent, Held: held, Reset: m.end}
}
