package ledger

import (
	"fmt"
	"slices"
	"time"
)

// plan is the SQL of a query, and how the times in its result are read.
type plan struct {
	query   string
	args    []any
	instant func(bucket int64) time.Time
}

// source is a table that can answer a query.
type source struct {
	table, time string
	bucket      string // groups times; Report merges buckets into the days and months they belong to
	unit        func(time.Time) int64
	floor       func(time.Time) time.Time
	ceil        func(time.Time) time.Time
	instant     func(bucket int64) time.Time
	sums        string
	numbered    bool // its times are found by the numbers of rows
}

// plan builds the SQL of a query. The dearest groups come first.
func (r *Reader) plan(q Query) (plan, error) {
	if err := q.Check(); err != nil {
		return plan{}, err
	}
	return q.in(r.source(q)), nil
}

// planTotal builds the SQL of the sum of all requests that a query is about,
// each counted once, out of the same table.
func (r *Reader) planTotal(q Query) (plan, error) {
	if err := q.Check(); err != nil {
		return plan{}, err
	}
	s := r.source(q)
	q.By = nil
	return q.in(s), nil
}

// in builds the SQL of a query to a table.
func (q *Query) in(s source) plan {
	p := plan{instant: s.instant}
	from := s.table
	timed := false
	var selected, grouped []string
	for _, d := range q.By {
		column := s.table + "." + string(d)
		switch {
		case layouts[d] != "":
			timed = true
			selected = append(selected, "''") // Report fills it in, by the bucket
			continue
		case d == ByTag:
			from += ` LEFT JOIN json_each(NULLIF(tags, ''))`
			column = "COALESCE(json_each.value, '')"
		}
		selected = append(selected, column)
		grouped = append(grouped, column)
	}
	bucket := "0"
	if timed {
		bucket = s.bucket
		grouped = append([]string{bucket}, grouped...)
	}
	selected = append([]string{bucket}, selected...)
	p.query = "SELECT " + list(append(selected, s.sums)) + " FROM " + from + " WHERE TRUE"
	where := func(condition string, args ...any) {
		p.query += " AND " + condition
		p.args = append(p.args, args...)
	}
	if !q.Since.IsZero() {
		since := s.floor(q.Since)
		where(s.time+" >= ?", s.unit(since))
		if s.numbered {
			where("number >= ?", numberAt(since.Add(-clockSlack)))
		}
	}
	if !q.Until.IsZero() {
		until := s.ceil(q.Until)
		where(s.time+" < ?", s.unit(until))
		if s.numbered {
			where("number < ?", numberAt(until.Add(clockSlack)))
		}
	}
	for _, t := range q.terms() {
		text, args := t.condition(s.table)
		where(text, args...)
	}
	if q.Unmetered {
		where("unmetered")
	}
	if len(grouped) > 0 {
		sums := len(selected) + 1 // the first sum is the count of requests
		p.query += fmt.Sprintf(" GROUP BY %s ORDER BY %d DESC, %d DESC", list(grouped), sums+costSum, sums)
	} else {
		p.query += " HAVING COUNT(*) > 0"
	}
	return p
}

// costSum is the position of the cost in the sums.
var costSum = slices.Index(sumNames, "cost")

// source picks the smallest table that has all the dimensions.
func (r *Reader) source(q Query) source {
	has := map[Dimension]bool{}
	for _, d := range q.By {
		has[d] = true
	}
	for _, t := range q.terms() {
		has[t.Dimension] = true
	}
	only := func(allowed ...Dimension) bool {
		for d := range has {
			if !slices.Contains(allowed, d) {
				return false
			}
		}
		return !q.Unmetered // sums have how many there are, and not what they were
	}
	wholeDays := has[ByDay] || has[ByMonth] || (r.isMidnight(q.Since) && r.isMidnight(q.Until))
	switch {
	case wholeDays && only(ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByDay, ByMonth):
		return r.days("usage_days")
	case only(ByKey, ByModel, ByRoute, ByOperation, ByStatus, ByCache, ByHour, ByDay, ByMonth):
		return r.hours()
	case only(ByKey, ByUser, ByDay, ByMonth):
		return r.days("usage_users")
	}
	return r.rows(wholeDays && !has[ByHour])
}

func (r *Reader) days(table string) source {
	return source{
		table: table, time: "day", bucket: "day", sums: sumOf(sumNames),
		unit:  func(t time.Time) int64 { return dayOf(t, r.zone) },
		floor: r.dayFloor, ceil: r.dayCeil,
		instant: func(day int64) time.Time {
			return time.Date(int(day/10_000), time.Month(day/100%100), int(day%100), 12, 0, 0, 0, r.zone)
		},
	}
}

func (r *Reader) hours() source {
	return source{
		table: "usage_hours", time: "hour", bucket: "hour", sums: sumOf(sumNames),
		unit:    time.Time.Unix,
		floor:   func(t time.Time) time.Time { return t.Truncate(time.Hour) },
		ceil:    func(t time.Time) time.Time { return t.Add(time.Hour - 1).Truncate(time.Hour) },
		instant: func(hour int64) time.Time { return time.Unix(hour, 0).In(r.zone) },
	}
}

func (r *Reader) rows(wholeDays bool) source {
	same := func(t time.Time) time.Time { return t }
	s := source{
		table: "usage_requests", time: "time", bucket: fmt.Sprintf("time / %d", quarter*int64(1e6)), sums: rowSums, numbered: true,
		unit: time.Time.UnixMicro, floor: same, ceil: same,
		instant: func(n int64) time.Time { return time.Unix(n*quarter, 0).In(r.zone) },
	}
	if wholeDays {
		s.floor = r.dayFloor
		s.ceil = r.dayCeil
	}
	return s
}

// rowSums are the sums of single rows in the order of Sums.fields.
const rowSums = `COUNT(*), SUM(status >= 400 OR status = 0), SUM(estimated), SUM(cost IS NULL),
	SUM(input), SUM(cached_read), SUM(cached_write), SUM(output), SUM(reasoning), SUM(audio),
	COALESCE(SUM(cost), 0), COALESCE(SUM(CASE WHEN estimated THEN cost END), 0), SUM(saved), SUM(bytes_in), SUM(bytes_out),
	SUM(unmetered), SUM(cached_write_hour), COALESCE(SUM(list), 0)`

func sumOf(columns []string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "SUM(" + c + ")"
	}
	return list(out)
}

// isMidnight reports whether a bound is open or at the start of a day.
func (r *Reader) isMidnight(t time.Time) bool { return t.IsZero() || r.dayFloor(t).Equal(t) }

func (r *Reader) dayFloor(t time.Time) time.Time {
	y, m, d := t.In(r.zone).Date()
	return midnight(y, m, d, r.zone)
}

func (r *Reader) dayCeil(t time.Time) time.Time {
	if r.isMidnight(t) {
		return t
	}
	y, m, d := t.In(r.zone).Date()
	return midnight(y, m, d+1, r.zone)
}
