package glob_test

import (
	"cmp"
	"slices"
	"testing"

	"forward/internal/glob"
)

func TestSpecificity(t *testing.T) {
	want := []string{"o3", "gpt-4o-*", "gpt-4o*", "gpt-?", "*"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int { return cmp.Compare(glob.Specificity(b), glob.Specificity(a)) })
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
