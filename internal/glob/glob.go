// Package glob matches names of models, routes and quotas against patterns.
//
// A pattern is one of path.Match with two differences. A star and a question
// mark match a slash too, because names of models are full of slashes. And a
// malformed class or escape stands for itself, so every text is a pattern and
// Match needs no error. Matching is case-sensitive.
//
// Patterns come from settings and names from clients, so Match is bounded: it
// takes at most len(pattern) × len(name) steps, and allocates nothing.
package glob

import (
	"strings"
	"unicode/utf8"
)

// Match reports whether pattern matches all of name.
//
// It goes back to the last star only. That is enough, since a later star can
// take whatever an earlier one could, and it keeps a pattern with many stars
// from stalling a request.
func Match(pattern, name string) bool {
	starred := false
	var afterStar, retry string // where to go on after the last star
	for name != "" || pattern != "" {
		if rest, ok := strings.CutPrefix(pattern, "*"); ok {
			starred = true
			pattern = rest
			afterStar = rest
			retry = name
			continue
		}
		if name != "" && pattern != "" {
			c, n := utf8.DecodeRuneInString(name)
			if rest, ok := matchRune(pattern, c); ok {
				pattern = rest
				name = name[n:]
				continue
			}
		}
		if !starred || retry == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(retry)
		retry = retry[n:]
		pattern = afterStar
		name = retry
	}
	return true
}

// matchRune matches c against the first element of pattern, and returns the
// pattern after that element.
func matchRune(pattern string, c rune) (rest string, ok bool) {
	switch pattern[0] {
	case '?':
		return pattern[1:], true
	case '[':
		if rest, in, ok := matchClass(pattern[1:], c); ok {
			return rest, in
		}
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	}
	literal, n := utf8.DecodeRuneInString(pattern)
	return pattern[n:], literal == c
}

// matchClass reports whether c is in the class whose inside starts the pattern,
// such as a-z], ^a-z] or \]]. ok is false for a class that is not well-formed.
func matchClass(pattern string, c rune) (rest string, in, ok bool) {
	pattern, negated := strings.CutPrefix(pattern, "^")
	for first := true; ; first = false {
		if rest, end := strings.CutPrefix(pattern, "]"); end && !first {
			return rest, in != negated, true
		}
		low, rest, ok := classRune(pattern)
		if !ok {
			return "", false, false
		}
		high := low
		if after, isRange := strings.CutPrefix(rest, "-"); isRange {
			if high, rest, ok = classRune(after); !ok {
				return "", false, false
			}
		}
		if low <= c && c <= high {
			in = true
		}
		pattern = rest
	}
}

// classRune returns the first character of the inside of a class, which may be
// escaped, and what follows it.
func classRune(s string) (c rune, rest string, ok bool) {
	if after, escaped := strings.CutPrefix(s, `\`); escaped {
		s = after
	} else if strings.HasPrefix(s, "]") || strings.HasPrefix(s, "-") {
		return 0, "", false
	}
	if s == "" {
		return 0, "", false
	}
	c, n := utf8.DecodeRuneInString(s)
	return c, s[n:], true
}
