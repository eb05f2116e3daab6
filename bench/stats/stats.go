// Package stats computes the middle and the spread of measurements.
package stats

import (
	"cmp"
	"math"
	"slices"
)

// Quantile is the value below which this share of the sample lies, between two
// of its values in proportion; NaN of an empty sample.
func Quantile[T ~int64 | ~float64](sample []T, share float64) float64 {
	if len(sample) == 0 {
		return math.NaN()
	}
	sorted := slices.SortedFunc(slices.Values(sample), cmp.Compare[T])
	at := share * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return float64(sorted[low]) + (at-float64(low))*(float64(sorted[high])-float64(sorted[low]))
}

// Summary is a sample in a few numbers: its median, and the quartiles, between
// which half of it lies.
type Summary struct {
	Size              int
	Median, Low, High float64
}

// Of summarises a sample. Values that are not numbers do not count.
func Of(sample []float64) Summary {
	sample = slices.DeleteFunc(slices.Clone(sample), math.IsNaN)
	return Summary{len(sample), Quantile(sample, 0.5), Quantile(sample, 0.25), Quantile(sample, 0.75)}
}

// Ratios divides what was measured in the same round. Rounds that one of them
// lacks are left out.
func Ratios(of, to []float64) []float64 {
	var ratios []float64
	for i := range min(len(of), len(to)) {
		if to[i] != 0 && !math.IsNaN(of[i]) && !math.IsNaN(to[i]) {
			ratios = append(ratios, of[i]/to[i])
		}
	}
	return ratios
}

// Differences subtracts what was measured in the same round.
func Differences(of, from []float64) []float64 {
	var differences []float64
	for i := range min(len(of), len(from)) {
		if !math.IsNaN(of[i]) && !math.IsNaN(from[i]) {
			differences = append(differences, of[i]-from[i])
		}
	}
	return differences
}
