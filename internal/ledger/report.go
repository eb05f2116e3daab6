package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Dimension is something by which usage is grouped and filtered.
type Dimension string

// The dimensions. Those of the first two lines are in the sums by hour and day,
// and users are in sums of their own, by key and day. All others make a report
// read single rows, which takes longer and reaches back as far as the
// retention.
const (
	ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache Dimension = "key", "model", "route", "operation", "status", "cache"
	ByHour, ByDay, ByMonth                                  Dimension = "hour", "day", "month"
	ByUser                                                  Dimension = "user"
	ByUpstream, BySlot, ByAnswered, ByCause, ByFinish       Dimension = "upstream", "slot", "answered", "cause", "finish"
	ByTag                                                   Dimension = "tag" // a request counts for each of its tags
	BySession                                               Dimension = "session"
)

// Dimensions returns all dimensions.
func Dimensions() []Dimension {
	return []Dimension{
		ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByHour, ByDay, ByMonth, ByUser,
		ByUpstream, BySlot, ByAnswered, ByCause, ByFinish, ByTag, BySession,
	}
}

// layouts are the forms of the dimensions that are times.
var layouts = map[Dimension]string{ByHour: time.RFC3339, ByDay: "2006-01-02", ByMonth: "2006-01"}

// Query is a question about usage.
type Query struct {
	By []Dimension // nil: one group
	// Since and Until bound when requests started; zero is open. Reports by
	// day, month and user start and end with whole days, others that sums can
	// answer with whole hours: a bound inside of one includes all of it.
	Since, Until time.Time
	// Filter keeps the requests whose dimension has the value. A key can be
	// given by id or by name. hour, day and month are no filters.
	Filter map[Dimension]string
	Terms  []Term // that requests have to match beside the filter
	// Unmetered keeps the requests that were sent and whose usage is unknown.
	Unmetered bool
	// Top bounds the groups: beyond that many, about the dearest, all others of
	// a time are added up as "(other)". 0 is 100,000, which is also the most:
	// clients choose how many sessions, users and tags there are.
	Top int
}

// maxGroups bounds the groups of a report, because all are in memory.
const maxGroups = 100_000

// Check returns what is wrong with a query.
func (q Query) Check() error {
	known := Dimensions()
	for i, d := range q.By {
		if !slices.Contains(known, d) {
			return fmt.Errorf("%q is nothing to group by: write %s", d, words(known))
		}
		if slices.Contains(q.By[:i], d) {
			return fmt.Errorf("%q is twice in what to group by", d)
		}
	}
	return Selection{Terms: q.terms()}.Check()
}

// terms returns the filter and the terms together.
func (q Query) terms() (list []Term) {
	for _, d := range slices.Sorted(maps.Keys(q.Filter)) {
		list = append(list, Term{Dimension: d, Value: q.Filter[d]})
	}
	return append(list, q.Terms...)
}

func words(dimensions []Dimension) string {
	out := make([]string, len(dimensions))
	for i, d := range dimensions {
		out[i] = string(d)
	}
	return list(out)
}

// Group is one line of a report.
type Group struct {
	Values  []string // one for each of Query.By: keys by id, hours as RFC 3339, days as 2026-11-21, months as 2026-11
	KeyName string   // the current name of the key, where groups are by key
	Sums
}

// Report adds up what was used. Groups are sorted by their times, then by cost,
// the highest first.
func (r *Reader) Report(ctx context.Context, q Query) ([]Group, error) {
	names, err := r.keyNames(ctx)
	if err != nil {
		return nil, err
	}
	p, err := r.plan(q)
	if err != nil {
		return nil, err
	}
	most := maxGroups
	if q.Top > 0 {
		most = min(q.Top, maxGroups)
	}
	groups := map[string]*Group{} // by their values: several hours of the database can be of one day
	err = r.query(ctx, p.query, p.args, func(rows *sql.Rows) error {
		g := Group{Values: make([]string, len(q.By))}
		var bucket int64
		targets := []any{&bucket}
		for i := range q.By {
			targets = append(targets, &g.Values[i])
		}
		if err := rows.Scan(append(targets, g.targets()...)...); err != nil {
			return err
		}
		for i, d := range q.By {
			if layout := layouts[d]; layout != "" {
				g.Values[i] = p.instant(bucket).Format(layout)
			}
		}
		id := strings.Join(g.Values, "\x00")
		if groups[id] == nil && len(groups) >= most {
			for i, d := range q.By {
				if layouts[d] == "" {
					g.Values[i] = others
				}
			}
			id = strings.Join(g.Values, "\x00")
		}
		for i, d := range q.By {
			if d == ByKey {
				g.KeyName = names[g.Values[i]]
			}
		}
		if have := groups[id]; have != nil {
			have.merge(&g.Sums)
			return nil
		}
		groups[id] = &g
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sorted(q.By, groups), nil
}

func sorted(by []Dimension, groups map[string]*Group) []Group {
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
		return cmp.Or(cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.List, a.List), cmp.Compare(b.Requests, a.Requests), slices.Compare(a.Values, b.Values))
	})
	return out
}

// keyNames returns the current names of keys, by id.
func (r *Reader) keyNames(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := r.query(ctx, `SELECT key, name FROM usage_keys`, nil, func(rows *sql.Rows) error {
		var key, name string
		err := rows.Scan(&key, &name)
		names[key] = name
		return err
	})
	return names, err
}

// Total adds up the groups of a report. By tag, where a request can be in
// several groups, it asks for the sum of the requests instead, which counts
// each once.
func (r *Reader) Total(ctx context.Context, q Query, groups []Group) (s Sums, err error) {
	if !slices.Contains(q.By, ByTag) {
		return SumUp(groups), nil
	}
	p, err := r.planTotal(q)
	if err != nil {
		return s, err
	}
	err = r.query(ctx, p.query, p.args, func(rows *sql.Rows) error {
		var bucket int64
		return rows.Scan(append([]any{&bucket}, s.targets()...)...)
	})
	return s, err
}

// SumUp adds groups up. By tag the sum is more than there was, see Total.
func SumUp(groups []Group) Sums {
	var s Sums
	for i := range groups {
		s.merge(&groups[i].Sums)
	}
	return s
}
