package ledger

import (
	"context"
	"fmt"
	"time"
)

// hourOrDay identifies a cell of usage_hours or usage_days.
type hourOrDay struct {
	at                           int64
	key, route, model, operation string
	status                       int
	cache                        string
}

// columns are the values of hourCell and dayCell.
func (c hourOrDay) columns() []any {
	return []any{c.at, c.key, c.route, c.model, c.operation, c.status, c.cache}
}

// userDay identifies a cell of usage_users.
type userDay struct {
	day       int64
	key, user string
}

// columns are the values of userCell.
func (c userDay) columns() []any { return []any{c.day, c.key, c.user} }

// spendQuarter identifies a cell of usage_spend or usage_tag_spend.
type spendQuarter struct {
	accountID
	quarter int64
}

// cells collects the sums of one batch, so that a busy second costs a handful
// of updates.
type cells struct {
	zone        *time.Location
	names       *dayNames
	hours, days map[hourOrDay]*Sums
	users       map[userDay]*Sums
	tags        map[string]bool // that budgets name
	spend       map[spendQuarter]spent
	latencies   map[latencyCell]*latency
}

func newCells(zone *time.Location, names *dayNames, tags map[string]bool) *cells {
	return &cells{
		zone: zone, names: names, hours: map[hourOrDay]*Sums{}, days: map[hourOrDay]*Sums{}, users: map[userDay]*Sums{},
		tags: tags, spend: map[spendQuarter]spent{}, latencies: map[latencyCell]*latency{},
	}
}

const (
	quarter   = 15 * 60 // seconds
	maxModels = 500     // names of models of one key in a day
	maxUsers  = 10_000  // users of one key in a day
)

// of returns the cells that a row is part of.
func (c *cells) of(r *Row) (hour, day hourOrDay, user userDay) {
	date := dayOf(r.Time, c.zone)
	day = hourOrDay{
		at: date, key: r.Key, route: r.Route, model: c.names.limit(date, "m"+r.Key, r.Model, maxModels),
		operation: string(r.Operation), status: r.Status, cache: r.Cache,
	}
	hour = day
	hour.at = floor(r.Time.Unix(), 3600)
	return hour, day, userDay{date, r.Key, c.names.limit(date, "u"+r.Key, r.User, maxUsers)}
}

// add counts a row in the sums that it is part of.
func (c *cells) add(r *Row) {
	hour, day, user := c.of(r)
	cell(c.hours, hour).add(r)
	cell(c.days, day).add(r)
	cell(c.users, user).add(r)
	c.time(r, hour)
	if s := spentBy(r); s != (spent{}) {
		for _, id := range r.accounts(c.tags) {
			at := spendQuarter{id, floor(r.booked().Unix(), quarter) / quarter}
			c.spend[at] = c.spend[at].plus(s)
		}
	}
}

// time counts how long a row took in its hour.
func (c *cells) time(r *Row, hour hourOrDay) {
	if r.isTimed() {
		cell(c.latencies, latencyCell{hour.at, hour.key, hour.route, hour.model}).add(r)
	}
}

// cell returns the sums of a cell.
func cell[K comparable, V any](m map[K]*V, k K) *V {
	s := m[k]
	if s == nil {
		s = new(V)
		m[k] = s
	}
	return s
}

// floor returns the largest multiple of step that is not above n.
func floor(n, step int64) int64 { return n - ((n%step)+step)%step }

// dayOf returns the date in a time zone as a number: 20261121.
func dayOf(t time.Time, zone *time.Location) int64 {
	y, m, d := t.In(zone).Date()
	return int64(y)*10_000 + int64(m)*100 + int64(d)
}

// storeCells adds the collected sums to the tables.
func (t *transaction) storeCells(ctx context.Context) error {
	for statement, cells := range map[string]map[hourOrDay]*Sums{addHours: t.cells.hours, addDays: t.cells.days} {
		for at, s := range cells {
			if _, err := t.run(ctx, statement, append(at.columns(), s.values()...)...); err != nil {
				return fmt.Errorf("of hours and days: %w", err)
			}
		}
	}
	for at, s := range t.cells.users {
		if _, err := t.run(ctx, addUsers, append(at.columns(), s.values()...)...); err != nil {
			return fmt.Errorf("of users: %w", err)
		}
	}
	for at, s := range t.cells.spend {
		statement, name := addSpend, at.key
		if at.tag != "" {
			statement, name = addTagSpend, at.tag
		}
		if _, err := t.run(ctx, statement, name, at.quarter, s.cost, s.tokens); err != nil {
			return fmt.Errorf("of budgets: %w", err)
		}
	}
	return nil
}

const (
	maxName = 128       // bytes of a name in a sum
	others  = "(other)" // the sum of the names beyond the bound
)

// dayNames bounds the names that clients choose freely, models and users, in
// the sums of a day: with a new name in every request, there would be as many
// sums as requests. Names beyond the bound are added to "(other)"; single rows
// keep them. The zero value is ready for use.
type dayNames struct {
	day  int64
	seen map[string]map[string]bool // by group
}

// limit returns the name under which a name is added up. A group has at most
// that many names in a day.
func (n *dayNames) limit(day int64, group, name string, most int) string {
	if len(name) > maxName {
		name = name[:maxName]
	}
	if day > n.day || n.seen == nil {
		n.day = day
		n.seen = map[string]map[string]bool{}
	}
	names := n.seen[group]
	if names[name] {
		return name
	}
	if len(names) >= most {
		return others
	}
	if names == nil {
		names = map[string]bool{}
		n.seen[group] = names
	}
	names[name] = true
	return name
}
