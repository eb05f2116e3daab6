package ledger

import (
	"context"
	"time"

	"forward/internal/price"
)

// Forecast is what a month will have cost.
type Forecast struct {
	Month string      // 2026-12
	SoFar price.Money // of the month
	Cost  price.Money // of the whole month
}

// forecastWeeks is how many weeks before today a forecast looks at.
const forecastWeeks = 4

// Forecast works out what the month around now will have cost of the requests
// that match terms. A day that is to come costs what the same days of the week
// cost on average in the four weeks before, from the first day with a request
// on, for a weekend is no workday; the rest of today its part of that. Where
// there is none, it is the average of all.
func (r *Reader) Forecast(ctx context.Context, terms []Term, now time.Time) (Forecast, error) {
	now = now.In(r.zone)
	start, end, err := Monthly.Window(now, r.zone)
	if err != nil {
		return Forecast{}, err
	}
	today := r.dayFloor(now)
	y, m, d := today.Date()
	first := midnight(y, m, d-7*forecastWeeks, r.zone)
	since := first
	if start.Before(since) {
		since = start
	}
	groups, err := r.Report(ctx, Query{By: []Dimension{ByDay}, Since: since, Until: midnight(y, m, d+1, r.zone), Terms: terms})
	if err != nil {
		return Forecast{}, err
	}
	f := Forecast{Month: start.Format(layouts[ByMonth])}
	costs := map[string]price.Money{}
	for _, g := range groups {
		costs[g.Values[0]] = g.Cost
		if g.Values[0] >= start.Format(layouts[ByDay]) {
			f.SoFar += g.Cost
		}
	}
	f.Cost = f.SoFar
	days := typicalDays(costs, groups, today)
	next := midnight(y, m, d+1, r.zone)
	left := float64(next.Sub(now)) / float64(next.Sub(today))
	f.Cost += price.Money(left * days(today))
	for at := next; at.Before(end); {
		f.Cost += price.Money(days(at))
		y, m, d := at.Date()
		at = midnight(y, m, d+1, r.zone)
	}
	return f, nil
}

// typicalDays returns what a day costs, by the days before today.
func typicalDays(costs map[string]price.Money, used []Group, today time.Time) func(time.Time) float64 {
	var sum [7]float64
	var count [7]float64
	var all, number float64
	y, m, d := today.Date()
	for back := 1; back <= 7*forecastWeeks; back++ {
		at := time.Date(y, m, d-back, 12, 0, 0, 0, time.UTC)
		day := at.Format(time.DateOnly)
		if len(used) == 0 || day < used[0].Values[0] {
			break
		}
		cost := float64(costs[day])
		sum[at.Weekday()] += cost
		count[at.Weekday()]++
		all += cost
		number++
	}
	return func(at time.Time) float64 {
		switch w := at.Weekday(); {
		case count[w] > 0:
			return sum[w] / count[w]
		case number > 0:
			return all / number
		}
		return float64(costs[today.Format(time.DateOnly)])
	}
}
