package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"forward/internal/database"
)

const (
	sweepInterval = 10 * time.Minute
	sweepPatience = time.Minute
	hourRetention = 400 * 24 * time.Hour
	// sweepStep bounds the rows that are removed at once, so that no other
	// writer of the database waits long.
	sweepStep = 5000
)

// runSweeper sweeps at once and then at intervals, until the ledger stops. ctx
// bounds the sweep under way.
func (l *Ledger) runSweeper(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		l.sweep(ctx)
		select {
		case <-ticker.C:
		case <-l.stop:
			return
		}
	}
}

// sweep settles deferred work that has expired, and removes what is older than
// the retention. What is left because the database accepts nothing is removed
// the next time.
func (l *Ledger) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepPatience)
	defer cancel()
	if err := l.expireDeferred(ctx); err != nil {
		l.o.Log.Warn("deferred work could not be settled", "error", err)
		return
	}
	if l.o.Retention < 0 {
		return
	}
	now := l.o.Now()
	rows := now.Add(-l.o.Retention)
	hours := now.Add(-max(hourRetention, l.o.Retention))
	rest := now.Add(-hourRetention)
	l.pending.Between(func() { l.writer.forgetKinds(rows) })
	for _, s := range []struct {
		statement string
		before    int64
	}{
		{`DELETE FROM usage_calls WHERE number IN (SELECT number FROM usage_calls WHERE number < ? ORDER BY number LIMIT ?)`, numberAt(rows)},
		{`DELETE FROM usage_kinds WHERE id IN (SELECT id FROM usage_kinds WHERE until < ? LIMIT ?)`, rows.UnixMicro()},
		{`DELETE FROM usage_hours WHERE (hour, key, route, model, operation, status, cache) IN
			(SELECT hour, key, route, model, operation, status, cache FROM usage_hours WHERE hour < ? LIMIT ?)`, hours.Unix()},
		{`DELETE FROM usage_latency WHERE (hour, key, route, model) IN (SELECT hour, key, route, model FROM usage_latency WHERE hour < ? LIMIT ?)`, hours.Unix()},
		{`DELETE FROM usage_batches WHERE (host, id) IN (SELECT host, id FROM usage_batches WHERE seen < ? LIMIT ?)`, rest.UnixMicro()},
		// A batch may be settled as long as it is known, and a day longer.
		{`DELETE FROM usage_settled WHERE row IN (SELECT row FROM usage_settled WHERE time < ? LIMIT ?)`, rest.Add(-24 * time.Hour).UnixMicro()},
		{`DELETE FROM usage_warnings WHERE rowid IN (SELECT rowid FROM usage_warnings WHERE time < ? LIMIT ?)`, rest.UnixMicro()},
	} {
		if err := l.remove(ctx, s.statement, s.before); err != nil {
			l.o.Log.Warn("old rows of the ledger could not be removed", "error", err)
			return
		}
	}
	if err := l.foldSpend(ctx, rest); err != nil {
		l.o.Log.Warn("old sums of the ledger could not be put together", "error", err)
	}
}

// remove deletes in steps. The writer can write a batch after each.
func (l *Ledger) remove(ctx context.Context, statement string, before int64) error {
	for {
		var removed int64
		var err error
		l.pending.Between(func() {
			var result sql.Result
			result, err = l.db.ExecContext(ctx, statement, before, sweepStep)
			if err == nil {
				removed, err = result.RowsAffected()
			}
		})
		if err != nil || removed < sweepStep {
			return err
		}
	}
}

// foldSpend adds the quarters of an hour that no period but a total can need to
// quarter 0.
func (l *Ledger) foldSpend(ctx context.Context, before time.Time) (err error) {
	end := before.Unix() / quarter
	l.pending.Between(func() {
		err = database.Write(ctx, l.db, func(tx *sql.Tx) error {
			for _, statement := range []string{
				`INSERT INTO usage_spend (key, quarter, cost, tokens)
					SELECT key, 0, SUM(cost), SUM(tokens) FROM usage_spend WHERE quarter > 0 AND quarter < ? GROUP BY key
					ON CONFLICT (key, quarter) DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens`,
				`DELETE FROM usage_spend WHERE quarter > 0 AND quarter < ?`,
				`INSERT INTO usage_tag_spend (tag, quarter, cost, tokens)
					SELECT tag, 0, SUM(cost), SUM(tokens) FROM usage_tag_spend WHERE quarter > 0 AND quarter < ? GROUP BY tag
					ON CONFLICT (tag, quarter) DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens`,
				`DELETE FROM usage_tag_spend WHERE quarter > 0 AND quarter < ?`,
			} {
				if _, err := tx.ExecContext(ctx, statement, end); err != nil {
					return fmt.Errorf("folding: %w", err)
				}
			}
			return nil
		})
	})
	return err
}
