package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"forward/internal/price"
)

// Unit is what a budget counts.
type Unit string

// The units.
const (
	USD    Unit = "usd"    // Budget.Amount and sums are nano-dollars
	Tokens Unit = "tokens" // prompt and generated tokens together
)

// Budget is what a key may use in a period. It is handed in with every call, so that a change is in force with the next one, while what
// was spent is kept apart from it: raising and lowering move the limit, not the sum.
type Budget struct {
	Unit   Unit
	Amount int64 // nano-dollars or tokens
	Period Period
	Zone   *time.Location // whose calendar; nil: UTC
	// AllowUnpriced lets calls of models without a price through a budget in dollars, uncounted. It is off by default, because a
	// budget that does not see what is spent holds nothing.
	AllowUnpriced bool
}

// String names a budget as people write it: "$20.00/month", "1000000 tokens/day", "$5.00 in total".
func (b Budget) String() string {
	amount := fmt.Sprintf("%d tokens", b.Amount)
	if b.Unit == USD {
		amount = price.Money(b.Amount).String()
	}
	if b.Period == Total {
		return amount + " in total"
	}
	return amount + "/" + string(b.Period)
}

// Balance is how a budget stands.
type Balance struct {
	Budget Budget
	Spent  int64     // nano-dollars or tokens, of calls that have ended
	Held   int64     // reserved for calls that are under way
	Reset  time.Time // when the period ends; zero for a total
}

// BudgetError says that a budget is spent.
type BudgetError struct{ Balance }

func (e *BudgetError) Error() string {
	text := fmt.Sprintf("the budget of %s is spent: %s used", e.Budget, e.amount(e.Spent))
	if e.Held > 0 {
		text += fmt.Sprintf(", %s reserved by calls under way", e.amount(e.Held))
	}
	if !e.Reset.IsZero() {
		text += ", it begins anew at " + e.Reset.Format(time.RFC3339)
	}
	return text
}

func (e *BudgetError) amount(n int64) string {
	if e.Budget.Unit == USD {
		return price.Money(n).String()
	}
	return fmt.Sprintf("%d tokens", n)
}

// UnpricedError says that a key has a budget in dollars and the model has no price.
type UnpricedError struct {
	Budget Budget
	Model  string
}

func (e *UnpricedError) Error() string {
	return fmt.Sprintf("model %q has no price, so the budget of %s cannot hold for it: give it a price, or allow unpriced models for the key", e.Model, e.Budget)
}

// Warning says that a part of a budget is used. It comes once for each of 50, 80 and 100 percent in a period.
type Warning struct {
	Time    time.Time
	Key     string
	KeyName string
	Balance Balance
	Percent int
}

// levels are the parts of a budget at which there is a warning, in percent.
var levels = []int{50, 80, 100}

// account is what memory knows of a key that has budgets.
type account struct {
	mu      sync.Mutex // guards all below; held while the sum of a period is read from the database, once in the period
	windows map[windowID]*window
}

// windowID names a sum of an account. The amount is no part of it, nor is whether unpriced models pass.
type windowID struct {
	unit   Unit
	period Period
	zone   string
}

// window is what was spent in one period.
type window struct {
	unit        Unit
	start, end  time.Time // zero: a total
	spent, held int64
	budget      Budget // as last asked for
	warned      int    // percent
}

// hold is a part of a window that is reserved for a call. It stays with its window, so that letting it go in the next period
// gives nothing away there.
type hold struct {
	window *window
	amount int64
}

// spent is what a key used: the amount in each unit.
type spent struct{ cost, tokens int64 }

func (s spent) in(u Unit) int64 {
	if u == USD {
		return s.cost
	}
	return s.tokens
}

// sumSince reads what a key used since an instant from the truth; the zero time means ever.
type sumSince func(ctx context.Context, key string, since time.Time) (spent, error)

