// Package ledger keeps what was used and what it cost, and holds keys to their
// budgets.
//
// Each request that reaches the pipeline becomes exactly one row, identified by
// the request's id. Rows are written outside of the request's path, in batches,
// to SQLite. Sums by hour and by day are kept in the same transaction, so that
// a report reads thousands of cells where there are millions of rows.
//
// The database is the truth, also for what is left of a budget: memory holds
// only the sum of the current period, and reads it from the database when a
// budget is first used. A call is reserved before it is made and settled when
// it ends. Its reservation is in the database too: after a crash, the next
// start settles the calls that were under way at what was reserved for them,
// marked as estimated.
//
// The package opens no database and imports no driver. It is given a *sql.DB
// and keeps to tables with the prefix usage_.
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

	"forward/internal/backlog"
)

// Options configure a Ledger. Zero fields mean the defaults.
type Options struct {
	Location *time.Location   // the time zone whose days reports go by; default time.Local
	Now      func() time.Time // default time.Now
	Log      *slog.Logger     // default: none
	// Delay is how long a row waits for others to be written with it; default
	// 50 ms. A killed process loses at most the rows of that time and those of
	// the batch that is being written.
	Delay time.Duration
	// MaxPending bounds the memory of rows that wait while the database accepts
	// none, in bytes; default 64 MiB.
	MaxPending int64
	// Strict makes Reserve wait until the call is in the database as open, and
	// fail while that cannot be written, so that no request is served that may
	// not be accounted for, even if the process is killed.
	Strict bool
	// Retention is the age at which single rows are removed; default 90 days,
	// negative keeps all. Sums by hour are kept for 400 days, or as long as
	// rows where that is longer. Sums by day are kept.
	Retention time.Duration
	// OnWarning is called when a budget reaches 50, 80 and 100 percent. It is
	// called before a request ends and must not block.
	OnWarning func(Warning)
	// Sinks get every row after it is in the database. Close closes them.
	Sinks []Sink
}

// ErrUnwritable reports that the ledger cannot be written and is strict about
// it.
var ErrUnwritable = errors.New("the ledger cannot be written, and LEDGER_STRICT refuses calls that it may not account for")

// Ledger writes down what was used and holds budgets. Open returns one; it is
// safe for concurrent use, and Close writes the rest. One process at a time may
// have a ledger open on a database; a [Reader] may read beside it.
type Ledger struct {
	*Reader
	o Options

	mu       sync.RWMutex // guards accounts; taken before all other locks
	accounts map[accountID]*account
	zones    sync.Map // the time zones of budgets, by name: a *time.Location

	settling sync.Mutex // held while a batch is settled; taken before mu
	pending  *backlog.Queue[*entry]

	deferrals deferrals // work that is not settled yet

	writer  *writer
	failing bool         // the last batch was not written; of write alone
	lost    atomic.Int64 // rows that did not fit into pending
	sinks   []*delivery

	sweeper    sync.WaitGroup
	abortSweep context.CancelFunc
	stop       chan struct{} // closed by Close
	closed     atomic.Bool
}

// Open makes the tables where they are missing, settles the calls that an
// earlier process left under way, and starts to write. The caller closes the
// database, after the ledger.
func Open(db *sql.DB, o Options) (*Ledger, error) {
	o.Location = cmp.Or(o.Location, time.Local)
	o.Delay = cmp.Or(o.Delay, 50*time.Millisecond)
	o.MaxPending = cmp.Or(o.MaxPending, 64<<20)
	o.Retention = cmp.Or(o.Retention, 90*24*time.Hour)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx := context.Background() // of a start, which no caller waits for
	if err := migrate(ctx, db, &o); err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	w, err := newWriter(ctx, db, o.Location)
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	l := &Ledger{
		Reader: NewReader(db, o.Location), o: o, accounts: map[accountID]*account{}, writer: w, stop: make(chan struct{}),
	}
	if err := errors.Join(l.recover(ctx), l.loadDeferred(ctx)); err != nil {
		return nil, errors.Join(err, w.close())
	}
	for _, s := range o.Sinks {
		l.sinks = append(l.sinks, newDelivery(s, o.Log))
	}
	prepare := l.prepare
	if db.Stats().MaxOpenConnections == 1 {
		prepare = nil // it would keep the only connection from those who read
	}
	l.pending = backlog.New(backlog.Options[*entry]{
		Prepare: prepare, Write: l.write, MaxBytes: o.MaxPending, Size: (*entry).size, BatchCount: maxBatch, Delay: o.Delay,
	})
	ctx, l.abortSweep = context.WithCancel(ctx)
	l.sweeper.Go(func() { l.runSweeper(ctx) })
	return l, nil
}

