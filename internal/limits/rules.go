package limits

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"forward/internal/dialect"
)

// AnyLevel is the level of a rule for every caller.
const AnyLevel = -1

// Rule limits the requests to a path and everything below it. Of two rules for
// one path and level the first applies.
type Rule struct {
	Path  string // whole segments, with the route's prefix
	Level int    // of the callers; AnyLevel for all
	Rates []Rate // all of them apply; none is no limit
}

// rules are Rules as they are searched: paths are judged ones in lower case,
// and the path of all requests is empty.
type rules []Rule

// newRules brings the paths of rules into one form.
func newRules(list []Rule) rules {
	rs := slices.Clone(list)
	for i, r := range rs {
		path := dialect.FoldPath(dialect.JudgedPath(r.Path))
		rs[i].Path = strings.TrimSuffix(path, "/")
	}
	return rs
}

// check refuses rates that cannot be counted. ParseRates returns none of them.
func check(rates []Rate) error {
	for _, r := range rates {
		if r.Limit <= 0 || r.Period <= 0 {
			return fmt.Errorf("%d in %v is not a rate: both must be above zero", r.Limit, r.Period)
		}
	}
	return nil
}

// match returns the rule for a request: of the rules whose path contains one of
// paths those with the longest count, and of these the one for the level. It is
// nil when there is none, or none for this level.
func (rs rules) match(paths []string, level int) *Rule {
	best := -1
	for i := range rs {
		if best >= 0 && len(rs[i].Path) <= len(rs[best].Path) {
			continue
		}
		if slices.ContainsFunc(paths, func(path string) bool { return contains(rs[i].Path, path) }) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	var forAll *Rule
	for i := range rs {
		switch r := &rs[i]; {
		case r.Path != rs[best].Path:
		case r.Level == level:
			return r
		case r.Level == AnyLevel && forAll == nil:
			forAll = r
		}
	}
	return forAll
}

// contains reports whether path is prefix or lies below it, by whole segments.
// The path counts as it was sent and also decoded: an upstream that decodes it
// serves /v1/%63hat/completions as chat, so that must be no way around the
// rule.
func contains(prefix, path string) bool {
	if below(prefix, path) {
		return true
	}
	if strings.IndexByte(path, '%') < 0 {
		return false
	}
	plain, err := url.PathUnescape(path)
	return err == nil && below(prefix, plain)
}

// below reports whether a path is prefix or continues it with a slash.
func below(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
