package duration_test

import (
	"fmt"
	"testing"
	"time"

	"forward/internal/duration"
)

func Example() {
	retention, _ := duration.Parse("30d")
	timeout, _ := duration.ParseSeconds("10")
	_, err := duration.Parse("10")
	fmt.Println(retention, timeout, err)
	// Output: 720h0m0s 10s "10" is not a duration; write 24h, 7d or 2w
}

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute,
		"30d": 30 * duration.Day, "1.5d": 36 * time.Hour, "2w": 14 * duration.Day, "0d": 0,
	} {
		if d, err := duration.Parse(text); err != nil || d != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "10", "1.5", "d", "-1s", "-1d", "1y", "1d2h", "NaNd", "infw", "99999999999d", "30 d", "tomorrow"} {
		if d, err := duration.Parse(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
}

func TestParseSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "10": 10 * time.Second, "1.5": 1500 * time.Millisecond, ".5": 500 * time.Millisecond, "2.": 2 * time.Second, "12h": 12 * time.Hour, "1w": duration.Week,
	} {
		if d, err := duration.ParseSeconds(text); err != nil || d != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", ".", "-1", "1e300", "99999999999999", "1 0", "soon"} {
		if d, err := duration.ParseSeconds(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
}

func FuzzParseSeconds(f *testing.F) {
	for _, text := range []string{"10", "1.5h", "30d", "1e300w", "NaN", "inf", "0x10", "-1", ".", "d", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := duration.ParseSeconds(text); err == nil && d < 0 {
			t.Errorf("%q is %v", text, d)
		}
	})
}
