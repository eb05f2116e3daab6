package ledger

import (
	"context"
	"fmt"
	"time"

	"forward/internal/price"
)

// Sums are what a group of requests adds up to.
type Sums struct {
	Requests      int64
	Errors        int64 // with a status of 400 and above, or without one
	Estimated     int64 // whose tokens are our count
	Unpriced      int64 // that used tokens of no known price; they are not in Cost
	Input         int64 // tokens, with cached ones
	CachedRead    int64
	CachedWrite   int64
	Output        int64 // tokens, with reasoning
	Reasoning     int64
	Audio         int64
	Cost          price.Money // nano-dollars
	EstimatedCost price.Money // the part of Cost that is estimated
	Saved         price.Money // by cache hits
	BytesIn       int64
	BytesOut      int64
}

// fields are the sums in the order of their columns.
func (s *Sums) fields() []any {
	return []any{&s.Requests, &s.Errors, &s.Estimated, &s.Unpriced, &s.Input, &s.CachedRead, &s.CachedWrite, &s.Output, &s.Reasoning, &s.Audio,
		&s.Cost, &s.EstimatedCost, &s.Saved, &s.BytesIn, &s.BytesOut}
}

func (s *Sums) values() []any {
	return []any{s.Requests, s.Errors, s.Estimated, s.Unpriced, s.Input, s.CachedRead, s.CachedWrite, s.Output, s.Reasoning, s.Audio,
		int64(s.Cost), int64(s.EstimatedCost), int64(s.Saved), s.BytesIn, s.BytesOut}
}

// add counts a request in.
func (s *Sums) add(r *Row) {
	one := func(n *int64, yes bool) {
		if yes {
			*n++
		}
	}
	s.Requests++
	one(&s.Errors, r.Status >= 400 || r.Status == 0)
	one(&s.Estimated, r.Estimated)
	one(&s.Unpriced, !r.Priced && r.Tokens() > 0)
	s.Input, s.CachedRead, s.CachedWrite = s.Input+r.Usage.Input, s.CachedRead+r.Usage.CachedRead, s.CachedWrite+r.Usage.CachedWrite
	s.Output, s.Reasoning, s.Audio = s.Output+r.Usage.Output, s.Reasoning+r.Usage.Reasoning, s.Audio+r.Usage.Audio
	if r.Priced {
		s.Cost += r.Cost
		if r.Estimated {
			s.EstimatedCost += r.Cost
		}
	}
	s.Saved, s.BytesIn, s.BytesOut = s.Saved+r.Saved, s.BytesIn+r.BytesIn, s.BytesOut+r.BytesOut
}

// cell is what an hour or a day is told apart by.
type cell struct {
	at                           int64
	key, route, model, operation string
	status                       int
	cache                        string
}

type userCell struct {
	day       int64
	key, user string
}

type spendCell struct {
	key     string
	quarter int64
}

// rollups collects the sums of one batch, so that a busy second costs a handful of updates.
type rollups struct {
	location    *time.Location
	caps        *caps
	hours, days map[cell]*Sums
	users       map[userCell]*Sums
	spend       map[spendCell]spent
}

func newRollups(location *time.Location, c *caps) *rollups {
	return &rollups{location, c, map[cell]*Sums{}, map[cell]*Sums{}, map[userCell]*Sums{}, map[spendCell]spent{}}
}

const (
	quarter   = 15 * 60 // seconds
	maxWord   = 128     // bytes of a name in a sum
	maxModels = 500     // names of models of one key in a day
	maxUsers  = 10_000  // users of one key in a day
	others    = "(other)"
)

func (r *rollups) add(row *Row) {
	day := dayOf(row.Time, r.location)
	seconds := row.Time.Unix()
	c := cell{seconds - mod(seconds, 3600), row.Key, row.Route, r.caps.limit(day, "m"+row.Key, row.Model, maxModels), string(row.Operation), row.Status, row.Cache}
	into(r.hours, c).add(row)
	c.at = day
	into(r.days, c).add(row)
	into(r.users, userCell{day, row.Key, r.caps.limit(day, "u"+row.Key, row.User, maxUsers)}).add(row)
	if s := spentBy(row); s != (spent{}) {
		booked := row.booked().Unix()
		at := spendCell{row.Key, (booked - mod(booked, quarter)) / quarter}
		have := r.spend[at]
		r.spend[at] = spent{price.Add(have.cost, s.cost), price.Add(have.tokens, s.tokens)}
	}
}

func into[K comparable](m map[K]*Sums, k K) *Sums {
	if m[k] == nil {
		m[k] = &Sums{}
	}
	return m[k]
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return ((a % b) + b) % b }

// dayOf is the date in a time zone as a number: 20261121.
func dayOf(t time.Time, zone *time.Location) int64 {
	y, m, d := t.In(zone).Date()
	return int64(y)*10_000 + int64(m)*100 + int64(d)
}

// store adds the collected sums to the tables.
func (r *rollups) store(ctx context.Context, b *booking) error {
	for statement, cells := range map[string]map[cell]*Sums{addHours: r.hours, addDays: r.days} {
		for c, s := range cells {
			if _, err := b.exec(ctx, statement, append([]any{c.at, c.key, c.route, c.model, c.operation, c.status, c.cache}, s.values()...)...); err != nil {
				return fmt.Errorf("of hours and days: %w", err)
			}
		}
	}
	for c, s := range r.users {
		if _, err := b.exec(ctx, addUsers, append([]any{c.day, c.key, c.user}, s.values()...)...); err != nil {
			return fmt.Errorf("of users: %w", err)
		}
	}
	for c, s := range r.spend {
		if _, err := b.exec(ctx, addSpend, c.key, c.quarter, s.cost, s.tokens); err != nil {
			return fmt.Errorf("of budgets: %w", err)
		}
	}
	return nil
}

// caps bounds the names that clients choose freely, models and users, in the sums of a day: who invents a new one with every request
// must not make the sums as many as the requests. What comes above the bound is added to "(other)"; single rows keep their names.
type caps struct {
	day  int64
	seen map[string]map[string]bool
}

func (c *caps) limit(day int64, group, name string, most int) string {
	if len(name) > maxWord {
		name = name[:maxWord]
	}
	if day > c.day || c.seen == nil {
		c.day, c.seen = day, map[string]map[string]bool{}
	}
	names := c.seen[group]
	if names[name] {
		return name
	}
	if len(names) >= most {
		return others
	}
	if names == nil {
		names = map[string]bool{}
		c.seen[group] = names
	}
	names[name] = true
	return name
}
