package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"forward/internal/database"
	"forward/internal/dialect"
	"forward/internal/price"
)

// A provider may go on with a request after its answer: a response in the
// background, a video, a long-running operation. Only a later answer reports
// what was used. Until then the reservation of the call stands in the budgets
// of its key, in the database too, and it is settled once: by the first answer
// that reports the end, or at what was reserved when it expires.

// Expired is the cause of rows that settle deferred work at its reservation,
// because no answer has reported its end.
const Expired = "expired"

// deferralLife is how long the end of deferred work is waited for. Providers
// keep what a request in the background has made for longer, but they finish it
// within hours.
const deferralLife = 24 * time.Hour

// settlingID is the id of the row that settles the work of a provider. The
// work's own id is unique at the host of the provider.
func settlingID(host, id string) string { return host + "/" + id }

// deferred is what memory knows of a deferral: work that a provider goes on
// with after the answer of the request that started it.
type deferred struct {
	key     string
	tags    []string
	op      dialect.Operation
	held    spent
	expires time.Time
}

// deferrals are the deferrals that are not settled. Safe for concurrent use.
type deferrals struct {
	mu    sync.Mutex
	byRow map[string]deferred // by the id of the row that will settle it
	held  map[accountID]spent // by all of them, for each key and each tag
}

// change adds to what is held where a deferral counts. d.mu is held.
func (d *deferrals) change(one deferred, cost, tokens int64) {
	add := func(id accountID) {
		held := d.held[id]
		held.cost = price.Add(held.cost, cost)
		held.tokens = price.Add(held.tokens, tokens)
		d.held[id] = held
		if held == (spent{}) {
			delete(d.held, id)
		}
	}
	add(accountID{key: one.key})
	for i, tag := range one.tags {
		if !slices.Contains(one.tags[:i], tag) {
			add(accountID{tag: tag})
		}
	}
}

// add takes a deferral in, unless it is there.
func (d *deferrals) add(row string, one deferred) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.byRow[row]; ok {
		return
	}
	if d.byRow == nil {
		d.byRow = map[string]deferred{}
		d.held = map[accountID]spent{}
	}
	d.byRow[row] = one
	d.change(one, one.held.cost, one.held.tokens)
}

// take removes a deferral, and reports whether it was there.
func (d *deferrals) take(row string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, ok := d.byRow[row]
	if !ok {
		return false
	}
	delete(d.byRow, row)
	d.change(one, -one.held.cost, -one.held.tokens)
	return true
}

// find returns a deferral, and whether it is there.
func (d *deferrals) find(row string) (one deferred, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, ok = d.byRow[row]
	return one, ok
}

// heldBy returns what the deferrals of a key or a tag hold in a unit. They hold
// it in every period, because the one in which they end is not known.
func (d *deferrals) heldBy(id accountID, u Unit) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[id].in(u)
}

// expired returns the rows of those that expire before a time.
func (d *deferrals) expired(now time.Time) (rows []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for row, one := range d.byRow {
		if one.expires.Before(now) {
			rows = append(rows, row)
		}
	}
	return rows
}

// Defer leaves the reservation of the call standing until the work is settled
// with [Ledger.SettleDeferred]. It returns when the deferral would survive the
// end of the process. The call itself is settled as ever, with what its own
// answer cost; that gives nothing of the reservation back.
func (c *Call) Defer(ctx context.Context, host, id string) error {
	l := c.ledger
	row := settlingID(host, id)
	if _, ok := l.deferrals.find(row); ok {
		return nil
	}
	r := *c.reserved // of the request, for the model that was asked in the end
	r.Settles = id
	one := deferred{key: r.Key, tags: r.Tags, op: r.Operation, held: spentBy(&r), expires: l.o.Now().Add(deferralLife)}
	text, err := marshalRow(&r)
	if err != nil {
		return fmt.Errorf("deferring %s: %w", id, err)
	}
	err = database.Write(ctx, l.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertDeferred, row, host, id, r.ID, r.Key,
			one.held.cost, one.held.tokens, one.expires.UnixMicro(), text)
		return err
	})
	if err != nil {
		return fmt.Errorf("deferring %s: %w", id, err)
	}
	l.deferrals.add(row, one)
	c.release()
	return nil
}

