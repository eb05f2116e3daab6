package ledger_test

import (
	"testing"
	"time"

	"forward/internal/ledger"

	"pgregory.net/rapid"
)

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// TestWindow checks calendars where they are odd.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name, zone, now string
		period          ledger.Period
		start, end      string
	}{
		{"a day", "UTC", "2026-11-21T12:00:00Z", ledger.Daily, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"a day's first instant", "UTC", "2026-11-21T00:00:00Z", ledger.Daily, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{"a week, on Saturday", "UTC", "2026-11-21T12:00:00Z", ledger.Weekly, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"a week, on Sunday", "UTC", "2026-11-22T23:59:59Z", ledger.Weekly, "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"a week, on Monday", "UTC", "2026-11-23T00:00:00Z", ledger.Weekly, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
		{"a week over the year's end", "UTC", "2027-01-01T00:00:00Z", ledger.Weekly, "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		{"a month", "UTC", "2026-12-31T23:59:59Z", ledger.Monthly, "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"February with a leap day", "UTC", "2028-02-29T12:00:00Z", ledger.Monthly, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"February without", "UTC", "2100-02-28T23:00:00Z", ledger.Monthly, "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"},
		{"a month in another zone", "Asia/Tokyo", "2026-11-30T15:00:00Z", ledger.Monthly, "2026-12-01T00:00:00+09:00", "2027-01-01T00:00:00+09:00"},
		{"a day of 23 hours", "Europe/Berlin", "2026-03-29T12:00:00Z", ledger.Daily, "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"a day of 25 hours", "Europe/Berlin", "2026-10-25T12:00:00Z", ledger.Daily, "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},
		{"a month with a change", "America/New_York", "2026-03-20T12:00:00Z", ledger.Monthly, "2026-03-01T00:00:00-05:00", "2026-04-01T00:00:00-04:00"},
		{"a day without a midnight", "Asia/Beirut", "2026-03-29T12:00:00Z", ledger.Daily, "2026-03-29T01:00:00+03:00", "2026-03-30T00:00:00+03:00"},
		{"the day before it", "Asia/Beirut", "2026-03-28T21:59:59Z", ledger.Daily, "2026-03-28T00:00:00+02:00", "2026-03-29T01:00:00+03:00"},
		{"a month after one without a midnight", "Asia/Beirut", "2026-04-29T12:00:00Z", ledger.Daily, "2026-04-29T00:00:00+03:00", "2026-04-30T00:00:00+03:00"},
		{"a day with two midnights", "America/Havana", "2026-11-01T12:00:00Z", ledger.Daily, "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		{"between its midnights", "America/Havana", "2026-11-01T04:30:00Z", ledger.Daily, "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"},
		{"the day before that", "America/Havana", "2026-11-01T03:30:00Z", ledger.Daily, "2026-10-31T00:00:00-04:00", "2026-11-01T00:00:00-04:00"},
		{"a day that begins at half past", "America/Toronto", "1919-03-31T12:00:00Z", ledger.Daily, "1919-03-31T00:30:00-04:00", "1919-04-01T00:00:00-04:00"},
		{"a date that a zone left out", "Pacific/Apia", "2011-12-30T08:00:00Z", ledger.Daily, "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			start, end, err := c.period.Window(now, mustZone(t, c.zone))
			if err != nil || start.Format(time.RFC3339) != c.start || end.Format(time.RFC3339) != c.end {
				t.Errorf("from %s to %s (%v), want from %s to %s", start.Format(time.RFC3339), end.Format(time.RFC3339), err, c.start, c.end)
			}
		})
	}
	if start, end, err := ledger.Total.Window(noon, nil); err != nil || !start.IsZero() || !end.IsZero() {
		t.Error("a total has an end")
	}
	if _, _, err := ledger.Period("decade").Window(noon, nil); err == nil {
		t.Error("a decade is a period")
	}
}

// TestWindowsFollowOneAnother checks at random instants that a window has its
// now, starts on a quarter of an hour, and that the next one starts where it
// ends.
func TestWindowsFollowOneAnother(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Chatham", "America/Sao_Paulo", "Asia/Gaza"}
	first, last := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		period := rapid.SampledFrom([]ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly}).Draw(t, "period")
		now := time.Unix(rapid.Int64Range(first, last).Draw(t, "now"), 0)
		start, end, err := period.Window(now, zone)
		if err != nil || now.Before(start) || !now.Before(end) || start.Unix()%900 != 0 {
			t.Fatalf("%s is not from %s to %s (%v)", now.In(zone), start, end, err)
		}
		again, _, _ := period.Window(end.Add(-time.Nanosecond), zone)
		next, _, _ := period.Window(end, zone)
		if !again.Equal(start) || !next.Equal(end) {
			t.Fatalf("the window from %s to %s is from %s at its end, the next starts at %s", start, end, again, next)
		}
	})
}
