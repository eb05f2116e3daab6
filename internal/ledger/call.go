package ledger

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"forward/internal/price"
)

// interrupted is the cause of rows that count with what was reserved.
const interrupted = "interrupted"

// Reservation is a call that is about to be made.
type Reservation struct {
	// Row is what is known of the call. Its Cost (with Priced) and Usage are
	// the most that it may use, see Row.Estimate.
	Row     Row
	Budgets []Budget // those of its key
	// Exact, where it is not nil, means that Row has an upper bound that was
	// found without counting. It replaces the bound by what it counts, and is
	// called where a budget is half used, or would be with the bound.
	Exact func(*Row)
	// Least, where it is not nil, sets the Cost and the Usage of a copy of Row
	// to what must be left of every budget for the call to start. That may be
	// more than Row has. Without it a call starts while anything is left.
	Least func(*Row)
}

// least returns what must be left of the budgets for the call to start.
func (r *Reservation) least() spent {
	if r.Least == nil || len(r.Budgets) == 0 {
		return spent{}
	}
	row := r.Row
	r.Least(&row)
	row.bound()
	return spentBy(&row)
}

// Call is a request under way. Settle ends it.
type Call struct {
	ledger  *Ledger
	holds   []hold
	open    *entry
	settled atomic.Bool
}

// Reserve reserves a call in every budget of its key and records it as open.
// Its errors are a [*BudgetError], an [*UnpricedError], [ErrUnwritable] where
// the ledger is strict, and that of a database which cannot be read. After an
// error there is nothing to settle.
func (l *Ledger) Reserve(ctx context.Context, r Reservation) (*Call, error) {
	if l.o.Strict && !l.writable() {
		return nil, ErrUnwritable
	}
	c := &Call{ledger: l}
	var err error
	c.holds, err = l.hold(ctx, &r)
	if err != nil {
		return nil, err
	}
	c.open = &entry{kind: opened, row: r.Row}
	taken := l.put(c.open)
	if l.o.Strict {
		err := ErrUnwritable
		if taken {
			err = l.flushStrictly(ctx)
		}
		if err != nil {
			c.withdraw()
			return nil, err
		}
	}
	return c, nil
}

// strictPatience is how long a call waits until it is in the database, where
// the ledger is strict.
const strictPatience = 5 * time.Second

// flushStrictly writes what waits. Calls that come together are written
// together.
func (l *Ledger) flushStrictly(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, strictPatience)
	defer cancel()
	if err := l.pending.Flush(bounded); err != nil {
		return cmp.Or(ctx.Err(), ErrUnwritable) // the caller may have left
	}
	return nil
}

// withdraw ends a call that is not made.
func (c *Call) withdraw() {
	c.settled.Store(true)
	c.release()
	c.ledger.put(&entry{kind: withdrawn, row: Row{ID: c.open.row.ID}, open: c.open})
}

// release gives back what the call holds in its meters.
func (c *Call) release() {
	if len(c.holds) == 0 {
		return
	}
	a := c.ledger.account(c.open.row.Key)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.release(c.holds)
	c.holds = nil
}

// hold reserves a call in every budget of its key.
func (l *Ledger) hold(ctx context.Context, r *Reservation) ([]hold, error) {
	r.Row.bound()
	if len(r.Budgets) == 0 {
		return nil, nil
	}
	a := l.account(r.Row.Key)
	holds, err := a.reserve(ctx, r)
	if errors.Is(err, errInexact) {
		r.Exact(&r.Row) // without a lock, because long prompts take their time
		r.Exact = nil
		r.Row.bound()
		holds, err = a.reserve(ctx, r)
	}
	return holds, err
}

// Move reserves r instead of what is reserved for the call, which asks another
// model then. Its errors are those of Reserve. After an error nothing is
// reserved, and the call is still to be settled.
func (c *Call) Move(ctx context.Context, r Reservation) error {
	c.release()
	holds, err := c.ledger.hold(ctx, &r)
	c.holds = holds
	return err
}

