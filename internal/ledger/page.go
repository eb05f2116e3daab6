package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PageQuery asks for rows of single requests, the newest first.
type PageQuery struct {
	Selection
	Before int64 // only rows with a lower number; 0: from the newest on
	Limit  int   // rows of a page; 0 is 100
	// MaxRows and MaxTime bound the rows that one query looks at and the time
	// that it takes; 0 means the defaults. A query looks at some rows in any
	// case, so that the next one goes on.
	MaxRows int
	MaxTime time.Duration
}

const (
	pageRows    = 100
	scannedRows = 400_000
	scannedTime = 100 * time.Millisecond
	// firstStep is how many rows are looked at first. Where they do not fill
	// the page, the sums show where to look, and steps grow.
	firstStep = 4000
	maxStep   = 50_000
)

// Page is rows of requests, the newest first.
type Page struct {
	Rows []Row
	// Next is PageQuery.Before of the next page; 0: there are no more rows.
	Next int64
	// Scanned is set where the query ended at its bounds: older rows were not
	// looked at.
	Scanned time.Time
}

// Page returns the rows that a query selects, the newest first. It reads rows
// by their numbers, from PageQuery.Before downward, and counts none. Hours and
// days in which no request can match are left out by what the sums have of
// them.
func (r *Reader) Page(ctx context.Context, q PageQuery) (Page, error) {
	if err := errors.Join(q.Check(), r.check(ctx)); err != nil {
		return Page{}, err
	}
	s := &scan{Reader: r, sel: &q.Selection, ctx: ctx, left: q.MaxRows, step: firstStep, until: time.Now().Add(scannedTime)}
	if s.left <= 0 {
		s.left = scannedRows
	}
	s.step = min(s.step, s.left)
	if q.MaxTime > 0 {
		s.until = time.Now().Add(q.MaxTime)
	}
	if q.Limit <= 0 {
		q.Limit = pageRows
	}
	spans := []span{q.numbers()}
	if q.Before > 0 {
		spans[0].end = min(spans[0].end, q.Before)
	}
	numbers, stopped, err := s.find(spans, q.Limit+1)
	if err != nil {
		return Page{}, wrapRead(err)
	}
	var p Page
	switch {
	case len(numbers) > q.Limit:
		numbers = numbers[:q.Limit]
		p.Next = numbers[q.Limit-1]
	case stopped > 0:
		p.Next = stopped
		p.Scanned = time.UnixMilli(stopped >> numberBits).In(r.zone)
	}
	p.Rows, err = r.numbered(ctx, numbers)
	return p, wrapRead(err)
}

// scan looks for rows, the newest first, within bounds.
type scan struct {
	*Reader
	ctx      context.Context
	sel      *Selection
	left     int // rows
	step     int
	until    time.Time
	narrowed bool
	kinds    string // the kinds that match, as JSON; "": they are looked up for each step
}

// find returns the numbers of the first rows that match, up to a limit. stopped
// is where it stopped at its bounds, 0 where it looked at all.
func (s *scan) find(spans []span, limit int) (numbers []int64, stopped int64, err error) {
	for len(spans) > 0 {
		found, last, err := s.look(spans[0])
		if err != nil {
			return nil, 0, err
		}
		numbers = append(numbers, found...)
		if len(numbers) >= limit {
			return numbers[:limit], 0, nil
		}
		spans[0].end = last
		if spans[0].first >= spans[0].end {
			spans = spans[1:]
		}
		if !s.narrowed && len(spans) > 0 {
			s.narrowed = true
			if spans, err = s.narrow(spans); err != nil {
				return nil, 0, err
			}
		}
		if len(spans) > 0 && (s.left <= 0 || time.Now().After(s.until)) {
			return numbers, spans[0].end, nil
		}
		s.step = min(2*s.step, maxStep, max(s.left, 1))
	}
	return numbers, 0, nil
}

// look looks at the newest rows of a span, as many as a step has. It returns
// the numbers of those that match, and the last that it looked at.
func (s *scan) look(of span) (numbers []int64, last int64, err error) {
	w := s.sel.rows(of.from(), of.to(), s.kinds)
	var first sql.NullInt64
	var looked int
	var found sql.NullString
	err = s.db.QueryRowContext(s.ctx, `SELECT MIN(number), COUNT(*), group_concat(number) FILTER (WHERE matches) FROM (SELECT number, TRUE`+w.text+` AS matches
		FROM usage_calls WHERE number >= ? AND number < ? ORDER BY number DESC LIMIT ?)`, append(w.args, of.first, of.end, s.step)...).Scan(&first, &looked, &found)
	if err != nil {
		return nil, 0, err
	}
	for text := range strings.SplitSeq(found.String, ",") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.SortFunc(numbers, func(a, b int64) int { return cmp.Compare(b, a) })
	s.left -= looked
	if looked < s.step {
		return numbers, of.first, nil
	}
	return numbers, first.Int64, nil
}

