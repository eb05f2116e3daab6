package glob

import (
	"math"
	"strings"
)

// Specificity orders patterns where the most specific one counts: a name
// before every pattern with a wildcard, and of those the one with the most
// characters other than stars and question marks.
func Specificity(pattern string) int {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return math.MaxInt
	}
	return len(pattern) - strings.Count(pattern, "*") - strings.Count(pattern, "?")
}