// Settle ends a call with what it used: nothing when it failed before its first
// byte, what was seen when it was aborted. Only the first Settle counts, so
// that a deferred one does no harm.
func (c *Call) Settle(r Row) {
	if c.settled.Swap(true) {
		return
	}
	// The identity of the row stays as it was reserved.
	reserved := &c.open.row
	r.ID = reserved.ID
	r.Key = reserved.Key
	r.Time = reserved.Time
	r.Booked = reserved.Booked
	c.ledger.settle(&entry{kind: settled, row: r, open: c.open}, c.holds)
}

// Record records a request that reserved nothing: one that was refused or
// answered by the cache.
func (l *Ledger) Record(r Row) { l.settle(&entry{kind: settled, row: r}, nil) }

func (l *Ledger) settle(e *entry, holds []hold) {
	r := &e.row
	r.bound()
	// An account that is made meanwhile sums up the queue. The lock prevents
	// that between the look for the account and the queue.
	l.mu.RLock()
	a := l.accounts[r.Key]
	if a == nil {
		l.put(e)
		l.mu.RUnlock()
		return
	}
	a.mu.Lock()
	passed := a.settle(r, holds)
	l.put(e)
	a.mu.Unlock()
	l.mu.RUnlock()
	for _, p := range passed {
		l.warn(Warning{Time: l.o.Now(), Key: r.Key, KeyName: r.KeyName, Balance: p.balance, Percent: p.percent})
	}
}

// put queues an entry to be written, and reports whether there was space. A
// settled row that does not fit is counted.
func (l *Ledger) put(e *entry) bool {
	if e.open != nil {
		e.open.drop()
	}
	taken := l.pending.Put(e)
	if !taken && e.kind == settled {
		l.lost.Add(1)
	}
	return taken
}

// warn reports to the log, the ledger and OnWarning that a budget reached a
// level.
func (l *Ledger) warn(w Warning) {
	l.put(&entry{kind: warned, warning: &w})
	l.o.Log.Warn("a budget is being used up", "key", w.Key, "name", w.KeyName, "budget", w.Balance.Budget.String(),
		"percent", w.Percent, "reset", w.Balance.Reset)
	if l.o.OnWarning != nil {
		l.o.OnWarning(w)
	}
}

// Balances returns the state of budgets of a key, in their order.
func (l *Ledger) Balances(ctx context.Context, key string, budgets []Budget) ([]Balance, error) {
	if len(budgets) == 0 {
		return nil, nil
	}
	a := l.account(key)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := l.o.Now()
	list := make([]Balance, 0, len(budgets))
	for _, b := range budgets {
		m, err := a.meter(ctx, b, now)
		if err != nil {
			return nil, err
		}
		list = append(list, a.balance(m))
	}
	return list, nil
}

// account returns the account of a key.
func (l *Ledger) account(key string) *account {
	l.mu.RLock()
	a := l.accounts[key]
	l.mu.RUnlock()
	if a != nil {
		return a
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a = l.accounts[key]
	if a == nil {
		a = &account{ledger: l, key: key, meters: map[meterID]*meter{}}
		l.accounts[key] = a
	}
	return a
}

// spentSince sums up what a key used, from the database and the rows that wait
// for it. Still keeps a row from being in both or in neither.
func (l *Ledger) spentSince(ctx context.Context, key string, since time.Time) (s spent, err error) {
	l.pending.Still(func() {
		s, err = l.Reader.spentSince(ctx, key, since)
		l.pending.Each(func(e *entry) {
			if e.kind == settled && e.row.Key == key && !e.row.booked().Before(since) {
				s = s.plus(spentBy(&e.row))
			}
		})
	})
	return s, err
}

// bound brings a row's numbers into range.
func (r *Row) bound() {
	u := &r.Usage
	for _, n := range []*int64{
		&u.Input, &u.Output, &u.CachedRead, &u.CachedWrite, &u.CachedWriteHour, &u.Reasoning, &u.Audio, &u.AudioOutput,
		&r.BytesIn, &r.BytesOut,
	} {
		*n = min(max(*n, 0), price.MaxCount)
	}
	r.Cost = min(max(r.Cost, 0), price.MaxCall)
	r.Saved = min(max(r.Saved, 0), price.MaxCall)
}
