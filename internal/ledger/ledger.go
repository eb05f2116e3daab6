// Package ledger keeps what was used and what it cost, and holds keys to their budgets.
//
// Each request that reaches the pipeline becomes exactly one row, identified by the request's id. Rows are written outside of the
// request's path, in batches, to SQLite. Sums by hour and by day are kept in the same transaction, so that a report reads thousands of
// cells where there are millions of rows. The database is the truth, also for what is left of a budget: memory holds only the sum of the
// current period, and is filled from the database when a budget is first asked for.
//
// A call is reserved before it is made and settled when it ends. The reservation is in the database too: the start after a crash
// settles the calls that were under way, at what was reserved for them, marked as estimated.
//
// The package opens no database and imports no driver: it is given a *sql.DB and keeps to tables whose names begin with usage_.
package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"forward/internal/price"
)

// Options set up a Ledger. Zero fields mean the defaults.
type Options struct {
	Location *time.Location // whose days reports go by; default time.Local
	Now      func() time.Time
	Log      *slog.Logger
	// Delay is how long a row waits for others before they are written together; default 50 ms. A killed process loses at most what
	// came in that time and while one batch is written.
	Delay time.Duration
	// MaxPending bounds the memory of rows that wait for a database which takes none, in bytes; default 64 MiB.
	MaxPending int64
	// Strict makes Begin fail while the ledger cannot be written, so that nothing is served that may not be accounted for.
	Strict bool
	// Retention is the age at which single rows are removed; default 90 days, negative keeps all. Sums by hour are kept for
	// 400 days, or as long as rows where that is longer; sums by day are kept.
	Retention time.Duration
	// OnWarning is told when a budget reaches 50, 80 and 100 percent. It is called on the request's way out and must not block.
	OnWarning func(Warning)
	// Sinks get every row after it is in the database. Close closes them.
	Sinks []Sink
}

// ErrUnwritable says that the ledger cannot be written and is strict about it.
var ErrUnwritable = errors.New("the ledger cannot be written, and LEDGER_STRICT refuses calls that it may not account for")

// ErrClosed says that the ledger is closed.
var ErrClosed = errors.New("the ledger is closed")

// Ledger writes down what was used and holds budgets. Open returns one, Begin and Record feed it from many goroutines, Close writes the
// rest. One process at a time may have a ledger open on a database; Readers may read beside it.
type Ledger struct {
	*Reader
	o Options

	mu       sync.RWMutex // guards accounts; taken before all other locks
	accounts map[string]*account

	queue   queue
	batches sync.Mutex // held while a batch is settled; taken before commit and mu
	commit  sync.Mutex // held while a batch is written and leaves the queue: who holds it sees each row in one of the two places
	names   map[string]string
	// prepared are the writer's statements, by their text. Close closes them.
	prepared map[string]*sql.Stmt
	kinds    map[rowKind]keptKind

	caps caps
	fans []*fan
	stop chan struct{}
	done chan struct{}
}

// Open makes the tables if they are not there, settles as estimated what an earlier process had begun and not ended, and starts to
// write. The database stays the caller's to close, after Close.
func Open(db *sql.DB, o Options) (*Ledger, error) {
	o.Location = cmp.Or(o.Location, time.Local)
	o.Delay = cmp.Or(o.Delay, 50*time.Millisecond)
	o.MaxPending = cmp.Or(o.MaxPending, 64<<20)
	o.Retention = cmp.Or(o.Retention, 90*24*time.Hour)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx := context.Background() // the database of a start: nobody waits for an answer yet
	if err := migrate(ctx, db); err != nil {
		return nil, err
	}
	l := &Ledger{
		Reader: NewReader(db, o.Location), o: o, accounts: map[string]*account{}, names: map[string]string{}, prepared: map[string]*sql.Stmt{}, kinds: map[rowKind]keptKind{},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	l.queue.init(o.MaxPending)
	if err := l.recover(ctx); err != nil {
		return nil, err
	}
	for _, s := range o.Sinks {
		l.fans = append(l.fans, newFan(s, o.Log))
	}
	go l.write()
	return l, nil
}

// Reservation is a call that is about to be made.
type Reservation struct {
	// Row is what is known already. Its Cost (with Priced) and Usage are what the call may take at most, see Price.Reserve.
	Row     Row
	Budgets []Budget // those of its key
	// Exact, where there is one, says that Row has a bound of what the call may take, which was found without counting, and replaces it
	// by what was counted. It is asked where budgets are half used up, or the bound would use one up to there.
	Exact func(*Row)
}

// Call is a request under way. Settle ends it.
type Call struct {
	l       *Ledger
	holds   []hold
	open    entry
	settled atomic.Bool
}

// Begin reserves a call in every budget of its key and writes it down as open. Its errors are a *BudgetError, an *UnpricedError,
// ErrUnwritable when the ledger is strict, or that of a database which cannot tell what was spent. After an error there is nothing
// to settle.
func (l *Ledger) Begin(ctx context.Context, r Reservation) (*Call, error) {
	if l.o.Strict && !l.queue.writable() {
		return nil, ErrUnwritable
	}
	clean(&r.Row)
	c := &Call{l: l}
	if len(r.Budgets) > 0 {
		var err error
		a := l.account(r.Row.Key)
		c.holds, err = a.reserve(ctx, &r, l.o.Now, l.spentSince)
		if err == errInexact {
			r.Exact(&r.Row) // under no lock, for long prompts take their time
			r.Exact = nil
			clean(&r.Row)
			c.holds, err = a.reserve(ctx, &r, l.o.Now, l.spentSince)
		}
		if err != nil {
			return nil, err
		}
	}
	c.open = entry{kind: opened, row: r.Row}
	l.queue.add(&c.open)
	return c, nil
}

// Settle ends a call with what it took in truth: nothing when it failed before its first byte, what was seen when it was aborted. Only
// the first Settle counts, so that a deferred one does no harm.
func (c *Call) Settle(r Row) {
	if c.settled.Swap(true) {
		return
	}
	c.l.settle(r, c)
}

// Record writes a request down that had nothing to reserve: one that was refused, or answered out of the cache.
func (l *Ledger) Record(r Row) { l.settle(r, nil) }

func (l *Ledger) settle(r Row, c *Call) {
	var holds []hold
	if c != nil { // what is told apart by stays as it was reserved
		begun := &c.open.row
		r.ID, r.Key, r.Time, r.Booked, holds = begun.ID, begun.Key, begun.Time, begun.Booked, c.holds
	}
	clean(&r)
	e := &entry{kind: settled, row: r}
	if c != nil {
		e.open = &c.open
	}
	// An account that comes into being sums up the queue. The lock keeps that from happening between the look for one and the queue.
	l.mu.RLock()
	a := l.accounts[r.Key]
	if a == nil {
		l.queue.add(e)
		l.mu.RUnlock()
		return
	}
	a.mu.Lock()
	passed, percent := a.settle(&r, holds)
	l.queue.add(e)
	a.mu.Unlock()
	l.mu.RUnlock()
	for i, balance := range passed {
		l.warn(Warning{Time: l.o.Now(), Key: r.Key, KeyName: r.KeyName, Balance: balance, Percent: percent[i]})
	}
}

// warn tells everybody who is to know that a budget reached a level.
func (l *Ledger) warn(w Warning) {
	l.queue.add(&entry{kind: warned, warning: &w})
	l.o.Log.Warn("a budget is being used up", "key", w.Key, "name", w.KeyName, "budget", w.Balance.Budget.String(), "percent", w.Percent, "reset", w.Balance.Reset)
	if l.o.OnWarning != nil {
		l.o.OnWarning(w)
	}
}

// Balances returns how the budgets of a key stand, in their order.
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
		w, err := a.window(ctx, key, b, now, l.spentSince)
		if err != nil {
			return nil, err
		}
		list = append(list, w.balance())
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
	if a = l.accounts[key]; a == nil {
		a = &account{}
		l.accounts[key] = a
	}
	return a
}

