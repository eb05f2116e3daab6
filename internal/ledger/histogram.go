package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"forward/internal/price"
)

// Histogram counts requests by time.
type Histogram struct {
	Since, Until time.Time // the start of the first bucket, the end of the selection
	Width        time.Duration
	Buckets      []Bucket // in the order of time, also those without a request
}

// Bucket is the requests of a part of a time.
type Bucket struct {
	Time     time.Time // its start
	Requests int64
	Errors   int64 // as in Sums
	Cost     price.Money
}

// widths are those of buckets. All from an hour on are whole hours, which are
// in the sums.
var widths = []time.Duration{
	time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
	30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// maxBuckets bounds a histogram.
const maxBuckets = 1000

// Histogram counts the rows that a selection means in about as many buckets as
// are asked for, or fewer. The selection needs both bounds. Where its terms are
// in the hourly sums and buckets are hours, only the rows of the hours at the
// bounds are read.
func (r *Reader) Histogram(ctx context.Context, s Selection, buckets int) (Histogram, error) {
	if err := errors.Join(s.Check(), r.check(ctx)); err != nil {
		return Histogram{}, err
	}
	if s.Since.IsZero() || s.Until.IsZero() || !s.Since.Before(s.Until) {
		return Histogram{}, errors.New("a histogram needs a time that it starts and one that it ends")
	}
	buckets = min(max(buckets, 1), maxBuckets)
	h := newHistogram(s.Since, s.Until, buckets, r.zone)
	summed, err := r.isSummed(ctx, &s, h.Width)
	if err == nil && summed {
		err = r.countHours(ctx, &h, s)
	} else if err == nil {
		err = r.countRows(ctx, &h, s)
	}
	return h, wrapRead(err)
}

// newHistogram returns one without requests.
func newHistogram(since, until time.Time, buckets int, zone *time.Location) Histogram {
	h := Histogram{Until: until.In(zone)}
	whole := until.Sub(since)
	i := slices.IndexFunc(widths, func(w time.Duration) bool { return whole <= w*time.Duration(buckets-1) })
	if i >= 0 {
		h.Width = widths[i]
	} else {
		const day = 24 * time.Hour
		h.Width = (whole/time.Duration(max(buckets-1, 1)) + day).Truncate(day)
	}
	start := time.Unix(floor(since.Unix(), int64(min(h.Width, time.Hour).Seconds())), 0)
	h.Since = start.In(zone)
	for at := start; at.Before(until); at = at.Add(h.Width) {
		h.Buckets = append(h.Buckets, Bucket{Time: at.In(zone)})
	}
	return h
}

// isSummed reports whether the hourly sums have what a selection means: all of
// its terms, and each model under its name.
func (r *Reader) isSummed(ctx context.Context, s *Selection, width time.Duration) (bool, error) {
	if width < time.Hour || s.ID != "" || s.MinTotal > 0 || s.MinCost > 0 || s.Unpriced || s.Unmetered {
		return false, nil
	}
	named := true
	for _, t := range s.Terms {
		if !slices.Contains(sumDimensions, t.Dimension) {
			return false, nil
		}
		named = named && t.Dimension != ByModel
	}
	if named {
		return true, nil
	}
	var folded bool
	err := r.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM usage_hours WHERE hour BETWEEN ? AND ? AND (model = ? OR length(model) >= ?))`,
		floor(s.Since.Unix(), 3600), s.Until.Unix(), others, maxName/4).Scan(&folded) // a character has up to four bytes
	return !folded, err
}

// countHours counts whole hours by the sums, and the rows of what is before and
// after them.
func (r *Reader) countHours(ctx context.Context, h *Histogram, s Selection) error {
	first := s.Since.Add(time.Hour - 1).Truncate(time.Hour)
	last := s.Until.Truncate(time.Hour)
	if !first.Before(last) {
		return r.countRows(ctx, h, s)
	}
	var w where
	for _, t := range s.Terms {
		text, args := t.condition("usage_hours")
		w.and(text, args...)
	}
	query := fmt.Sprintf(`SELECT (hour - ?) / ?, SUM(requests), SUM(errors), SUM(cost) FROM usage_hours WHERE hour >= ? AND hour < ?%s GROUP BY 1`, w.text)
	args := append([]any{h.Since.Unix(), int64(h.Width.Seconds()), first.Unix(), last.Unix()}, w.args...)
	if err := r.count(ctx, h, query, args); err != nil {
		return err
	}
	for _, edge := range [][2]time.Time{{s.Since, first}, {last, s.Until}} {
		if edge[0].Before(edge[1]) {
			part := s
			part.Since, part.Until = edge[0], edge[1]
			if err := r.countRows(ctx, h, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// countRows counts single rows, without the hours in which none can match.
func (r *Reader) countRows(ctx context.Context, h *Histogram, s Selection) error {
	spans, err := r.narrow(ctx, &s, []span{s.numbers()})
	if err != nil {
		return err
	}
	for _, part := range spans {
		w := s.rows(part.from(), part.to(), "")
		failed := kindsOf(part.from(), part.to())
		query := fmt.Sprintf(`SELECT (time - ?) / ?, COUNT(*), SUM(kind IN (SELECT id FROM usage_kinds WHERE %s AND (status >= 400 OR status = 0))), COALESCE(SUM(cost), 0)
			FROM usage_calls WHERE number >= ? AND number < ?%s GROUP BY 1`, failed.text, w.text)
		args := append([]any{h.Since.UnixMicro(), h.Width.Microseconds()}, failed.args...)
		args = append(append(args, part.first, part.end), w.args...)
		if err := r.count(ctx, h, query, args); err != nil {
			return err
		}
	}
	return nil
}

// count adds what a query counts by bucket.
func (r *Reader) count(ctx context.Context, h *Histogram, query string, args []any) error {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return scanBuckets(h, rows)
}

func scanBuckets(h *Histogram, rows *sql.Rows) error {
	for rows.Next() {
		var at int
		var b Bucket
		if err := rows.Scan(&at, &b.Requests, &b.Errors, &b.Cost); err != nil {
			return err
		}
		if at >= 0 && at < len(h.Buckets) {
			to := &h.Buckets[at]
			to.Requests += b.Requests
			to.Errors += b.Errors
			to.Cost += b.Cost
		}
	}
	return rows.Err()
}
