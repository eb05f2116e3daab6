package keys

import "forward/internal/glob"

// Levels are the models that forward keys of a level may use: level → patterns
// of package glob. Level 0 may use all models, even if it is listed; a level
// that is not listed may use none. The nil Levels is ready for use.
type Levels map[int][]string

// Allows reports whether a key of the level may use the model.
func (l Levels) Allows(level int, model string) bool {
	if !l.Restricted(level) {
		return true
	}
	for _, pattern := range l[level] {
		if glob.Match(pattern, model) {
			return true
		}
	}
	return false
}

// Restricted reports whether there may be models that a key of the level may
// not use.
func (l Levels) Restricted(level int) bool { return level != 0 }
