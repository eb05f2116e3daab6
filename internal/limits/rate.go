package limits

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests, or events, in a period.
type Rate struct {
	Limit  int64
	Period time.Duration
}

// units are the periods that a rate can name. A month has 30 days and a year
// 360, as in openai-forward.
var units = []struct {
	name   string
	period time.Duration
}{
	{"second", time.Second}, {"minute", time.Minute}, {"hour", time.Hour},
	{"day", 24 * time.Hour}, {"month", 30 * 24 * time.Hour}, {"year", 360 * 24 * time.Hour},
}

// String writes the rate as ParseRates reads it: 100/2minutes.
func (r Rate) String() string {
	for i := len(units) - 1; i >= 0; i-- {
		if n := r.Period / units[i].period; n > 0 && r.Period%units[i].period == 0 {
			if n == 1 {
				return fmt.Sprintf("%d/%s", r.Limit, units[i].name)
			}
			return fmt.Sprintf("%d/%d%ss", r.Limit, n, units[i].name)
		}
	}
	return fmt.Sprintf("%d/%v", r.Limit, r.Period)
}

var rateForm = regexp.MustCompile(`^(\d+)\s*(?:/|per)\s*(\d+)?\s*([a-z]+?)s?$`)

// ParseRates reads one or more rates: `100/2minutes`, `60/minute;600/hour`, `5
// per 10 seconds`. They are separated by semicolons, commas or bars, and all of
// them apply. The empty text is no limit, and so is a part that starts with
// `inf`, which takes nothing from other parts.
func ParseRates(s string) ([]Rate, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "" {
		return nil, nil
	}
	var rates []Rate
	parts := 0
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' || r == '|' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		parts++
		if strings.HasPrefix(part, "inf") {
			continue
		}
		r, err := parseRate(part)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rates, r) { // given twice it would count twice
			rates = append(rates, r)
		}
	}
	if parts == 0 {
		return nil, fmt.Errorf("%q has no rate in it: write it like 60/minute or 60/minute;600/hour, or inf for no limit", s)
	}
	return rates, nil
}

func parseRate(part string) (Rate, error) {
	wrong := func(why string) (Rate, error) {
		return Rate{}, fmt.Errorf("%q is not a rate: %s; write it like 60/minute, 100/2minutes or 5 per 10 seconds", part, why)
	}
	m := rateForm.FindStringSubmatch(part)
	if m == nil {
		return wrong("it is not of the form number/period")
	}
	limit, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || limit > 1e12 {
		return wrong("the number is too large")
	}
	if limit == 0 {
		return wrong("it would let no request in")
	}
	times := int64(1)
	if m[2] != "" {
		times, err = strconv.ParseInt(m[2], 10, 32)
		if err != nil || times == 0 {
			return wrong("the number of periods must be from 1")
		}
	}
	for _, u := range units {
		if u.name == m[3] {
			if times > int64(10*360*24*time.Hour/u.period) {
				return wrong("the period is longer than ten years")
			}
			return Rate{Limit: limit, Period: time.Duration(times) * u.period}, nil
		}
	}
	return wrong("the period must be second, minute, hour, day, month or year")
}

// Strategy is how a window counts.
type Strategy string

// The strategies, by the names they have in openai-forward.
const (
	// FixedWindow opens a window with the first request and counts until it
	// ends.
	FixedWindow Strategy = "fixed-window"
	// ElasticWindow starts the window again with each request, also with a
	// refused one: a caller that keeps hammering is admitted again only after a
	// pause of a whole period. Of several windows a refused request starts only
	// those again that refuse it.
	ElasticWindow Strategy = "fixed-window-elastic-expiry"
	// MovingWindow allows the limit in any period, wherever it starts. Limits
	// above 10,000 are counted in slices of a hundredth of the period: no more
	// than the limit is admitted, and a place becomes free up to a hundredth
	// late.
	MovingWindow Strategy = "moving-window"
)

// ParseStrategy returns the strategy of that name.
func ParseStrategy(s string) (Strategy, error) {
	switch st := Strategy(strings.ToLower(strings.TrimSpace(s))); st {
	case FixedWindow, ElasticWindow, MovingWindow:
		return st, nil
	}
	return "", fmt.Errorf("%q is not a strategy: write fixed-window, fixed-window-elastic-expiry or moving-window", s)
}
