package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"forward/internal/price"
)

// repriceStep is how many rows are priced in one transaction: few enough that
// the rows of a running gateway need not wait long.
const repriceStep = 500

// Reprice works out again what requests cost, from the usage that providers
// reported, with the current prices.
type Reprice struct {
	Prices       *price.Table
	Since, Until time.Time // when requests started; zero is open
	Model        string    // only this one, as requested or as answered; "" is all
	DryRun       bool      // change nothing
}

// Repriced is what the current prices change in the rows of one model.
type Repriced struct {
	Upstream string      `json:"upstream"`
	Model    string      `json:"model"` // as requested
	Requests int64       `json:"requests"`
	Changed  int64       `json:"changed"`
	Before   price.Money `json:"before_nano_usd"` // of all requests
	After    price.Money `json:"after_nano_usd"`
	// What callers' own credentials paid, by the price list.
	ListBefore price.Money `json:"list_before_nano_usd"`
	ListAfter  price.Money `json:"list_after_nano_usd"`
	// Requests without a cost, before and after.
	UnpricedBefore int64 `json:"unpriced_before"`
	UnpricedAfter  int64 `json:"unpriced_after"`
}

// Run prices every row again. It changes those that have another cost now, and
// the sums that they are part of, in one transaction for a few hundred rows: a
// reader finds rows and sums in agreement at any time, and a run that was
// aborted can be repeated. A gateway may write meanwhile. Budgets stay as they
// were charged, because a refusal cannot be taken back.
//
// Rows that retention removed cannot be priced again; their sums stay. Run
// returns one line for each model, the largest difference first.
func (p Reprice) Run(ctx context.Context, db *sql.DB, zone *time.Location) ([]Repriced, error) {
	r := NewReader(db, zone)
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	run := &repricing{Reprice: p, zone: r.zone, models: map[[2]string]*Repriced{}}
	for more := true; more; {
		var err error
		more, err = run.step(ctx, db)
		if err != nil {
			return nil, fmt.Errorf("pricing again: %w", err)
		}
	}
	var list []Repriced
	for _, m := range run.models {
		list = append(list, *m)
	}
	difference := func(m Repriced) price.Money {
		return max(m.After-m.Before, m.Before-m.After) + max(m.ListAfter-m.ListBefore, m.ListBefore-m.ListAfter)
	}
	slices.SortFunc(list, func(a, b Repriced) int {
		return cmp.Or(cmp.Compare(difference(b), difference(a)), cmp.Compare(b.Requests, a.Requests),
			cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Model, b.Model))
	})
	return list, nil
}

// ErrRepricing reports that another call of Reader.Reprice has not ended.
var ErrRepricing = errors.New("the ledger is being priced again")

// Reprice runs p on the database of the reader, one run at a time.
func (r *Reader) Reprice(ctx context.Context, p Reprice) ([]Repriced, error) {
	if r.repricing.Swap(true) {
		return nil, ErrRepricing
	}
	defer r.repricing.Store(false)
	return p.Run(ctx, r.db, r.zone)
}

// SumRepriced adds up the lines of all models.
func SumRepriced(list []Repriced) (total Repriced) {
	for _, m := range list {
		total.Requests += m.Requests
		total.Changed += m.Changed
		total.Before += m.Before
		total.After += m.After
		total.ListBefore += m.ListBefore
		total.ListAfter += m.ListAfter
		total.UnpricedBefore += m.UnpricedBefore
		total.UnpricedAfter += m.UnpricedAfter
	}
	return total
}

// repricing is a run and its position.
type repricing struct {
	Reprice
	zone   *time.Location
	models map[[2]string]*Repriced // by upstream and model
	number int64                   // of the last row: rows are read in the order of time
}

// repricedRow is a row before and after.
type repricedRow struct {
	number  int64
	was, is Row
}

// step prices the next rows in one transaction, and reports whether there may
// be more.
func (p *repricing) step(ctx context.Context, db *sql.DB) (more bool, err error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: p.DryRun})
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	rows, err := p.next(ctx, tx)
	if err != nil {
		return false, err
	}
	changed := newDifferences(p.zone)
	for i := range rows {
		r := &rows[i]
		r.is = r.was
		r.is.billAgain(p.Prices)
		p.count(r)
		if p.DryRun || !r.changed() {
			continue
		}
		if err := r.store(ctx, tx); err != nil {
			return false, err
		}
		changed.add(r)
	}
	if err := changed.store(ctx, tx); err != nil {
		return false, err
	}
	return len(rows) == repriceStep, tx.Commit()
}

