package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Reader answers questions about the ledger. It writes nothing, and so works
// beside the process that does. It is safe for concurrent use.
type Reader struct {
	db   *sql.DB
	zone *time.Location

	repricing atomic.Bool
}

// NewReader reads from a database. Days are those of the zone; nil is
// time.Local.
func NewReader(db *sql.DB, zone *time.Location) *Reader {
	if zone == nil {
		zone = time.Local
	}
	return &Reader{db: db, zone: zone}
}

// ErrNoRow reports that the ledger has no request of an id: it never reached
// the pipeline, is older than the retention, or is not yet written.
var ErrNoRow = errors.New("the ledger has no request of this id")

// ErrNoLedger reports that the database has no ledger.
var ErrNoLedger = errors.New("there is no ledger yet: it is made when forward runs for the first time")

// ErrOldLedger reports that the tables are of an older version than this
// program. They are brought up to date when forward runs.
var ErrOldLedger = errors.New("the ledger was written by an older version: run the gateway of this version once")

// check returns ErrNoLedger when there are no tables to read, and ErrOldLedger
// when these are of an older version. A reader makes and changes none.
func (r *Reader) check(ctx context.Context) error {
	version, err := tablesVersion(ctx, r.db)
	switch {
	case err != nil:
		return err
	case version == 0:
		return ErrNoLedger
	case version < schema.Version():
		return ErrOldLedger
	}
	return nil
}

// tablesVersion returns the version of the tables, 0 where there are none.
func tablesVersion(ctx context.Context, db *sql.DB) (version int, err error) {
	var tables int
	err = db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name = 'usage_schema'`).Scan(&tables)
	if err == nil && tables > 0 {
		err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM usage_schema`).Scan(&version)
	}
	return version, wrapRead(err)
}

func wrapRead(err error) error {
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	return nil
}

// query runs a query and calls scan for each of its rows.
func (r *Reader) query(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	if err := r.check(ctx); err != nil {
		return err
	}
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return wrapRead(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return wrapRead(err)
		}
	}
	return wrapRead(rows.Err())
}

// Trail returns the row of one request. open reports that it is still under
// way: then the row has what was reserved.
func (r *Reader) Trail(ctx context.Context, id string) (row Row, open bool, err error) {
	if err := r.check(ctx); err != nil {
		return Row{}, false, err
	}
	row, err = r.find(ctx, id)
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

// find reads a row out of the millisecond that its id leads to. An id of
// another form is that of a row that settles a batch; the row of any other is
// found by reading all, because no request pays for an index for it.
func (r *Reader) find(ctx context.Context, id string) (Row, error) {
	query := "SELECT " + list(rowColumns) + " FROM usage_requests WHERE id = ?"
	args := []any{id}
	first, _, known := parseID(id)
	if !known {
		var at int64
		err := r.db.QueryRowContext(ctx, `SELECT time FROM usage_settled WHERE row = ?`, id).Scan(&at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return Row{}, err
		}
		first = numberAt(time.UnixMicro(at))
		known = err == nil
	}
	if known {
		query += " AND number BETWEEN ? AND ?"
		args = append(args, first, first|numberMask)
	}
	return scanRow(r.db.QueryRowContext(ctx, query, args...).Scan)
}

// IsSettlement reports whether an id is that of a row which settles a batch.
// Its row is found by it, though the id has no time in it.
func (r *Reader) IsSettlement(ctx context.Context, id string) (is bool, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM usage_settled WHERE row = ?)`, id).Scan(&is)
	return is, wrapRead(err)
}

// Settled returns the ids of the rows that settled a batch.
func (r *Reader) Settled(ctx context.Context, batch string) (ids []string, err error) {
	err = r.query(ctx, `SELECT row FROM usage_settled WHERE batch = ? ORDER BY row`, []any{batch}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// spentSince sums up what the database knows of the spending of a key, or with
// a tag, since the start of a quarter of an hour.
func (r *Reader) spentSince(ctx context.Context, id accountID, since time.Time) (s spent, err error) {
	from := int64(0)
	if !since.IsZero() {
		from = since.Unix() / quarter
	}
	query, name := `SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0) FROM usage_spend WHERE key = ? AND quarter >= ?`, id.key
	if id.tag != "" {
		query, name = `SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(tokens), 0) FROM usage_tag_spend WHERE tag = ? AND quarter >= ?`, id.tag
	}
	err = r.db.QueryRowContext(ctx, query, name, from).Scan(&s.cost, &s.tokens)
	return s, err
}
