package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"forward/internal/database"
)

// Batch is a batch that the gateway has seen made, or that an answer reported.
type Batch struct {
	Host    string // of the provider that has it: ids are unique there
	ID      string
	Results string // the file with its results, once it is known
	Model   string // of all its requests, where the provider reports one

	// The caller that made it and its request. Empty for batches that were made
	// elsewhere.
	Key, KeyName, User string
	Tags               []string
	Route, Request     string
}

// NoteBatches remembers batches that an answer reported. It returns when they
// would survive the end of the process, and writes only what is new, because
// clients request the state of a batch again and again. The caller that made a
// batch never changes; it is filled in for a batch that was first seen in a
// list.
func (l *Ledger) NoteBatches(ctx context.Context, list []Batch) error {
	var fresh []Batch
	for _, b := range list {
		known, ok, err := l.FindBatch(ctx, b.Host, b.ID)
		if err != nil {
			return err
		}
		if !ok || b.adds(known) {
			fresh = append(fresh, b)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	err := database.Write(ctx, l.db, func(tx *sql.Tx) error {
		for _, b := range fresh {
			if err := l.storeBatch(ctx, tx, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remembering a batch: %w", err)
	}
	return nil
}

// adds reports whether b has something that the ledger does not know.
func (b Batch) adds(known Batch) bool {
	results := b.Results != "" && known.Results != b.Results
	model := b.Model != "" && known.Model == ""
	caller := b.Key != "" && known.Key == ""
	return results || model || caller
}

func (l *Ledger) storeBatch(ctx context.Context, tx *sql.Tx, b Batch) error {
	tags := marshalTags(b.Tags)
	_, err := tx.ExecContext(ctx, `INSERT INTO usage_batches
			(host, id, results, model, key, key_name, user, tags, route, request, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (host, id) DO UPDATE SET
			results = CASE excluded.results WHEN '' THEN results ELSE excluded.results END,
			model = CASE model WHEN '' THEN excluded.model ELSE model END`,
		b.Host, b.ID, b.Results, b.Model, b.Key, b.KeyName, b.User, tags, b.Route, b.Request, l.o.Now().UnixMicro())
	if err == nil && b.Key != "" {
		_, err = tx.ExecContext(ctx, `UPDATE usage_batches SET key = ?, key_name = ?, user = ?, tags = ?, route = ?, request = ?
			WHERE host = ? AND id = ? AND key = ''`,
			b.Key, b.KeyName, b.User, tags, b.Route, b.Request, b.Host, b.ID)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.ID, err)
	}
	return nil
}

// FindBatch returns the batch that an object of a host is: by its id, or by the
// file of its results.
func (l *Ledger) FindBatch(ctx context.Context, host, object string) (b Batch, ok bool, err error) {
	const columns = `host, id, results, model, key, key_name, user, tags, route, request`
	var tags string
	err = l.db.QueryRowContext(ctx, `SELECT `+columns+` FROM usage_batches WHERE host = ? AND id = ?
		UNION ALL SELECT `+columns+` FROM usage_batches WHERE host = ? AND results = ? AND results != '' LIMIT 1`,
		host, object, host, object).
		Scan(&b.Host, &b.ID, &b.Results, &b.Model, &b.Key, &b.KeyName, &b.User, &tags, &b.Route, &b.Request)
	if errors.Is(err, sql.ErrNoRows) {
		return Batch{}, false, nil
	}
	if err != nil {
		return Batch{}, false, fmt.Errorf("looking for a batch: %w", err)
	}
	_ = json.Unmarshal([]byte(tags), &b.Tags) // of marshalTags
	return b, true, nil
}

// SettleBatch records the rows that settle a batch and charges them to the
// budgets of their key, unless that was done before, by this or an earlier
// process. It returns how many rows were new.
func (l *Ledger) SettleBatch(ctx context.Context, rows []Row) (recorded int, err error) {
	l.settling.Lock() // of two clients that fetch the same results, the second one finds the rows of the first
	defer l.settling.Unlock()
	for _, r := range rows {
		done, err := l.isSettled(ctx, r.ID)
		if err != nil {
			return recorded, err
		}
		if !done {
			l.Record(r)
			recorded++
		}
	}
	return recorded, nil
}

// isSettled reports whether a row that settles a batch is in the database or
// waits to be written.
func (l *Ledger) isSettled(ctx context.Context, id string) (done bool, err error) {
	l.pending.Between(func() {
		err = l.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM usage_settled WHERE row = ?)`, id).Scan(&done)
		l.pending.Each(func(e *entry) {
			done = done || (e.kind == settled && e.row.ID == id)
		})
	})
	if err != nil {
		return false, fmt.Errorf("looking whether a batch is settled: %w", err)
	}
	return done, nil
}
