package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Reader answers questions about the ledger. It writes nothing, and so can work beside the process that does.
type Reader struct {
	db       *sql.DB
	location *time.Location
}

// NewReader reads from a database. Days are those of the location; nil is time.Local.
func NewReader(db *sql.DB, location *time.Location) *Reader {
	if location == nil {
		location = time.Local
	}
	return &Reader{db, location}
}

// ErrNoRow says that the ledger has no request of an id: it never reached the pipeline, is older than the retention, or was not yet written.
var ErrNoRow = errors.New("the ledger has no request of this id")

// ErrNoLedger says that nothing was ever written into this database.
var ErrNoLedger = errors.New("there is no ledger yet: it is made when forward runs for the first time")

// check reports whether there are tables to read. A reader makes none.
func (r *Reader) check(ctx context.Context) error {
	var n int
	err := r.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name = 'usage_schema'`).Scan(&n)
	if err == nil && n == 0 {
		return ErrNoLedger
	}
	return wrapRead(err)
}

// Trail returns the row of one request. open says that it is still under way: then it has what was reserved.
func (r *Reader) Trail(ctx context.Context, id string) (row Row, open bool, err error) {
	if err := r.check(ctx); err != nil {
		return Row{}, false, err
	}
	query := "SELECT " + list(columns) + " FROM usage_requests WHERE id = ?"
	row, err = scanRow(r.db.QueryRowContext(ctx, query, id).Scan)
	if !errors.Is(err, sql.ErrNoRows) {
		return row, false, wrapRead(err)
	}
	var text string
	err = r.db.QueryRowContext(ctx, `SELECT row FROM usage_open WHERE id = ?`, id).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, false, ErrNoRow
	}
	if err == nil {
		row, err = unmarshalRow(text)
	}
	return row, true, wrapRead(err)
}

// spentSince sums up what the database knows of a key's spending since the begin of a quarter of an hour.
func (r *Reader) spentSince(ctx context.Context, key string, since time.Time) (s spent, err error) {
	from := since.Unix() / quarter
	if since.IsZero() {
		from = 0
	}
	err = r.db.QueryRowContext(ctx, `SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0) FROM usage_spend WHERE key = ? AND quarter >= ?`, key, from).Scan(&s.cost, &s.tokens)
	return s, err
}

func wrapRead(err error) error {
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	return nil
}

// WarningRow is a warning about a budget as the ledger keeps it.
type WarningRow struct {
	Time    time.Time `json:"time"`
	Key     string    `json:"key"`
	Budget  string    `json:"budget"` // as Budget.String writes it
	Percent int       `json:"percent"`
	Spent   int64     `json:"spent"` // nano-dollars or tokens
	Limit   int64     `json:"limit"`
}

// Warnings returns the warnings about a key's budgets since an instant, the newest first and at most 1000; "" is every key.
func (r *Reader) Warnings(ctx context.Context, key string, since time.Time) ([]WarningRow, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	rows, err := r.db.QueryContext(ctx, `SELECT time, key, budget, percent, spent, amount FROM usage_warnings
		WHERE time >= ? AND (key = ? OR ? = '') ORDER BY time DESC LIMIT 1000`, since.UnixMicro(), key, key)
	if err != nil {
		return nil, wrapRead(err)
	}
	defer rows.Close()
	var list []WarningRow
	for rows.Next() {
		var w WarningRow
		var at int64
		if err := rows.Scan(&at, &w.Key, &w.Budget, &w.Percent, &w.Spent, &w.Limit); err != nil {
			return nil, wrapRead(err)
		}
		w.Time = time.UnixMicro(at)
		list = append(list, w)
	}
	return list, wrapRead(rows.Err())
}
