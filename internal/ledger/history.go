package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"forward/internal/price"
)

// MaxPeriods bounds the periods of a history.
const MaxPeriods = 1000

// Past is a period of the past, or the current one, and what a budget would
// have done in it.
type Past struct {
	Start, End time.Time // of a total: the first use that is known, and now
	Spent      int64     // nano-dollars or tokens
	// Stopped is the quarter of an hour in which the budget would have been
	// spent, so that it had stopped the next request; zero: never. Of a total,
	// it is not before Start, also where older use had spent it.
	Stopped time.Time
}

// History returns when a budget would have stopped a key, in each period from
// the one around since on. It is exact to a quarter of an hour, also for a time
// zone that no budget had so far. Quarters are kept for 400 days.
func (l *Ledger) History(ctx context.Context, key string, b Budget, since time.Time) ([]Past, error) {
	zone := b.Zone
	if zone == nil {
		zone = time.UTC
	}
	now := l.o.Now()
	start, end, err := b.Period.Window(since, zone)
	if err != nil {
		return nil, err
	}
	quarters, err := l.quartersSince(ctx, key, start)
	if err != nil {
		return nil, fmt.Errorf("reading what was spent of a budget: %w", err)
	}
	order := slices.Sorted(maps.Keys(quarters))
	if b.Period == Total {
		start, end = now, now
		if i := slices.IndexFunc(order, func(q int64) bool { return q > 0 }); i >= 0 { // quarter 0 has what is older than the others
			start = time.Unix(order[i]*quarter, 0)
		}
		p := Past{Start: start.In(zone), End: end.In(zone)}
		for _, q := range order {
			p.spend(q, quarters[q].in(b.Unit), b.Amount)
		}
		return []Past{p}, nil
	}
	var list []Past
	for !start.After(now) {
		if len(list) == MaxPeriods {
			return nil, fmt.Errorf("more than %d periods: name a later start", MaxPeriods)
		}
		p := Past{Start: start, End: end}
		for len(order) > 0 && time.Unix(order[0]*quarter, 0).Before(end) {
			p.spend(order[0], quarters[order[0]].in(b.Unit), b.Amount)
			order = order[1:]
		}
		list = append(list, p)
		start, end, err = b.Period.Window(end, zone)
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// spend adds what was spent in a quarter.
func (p *Past) spend(q, n, limit int64) {
	p.Spent = price.Add(p.Spent, n)
	if !p.Stopped.IsZero() || p.Spent < limit {
		return
	}
	p.Stopped = time.Unix(q*quarter, 0).In(p.Start.Location())
	if p.Stopped.Before(p.Start) {
		p.Stopped = p.Start
	}
}

// quartersSince returns what a key spent in each quarter of an hour, from the
// database and the rows that wait for it.
func (l *Ledger) quartersSince(ctx context.Context, key string, since time.Time) (quarters map[int64]spent, err error) {
	first := int64(0)
	if !since.IsZero() {
		first = floor(since.Unix(), quarter) / quarter
	}
	quarters = map[int64]spent{}
	l.pending.Still(func() {
		err = l.query(ctx, `SELECT quarter, cost, tokens FROM usage_spend WHERE key = ? AND quarter >= ?`, []any{key, first}, func(rows *sql.Rows) error {
			var q int64
			var s spent
			err := rows.Scan(&q, &s.cost, &s.tokens)
			quarters[q] = s
			return err
		})
		l.pending.Each(func(e *entry) {
			if e.kind != settled || e.row.Key != key {
				return
			}
			q := floor(e.row.booked().Unix(), quarter) / quarter
			if q >= first {
				quarters[q] = quarters[q].plus(spentBy(&e.row))
			}
		})
	})
	return quarters, err
}
