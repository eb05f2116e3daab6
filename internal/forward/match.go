package forward

import (
	"net/http"
	"strconv"
	"strings"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/upstream"
)

// match is what the method and the path of a request mean.
type match struct {
	route   *upstream.Route
	mount   string   // the prefix under which the request came
	rest    string   // the path after it, as it came
	plain   string   // the same, readable: rules judge this one
	paths   []string // the request's path on each mount of the route; limits go by these
	op      dialect.Operation
	dialect *dialect.Dialect // which the client speaks; never nil
}

// match finds the route, and the user that the path names. Only the path
// counts: the host of an absolute-form request line is ignored, so that a
// client cannot choose where the gateway connects to.
func (g *Gateway) match(r *http.Request) (from match, user string, err error) {
	from.dialect = dialects.Default
	path := r.URL.EscapedPath()
	err = upstream.CheckPath(path)
	if err != nil {
		if route, _, _, ok := g.Routes.Match(path); ok {
			from.dialect = route.Dialect // the error is written for its clients
		}
		return from, "", err
	}
	path, user, err = g.userOfPath(path)
	if err != nil {
		return from, "", err
	}
	route, mount, rest, ok := g.Routes.Match(path)
	if !ok {
		return from, "", refused(http.StatusNotFound, "route_not_found",
			"No route of this gateway starts with this path.")
	}
	from.route = route
	from.mount = mount
	from.rest = rest
	// Judged by the readable path and forwarded as it came: the upstream reads
	// /v1/chat/%63ompletions as /v1/chat/completions, and so do the rules.
	from.plain = readable(rest)
	from.op = route.Dialect.Operation(r.Method, from.plain)
	from.dialect = route.Dialect.Spoken(from.op, from.plain)
	from.paths = make([]string, 1, 1+len(route.Aliases))
	from.paths[0] = strings.TrimSuffix(route.Prefix, "/") + from.plain
	for _, alias := range route.Aliases {
		from.paths = append(from.paths, strings.TrimSuffix(alias, "/")+from.plain)
	}
	return from, user, nil
}

// readable decodes the escapes of a path that CheckPath has passed, except
// those of slashes and percent signs: they would change its segments.
func readable(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			c, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
			if err == nil && c != '/' && c != '%' {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
