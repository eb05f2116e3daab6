package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Table finds the route of a path. It does not change after NewTable and is
// safe for concurrent use.
type Table struct {
	routes []*Route
	mounts []mount // longest prefix first
}

// mount is one prefix of a route; the root's is "", so that every prefix is
// followed by the end or a slash.
type mount struct {
	prefix string
	route  *Route
}

// NewTable returns a table of the routes. A prefix that comes twice, one that
// is no clean path and a base URL that is not usable are errors; all of them
// are reported at once.
func NewTable(routes []*Route) (*Table, error) {
	t := &Table{routes: slices.Clone(routes)}
	owner := map[string]*Route{}
	var errs []error
	for _, r := range routes {
		if err := r.check(); err != nil {
			errs = append(errs, err)
		}
		for _, prefix := range append([]string{r.Prefix}, r.Aliases...) {
			switch taken := owner[prefix]; {
			case !cleanPrefix(prefix):
				errs = append(errs, fmt.Errorf("route %q: prefix %q must be / or start with a slash, end without one and have no empty or dot segments", r.Name, prefix))
			case taken != nil:
				errs = append(errs, fmt.Errorf("routes %q and %q have the same prefix %q", taken.Name, r.Name, prefix))
			default:
				owner[prefix] = r
				t.mounts = append(t.mounts, mount{strings.TrimSuffix(prefix, "/"), r})
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortStableFunc(t.mounts, func(a, b mount) int { return len(b.prefix) - len(a.prefix) })
	return t, nil
}

// TakeOver makes a table that is not yet in use continue another one: in routes
// of the same name, API keys that rest go on resting, and the breakers of base
// URLs keep their state. Answers to requests under way on the other one count
// in both.
func (t *Table) TakeOver(before *Table) {
	for _, r := range t.routes {
		for _, had := range before.routes {
			if had.Name == r.Name {
				r.Keys.takeOver(had.Keys)
				takeOver(r.order(), had.order())
			}
		}
	}
}

func cleanPrefix(p string) bool {
	return p == "/" || (!strings.HasSuffix(p, "/") && !strings.ContainsAny(p, "?#") && !strings.Contains(p, "//") && CheckPath(p) == nil)
}

// Match returns the route with the longest prefix of the path, in whole
// segments: /p matches /p and /p/x, never /px, /p:81/x or /p@evil/x. Prefix
// returns as mount, and the path after it as rest, which keeps its escapes and
// starts with a slash.
func (t *Table) Match(escapedPath string) (r *Route, mount, rest string, ok bool) {
	for _, m := range t.mounts {
		rest, found := strings.CutPrefix(escapedPath, m.prefix)
		if !found || (rest != "" && rest[0] != '/') {
			continue
		}
		if rest == "" {
			rest = "/"
		}
		if m.prefix == "" {
			return m.route, "/", rest, true
		}
		return m.route, m.prefix, rest, true
	}
	return nil, "", "", false
}

// Routes returns all routes in the order in which they were given.
func (t *Table) Routes() []*Route { return slices.Clone(t.routes) }
