package ledger

import (
	"context"
	"fmt"
	"maps"
	"time"
)

const (
	hourRetention = 400 * 24 * time.Hour
	sweepStep     = 5000 // rows that are removed in one go, so that nobody waits long for the database
)

// sweep removes what is older than the retention. What is left over when the database takes nothing is removed the next time.
func (l *Ledger) sweep() {
	if l.o.Retention < 0 {
		return
	}
	now := l.o.Now()
	maps.DeleteFunc(l.kinds, func(_ rowKind, k keptKind) bool { return k.until.Before(now.Add(-l.o.Retention)) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	steps := []struct {
		statement string
		before    int64
	}{
		{`DELETE FROM usage_calls WHERE rowid IN (SELECT rowid FROM usage_calls WHERE time < ? ORDER BY time LIMIT ?)`, now.Add(-l.o.Retention).UnixMicro()},
		{`DELETE FROM usage_kinds WHERE id IN (SELECT id FROM usage_kinds WHERE until < ? LIMIT ?)`, now.Add(-l.o.Retention).UnixMicro()},
		{`DELETE FROM usage_hours WHERE (hour, key, route, model, operation, status, cache) IN
			(SELECT hour, key, route, model, operation, status, cache FROM usage_hours WHERE hour < ? LIMIT ?)`, now.Add(-max(hourRetention, l.o.Retention)).Unix()},
		{`DELETE FROM usage_batches WHERE (host, id) IN (SELECT host, id FROM usage_batches WHERE seen < ? LIMIT ?)`, now.Add(-hourRetention).UnixMicro()},
		{`DELETE FROM usage_settled WHERE row IN (SELECT row FROM usage_settled WHERE time < ? LIMIT ?)`, now.Add(-hourRetention - 24*time.Hour).UnixMicro()},
		{`DELETE FROM usage_warnings WHERE rowid IN (SELECT rowid FROM usage_warnings WHERE time < ? LIMIT ?)`, now.Add(-hourRetention).UnixMicro()},
	}
	for _, s := range steps {
		if err := l.remove(ctx, s.statement, s.before); err != nil {
			l.o.Log.Warn("old rows of the ledger could not be removed", "error", err)
			return
		}
	}
	if err := l.foldSpend(ctx, now.Add(-hourRetention)); err != nil {
		l.o.Log.Warn("old sums of the ledger could not be put together", "error", err)
	}
}

// remove deletes in steps, with a pause between them for the rows that wait to be written.
func (l *Ledger) remove(ctx context.Context, statement string, before int64) error {
	for {
		l.commit.Lock()
		result, err := l.db.ExecContext(ctx, statement, before, sweepStep)
		l.commit.Unlock()
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n < sweepStep {
			return err
		}
		if !l.drainOnce() {
			return nil // the writer says why; there are better times to remove
		}
	}
}

// drainOnce lets a batch of new rows in between two steps of a sweep, and reports whether they could be written.
func (l *Ledger) drainOnce() bool {
	_, err := l.writeBatch()
	return err == nil
}

// foldSpend puts the quarters of an hour that no period but a total can ask for into one, quarter 0.
func (l *Ledger) foldSpend(ctx context.Context, before time.Time) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	end := before.Unix() / quarter
	for _, statement := range []string{
		`INSERT INTO usage_spend (key, quarter, cost, tokens)
			SELECT key, 0, SUM(cost), SUM(tokens) FROM usage_spend WHERE quarter > 0 AND quarter < ? GROUP BY key
			ON CONFLICT (key, quarter) DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens`,
		`DELETE FROM usage_spend WHERE quarter > 0 AND quarter < ?`,
	} {
		if _, err := tx.ExecContext(ctx, statement, end); err != nil {
			return fmt.Errorf("folding: %w", err)
		}
	}
	return tx.Commit()
}