// next reads the next rows.
func (p *repricing) next(ctx context.Context, tx *sql.Tx) ([]repricedRow, error) {
	query := `SELECT number, ` + list(rowColumns) + ` FROM usage_requests WHERE number > ?`
	args := []any{p.number}
	if !p.Since.IsZero() {
		query += " AND number >= ? AND time >= ?"
		args = append(args, numberAt(p.Since.Add(-clockSlack)), p.Since.UnixMicro())
	}
	if !p.Until.IsZero() {
		query += " AND number < ? AND time < ?"
		args = append(args, numberAt(p.Until.Add(clockSlack)), p.Until.UnixMicro())
	}
	if p.Model != "" {
		query += " AND (model = ? OR answered = ?)"
		args = append(args, p.Model, p.Model)
	}
	rows, err := tx.QueryContext(ctx, query+" ORDER BY number LIMIT ?", append(args, repriceStep)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var read []repricedRow
	for rows.Next() {
		var r repricedRow
		r.was, err = scanRow(func(targets ...any) error { return rows.Scan(append([]any{&r.number}, targets...)...) })
		if err != nil {
			return nil, err
		}
		p.number = r.number
		read = append(read, r)
	}
	return read, rows.Err()
}

// billAgain prices a row in the way in which it was priced when it was written.
func (r *Row) billAgain(prices *price.Table) {
	r.Trail = slices.DeleteFunc(slices.Clone(r.Trail), func(s Step) bool { return s.Name == "price" })
	switch {
	case r.Operation == BatchOperation:
		var u batchUsage
		if json.Unmarshal(r.Usage.Raw, &u) == nil {
			m := &modelSum{parts: u.Parts}
			m.list, m.why, m.ok = prices.Answered(r.Upstream, r.Model, r.Answered)
			r.billBatch(m)
		}
	case r.Price == deferredPrice: // another row has what it costs
	case r.Cause == interrupted, r.Cause == Expired:
		r.priceReservation(prices)
	case r.isReserved():
		r.priceReserved(prices)
	default:
		r.Bill(prices)
	}
}

func (r *repricedRow) changed() bool {
	return r.is.Priced != r.was.Priced || r.is.Cost != r.was.Cost || r.is.Saved != r.was.Saved || r.is.List != r.was.List
}

// count adds a row to the line of its model.
func (p *repricing) count(r *repricedRow) {
	id := [2]string{r.was.Upstream, r.was.Model}
	m := p.models[id]
	if m == nil {
		m = &Repriced{Upstream: r.was.Upstream, Model: r.was.Model}
		p.models[id] = m
	}
	m.Requests++
	if r.changed() {
		m.Changed++
	}
	var was, is Sums
	was.add(&r.was)
	is.add(&r.is)
	m.Before += was.Cost
	m.After += is.Cost
	m.ListBefore += was.List
	m.ListAfter += is.List
	m.UnpricedBefore += was.Unpriced
	m.UnpricedAfter += is.Unpriced
}

func (r *repricedRow) store(ctx context.Context, tx *sql.Tx) error {
	var cost any
	if r.is.Priced {
		cost = int64(r.is.Cost)
	}
	_, err := tx.ExecContext(ctx, `UPDATE usage_calls SET cost = ?, repriced = ?, saved = ?, list = ?, trail = ? WHERE number = ?`,
		cost, r.is.Price, int64(r.is.Saved), orNull(int64(r.is.List), r.is.Listed), marshalTrail(r.is.Trail), r.number)
	return err
}

// differences is what changes in sums, by the cells that rows are counted in.
type differences struct{ *cells }

func newDifferences(zone *time.Location) differences {
	return differences{newCells(zone, &dayNames{}, nil)}
}

func (d differences) add(r *repricedRow) {
	was := newDifferences(d.zone)
	was.cells.add(&r.was)
	is := newDifferences(d.zone)
	is.cells.add(&r.is)
	subtract(d.hours, is.hours, was.hours)
	subtract(d.days, is.days, was.days)
	subtract(d.users, is.users, was.users)
}

// subtract adds the difference between what cells are and what they were.
func subtract[K comparable](to map[K]*Sums, is, was map[K]*Sums) {
	for k, now := range is {
		s := cell(to, k)
		before := was[k]
		s.subtract(before)
		s.merge(now)
	}
}

// store changes the sums in the database.
func (d differences) store(ctx context.Context, tx *sql.Tx) error {
	for at, s := range d.hours {
		if err := hourTable.change(ctx, tx, at.columns(), s); err != nil {
			return err
		}
	}
	for at, s := range d.days {
		if err := dayTable.change(ctx, tx, at.columns(), s); err != nil {
			return err
		}
	}
	for at, s := range d.users {
		if err := userTable.change(ctx, tx, at.columns(), s); err != nil {
			return err
		}
	}
	return nil
}
