package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

	"forward/internal/database"
)

// Budgets count what is spent with a tag as they count what a key spends: by
// quarters of an hour. Clients make up tags, so only those that a budget names
// are counted. When a budget names one for the first time, what the rows of the
// ledger have of it is added up, and from then on each row counts as it is
// written. A tag stays counted when its budget is taken away, so that the
// budget can come back.

// TrackTags makes sure that what is spent with tags is counted. Reserve does so
// too, for the tags that its budgets name; a caller that knows them before
// spares its first request the sums over all rows, which take about three
// seconds for each tag and million.
func (l *Ledger) TrackTags(ctx context.Context, tags ...string) (err error) {
	if l.tracksAll(tags) {
		return nil
	}
	// No row is written meanwhile: each is in the sums of the rows, or is
	// counted when it is written.
	l.pending.Between(func() {
		tracked := maps.Clone(l.tracked())
		err = database.Write(ctx, l.db, func(tx *sql.Tx) error {
			for _, tag := range tags {
				if tracked[tag] {
					continue
				}
				tracked[tag] = true
				for _, statement := range []string{trackTag, sumUpTag} {
					if _, err := tx.ExecContext(ctx, statement, tag); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err == nil {
			l.writer.tags.Store(&tracked)
		}
	})
	if err != nil {
		return fmt.Errorf("adding up what was spent with a tag: %w", err)
	}
	return nil
}

// tracked returns the tags that are counted. It is not to be changed.
func (l *Ledger) tracked() map[string]bool { return *l.writer.tags.Load() }

func (l *Ledger) tracksAll(tags []string) bool {
	tracked := l.tracked()
	for _, tag := range tags {
		if !tracked[tag] {
			return false
		}
	}
	return true
}

// loadTags reads the tags that earlier processes counted.
func (w *writer) loadTags(ctx context.Context) error {
	tracked := map[string]bool{}
	w.tags.Store(&tracked)
	rows, err := w.db.QueryContext(ctx, `SELECT tag FROM usage_tags`)
	if err != nil {
		return fmt.Errorf("reading the tags that budgets name: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var tag string
		if err := rows.Scan(&tag); err != nil {
			return fmt.Errorf("reading the tags that budgets name: %w", err)
		}
		tracked[tag] = true
	}
	return rows.Err()
}

const (
	trackTag = `INSERT INTO usage_tags (tag) VALUES (?)`
	// sumUpTag adds up the rows with a tag as spentBy counts them. The tags of
	// a row are those of its kind, unless it has some of its own.
	sumUpTag = `INSERT INTO usage_tag_spend (tag, quarter, cost, tokens)
	SELECT ?1, time / 900000000, SUM(COALESCE(cost, 0)), SUM(input + output) FROM usage_calls
	WHERE CASE WHEN tags IS NULL
		THEN kind IN (SELECT id FROM usage_kinds WHERE EXISTS (SELECT 1 FROM json_each(NULLIF(usage_kinds.tags, '')) AS t WHERE t.value = ?1))
		ELSE EXISTS (SELECT 1 FROM json_each(usage_calls.tags) AS t WHERE t.value = ?1) END
	GROUP BY 2`
)
