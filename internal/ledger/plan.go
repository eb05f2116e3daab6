package ledger

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

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

func words(ds []Dimension) string {
	out := make([]string, len(ds))
	for i, d := range ds {
		out[i] = string(d)
	}
	return list(out)
}
