package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

const (
	maxBatch  = 2000             // entries of a transaction
	maxPause  = 5 * time.Second  // between two tries of a database that takes nothing
	sweepTime = 10 * time.Minute // between two looks for rows that are too old
)

// write is the ledger's one writer. It ends when the queue is closed and empty, or when stop is closed.
func (l *Ledger) write() {
	defer close(l.done)
	sweep := time.NewTicker(sweepTime)
	defer sweep.Stop()
	l.sweep()
	for {
		select {
		case <-l.queue.wake:
		case <-sweep.C:
			l.sweep()
			continue
		case <-l.stop:
			return
		}
		l.wait(l.o.Delay, l.queue.fast)
		if !l.drain() || l.queue.isClosed() {
			return
		}
	}
}

// wait pauses, and not longer than until something comes. It reports false when the writer is to stop.
func (l *Ledger) wait(d time.Duration, until <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-until:
	case <-l.stop:
		return false
	}
	return true
}

// drain writes batch after batch until the queue is empty. It reports false when the writer is to stop.
func (l *Ledger) drain() bool {
	pause := 100 * time.Millisecond
	for {
		n, err := l.writeBatch()
		switch {
		case err != nil:
			if l.queue.fail(err, l.o.Now()) {
				l.o.Log.Error("the ledger cannot be written; rows wait in memory", "error", err)
			}
			if !l.wait(pause, nil) {
				return false
			}
			pause = min(2*pause, maxPause)
		case n == 0:
			return true
		default:
			pause = 100 * time.Millisecond
		}
	}
}

// writeBatch writes what waits, up to a bound, and takes it out of the queue. It returns how many entries that were.
func (l *Ledger) writeBatch() (int, error) {
	l.commit.Lock()
	batch := l.queue.take(maxBatch)
	if len(batch) == 0 {
		l.commit.Unlock()
		return 0, nil
	}
	// The writer is no part of any request, and the database bounds its own waits. With a context that can end, the driver would
	// start a goroutine for every statement.
	err := l.store(context.Background(), batch)
	if err != nil {
		l.commit.Unlock()
		return 0, err
	}
	recovered, lost := l.queue.drop(len(batch))
	l.commit.Unlock()
	if recovered {
		l.o.Log.Info("the ledger is written again", "lost", lost)
	}
	return len(batch), nil
}

// store writes a batch in one transaction: the rows, and all sums that they are part of.
func (l *Ledger) store(ctx context.Context, batch []*entry) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	defer tx.Rollback()
	b := booking{l: l, tx: tx, rollups: newRollups(l.o.Location, &l.caps), prepared: map[string]*sql.Stmt{}, kinds: map[rowKind]keptKind{}}
	fresh := make([]*Row, 0, len(batch))
	for _, e := range batch {
		isNew, err := b.entry(ctx, e)
		if err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		if isNew {
			fresh = append(fresh, &e.row)
		}
	}
	if err := b.rollups.store(ctx, &b); err != nil {
		return fmt.Errorf("writing the ledger's sums: %w", err)
	}
	names, err := l.storeNames(ctx, tx, fresh)
	if err != nil {
		return fmt.Errorf("writing the ledger's names: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	l.keepKinds(b.kinds)
	for key, name := range names {
		l.names[key] = name
	}
	l.tell(fresh)
	return nil
}

// tell hands rows that are in the database to the sinks.
func (l *Ledger) tell(rows []*Row) {
	if len(l.fans) == 0 {
		return
	}
	copies := make([]Row, len(rows))
	for i, r := range rows {
		copies[i] = *r
	}
	for _, f := range l.fans {
		f.send(copies)
	}
}

// booking is a transaction and the statements in it.
type booking struct {
	l        *Ledger
	tx       *sql.Tx
	rollups  *rollups
	prepared map[string]*sql.Stmt // the ledger's, as they run in the transaction; closed with it
	kinds    map[rowKind]keptKind // that are new
	args     []any                // of the row that is written
}

// exec runs one of the statements, and returns how many rows it changed.
func (b *booking) exec(ctx context.Context, statement string, args ...any) (changed int64, err error) {
	result, err := b.run(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (b *booking) run(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	prepared := b.prepared[statement]
	if prepared == nil {
		prepared = b.tx.StmtContext(ctx, b.l.prepared[statement])
		b.prepared[statement] = prepared
	}
	return prepared.ExecContext(ctx, args...)
}

// entry writes one entry, and reports whether it is a request that was not there. Only such a one is added to sums, and so a row that
// is brought twice counts once.
func (b *booking) entry(ctx context.Context, e *entry) (isNew bool, err error) {
	switch e.kind {
	case opened:
		if e.moot {
			return false, nil
		}
		text, err := marshalRow(&e.row)
		if err != nil {
			return false, err
		}
		_, err = b.exec(ctx, insertOpen, e.row.ID, text)
		return false, err
	case warned:
		w := e.warning
		_, err = b.exec(ctx, insertWarning,
			w.Time.UnixMicro(), w.Key, w.Balance.Budget.String(), w.Percent, w.Balance.Spent, w.Balance.Budget.Amount)
		return false, err
	case flushed:
		return false, nil
	}
	if e.row.Settles != "" {
		marked, err := b.exec(ctx, insertSettled, e.row.ID, e.row.Settles, e.row.Time.UnixMicro())
		if err != nil || marked == 0 {
			return false, err
		}
	}
	kind, err := b.kindOf(ctx, &e.row)
	if err != nil {
		return false, err
	}
	statement := insertCall
	if b.args = e.row.appendCall(b.args[:0], kind); len(b.args) == plainColumns {
		statement = insertPlain
	}
	added, err := b.exec(ctx, statement, b.args...)
	if err != nil {
		return false, err
	}
	if added == 1 {
		b.rollups.add(&e.row)
	}
	if e.open != nil && e.open.taken {
		_, err = b.exec(ctx, deleteOpen, e.row.ID)
	}
	return added == 1, err
}

// storeNames keeps what keys are called, for reports: they add up by id, and people read names. It returns the names that are new.
func (l *Ledger) storeNames(ctx context.Context, tx *sql.Tx, rows []*Row) (map[string]string, error) {
	names := map[string]string{}
	for _, r := range rows {
		if r.KeyName != "" && l.names[r.Key] != r.KeyName {
			names[r.Key] = r.KeyName
		}
	}
	for key, name := range names {
		if _, err := tx.ExecContext(ctx, `INSERT INTO usage_keys (key, name) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET name = excluded.name`, key, name); err != nil {
			return nil, err
		}
	}
	return names, nil
}
