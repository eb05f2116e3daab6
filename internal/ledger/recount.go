package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// recount adds to the sums what version 4 did not count in them: requests of
// unknown cost that reported no tokens, those whose usage is unknown, and the
// tokens that are kept for an hour. It counts the rows that are there; sums of
// older ones stay as they were.
func recount(ctx context.Context, tx *sql.Tx, zone *time.Location) error {
	rows, err := tx.QueryContext(ctx, `SELECT time / ?1 * ?1, key, route, model, operation, status, cache, user,
			SUM(cost IS NULL AND input + output = 0), SUM(unmetered), SUM(cached_write_hour)
		FROM usage_requests
		WHERE ((cost IS NULL AND input + output = 0) OR unmetered OR cached_write_hour > 0) AND key IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5, 6, 7, 8`, quarter*1_000_000)
	if err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	defer rows.Close()
	d := newDifferences(zone)
	for rows.Next() {
		var r Row
		var at int64
		var s Sums
		err := rows.Scan(&at, &r.Key, &r.Route, &r.Model, &r.Operation, &r.Status, &r.Cache, &r.User,
			&s.Unpriced, &s.Unmetered, &s.CachedWriteHour)
		if err != nil {
			return fmt.Errorf("counting rows: %w", err)
		}
		r.Time = time.UnixMicro(at)
		hour, day, user := newDifferences(zone).of(&r)
		cell(d.hours, hour).merge(&s)
		cell(d.days, day).merge(&s)
		cell(d.users, user).merge(&s)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("counting rows: %w", err)
	}
	return d.store(ctx, tx)
}
