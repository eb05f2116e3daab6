package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// maxBatch bounds the entries of one transaction.
const maxBatch = 2000

// prepare starts the transaction of a batch. Where another process writes, it
// waits, and budgets can be read meanwhile.
func (l *Ledger) prepare(ctx context.Context) error {
	return l.unwritten(l.writer.start(context.WithoutCancel(ctx)))
}

// write writes a batch and gives its new rows to the sinks. The queue calls it
// again with the same batch after an error.
func (l *Ledger) write(ctx context.Context, batch []*entry) error {
	// With a context that can end, the driver would start a goroutine for every
	// statement. The database bounds its own waits.
	rows, err := l.writer.store(context.WithoutCancel(ctx), batch)
	if err != nil {
		return l.unwritten(err)
	}
	if l.failing {
		l.o.Log.Info("the ledger is written again", "lost", l.lost.Load())
	}
	l.failing = false
	l.deliver(rows)
	return nil
}

// unwritten reports an error in the log, the first of several.
func (l *Ledger) unwritten(err error) error {
	if err != nil {
		if !l.failing {
			l.o.Log.Error("the ledger cannot be written; rows wait in memory", "error", err)
		}
		l.failing = true
	}
	return err
}

// writer turns entries into rows of the database. The queue runs one function
// at a time that uses it: write, or a step of the sweeper between two batches.
type writer struct {
	db         *sql.DB
	tx         *sql.Tx // of the next batch; nil: not started
	zone       *time.Location
	names      dayNames
	statements map[string]*sql.Stmt            // prepared, by their text
	kinds      map[rowKind]keptKind            // kinds that are in the database
	latencies  map[latencyCell]latency         // cells as they are in the database
	keyNames   map[string]string               // names of keys that are in the database, by key
	tags       atomic.Pointer[map[string]bool] // whose spending is added up; see TrackTags
}

