package stats

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	sample := []float64{4, 1, 3, 2}
	for share, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 0.75: 3.25, 0.99: 3.97, 1: 4} {
		if got := Quantile(sample, share); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, not %v", share, got, want)
		}
	}
	if !slices.Equal(sample, []float64{4, 1, 3, 2}) {
		t.Error("the sample was sorted in place")
	}
	if got := Quantile([]time.Duration{time.Second}, 0.99); got != 1e9 {
		t.Errorf("a single value: %v", got)
	}
	if got := Quantile([]float64{}, 0.5); !math.IsNaN(got) {
		t.Errorf("an empty sample: %v", got)
	}
}

// TestOf leaves out the rounds that failed, and is not moved by a single wild
// one.
func TestOf(t *testing.T) {
	got := Of([]float64{math.NaN(), 10, 11, 9, 1000, 10})
	if got.Size != 5 || got.Median != 10 || got.Low != 10 || got.High != 11 {
		t.Errorf("%+v", got)
	}
	if none := Of([]float64{math.NaN()}); none.Size != 0 || !math.IsNaN(none.Median) {
		t.Errorf("%+v", none)
	}
}

// TestPairs divides and subtracts within a round: a machine that was slow in
// the second one changes neither ratio nor order.
func TestPairs(t *testing.T) {
	ours, theirs := []float64{20, 200, 30, math.NaN(), 5}, []float64{10, 100, 10, 10, 0}
	if got := Ratios(ours, theirs); !slices.Equal(got, []float64{2, 2, 3}) {
		t.Errorf("ratios %v", got)
	}
	if got := Differences(ours, theirs); !slices.Equal(got, []float64{10, 100, 20, 5}) {
		t.Errorf("differences %v", got)
	}
}
