package ledger

import (
	"fmt"
	"time"
)

// Period is how long a budget lasts, by the calendar of its time zone.
type Period string

// The periods. A week starts on Monday.
const (
	Daily   Period = "day"
	Weekly  Period = "week"
	Monthly Period = "month"
	Total   Period = "total"
)

// Window returns the period around now, from its first instant up to, and
// without, its end. A total has neither: both times are zero. A nil zone is
// UTC.
func (p Period) Window(now time.Time, zone *time.Location) (start, end time.Time, err error) {
	if zone == nil {
		zone = time.UTC
	}
	now = now.In(zone)
	y, m, d := now.Date()
	switch p {
	case Daily:
		return midnight(y, m, d, zone), midnight(y, m, d+1, zone), nil
	case Weekly:
		d -= (int(now.Weekday()) + 6) % 7 // Monday
		return midnight(y, m, d, zone), midnight(y, m, d+7, zone), nil
	case Monthly:
		return midnight(y, m, 1, zone), midnight(y, m+1, 1, zone), nil
	case Total:
		return time.Time{}, time.Time{}, nil
	}
	return time.Time{}, time.Time{}, fmt.Errorf("%q is not a period: write day, week, month or total", p)
}

// midnight returns the first instant of a day. Some days have no midnight
// (clocks go forward at 0:00, as in Beirut) and some have two (they go back to
// 0:00, as in Havana), and time.Date leaves open which instant it returns then.
func midnight(y int, m time.Month, d int, zone *time.Location) time.Time {
	wanted := time.Date(y, m, d, 12, 0, 0, 0, time.UTC) // the same date, with d and m in range
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if t.Day() != wanted.Day() {
		// t is in the evening before: the day starts when the clocks change.
		_, change := t.ZoneBounds()
		return change
	}
	change, _ := t.ZoneBounds()
	if change.IsZero() || t.Sub(change) > 12*time.Hour {
		return t
	}
	before := change.Add(-time.Second)
	if before.Day() != wanted.Day() {
		return t // the day starts when the clocks change, or later
	}
	// The day had started before the clocks changed, and t is its second
	// midnight.
	_, offset := before.Zone()
	return time.Date(y, m, d, 0, 0, 0, 0, time.FixedZone("", offset)).In(zone)
}
