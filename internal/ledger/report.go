package ledger

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"forward/internal/price"
)

// Dimension is something by which usage can be grouped and filtered.
type Dimension string

// The dimensions. Those of the first line are in the sums by hour and by day; user is in sums of its own, by key and day. All others
// mean that single rows are read, which takes longer and reaches back as far as the retention.
const (
	ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache Dimension = "key", "model", "route", "operation", "status", "cache"
	ByHour, ByDay, ByMonth                                  Dimension = "hour", "day", "month"
	ByUser                                                  Dimension = "user"
	ByUpstream, BySlot, ByAnswered, ByCause, ByFinish       Dimension = "upstream", "slot", "answered", "cause", "finish"
	ByTag                                                   Dimension = "tag" // a request counts for each of its tags
)

// Dimensions returns all of them.
func Dimensions() []Dimension {
	return []Dimension{ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByHour, ByDay, ByMonth, ByUser, ByUpstream, BySlot, ByAnswered, ByCause, ByFinish, ByTag}
}

// Query is a question about usage.
type Query struct {
	By []Dimension // nil: one group
	// Since and Until bound when requests began; zero is open. Reports by day and month, and of users, begin and end with whole days,
	// all others that sums can answer with whole hours: bounds inside of one take all of it in.
	Since, Until time.Time
	// Filter keeps the requests whose dimension has the value. A key may be told by its id or its name. hour, day, month and tag
	// are no filters.
	Filter map[Dimension]string
}

// Group is one line of a report.
type Group struct {
	Values  []string // one for each of Query.By: keys by id, hours as RFC 3339, days as 2026-11-21, months as 2026-11
	KeyName string   // what the key is called now, when the groups are by key
	Sums
}

// Report adds up what was used. Groups come in the order of their times, then by cost, the dearest first.
func (r *Reader) Report(ctx context.Context, q Query) ([]Group, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	names, err := r.keyNames(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.plan(q)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.QueryContext(ctx, p.query, p.args...)
	if err != nil {
		return nil, wrapRead(err)
	}
	defer rows.Close()
	groups := map[string]*Group{} // by their values; several hours of the database can be of one day
	for rows.Next() {
		g := Group{Values: make([]string, len(q.By))}
		var bucket int64
		targets := []any{&bucket}
		for i := range q.By {
			targets = append(targets, &g.Values[i])
		}
		if err := rows.Scan(append(targets, g.fields()...)...); err != nil {
			return nil, wrapRead(err)
		}
		for i, d := range q.By {
			if d == ByKey {
				g.KeyName = names[g.Values[i]]
			}
			if layout := layouts[d]; layout != "" {
				g.Values[i] = p.instant(bucket).Format(layout)
			}
		}
		id := strings.Join(g.Values, "\x00")
		if have := groups[id]; have != nil {
			have.merge(&g.Sums)
			continue
		}
		groups[id] = &g
	}
	if err := rows.Err(); err != nil {
		return nil, wrapRead(err)
	}
	return ordered(q.By, groups), nil
}

// layouts are how times are written.
var layouts = map[Dimension]string{ByHour: time.RFC3339, ByDay: "2006-01-02", ByMonth: "2006-01"}

func (s *Sums) merge(o *Sums) {
	into, from := s.fields(), o.fields()
	for i := range into {
		switch n := into[i].(type) {
		case *int64:
			*n += *from[i].(*int64)
		case *price.Money:
			*n += *from[i].(*price.Money)
		}
	}
}

func ordered(by []Dimension, groups map[string]*Group) []Group {
	out := make([]Group, 0, len(groups))
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		for i, d := range by {
			if c := cmp.Compare(a.Values[i], b.Values[i]); c != 0 && layouts[d] != "" {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.Requests, a.Requests), slices.Compare(a.Values, b.Values))
	})
	return out
}

// keyNames returns what keys are called, by id.
func (r *Reader) keyNames(ctx context.Context) (map[string]string, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT key, name FROM usage_keys`)
	if err != nil {
		return nil, wrapRead(err)
	}
	defer rows.Close()
	names := map[string]string{}
	for rows.Next() {
		var key, name string
		if err := rows.Scan(&key, &name); err != nil {
			return nil, wrapRead(err)
		}
		names[key] = name
	}
	return names, wrapRead(rows.Err())
}

func list(words []string) string { return strings.Join(words, ", ") }