// narrow leaves out the times in which no row can match, by the sums and by the
// kinds of rows.
func (s *scan) narrow(spans []span) ([]span, error) {
	spans, err := s.Reader.narrow(s.ctx, s.sel, spans)
	kinds := s.sel.kinds()
	if err != nil || len(spans) == 0 || kinds.text == "" {
		return spans, err
	}
	in := kindsOf(spans[len(spans)-1].from(), spans[0].to())
	rows, err := s.db.QueryContext(s.ctx, `SELECT id, until FROM usage_kinds WHERE `+in.text+kinds.text+` ORDER BY until DESC LIMIT ?`,
		append(append(in.args, kinds.args...), maxNarrow+1)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	var found []span
	for rows.Next() {
		var id, until int64
		if err := rows.Scan(&id, &until); err != nil {
			return nil, err
		}
		ids = append(ids, id)
		last := time.UnixMicro(until)
		found = join(found, span{numberAt(last.Add(-kindSpan - clockSlack)), numberAt(last.Add(2 * clockSlack))})
	}
	if err := rows.Err(); err != nil || len(ids) > maxNarrow {
		return spans, err
	}
	s.kinds = "[" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]") + "]"
	return within(spans, found), nil
}

// maxNarrow is how many kinds are looked for at once. Where there are more, the
// rows that match are not rare.
const maxNarrow = 2000

// join adds a span to a list that goes downward.
func join(spans []span, s span) []span {
	if n := len(spans); n > 0 && spans[n-1].first <= s.end {
		spans[n-1].first = min(spans[n-1].first, s.first)
		return spans
	}
	return append(spans, s)
}

// narrow leaves out the hours and days in which no request can match.
func (r *Reader) narrow(ctx context.Context, sel *Selection, spans []span) ([]span, error) {
	hours, ok := sel.hours()
	if ok {
		found, err := r.hoursOf(ctx, hours, spans)
		if err != nil {
			return nil, err
		}
		spans = within(spans, found)
	}
	days, ok := sel.userDays()
	if !ok || len(spans) == 0 {
		return spans, nil
	}
	found, err := r.daysOf(ctx, days, spans)
	return within(spans, found), err
}

// hours returns the condition about the cells of usage_hours that a matching
// row is part of, and whether there is one. A model may be in the cell of the
// others there.
func (s *Selection) hours() (w where, ok bool) {
	for _, t := range s.Terms {
		if !slices.Contains(sumDimensions, t.Dimension) {
			continue
		}
		text, args := t.condition("usage_hours")
		if t.Dimension == ByModel {
			if len(t.Value) >= maxName {
				continue // it may be cut there
			}
			text = "(" + text + " OR usage_hours.model = '" + others + "')"
		}
		w.and(text, args...)
	}
	if s.Unpriced {
		w.and("unpriced > 0")
	}
	if s.Unmetered {
		w.and("unmetered > 0")
	}
	if s.MinCost > 0 {
		w.and("cost >= ?", int64(s.MinCost))
	}
	return w, w.text != ""
}

// userDays returns the condition about the cells of usage_users that a matching
// row is part of, and whether there is one.
func (s *Selection) userDays() (w where, ok bool) {
	for _, t := range s.Terms {
		switch {
		case t.Dimension == ByUser && !t.Not && len(t.Value) < maxName:
			w.and("user IN (?, ?)", t.Value, others)
			ok = true
		case t.Dimension == ByKey:
			text, args := t.condition("usage_users")
			w.and(text, args...)
		}
	}
	return w, ok
}

// hoursOf returns the spans of the hours that have a cell.
func (r *Reader) hoursOf(ctx context.Context, w where, spans []span) ([]span, error) {
	const margin = 2 * clockSlack
	from := floor(spans[len(spans)-1].from().Add(-margin).Unix(), 3600)
	to := spans[0].to().Add(margin).Unix()
	return r.times(ctx, `SELECT DISTINCT hour FROM usage_hours WHERE hour BETWEEN ? AND ?`+w.text+` ORDER BY hour DESC`, append([]any{from, to}, w.args...),
		func(hour int64) (time.Time, time.Time) {
			start := time.Unix(hour, 0)
			return start.Add(-margin), start.Add(time.Hour + margin)
		})
}

// daysOf returns the spans of the days that have a cell. Days may be those of
// an earlier time zone.
func (r *Reader) daysOf(ctx context.Context, w where, spans []span) ([]span, error) {
	const margin = 26 * time.Hour
	from := dayOf(spans[len(spans)-1].from().Add(-margin), time.UTC)
	to := dayOf(spans[0].to().Add(margin), time.UTC)
	return r.times(ctx, `SELECT DISTINCT day FROM usage_users WHERE day BETWEEN ? AND ?`+w.text+` ORDER BY day DESC`, append([]any{from, to}, w.args...),
		func(day int64) (time.Time, time.Time) {
			start := time.Date(int(day/10_000), time.Month(day/100%100), int(day%100), 0, 0, 0, 0, time.UTC)
			return start.Add(-margin), start.Add(24*time.Hour + margin)
		})
}

// times returns the spans of what a query lists, joined where they meet.
func (r *Reader) times(ctx context.Context, query string, args []any, bounds func(int64) (time.Time, time.Time)) (spans []span, err error) {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		if err := rows.Scan(&at); err != nil {
			return nil, err
		}
		from, to := bounds(at)
		spans = join(spans, span{numberAt(from), numberAt(to)})
	}
	return spans, rows.Err()
}

// numbered reads rows by their numbers.
func (r *Reader) numbered(ctx context.Context, numbers []int64) ([]Row, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.FormatInt(n, 10)
	}
	list := make([]Row, 0, len(numbers))
	query := fmt.Sprintf(`SELECT %s FROM usage_requests WHERE number IN (%s) ORDER BY number DESC`, strings.Join(rowColumns, ", "), strings.Join(texts, ", "))
	rows, err := r.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scanRow(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, rows.Err()
}
