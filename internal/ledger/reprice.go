package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"forward/internal/price"
)

// repriceStep is how many rows are priced in one transaction: few enough that a running gateway's own rows need not wait for long.
const repriceStep = 500

// ErrOldLedger says that the tables are of an older version than this program: they are brought up to date when forward runs.
var ErrOldLedger = errors.New("the ledger was written by an older version: run the gateway of this version once")

// Reprice works out anew what requests cost, from the usage that providers told, with the prices of today.
type Reprice struct {
	Prices       *price.Table
	Since, Until time.Time // when requests began; zero is open
	Model        string    // only this one, as asked for or as answered; "" is all
	DryRun       bool      // only tell
}

// Repriced is what a new price made of the rows of one model.
type Repriced struct {
	Upstream string      `json:"upstream"`
	Model    string      `json:"model"` // as asked for
	Requests int64       `json:"requests"`
	Changed  int64       `json:"changed"`
	Before   price.Money `json:"before_nano_usd"` // of all of them
	After    price.Money `json:"after_nano_usd"`
	// Unpriced are those without a cost, before and after.
	UnpricedBefore int64 `json:"unpriced_before"`
	UnpricedAfter  int64 `json:"unpriced_after"`
}

// Run prices every row again and changes those that cost something else now, with the sums that they are part of, in one transaction
// each few hundred rows: whoever reads finds rows and sums in agreement at any time, and what was broken off can be run again. A gateway
// may write meanwhile. What budgets have been charged stays as it was, for nobody can take back what was refused because of it.
//
// Rows that retention took cannot be priced again; their sums stay. It returns one line for each model, the largest difference first.
func (p Reprice) Run(ctx context.Context, db *sql.DB, location *time.Location) ([]Repriced, error) {
	r := NewReader(db, location)
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	var version int
	if err := db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM usage_schema`).Scan(&version); err != nil {
		return nil, wrapRead(err)
	}
	if version < len(migrations) {
		return nil, ErrOldLedger
	}
	run := &repricing{Reprice: p, location: r.location, models: map[[2]string]*Repriced{}}
	for more := true; more; {
		var err error
		if more, err = run.step(ctx, db); err != nil {
			return nil, fmt.Errorf("pricing again: %w", err)
		}
	}
	var list []Repriced
	for _, m := range run.models {
		list = append(list, *m)
	}
	abs := func(m *Repriced) price.Money { return max(m.After-m.Before, m.Before-m.After) }
	slices.SortFunc(list, func(a, b Repriced) int {
		return cmp.Or(cmp.Compare(abs(&b), abs(&a)), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Model, b.Model))
	})
	return list, nil
}

// repricing is a run and how far it got.
type repricing struct {
	Reprice
	location *time.Location
	models   map[[2]string]*Repriced
	time     int64 // of the last row, and its rowid: rows are taken in that order
	rowid    int64
}

// repricedRow is a row before and after.
type repricedRow struct {
	rowid    int64
	row, was Row
}

func (p *repricing) step(ctx context.Context, db *sql.DB) (more bool, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: p.DryRun})
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	rows, err := p.take(ctx, tx)
	if err != nil {
		return false, err
	}
	deltas := newDeltas(p.location)
	for i := range rows {
		r := &rows[i]
		r.was = r.row
		r.row.again(p.Prices)
		p.count(r)
		if p.DryRun || !r.changed() {
			continue
		}
		if err := r.store(ctx, tx); err != nil {
			return false, err
		}
		deltas.add(r)
	}
	if err := deltas.store(ctx, tx); err != nil {
		return false, err
	}
	return len(rows) == repriceStep, tx.Commit()
}

// take reads the next rows.
func (p *repricing) take(ctx context.Context, tx *sql.Tx) (taken []repricedRow, err error) {
	query, args := `SELECT number, `+list(columns)+` FROM usage_requests WHERE (time, number) > (?, ?)`, []any{p.time, p.rowid}
	if p.time == 0 {
		args[0] = int64(-1) << 62
		if !p.Since.IsZero() {
			args[0], args[1] = p.Since.UnixMicro()-1, int64(1)<<62
		}
	}
	if !p.Until.IsZero() {
		query, args = query+" AND time < ?", append(args, p.Until.UnixMicro())
	}
	if p.Model != "" {
		query, args = query+" AND (model = ? OR answered = ?)", append(args, p.Model, p.Model)
	}
	rows, err := tx.QueryContext(ctx, query+" ORDER BY time, number LIMIT ?", append(args, repriceStep)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r repricedRow
		r.row, err = scanRow(func(targets ...any) error { return rows.Scan(append([]any{&r.rowid}, targets...)...) })
		if err != nil {
			return nil, err
		}
		p.time, p.rowid = r.row.Time.UnixMicro(), r.rowid
		taken = append(taken, r)
	}
	return taken, rows.Err()
}

// again prices a row of the ledger, in the way in which it was priced when it was written.
func (r *Row) again(prices *price.Table) {
	r.Trail = slices.DeleteFunc(slices.Clone(r.Trail), func(s Step) bool { return s.Name == "price" })
	switch {
	case r.Operation == BatchOperation:
		var u batchUsage
		if json.Unmarshal(r.Usage.Raw, &u) == nil {
			list, why, ok := prices.Answered(r.Upstream, r.Model, r.Answered)
			r.priceBatch(list, why, ok, u.Parts)
		}
	case r.Cause == interrupted:
		r.reserve(prices)
	default:
		r.Bill(prices, price.Options{Tier: r.Tier})
	}
}

func (r *repricedRow) changed() bool {
	return r.row.Priced != r.was.Priced || r.row.Cost != r.was.Cost || r.row.Saved != r.was.Saved
}

func (p *repricing) count(r *repricedRow) {
	id := [2]string{r.row.Upstream, r.row.Model}
	m := p.models[id]
	if m == nil {
		m = &Repriced{Upstream: r.row.Upstream, Model: r.row.Model}
		p.models[id] = m
	}
	m.Requests++
	if r.changed() {
		m.Changed++
	}
	for _, s := range []struct {
		row      *Row
		cost     *price.Money
		unpriced *int64
	}{{&r.was, &m.Before, &m.UnpricedBefore}, {&r.row, &m.After, &m.UnpricedAfter}} {
		sums := Sums{}
		sums.add(s.row)
		*s.cost, *s.unpriced = *s.cost+sums.Cost, *s.unpriced+sums.Unpriced
	}
}

func (r *repricedRow) store(ctx context.Context, tx *sql.Tx) error {
	var cost any
	if r.row.Priced {
		cost = int64(r.row.Cost)
	}
	_, err := tx.ExecContext(ctx, `UPDATE usage_calls SET cost = ?, repriced = ?, saved = ?, trail = ? WHERE rowid = ?`,
		cost, r.row.Price, int64(r.row.Saved), marshalTrail(r.row.Trail), r.rowid)
	return err
}

// deltas are what changes in sums, by the cells that rows are added to.
type deltas struct{ *rollups }

func newDeltas(location *time.Location) deltas { return deltas{newRollups(location, &caps{})} }

func (d deltas) add(r *repricedRow) {
	was, is := newDeltas(d.location), newDeltas(d.location)
	was.rollups.add(&r.was)
	is.rollups.add(&r.row)
	subtract(d.hours, is.hours, was.hours)
	subtract(d.days, is.days, was.days)
	subtract(d.users, is.users, was.users)
}

// subtract adds the difference between what a cell is and what it was to the sums of a cell.
func subtract[K comparable](into map[K]*Sums, is, was map[K]*Sums) {
	for k, now := range is {
		if into[k] == nil {
			into[k] = &Sums{}
		}
		s, before := into[k], was[k]
		s.Unpriced += now.Unpriced - before.Unpriced
		s.Cost += now.Cost - before.Cost
		s.EstimatedCost += now.EstimatedCost - before.EstimatedCost
		s.Saved += now.Saved - before.Saved
	}
}

// store changes the sums. A model or user whose name found no room in a day is in the cell of the others there.
func (d deltas) store(ctx context.Context, tx *sql.Tx) error {
	models := []string{"key", "route", "operation", "status", "cache", "model"}
	for c, s := range d.hours {
		if err := change(ctx, tx, "usage_hours", append([]string{"hour"}, models...), s, c.at, c.key, c.route, c.operation, c.status, c.cache, c.model); err != nil {
			return err
		}
	}
	for c, s := range d.days {
		if err := change(ctx, tx, "usage_days", append([]string{"day"}, models...), s, c.at, c.key, c.route, c.operation, c.status, c.cache, c.model); err != nil {
			return err
		}
	}
	for c, s := range d.users {
		if err := change(ctx, tx, "usage_users", []string{"day", "key", "user"}, s, c.day, c.key, c.user); err != nil {
			return err
		}
	}
	return nil
}

// change adds to the sums of a cell, or to those of the cell in which the others are: the last column is the name that may have found no
// room. Where neither is, as after a change of the time zone by which days go, it makes one, so that the sums over all days stay true.
func change(ctx context.Context, tx *sql.Tx, table string, columns []string, s *Sums, cell ...any) error {
	statement := `UPDATE ` + table + ` SET unpriced = unpriced + ?, cost = cost + ?, estimated_cost = estimated_cost + ?, saved = saved + ? WHERE ` + strings.Join(columns, " = ? AND ") + " = ?"
	last := len(cell) - 1
	for _, name := range []any{cell[last], others} {
		args := append([]any{s.Unpriced, int64(s.Cost), int64(s.EstimatedCost), int64(s.Saved)}, cell[:last]...)
		result, err := tx.ExecContext(ctx, statement, append(args, name)...)
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, addUp(table, columns, sums), append(cell, s.values()...)...); err != nil {
		return fmt.Errorf("%s: %w", table, err)
	}
	return nil
}
