package limits

import "time"

// span is a window of the calendar in Unix microseconds, from inclusive and
// until exclusive.
type span struct{ from, until int64 }

// windows are the minute and the day that hold a time.
type windows [2]span

// windowNames are the names of windows in errors and headers.
var windowNames = [2]string{"minute", "day"}

// calendar is a clock that knows windows.
type calendar struct {
	now      func() time.Time
	location *time.Location // the time zone of days
}

// read returns the time, and the windows that hold it.
func (c calendar) read() (time.Time, windows) {
	now := c.now()
	return now, windows{minuteOf(now), dayOf(now, c.location)}
}

func minuteOf(t time.Time) span {
	minute := time.Minute.Microseconds()
	from := roundDown(t.UnixMicro(), minute)
	return span{from, from + minute}
}

// dayOf returns a day as long as the zone makes it, 23 and 25 hours included.
func dayOf(t time.Time, in *time.Location) span { return span{midnight(t, in, 0), midnight(t, in, 1)} }

// midnight returns the start of the day that is so many days after t.
func midnight(t time.Time, in *time.Location, days int) int64 {
	y, m, d := t.In(in).Date()
	return time.Date(y, m, d+days, 0, 0, 0, 0, in).UnixMicro()
}
