package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"
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
	Budgets []Budget // those of its key and of its tags
	// Exact, where it is not nil, means that Row has an upper bound that was
	// found without counting. It replaces the bound by what it counts, and is
	// called where a budget is half used, or would be with the bound.
	Exact func(*Row)
	// Least, where it is not nil, sets the Cost and the Usage of a copy of Row
	// to what must be left of every budget without Overrun for the call to
	// start. That may be more than Row has. Without it a call starts while
	// anything is left.
	Least func(*Row)
}

// least returns what must be left of the budgets for the call to start.
func (r *Reservation) least() spent {
	if r.Least == nil || !slices.ContainsFunc(r.Budgets, func(b Budget) bool { return !b.Overrun }) {
		return spent{}
	}
	row := r.Row
	r.Least(&row)
	row.bound()
	return spentBy(&row)
}

// Call is a request under way. Settle ends it.
type Call struct {
	ledger   *Ledger
	joint    joint // the accounts that it holds something in
	holds    []hold
	open     *entry
	reserved *Row // as it was reserved last; not to be changed
	settled  atomic.Bool
}

// Reserve reserves a call in every budget of its key and of its tags, in all or
// in none, and records it as open.
// Its errors are a [*BudgetError], an [*UnpricedError], [ErrUnwritable] where
// the ledger is strict, and that of a database which cannot be read. After an
// error there is nothing to settle.
func (l *Ledger) Reserve(ctx context.Context, r Reservation) (*Call, error) {
	if l.o.Strict && !l.writable() {
		return nil, ErrUnwritable
	}
	c := &Call{ledger: l}
	err := c.hold(ctx, &r)
	if err != nil {
		return nil, err
	}
	c.open = &entry{kind: opened, row: r.Row}
	c.reserved = &c.open.row
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
	c.joint.lock()
	defer c.joint.unlock()
	release(c.holds)
	c.holds = nil
}

// hold reserves a call in every budget.
func (c *Call) hold(ctx context.Context, r *Reservation) (err error) {
	r.Row.bound()
	if len(r.Budgets) == 0 {
		return nil
	}
	c.joint, err = c.ledger.open(ctx, r)
	if err != nil {
		return err
	}
	c.holds, err = c.joint.reserve(ctx, r)
	if errors.Is(err, errInexact) {
		r.Exact(&r.Row) // without a lock, because long prompts take their time
		r.Exact = nil
		r.Row.bound()
		c.holds, err = c.joint.reserve(ctx, r)
	}
	return err
}

// open returns the accounts that the budgets of a reservation are in.
func (l *Ledger) open(ctx context.Context, r *Reservation) (joint, error) {
	tags := make([]string, 0, len(r.Budgets))
	var own bool
	for _, b := range r.Budgets {
		if b.Tag == "" {
			own = true
		} else {
			tags = append(tags, b.Tag)
		}
	}
	if err := l.TrackTags(ctx, tags...); err != nil {
		return nil, err
	}
	slices.Sort(tags)
	list := make(joint, 0, len(tags)+1)
	if own {
		list = append(list, l.account(accountID{key: r.Row.Key}))
	}
	for _, tag := range slices.Compact(tags) {
		list = append(list, l.account(accountID{tag: tag}))
	}
	return list, nil
}

// Move reserves r instead of what is reserved for the call, which asks another
// model then. Its errors are those of Reserve. After an error nothing is
// reserved, and the call is still to be settled.
func (c *Call) Move(ctx context.Context, r Reservation) error {
	c.release()
	err := c.hold(ctx, &r)
	if err == nil {
		c.reserved = &r.Row
	}
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
	reserved := c.reserved
	r.ID = reserved.ID
	r.Key = reserved.Key
	r.Tags = reserved.Tags
	r.Added = reserved.Added
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
	j := l.jointOf(r)
	if len(j) == 0 {
		l.put(e)
		l.mu.RUnlock()
		return
	}
	j.lock()
	release(holds)
	var passed []Warning
	for _, a := range j {
		for _, p := range a.settle(r) {
			w := Warning{Time: l.o.Now(), Key: a.key, Balance: p.balance, Percent: p.percent}
			if a.tag == "" {
				w.KeyName = r.KeyName
			}
			passed = append(passed, w)
		}
	}
	l.put(e)
	j.unlock()
	l.mu.RUnlock()
	for _, w := range passed {
		l.warn(w)
	}
}

// jointOf returns the accounts in memory that a row counts in. The caller holds
// l.mu.
func (l *Ledger) jointOf(r *Row) (list joint) {
	for _, id := range r.accounts(l.tracked()) {
		if a := l.accounts[id]; a != nil {
			list = append(list, a)
		}
	}
	return list
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
	l.o.Log.Warn("a budget is being used up", "key", w.Key, "name", w.KeyName, "tag", w.Balance.Budget.Tag, "budget", w.Balance.Budget.String(),
		"percent", w.Percent, "reset", w.Balance.Reset)
	if l.o.OnWarning != nil {
		l.o.OnWarning(w)
	}
}

// Balances returns the state of budgets, of a key and of tags, in their order.
func (l *Ledger) Balances(ctx context.Context, key string, budgets []Budget) ([]Balance, error) {
	list := make([]Balance, 0, len(budgets))
	for _, b := range budgets {
		if b.Tag != "" {
			if err := l.TrackTags(ctx, b.Tag); err != nil {
				return nil, err
			}
		}
		balance, err := l.account(b.account(key)).balanceOf(ctx, b)
		if err != nil {
			return nil, err
		}
		list = append(list, balance)
	}
	return list, nil
}

// account returns the account of a key or a tag.
func (l *Ledger) account(id accountID) *account {
	l.mu.RLock()
	a := l.accounts[id]
	l.mu.RUnlock()
	if a != nil {
		return a
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a = l.accounts[id]
	if a == nil {
		a = &account{ledger: l, accountID: id, meters: map[meterID]*meter{}}
		l.accounts[id] = a
	}
	return a
}

// spentSince sums up what a key used, or what was used with a tag, from the
// database and the rows that wait for it. Still keeps a row from being in both
// or in neither.
func (l *Ledger) spentSince(ctx context.Context, id accountID, since time.Time) (s spent, err error) {
	l.pending.Still(func() {
		s, err = l.Reader.spentSince(ctx, id, since)
		l.pending.Each(func(e *entry) {
			if e.kind == settled && e.row.counts(id) && !e.row.booked().Before(since) {
				s = s.plus(spentBy(&e.row))
			}
		})
	})
	return s, err
}

// counts reports whether a row counts in an account.
func (r *Row) counts(id accountID) bool {
	if id.tag != "" {
		return slices.Contains(r.Tags, id.tag)
	}
	return r.Key == id.key
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
	r.List = min(max(r.List, 0), price.MaxCall)
}
