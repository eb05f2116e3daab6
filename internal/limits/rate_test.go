package limits_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"forward/internal/limits"
)

func TestParseRates(t *testing.T) {
	minute, hour := limits.Rate{Limit: 60, Period: time.Minute}, limits.Rate{Limit: 600, Period: time.Hour}
	for text, want := range map[string][]limits.Rate{
		"": nil, "  ": nil, "inf": nil, " INF ": nil, "infinity": nil, "inf/minute": nil,
		"60/minute": {minute}, "60/minutes": {minute}, "60 / 1 Minute": {minute},
		"60 per minute": {minute}, "60 PER 1 minutes": {minute}, "60per minute": {minute},
		"100/2minutes":         {{Limit: 100, Period: 2 * time.Minute}},
		"5 per 10 seconds":     {{Limit: 5, Period: 10 * time.Second}},
		"1/day":                {{Limit: 1, Period: 24 * time.Hour}},
		"5/1 month":            {{Limit: 5, Period: 30 * 24 * time.Hour}},
		"5/year":               {{Limit: 5, Period: 360 * 24 * time.Hour}},
		"60/minute;600/hour":   {minute, hour},
		"60/minute, 600/hour":  {minute, hour},
		"60/minute|600/hour;":  {minute, hour},
		"60/minute;60/1minute": {minute}, // given twice, counted once
		"inf;60/minute":        {minute},
	} {
		got, err := limits.ParseRates(text)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseRatesNamesWhatIsWrong(t *testing.T) {
	for text, part := range map[string]string{
		"60": `"60"`, "60/": `"60/"`, "/minute": `"/minute"`, "0/minute": "no request", "60/0minutes": "from 1",
		"-1/minute": `"-1/minute"`, "60/s": "second, minute", "60/min": "second, minute", "1e3/minute": `"1e3/minute"`,
		"99999999999999999999/hour": "too large", "1/99999999999999 years": "from 1", "1/11 years": "ten years",
		";": "no rate", "60/minute;x": `"x"`, "60/minute 600/hour": "60/minute 600/hour",
	} {
		got, err := limits.ParseRates(text)
		if err == nil {
			t.Errorf("%q was read as %v", text, got)
			continue
		}
		if !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "write it like 60/minute") {
			t.Errorf("%q: %v; it should contain %s and show how to write it", text, err, part)
		}
	}
}

func FuzzParseRates(f *testing.F) {
	for _, s := range []string{"60/minute;600/hour", "5 per 10 seconds", "inf", "100/2minutes|1/day,x", "12/12months"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rates, err := limits.ParseRates(s)
		if err != nil && rates != nil {
			t.Errorf("%q: both %v and %v", s, rates, err)
		}
		for _, r := range rates {
			if r.Limit <= 0 || r.Period < time.Second {
				t.Errorf("%q → %v", s, r)
			}
			again, err := limits.ParseRates(r.String())
			if err != nil || len(again) != 1 || again[0] != r {
				t.Errorf("%q → %v → %v, %v", s, r, again, err)
			}
		}
	})
}

func TestParseStrategy(t *testing.T) {
	for _, s := range []string{"fixed-window", " Moving-Window", "fixed-window-elastic-expiry"} {
		if got, err := limits.ParseStrategy(s); err != nil || string(got) != strings.ToLower(strings.TrimSpace(s)) {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "fixed", "sliding-window"} {
		if got, err := limits.ParseStrategy(s); err == nil {
			t.Errorf("%q was read as %q", s, got)
		}
	}
}