func newWriter(ctx context.Context, db *sql.DB, zone *time.Location) (*writer, error) {
	w := &writer{
		db: db, zone: zone, statements: map[string]*sql.Stmt{}, kinds: map[rowKind]keptKind{}, keyNames: map[string]string{},
		latencies: map[latencyCell]latency{},
	}
	for _, text := range statements {
		prepared, err := db.PrepareContext(ctx, text)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.statements[text] = prepared
	}
	if err := w.loadTags(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// close releases the statements.
func (w *writer) close() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// start starts the transaction of the next batch.
func (w *writer) start(ctx context.Context) (err error) {
	w.tx, err = w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// store writes a batch in one transaction: the rows and all sums that they are
// part of. It returns the rows that are new. What the writer knows of the
// database changes only after the commit.
func (w *writer) store(ctx context.Context, batch []*entry) ([]*Row, error) {
	t := &transaction{
		writer: w, cells: newCells(w.zone, &w.names, *w.tags.Load()),
		statements: map[string]*sql.Stmt{}, kinds: map[rowKind]keptKind{}, keyNames: map[string]string{}, latencies: map[latencyCell]latency{},
	}
	if err := t.store(ctx, batch); err != nil {
		return nil, fmt.Errorf("writing the ledger: %w", err)
	}
	w.keepKinds(t.kinds)
	w.keepLatencies(t.latencies)
	maps.Copy(w.keyNames, t.keyNames)
	return t.rows, nil
}

// transaction is a batch that is being written.
type transaction struct {
	*writer
	tx         *sql.Tx
	cells      *cells
	rows       []*Row                  // that are new
	statements map[string]*sql.Stmt    // the writer's, as they run in the transaction, which closes them
	kinds      map[rowKind]keptKind    // that are new
	keyNames   map[string]string       // that are new
	latencies  map[latencyCell]latency // that changed
	args       []any                   // of the current row
}

// store writes a batch and commits it.
func (t *transaction) store(ctx context.Context, batch []*entry) error {
	if t.writer.tx == nil {
		if err := t.writer.start(ctx); err != nil {
			return err
		}
	}
	t.tx = t.writer.tx
	t.writer.tx = nil
	defer t.tx.Rollback()
	for _, e := range batch {
		if err := t.entry(ctx, e); err != nil {
			return err
		}
	}
	if err := t.storeCells(ctx); err != nil {
		return fmt.Errorf("the sums %w", err)
	}
	if err := t.storeLatencies(ctx); err != nil {
		return fmt.Errorf("the sums %w", err)
	}
	if err := t.storeKeyNames(ctx); err != nil {
		return err
	}
	return t.tx.Commit()
}

// run runs one of the writer's statements.
func (t *transaction) run(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s := t.statements[text]
	if s == nil {
		s = t.tx.StmtContext(ctx, t.writer.statements[text])
		t.statements[text] = s
	}
	return s.ExecContext(ctx, args...)
}

// change runs a statement and returns how many rows it changed.
func (t *transaction) change(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := t.run(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// entry writes one entry.
func (t *transaction) entry(ctx context.Context, e *entry) error {
	switch e.kind {
	case opened:
		if !e.take() {
			return nil
		}
		text, err := marshalRow(&e.row)
		if err != nil {
			return err
		}
		_, err = t.run(ctx, insertOpen, e.row.ID, text)
		return err
	case withdrawn:
		return t.deleteOpen(ctx, e)
	case warned:
		w, b := e.warning, e.warning.Balance
		name := w.Key
		if b.Budget.Tag != "" {
			name = tagAccount + b.Budget.Tag
		}
		_, err := t.run(ctx, insertWarning, w.Time.UnixMicro(), name, b.Budget.String(), w.Percent, b.Spent, b.Budget.Amount)
		return err
	}
	return t.settle(ctx, e)
}

// settle writes the row of a request. Only a row that is new is added to the
// sums, so that one that comes twice counts once.
func (t *transaction) settle(ctx context.Context, e *entry) error {
	r := &e.row
	if r.Settles != "" {
		_, err := t.run(ctx, deleteDeferred, r.ID)
		if err != nil {
			return err
		}
		marked, err := t.change(ctx, insertSettled, r.ID, r.Settles, r.Time.UnixMicro())
		if err != nil || marked == 0 {
			return err
		}
	}
	kind, err := t.kindOf(ctx, r)
	if err != nil {
		return err
	}
	added, err := t.insert(ctx, r, kind)
	if err != nil {
		return err
	}
	if added {
		t.cells.add(r)
		t.rows = append(t.rows, r)
		if r.KeyName != "" && t.writer.keyNames[r.Key] != r.KeyName {
			t.keyNames[r.Key] = r.KeyName
		}
	}
	return t.deleteOpen(ctx, e)
}

// deleteOpen removes the open call that an entry ends.
func (t *transaction) deleteOpen(ctx context.Context, e *entry) error {
	if !e.open.isWritten() {
		return nil
	}
	_, err := t.run(ctx, deleteOpen, e.row.ID)
	return err
}

// insert writes a row under its number, or under the next one that is free in
// its millisecond. It reports whether the row is new.
func (t *transaction) insert(ctx context.Context, r *Row, kind int64) (added bool, err error) {
	number := numberOf(r.ID, r.Time)
	for {
		t.args = r.appendCall(t.args[:0], number, kind)
		n, err := t.change(ctx, insertCall, t.args...)
		if err != nil || n == 1 {
			return n == 1, err
		}
		var id string
		if err := t.tx.QueryRowContext(ctx, numberTaken, number).Scan(&id); err != nil || id == r.ID {
			return false, err
		}
		number = nextNumber(number)
	}
}

// storeKeyNames stores the current names of keys: reports add up by id and show
// names.
func (t *transaction) storeKeyNames(ctx context.Context) error {
	for key, name := range t.keyNames {
		if _, err := t.run(ctx, setKeyName, key, name); err != nil {
			return fmt.Errorf("the names of keys: %w", err)
		}
	}
	return nil
}