// spentSince sums up what a key used, out of the database and the rows that wait for it.
func (l *Ledger) spentSince(ctx context.Context, key string, since time.Time) (spent, error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	s, err := l.Reader.spentSince(ctx, key, since)
	if err != nil {
		return s, err
	}
	l.queue.each(func(e *entry) {
		if e.kind == settled && e.row.Key == key && !e.row.booked().Before(since) {
			more := spentBy(&e.row)
			s.cost, s.tokens = price.Add(s.cost, more.cost), price.Add(s.tokens, more.tokens)
		}
	})
	return s, nil
}

// interrupted is the cause of rows that count with what was reserved.
const interrupted = "interrupted"

// recover settles the calls that an earlier process left open, at what was reserved for them.
func (l *Ledger) recover(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, `SELECT id, row FROM usage_open`)
	if err != nil {
		return fmt.Errorf("reading the calls that were left open: %w", err)
	}
	defer rows.Close()
	var left []*entry
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			return fmt.Errorf("reading the calls that were left open: %w", err)
		}
		r, err := unmarshalRow(text)
		if err != nil {
			return fmt.Errorf("reading the call %s that was left open: %w", id, err)
		}
		r.ID, r.Estimated, r.Cause = id, true, interrupted
		left = append(left, &entry{kind: settled, row: r, open: &entry{taken: true}})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the calls that were left open: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	l.o.Log.Warn("calls were under way when the last process ended; they count with what was reserved for them", "calls", len(left))
	return l.store(ctx, left)
}

// Healthy reports whether rows reach the database, and if not, in words what holds them.
func (l *Ledger) Healthy() (ok bool, detail string) { return l.queue.healthy() }

// Pending returns how many rows wait to be written, and how many found no room since Open and are lost.
func (l *Ledger) Pending() (rows int, lost int64) { return l.queue.pending() }

// Flush waits until all rows that were taken before it are in the database.
func (l *Ledger) Flush(ctx context.Context) error {
	e := &entry{kind: flushed, done: make(chan struct{})}
	if !l.queue.add(e) {
		return ErrClosed
	}
	l.queue.hurry()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writing the ledger: %w", ctx.Err())
	}
}

// Close writes what waits and stops. When the database takes nothing until ctx ends, the error says how many rows were lost.
func (l *Ledger) Close(ctx context.Context) error {
	if !l.queue.close() {
		return nil
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		close(l.stop)
		<-l.done
	}
	var errs []error
	if n := l.queue.waiting(); n > 0 {
		errs = append(errs, fmt.Errorf("%d rows of the ledger could not be written: %w", n, l.queue.failure()))
	}
	for _, s := range l.prepared {
		errs = append(errs, s.Close())
	}
	for _, f := range l.fans {
		errs = append(errs, f.close(ctx))
	}
	return errors.Join(errs...)
}

// clean brings a row's numbers into range.
func clean(r *Row) {
	for _, n := range []*int64{&r.Usage.Input, &r.Usage.Output, &r.Usage.CachedRead, &r.Usage.CachedWrite, &r.Usage.CachedWriteHour, &r.Usage.Reasoning, &r.Usage.Audio, &r.Usage.AudioOutput, &r.BytesIn, &r.BytesOut} {
		*n = min(max(*n, 0), price.MaxCount)
	}
	r.Cost, r.Saved = min(max(r.Cost, 0), price.MaxCall), min(max(r.Saved, 0), price.MaxCall)
}