// IsDeferred reports whether the end of a piece of work is waited for, and the
// operation that started it. It asks memory.
func (l *Ledger) IsDeferred(host, id string) (op dialect.Operation, ok bool) {
	one, ok := l.deferrals.find(settlingID(host, id))
	return one.op, ok
}

// HasDeferred reports whether the end of any work is waited for.
func (l *Ledger) HasDeferred() bool {
	l.deferrals.mu.Lock()
	defer l.deferrals.mu.Unlock()
	return len(l.deferrals.byRow) > 0
}

// SettleDeferred records the end of deferred work and charges it to the key
// that started it, unless that was done before. complete fills in what was used
// of a row that has what was reserved.
func (l *Ledger) SettleDeferred(ctx context.Context, host, id string, complete func(*Row)) (settled bool, err error) {
	return l.settleDeferred(ctx, settlingID(host, id), complete)
}

func (l *Ledger) settleDeferred(ctx context.Context, row string, complete func(*Row)) (settled bool, err error) {
	l.settling.Lock() // of two clients that get the same answer, the second one finds it settled
	defer l.settling.Unlock()
	if _, ok := l.deferrals.find(row); !ok {
		return false, nil
	}
	var text string
	err = l.db.QueryRowContext(ctx, `SELECT data FROM usage_deferred WHERE row = ?`, row).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		l.deferrals.take(row) // another process has settled it
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading deferred work: %w", err)
	}
	r, err := unmarshalRow(text)
	if err != nil {
		return false, fmt.Errorf("reading the deferred work %s: %w", row, err)
	}
	started := r.ID
	r.ID = row
	r.Time = l.o.Now()
	r.Booked = time.Time{}
	r.Cache = "bypass"
	r.Trail = []Step{{Name: "made", Text: "by request " + started}}
	complete(&r)
	l.Record(r) // the writer removes the deferral in the transaction of the row
	l.deferrals.take(row)
	return true, nil
}

// expireDeferred settles the work whose end was not reported in time at what
// was reserved for it.
func (l *Ledger) expireDeferred(ctx context.Context) error {
	for _, row := range l.deferrals.expired(l.o.Now()) {
		_, err := l.settleDeferred(ctx, row, func(r *Row) {
			r.Estimated = true
			r.Cause = Expired
			r.Trail = append(r.Trail, Step{Name: "expired", Text: "no answer reported its end within " + deferralLife.String() + ": it counts with what was reserved"})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Defer makes a row that of a request whose work goes on: another row will have
// what it costs.
func (r *Row) Defer() {
	r.Usage = dialect.Usage{}
	r.Estimated = false
	r.Unmetered = false
	r.Priced = true
	r.Cost = 0
	r.List = 0
	r.Price = deferredPrice
}

// deferredPrice is the price of a row whose cost another row has.
const deferredPrice = "deferred: it is settled when an answer reports its end"

// loadDeferred reads the deferrals of earlier processes.
func (l *Ledger) loadDeferred(ctx context.Context) error {
	rows, err := l.db.QueryContext(ctx, `SELECT row, key, COALESCE(data ->> 'Tags', ''), COALESCE(data ->> 'Operation', ''), cost, tokens, expires FROM usage_deferred`)
	if err != nil {
		return fmt.Errorf("reading deferred work: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var row, tags string
		var one deferred
		var expires int64
		if err := rows.Scan(&row, &one.key, &tags, &one.op, &one.held.cost, &one.held.tokens, &expires); err != nil {
			return fmt.Errorf("reading deferred work: %w", err)
		}
		one.expires = time.UnixMicro(expires)
		_ = json.Unmarshal([]byte(tags), &one.tags) // null and "" are none
		l.deferrals.add(row, one)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading deferred work: %w", err)
	}
	return nil
}
