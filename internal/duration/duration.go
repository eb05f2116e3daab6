// Package duration reads lengths of time as settings, flags and headers write
// them.
//
// It is time.ParseDuration with days and weeks, which are what retention,
// expiry and reports are given in, and without negative ones, which none of
// them can use. A day is 24 hours. Settings and headers also take a plain
// number for seconds: openai-forward's TIMEOUT is written so, and so is every
// header of HTTP that holds a time.
package duration

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Day and Week are the units that time lacks.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
)

// Parse reads a duration of Go that is not negative, or a number of days or
// weeks: 500ms, 1h30m, 30d, 2w. A number may have a fraction.
func Parse(s string) (time.Duration, error) {
	if n := len(s) - 1; n >= 0 {
		switch s[n] {
		case 'd':
			return number(s, s[:n], Day)
		case 'w':
			return number(s, s[:n], Week)
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, malformed(s)
	}
	return d, nil
}

// ParseSeconds is Parse, and reads a plain number as seconds: 10, 1.5.
func ParseSeconds(s string) (time.Duration, error) {
	if n := len(s) - 1; n >= 0 && ((s[n] >= '0' && s[n] <= '9') || s[n] == '.') {
		return number(s, s, time.Second)
	}
	return Parse(s)
}

// number reads the number of units in s, which is all of the text whole or the
// part before its unit.
func number(whole, s string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseFloat(s, 64)
	nanos := n * float64(unit)
	// The comparison is false for NaN too, which ParseFloat reads.
	if err != nil || !(n >= 0) || nanos >= math.MaxInt64 {
		return 0, malformed(whole)
	}
	return time.Duration(nanos), nil
}

func malformed(s string) error {
	return fmt.Errorf("%q is not a duration; write 24h, 7d or 2w", s)
}
