package config

import "strings"

// Nearest returns the candidate that name was probably meant to be, or "".
// Short names tolerate one slip, longer ones two; names under four letters are
// never guessed.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", 3
	for _, c := range candidates {
		allowed := 2
		if len(c) < 10 {
			allowed = 1
		}
		if len(c) < 4 || len(name) < 4 {
			continue
		}
		if d := distance(strings.ToUpper(name), strings.ToUpper(c)); d > 0 && d <= allowed && d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of inserted, deleted, changed or swapped neighbouring
// letters (optimal string alignment).
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	before := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
