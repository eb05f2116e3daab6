package keys

import (
	"strings"
	"unicode/utf8"
)

// Levels says which models the forward keys of a level may use: level → globs. Level 0 may use all, also when it is
// listed; a level that is not listed may use none. A glob is one of path.Match, except that * and ? also match a slash
// (model names are full of them), and that what is no well-formed class or escape stands for itself, so that there is no
// malformed glob. Matching is case-sensitive. The nil Levels is ready for use.
type Levels map[int][]string

// Allows reports whether a key of the level may use the model.
func (l Levels) Allows(level int, model string) bool {
	if !l.Restricted(level) {
		return true
	}
	for _, glob := range l[level] {
		if Match(glob, model) {
			return true
		}
	}
	return false
}

// Restricted reports whether there are models that a key of the level may not use.
func (l Levels) Restricted(level int) bool { return level != 0 }

// Match reports whether glob, as in Levels, matches all of s. It goes back to the last star only, which is enough and keeps the time
// at worst len(glob)*len(s): a glob with many stars must not stall a request.
func Match(glob, s string) bool {
	afterStar, retry, starred := "", "", false
	for s != "" || glob != "" {
		if strings.HasPrefix(glob, "*") {
			glob = glob[1:]
			afterStar, retry, starred = glob, s, true
			continue
		}
		if s != "" && glob != "" {
			if rest, ok := matchOne(glob, s); ok {
				_, n := utf8.DecodeRuneInString(s)
				glob, s = rest, s[n:]
				continue
			}
		}
		if !starred || retry == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(retry)
		retry = retry[n:]
		glob, s = afterStar, retry
	}
	return true
}

// matchOne matches the first character of s against the first element of glob, and returns the glob after it.
func matchOne(glob, s string) (rest string, ok bool) {
	c, _ := utf8.DecodeRuneInString(s)
	switch glob[0] {
	case '?':
		return glob[1:], true
	case '[':
		if rest, in, ok := class(glob, c); ok {
			return rest, in
		}
	case '\\':
		if len(glob) > 1 {
			glob = glob[1:]
		}
	}
	g, n := utf8.DecodeRuneInString(glob)
	return glob[n:], g == c
}

// class reports whether c is in the class that glob begins with, as [a-z], [^a-z] or [\]]. It is not ok when glob begins with no
// well-formed class.
func class(glob string, c rune) (rest string, in, ok bool) {
	glob = glob[1:]
	not := strings.HasPrefix(glob, "^")
	if not {
		glob = glob[1:]
	}
	for first := true; ; first = false {
		if strings.HasPrefix(glob, "]") && !first {
			return glob[1:], in != not, true
		}
		lo, after, found := classChar(glob)
		if !found {
			return "", false, false
		}
		hi := lo
		if strings.HasPrefix(after, "-") {
			if hi, after, found = classChar(after[1:]); !found {
				return "", false, false
			}
		}
		if lo <= c && c <= hi {
			in = true
		}
		glob = after
	}
}

// classChar takes one character, which may be escaped, off the inside of a class.
func classChar(s string) (c rune, rest string, ok bool) {
	if strings.HasPrefix(s, `\`) {
		s = s[1:]
	} else if strings.HasPrefix(s, "]") || strings.HasPrefix(s, "-") {
		return 0, "", false
	}
	if s == "" {
		return 0, "", false
	}
	c, n := utf8.DecodeRuneInString(s)
	return c, s[n:], true
}
