package usage

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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
		case *Nano:
			*n += *from[i].(*Nano)
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

// plan is a query and how the times in its answer are read.
type plan struct {
	query   string
	args    []any
	instant func(bucket int64) time.Time
}

// table is where a question can be answered.
type table struct {
	name, time string
	bucket     string // groups times; reports merge buckets into the days and months they are of
	unit       func(time.Time) int64
	floor      func(time.Time) time.Time
	ceil       func(time.Time) time.Time
	instant    func(bucket int64) time.Time
	sums       string
}

// plan picks the smallest table that knows all the dimensions, and asks it.
func (r *Reader) plan(q Query) (plan, error) {
	t, err := r.table(q)
	if err != nil {
		return plan{}, err
	}
	timed, from := false, t.name
	var groups []string
	for _, d := range q.By {
		switch {
		case layouts[d] != "":
			timed = true
			groups = append(groups, "''") // written by Report, from the bucket
		case d == ByTag:
			from += ` LEFT JOIN json_each(NULLIF(tags, ''))`
			groups = append(groups, "COALESCE(json_each.value, '')")
		default:
			groups = append(groups, t.name+"."+string(d))
		}
	}
	bucket := "0"
	if timed {
		bucket = t.bucket
	}
	p := plan{instant: t.instant}
	selected := append([]string{bucket}, groups...)
	p.query = "SELECT " + list(append(selected, t.sums)) + " FROM " + from + " WHERE TRUE"
	if !q.Since.IsZero() {
		p.query, p.args = p.query+" AND "+t.time+" >= ?", append(p.args, t.unit(t.floor(q.Since)))
	}
	if !q.Until.IsZero() {
		p.query, p.args = p.query+" AND "+t.time+" < ?", append(p.args, t.unit(t.ceil(q.Until)))
	}
	for _, d := range slices.Sorted(maps.Keys(q.Filter)) {
		if d == ByKey {
			p.query += " AND (" + t.name + ".key = ? OR " + t.name + ".key IN (SELECT key FROM usage_keys WHERE name = ?))"
			p.args = append(p.args, q.Filter[d], q.Filter[d])
			continue
		}
		p.query, p.args = p.query+" AND "+t.name+"."+string(d)+" = ?", append(p.args, q.Filter[d])
	}
	// Not by position: a '' that stands for a time is no column to group by.
	group := slices.DeleteFunc(append([]string{bucket}, groups...), func(s string) bool { return s == "''" || s == "0" })
	if len(group) > 0 {
		p.query += " GROUP BY " + list(group)
	} else {
		p.query += " HAVING COUNT(*) > 0"
	}
	return p, nil
}

// Check reports what is wrong with a question.
func Check(q Query) error {
	known := Dimensions()
	for i, d := range q.By {
		if !slices.Contains(known, d) {
			return fmt.Errorf("%q is nothing to group by: write %s", d, words(known))
		}
		if slices.Contains(q.By[:i], d) {
			return fmt.Errorf("%q is twice in what to group by", d)
		}
	}
	for d := range q.Filter {
		if !slices.Contains(known, d) || layouts[d] != "" || d == ByTag {
			return fmt.Errorf("%q is nothing to filter by", d)
		}
	}
	return nil
}

func (r *Reader) table(q Query) (table, error) {
	if err := Check(q); err != nil {
		return table{}, err
	}
	has := map[Dimension]bool{}
	for _, d := range q.By {
		has[d] = true
	}
	for d := range q.Filter {
		has[d] = true
	}
	only := func(allowed ...Dimension) bool {
		for d := range has {
			if !slices.Contains(allowed, d) {
				return false
			}
		}
		return true
	}
	whole := has[ByDay] || has[ByMonth] || r.midnight(q.Since) && r.midnight(q.Until)
	switch {
	case whole && only(ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByDay, ByMonth):
		return r.days("usage_days"), nil
	case only(ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByHour, ByDay, ByMonth):
		return r.hours(), nil
	case only(ByKey, ByUser, ByDay, ByMonth):
		return r.days("usage_users"), nil
	}
	return r.raw(whole && !has[ByHour]), nil
}

// midnight reports whether a bound is open or at the begin of a day.
func (r *Reader) midnight(t time.Time) bool { return t.IsZero() || r.dayFloor(t).Equal(t) }

func (r *Reader) dayFloor(t time.Time) time.Time {
	y, m, d := t.In(r.location).Date()
	return midnight(y, m, d, r.location)
}

func (r *Reader) dayCeil(t time.Time) time.Time {
	if r.midnight(t) {
		return t
	}
	y, m, d := t.In(r.location).Date()
	return midnight(y, m, d+1, r.location)
}

func (r *Reader) days(name string) table {
	return table{
		name: name, time: "day", bucket: "day", sums: sumOf(sums),
		unit:  func(t time.Time) int64 { return dayOf(t, r.location) },
		floor: r.dayFloor, ceil: r.dayCeil,
		instant: func(day int64) time.Time {
			return time.Date(int(day/10_000), time.Month(day/100%100), int(day%100), 12, 0, 0, 0, r.location)
		},
	}
}

func (r *Reader) hours() table {
	return table{
		name: "usage_hours", time: "hour", bucket: "hour", sums: sumOf(sums),
		unit:    time.Time.Unix,
		floor:   func(t time.Time) time.Time { return t.Truncate(time.Hour) },
		ceil:    func(t time.Time) time.Time { return t.Add(time.Hour - 1).Truncate(time.Hour) },
		instant: func(hour int64) time.Time { return time.Unix(hour, 0).In(r.location) },
	}
}

func (r *Reader) raw(wholeDays bool) table {
	t := table{
		name: "usage_requests", time: "time", bucket: fmt.Sprintf("time / %d", quarter*int64(1e6)), sums: rawSums,
		unit: time.Time.UnixMicro, floor: same, ceil: same,
		instant: func(n int64) time.Time {
			return time.Unix(n*quarter, 0).In(r.location)
		},
	}
	if wholeDays {
		t.floor, t.ceil = r.dayFloor, r.dayCeil
	}
	return t
}

func same(t time.Time) time.Time { return t }

// rawSums are the sums over single rows, in the order of Sums.fields.
const rawSums = `COUNT(*), SUM(status >= 400 OR status = 0), SUM(estimated), SUM(cost IS NULL AND input + output > 0), SUM(input), SUM(cached_read), SUM(cached_write), SUM(output),
	SUM(reasoning), SUM(audio), COALESCE(SUM(cost), 0), COALESCE(SUM(CASE WHEN estimated THEN cost END), 0), SUM(saved), SUM(bytes_in), SUM(bytes_out)`

func sumOf(columns []string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "SUM(" + c + ")"
	}
	return list(out)
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

func words(ds []Dimension) string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = string(d)
	}
	return list(out)
}