// window returns the window of a budget around now, and fills it from the truth when its period has just begun or it is asked for the
// first time. The caller holds a.mu.
func (a *account) window(ctx context.Context, key string, b Budget, now time.Time, sum sumSince) (*window, error) {
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	id := windowID{b.Unit, b.Period, zone.String()}
	if w := a.windows[id]; w != nil && w.covers(now) {
		w.setBudget(b)
		return w, nil
	}
	start, end, err := b.Period.Window(now, zone)
	if err != nil {
		return nil, err
	}
	s, err := sum(ctx, key, start)
	if err != nil {
		return nil, fmt.Errorf("reading what the key has spent: %w", err)
	}
	w := &window{unit: b.Unit, start: start, end: end, spent: s.in(b.Unit), budget: b}
	w.warned = w.level() // what was passed before this process knew of it has been told
	if a.windows == nil {
		a.windows = map[windowID]*window{}
	}
	a.windows[id] = w
	return w, nil
}

func (w *window) covers(t time.Time) bool {
	return w.end.IsZero() || !t.Before(w.start) && t.Before(w.end)
}

// setBudget takes a budget's amount over. After a raise, levels that are no longer reached can be reached again.
func (w *window) setBudget(b Budget) {
	if b.Amount != w.budget.Amount {
		w.budget = b
		w.warned = min(w.warned, w.level())
	}
	w.budget = b
}

// level is the highest warning level that is reached, in percent.
func (w *window) level() (reached int) {
	for _, percent := range levels {
		if float64(w.spent) >= float64(w.budget.Amount)*float64(percent)/100 && w.budget.Amount > 0 {
			reached = percent
		}
	}
	return reached
}

func (w *window) balance() Balance {
	return Balance{Budget: w.budget, Spent: w.spent, Held: w.held, Reset: w.end}
}

// errInexact says that a bound will not do.
var errInexact = errors.New("the call has to be counted")

// reserve holds an amount in every budget, or in none. A call may begin while anything is left: spent and held together may pass
// the limit by this one call's reserve, and no further.
func (a *account) reserve(ctx context.Context, r *Reservation, clock func() time.Time, sum sumSince) ([]hold, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := clock() // with the lock: who comes second must not turn a window back that the first has begun
	r.Row.Booked = now
	holds := make([]hold, 0, len(r.Budgets))
	for _, b := range r.Budgets {
		if b.Unit == USD && !r.Row.Priced && !b.AllowUnpriced {
			return nil, &UnpricedError{b, r.Row.Model}
		}
		w, err := a.window(ctx, r.Row.Key, b, now, sum)
		if err != nil {
			return nil, err
		}
		if price.Add(w.spent, w.held) >= b.Amount {
			return nil, &BudgetError{w.balance()}
		}
		amount := max(0, spentBy(&r.Row).in(b.Unit))
		if r.Exact != nil && price.Add(price.Add(w.spent, w.held), amount) > b.Amount/2 {
			return nil, errInexact
		}
		holds = append(holds, hold{w, amount})
	}
	for _, h := range holds {
		h.window.held = price.Add(h.window.held, h.amount)
	}
	return holds, nil
}

// settle lets go of what was held and counts what was spent, in every window the call belongs to: also in one whose budget was given to
// the key while the call ran. The caller holds a.mu. It returns the windows that passed a level.
func (a *account) settle(r *Row, holds []hold) (passed []Balance, percent []int) {
	for _, h := range holds {
		h.window.held -= h.amount
	}
	s := spentBy(r)
	for _, w := range a.windows {
		if !w.covers(r.booked()) {
			continue
		}
		w.spent = price.Add(w.spent, s.in(w.unit))
		if level := w.level(); level > w.warned {
			w.warned = level
			passed, percent = append(passed, w.balance()), append(percent, level)
		}
	}
	return passed, percent
}

// spentBy is what a row takes from budgets.
func spentBy(r *Row) spent {
	s := spent{tokens: r.Tokens()}
	if r.Priced {
		s.cost = max(0, int64(r.Cost))
	}
	return s
}