// migrate brings the tables up to date, in one transaction: a process that is
// killed meanwhile leaves them as they were. A million rows take about half a
// minute.
func migrate(ctx context.Context, db *sql.DB, o *Options) error {
	was, err := tablesVersion(ctx, db)
	if err != nil {
		return err
	}
	if was > 0 && was < schema.Version() {
		o.Log.Info("the ledger's tables are brought up to date", "from", was, "to", schema.Version())
	}
	s := schema
	s.Finish = func(tx *sql.Tx) error {
		if was == 4 {
			if err := recount(ctx, tx, o.Location); err != nil {
				return err
			}
		}
		if was > 0 && was < 10 {
			return fillLatencies(ctx, tx, o.Location)
		}
		return nil
	}
	return s.Migrate(ctx, db)
}

// Healthy reports whether rows reach the database, and if not, in words what
// prevents it.
func (l *Ledger) Healthy() (ok bool, detail string) {
	lost := l.lost.Load()
	since, err := l.pending.Failure()
	switch {
	case err != nil:
		rows, _ := l.pending.Pending()
		detail = fmt.Sprintf("the ledger has not been written since %s (%v); %d rows wait", since.Format(time.RFC3339), err, rows)
		if lost > 0 {
			detail += fmt.Sprintf(", %d did not fit and are lost", lost)
		}
		return false, detail
	case lost > 0:
		return true, fmt.Sprintf("%d rows of the ledger did not fit while it could not be written, and are lost", lost)
	}
	return true, ""
}

// writable reports whether the last batch was written and more rows fit.
func (l *Ledger) writable() bool {
	_, err := l.pending.Failure()
	_, bytes := l.pending.Pending()
	return err == nil && !l.closed.Load() && bytes < l.o.MaxPending
}

// Pending returns how many rows wait to be written, and how many did not fit
// since Open and are lost.
func (l *Ledger) Pending() (rows int, lost int64) {
	l.pending.Each(func(e *entry) {
		if e.kind == settled {
			rows++
		}
	})
	return rows, l.lost.Load()
}

// Flush waits until all rows that were recorded before it are in the database.
func (l *Ledger) Flush(ctx context.Context) error {
	if err := l.pending.Flush(ctx); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// Close writes what waits and stops. When the database accepts nothing until
// ctx ends, the error has the number of rows that were lost.
func (l *Ledger) Close(ctx context.Context) error {
	if l.closed.Swap(true) {
		return nil
	}
	close(l.stop)
	undo := context.AfterFunc(ctx, l.abortSweep)
	l.sweeper.Wait()
	undo()
	l.abortSweep()
	var errs []error
	if err := l.pending.Close(ctx); err != nil {
		if rows, _ := l.Pending(); rows > 0 {
			errs = append(errs, fmt.Errorf("%d rows of the ledger could not be written: %w", rows, err))
		}
	}
	errs = append(errs, l.writer.close())
	for _, d := range l.sinks {
		errs = append(errs, d.close(ctx))
	}
	return errors.Join(errs...)
}

// recover settles the calls that an earlier process left under way, at what was
// reserved for them.
func (l *Ledger) recover(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, `SELECT id, row, EXISTS (SELECT 1 FROM usage_deferred WHERE request = usage_open.id) FROM usage_open`)
	if err != nil {
		return fmt.Errorf("reading the calls that were left open: %w", err)
	}
	defer rows.Close()
	var left []*entry
	for rows.Next() {
		var id, text string
		var isDeferred bool
		if err := rows.Scan(&id, &text, &isDeferred); err != nil {
			return fmt.Errorf("reading the calls that were left open: %w", err)
		}
		r, err := unmarshalRow(text)
		if err != nil {
			return fmt.Errorf("reading the call %s that was left open: %w", id, err)
		}
		r.ID = id
		r.Cause = interrupted
		r.Estimated = true
		if isDeferred { // the row that settles the work has what it cost
			r.Defer()
		}
		left = append(left, &entry{kind: settled, row: r, open: leftOpen()})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the calls that were left open: %w", err)
	}
	if len(left) == 0 {
		return nil
	}
	l.o.Log.Warn("calls were under way when the last process ended; they count with what was reserved for them", "calls", len(left))
	_, err = l.writer.store(ctx, left)
	return err
}
