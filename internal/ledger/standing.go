package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// BalancesOf returns the state of the budgets of many keys, none of them of a
// tag, in their order. It reads what memory does not know by one query for each
// start of a period, and not by one for each key.
func (l *Ledger) BalancesOf(ctx context.Context, budgets map[string][]Budget) (map[string][]Balance, error) {
	now := l.o.Now()
	all := make(map[string][]Balance, len(budgets))
	missing := map[int64]map[string][]*Balance{} // by the first quarter of the period, then by key
	for key, of := range budgets {
		all[key] = make([]Balance, len(of))
		for i, b := range of {
			balance := &all[key][i]
			known, start, err := l.inMemory(key, b, now)
			if err != nil {
				return nil, err
			}
			*balance = known
			if start < 0 {
				continue
			}
			if missing[start] == nil {
				missing[start] = map[string][]*Balance{}
			}
			missing[start][key] = append(missing[start][key], balance)
		}
	}
	for start, of := range missing {
		sums, err := l.spentOf(ctx, slices.Collect(maps.Keys(of)), start)
		if err != nil {
			return nil, fmt.Errorf("reading what was spent of budgets: %w", err)
		}
		for key, balances := range of {
			for _, b := range balances {
				b.Spent = sums[key].in(b.Budget.Unit)
			}
		}
	}
	return all, nil
}

// inMemory returns the state of a key's budget. start is -1 where memory knows
// what was spent, else the first quarter from which on it has to be read. It
// makes no meter: most keys of a list are not in use.
func (l *Ledger) inMemory(key string, b Budget, now time.Time) (state Balance, start int64, err error) {
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	id := accountID{key: key}
	l.mu.RLock()
	a := l.accounts[id]
	l.mu.RUnlock()
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if m := a.meters[meterID{b.Unit, b.Period, zone.String()}]; m != nil && m.covers(now) {
			m.setBudget(b)
			return a.balance(m), -1, nil
		}
	}
	from, end, err := b.Period.Window(now, zone)
	if err != nil {
		return Balance{}, 0, err
	}
	if !from.IsZero() {
		start = from.Unix() / quarter
	}
	return Balance{Budget: b, Held: l.deferrals.heldBy(id, b.Unit), Reset: end}, start, nil
}

// spentOf sums up what keys used since the start of a quarter, from the
// database and the rows that wait for it.
func (l *Ledger) spentOf(ctx context.Context, keys []string, start int64) (sums map[string]spent, err error) {
	names, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	sums = make(map[string]spent, len(keys))
	l.pending.Still(func() {
		err = l.query(ctx, `SELECT s.key, SUM(s.cost), SUM(s.tokens) FROM json_each(?) k CROSS JOIN usage_spend s
			WHERE s.key = k.value AND s.quarter >= ? GROUP BY s.key`, []any{string(names), start}, func(rows *sql.Rows) error {
			var key string
			var s spent
			err := rows.Scan(&key, &s.cost, &s.tokens)
			sums[key] = s
			return err
		})
		l.pending.Each(func(e *entry) {
			if e.kind == settled && e.row.booked().Unix()/quarter >= start {
				sums[e.row.Key] = sums[e.row.Key].plus(spentBy(&e.row))
			}
		})
	})
	return sums, err
}

// LastUsed returns the hour in which each key was last used, of those that
// were; only of one key unless it is "".
func (r *Reader) LastUsed(ctx context.Context, key string) (map[string]time.Time, error) {
	if key != "" {
		return r.hoursBy(ctx, `SELECT ?1, MAX(hour) FROM usage_hours WHERE key = ?1`, key)
	}
	return r.hoursBy(ctx, `SELECT key, (SELECT MAX(hour) FROM usage_hours WHERE usage_hours.key = usage_keys.key) FROM usage_keys`)
}

// ModelsUsed returns the hour in which each model was last asked for, since an
// instant; by one key, unless it is "".
func (r *Reader) ModelsUsed(ctx context.Context, key string, since time.Time) (map[string]time.Time, error) {
	query, args := `SELECT model, MAX(hour) FROM usage_hours WHERE hour >= ?`, []any{since.Unix()}
	if key != "" {
		query += ` AND key = ?`
		args = append(args, key)
	}
	return r.hoursBy(ctx, query+` GROUP BY model`, args...)
}

// hoursBy reads pairs of a name and an hour.
func (r *Reader) hoursBy(ctx context.Context, query string, args ...any) (map[string]time.Time, error) {
	hours := map[string]time.Time{}
	err := r.query(ctx, query, args, func(rows *sql.Rows) error {
		var name string
		var hour sql.NullInt64
		err := rows.Scan(&name, &hour)
		if hour.Valid {
			hours[name] = time.Unix(hour.Int64, 0).In(r.zone)
		}
		return err
	})
	return hours, err
}
