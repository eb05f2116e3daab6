package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// NoteBatches remembers batches that an answer told of. It returns when that would survive the end of the process, and writes only
// what is new, since clients ask for the state of a batch again and again. Who made a batch is never changed; of a batch that was seen
// in a list first, it is filled in.
func (l *Ledger) NoteBatches(ctx context.Context, list []Batch) error {
	var fresh []Batch
	for _, b := range list {
		known, ok, err := l.FindBatch(ctx, b.Host, b.ID)
		if err != nil {
			return err
		}
		if !ok || b.Results != "" && known.Results != b.Results || b.Model != "" && known.Model == "" || b.Key != "" && known.Key == "" {
			fresh = append(fresh, b)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("remembering a batch: %w", err)
	}
	defer tx.Rollback()
	for _, b := range fresh {
		_, err := tx.ExecContext(ctx, `INSERT INTO usage_batches (host, id, results, model, key, key_name, user, tags, route, request, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (host, id) DO UPDATE SET
				results = CASE excluded.results WHEN '' THEN results ELSE excluded.results END,
				model = CASE model WHEN '' THEN excluded.model ELSE model END`,
			b.Host, b.ID, b.Results, b.Model, b.Key, b.KeyName, b.User, marshalTags(b.Tags), b.Route, b.Request, l.o.Now().UnixMicro())
		if err == nil && b.Key != "" {
			_, err = tx.ExecContext(ctx, `UPDATE usage_batches SET key = ?, key_name = ?, user = ?, tags = ?, route = ?, request = ? WHERE host = ? AND id = ? AND key = ''`,
				b.Key, b.KeyName, b.User, marshalTags(b.Tags), b.Route, b.Request, b.Host, b.ID)
		}
		if err != nil {
			return fmt.Errorf("remembering the batch %s: %w", b.ID, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("remembering a batch: %w", err)
	}
	return nil
}

// FindBatch returns the batch of an id, or whose results are in a file.
func (l *Ledger) FindBatch(ctx context.Context, host, object string) (b Batch, ok bool, err error) {
	var tags string
	err = l.db.QueryRowContext(ctx, `SELECT host, id, results, model, key, key_name, user, tags, route, request FROM usage_batches WHERE host = ? AND id = ?
		UNION ALL SELECT host, id, results, model, key, key_name, user, tags, route, request FROM usage_batches WHERE host = ? AND results = ? AND results != '' LIMIT 1`,
		host, object, host, object).Scan(&b.Host, &b.ID, &b.Results, &b.Model, &b.Key, &b.KeyName, &b.User, &tags, &b.Route, &b.Request)
	if errors.Is(err, sql.ErrNoRows) {
		return Batch{}, false, nil
	}
	if err != nil {
		return Batch{}, false, fmt.Errorf("looking for a batch: %w", err)
	}
	_ = json.Unmarshal([]byte(tags), &b.Tags) // written by marshalTags
	return b, true, nil
}

// SettleBatch writes down the rows that settle a batch, and charges them to the budgets of their key, unless that was done before, be it
// by an earlier process. It returns how many rows were new.
func (l *Ledger) SettleBatch(ctx context.Context, rows []Row) (settled int, err error) {
	l.batches.Lock() // of two who fetch the same results at once, the second sees the first one's rows
	defer l.batches.Unlock()
	for _, r := range rows {
		done, err := l.isSettled(ctx, r.ID)
		if err != nil {
			return settled, err
		}
		if !done {
			l.Record(r)
			settled++
		}
	}
	return settled, nil
}

// isSettled reports whether a row that settles a batch is in the database, or waits to be written.
func (l *Ledger) isSettled(ctx context.Context, id string) (bool, error) {
	l.commit.Lock()
	defer l.commit.Unlock()
	var n int
	if err := l.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM usage_settled WHERE row = ?`, id).Scan(&n); err != nil {
		return false, fmt.Errorf("looking whether a batch is settled: %w", err)
	}
	l.queue.each(func(e *entry) {
		if e.kind == settled && e.row.ID == id {
			n++
		}
	})
	return n > 0, nil
}

// Settled returns the ids of the rows that settled a batch.
func (r *Reader) Settled(ctx context.Context, batch string) (ids []string, err error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	var has int // none in tables that an older version made, and this one has not opened yet
	if err := r.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name = 'usage_settled'`).Scan(&has); err != nil || has == 0 {
		return nil, wrapRead(err)
	}
	rows, err := r.db.QueryContext(ctx, `SELECT row FROM usage_settled WHERE batch = ? ORDER BY row`, batch)
	if err != nil {
		return nil, wrapRead(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, wrapRead(err)
		}
		ids = append(ids, id)
	}
	return ids, wrapRead(rows.Err())
}
