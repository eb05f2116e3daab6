package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// How long requests took is kept by the hour, key, route and model beside the
// sums: a percentile of many rows cannot be worked out of sums, and to read the
// rows of a month takes seconds. A cell has two spreads as one value, which the
// writer, the only one that changes them, keeps in memory for the cells of
// late: columns would be a hundred more values for each cell.

// latencyRows is the step to version 10.
const latencyRows = `
CREATE TABLE usage_latency (
	hour INTEGER NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, times BLOB NOT NULL,
	PRIMARY KEY (hour, key, route, model)
) WITHOUT ROWID;
`

var (
	selectLatency = `SELECT times FROM usage_latency WHERE hour = ? AND key = ? AND route = ? AND model = ?`
	putLatency    = into("usage_latency", []string{"hour", "key", "route", "model", "times"}) + ` ON CONFLICT DO UPDATE SET times = excluded.times`
)

// latencyCell identifies a cell of usage_latency.
type latencyCell struct {
	hour              int64
	key, route, model string
}

// latency is how long requests took: until the first token, and in all.
type latency struct{ first, total spread }

// isTimed reports whether a row counts in the times of requests: an upstream
// answered it. Refusals, failures and hits of the cache take no time worth
// comparing.
func (r *Row) isTimed() bool {
	return r.Status >= 200 && r.Status < 400 && r.Cache != "hit" && r.Total > 0 && r.Operation != BatchOperation
}

func (l *latency) add(r *Row) {
	l.total.add(bucketOf(r.Total), 1)
	if r.First > 0 {
		l.first.add(bucketOf(r.First), 1)
	}
}

func (l *latency) merge(o *latency) {
	l.first.merge(o.first)
	l.total.merge(o.total)
}

func (l *latency) bytes() []byte { return l.total.append(l.first.append(make([]byte, 0, 64))) }

func (l *latency) read(b []byte) { l.total.read(l.first.read(b)) }

// maxLatencies bounds the cells in memory.
const maxLatencies = 5000

// storeLatencies adds the collected times to the table.
func (t *transaction) storeLatencies(ctx context.Context) error {
	for at, l := range t.cells.latencies {
		have, known := t.writer.latencies[at]
		sum := latency{slices.Clone(have.first), slices.Clone(have.total)}
		if !known {
			var err error
			if sum, err = readLatency(ctx, t.tx.StmtContext(ctx, t.writer.statements[selectLatency]), at); err != nil {
				return fmt.Errorf("of times: %w", err)
			}
		}
		sum.merge(l)
		if _, err := t.run(ctx, putLatency, at.hour, at.key, at.route, at.model, sum.bytes()); err != nil {
			return fmt.Errorf("of times: %w", err)
		}
		t.latencies[at] = sum
	}
	return nil
}

// readLatency reads a cell, which may not exist.
func readLatency(ctx context.Context, statement *sql.Stmt, at latencyCell) (l latency, err error) {
	var times []byte
	err = statement.QueryRowContext(ctx, at.hour, at.key, at.route, at.model).Scan(&times)
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	}
	l.read(times)
	return l, err
}

// keepLatencies remembers the cells that a transaction has written.
func (w *writer) keepLatencies(cells map[latencyCell]latency) {
	if len(w.latencies)+len(cells) > maxLatencies {
		clear(w.latencies)
	}
	maps.Copy(w.latencies, cells)
}

// fillLatencies works out the times of the rows that an earlier version wrote.
func fillLatencies(ctx context.Context, tx *sql.Tx, zone *time.Location) error {
	rows, err := tx.QueryContext(ctx, `SELECT time, key, route, model, operation, status, cache, first_us, total_us FROM usage_requests WHERE key IS NOT NULL`)
	if err != nil {
		return fmt.Errorf("reading how long requests took: %w", err)
	}
	defer rows.Close()
	c := newCells(zone, &dayNames{}, nil)
	for rows.Next() {
		var r Row
		var at, first, total int64
		if err := rows.Scan(&at, &r.Key, &r.Route, &r.Model, &r.Operation, &r.Status, &r.Cache, &first, &total); err != nil {
			return fmt.Errorf("reading how long requests took: %w", err)
		}
		r.Time = time.UnixMicro(at)
		r.First = time.Duration(first) * time.Microsecond
		r.Total = time.Duration(total) * time.Microsecond
		hour, _, _ := c.of(&r)
		c.time(&r, hour)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading how long requests took: %w", err)
	}
	for at, l := range c.latencies {
		if _, err := tx.ExecContext(ctx, putLatency, at.hour, at.key, at.route, at.model, l.bytes()); err != nil {
			return fmt.Errorf("writing how long requests took: %w", err)
		}
	}
	return nil
}

// LatencyQuery asks how long requests took that an upstream answered.
type LatencyQuery struct {
	By           Dimension // key, model, route, hour or day; "" is one group
	Since, Until time.Time // as in Query, by whole hours
	Terms        []Term    // about key, model and route
}

// LatencyGroup is the requests of a value.
type LatencyGroup struct {
	Value    string // as in Group.Values
	KeyName  string // the current name of the key, where groups are by key
	Requests int64
	Firsts   int64 // that have a time until the first token
	First    Percentiles
	Total    Percentiles
}

// Latency returns percentiles of the times that requests took, by hours in the
// order of time and else with the most requests first.
func (r *Reader) Latency(ctx context.Context, q LatencyQuery) ([]LatencyGroup, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	names, err := r.keyNames(ctx)
	if err != nil {
		return nil, err
	}
	column := "''"
	if q.By != "" && layouts[q.By] == "" {
		column = string(q.By)
	}
	w := where{text: "TRUE"}
	for _, t := range q.Terms {
		text, args := t.condition("usage_latency")
		w.and(text, args...)
	}
	if !q.Since.IsZero() {
		w.and("hour >= ?", floor(q.Since.Unix(), 3600))
	}
	if !q.Until.IsZero() {
		w.and("hour < ?", q.Until.Unix())
	}
	groups := map[string]*latency{}
	err = r.query(ctx, `SELECT hour, `+column+`, times FROM usage_latency WHERE `+w.text, w.args, func(rows *sql.Rows) error {
		var hour int64
		var value string
		var times sql.RawBytes
		if err := rows.Scan(&hour, &value, &times); err != nil {
			return err
		}
		if layout := layouts[q.By]; layout != "" {
			value = time.Unix(hour, 0).In(r.zone).Format(layout)
		}
		cell(groups, value).read(times)
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]LatencyGroup, 0, len(groups))
	for value, l := range groups {
		g := LatencyGroup{Value: value, Requests: l.total.count(), Firsts: l.first.count(), First: l.first.percentiles(), Total: l.total.percentiles()}
		if q.By == ByKey {
			g.KeyName = names[value]
		}
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b LatencyGroup) int {
		if layouts[q.By] != "" {
			return cmp.Compare(a.Value, b.Value)
		}
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Value, b.Value))
	})
	return list, nil
}

// Check returns what is wrong with a query.
func (q LatencyQuery) Check() error {
	if q.By != "" && !slices.Contains([]Dimension{ByKey, ByModel, ByRoute, ByHour, ByDay}, q.By) {
		return fmt.Errorf("%q is nothing by which times are kept: write key, model, route, hour or day", q.By)
	}
	for _, t := range q.Terms {
		if !slices.Contains([]Dimension{ByKey, ByModel, ByRoute}, t.Dimension) {
			return fmt.Errorf("%q is nothing by which times are kept: filter by key, model or route", t.Dimension)
		}
	}
	return nil
}
