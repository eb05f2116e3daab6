package forward

import (
	"net/http"
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
	plain   string   // the same as it is judged; see dialect.JudgedPath
	paths   []string // the request's path on each mount of the route, in lower case; limits go by these
	op      dialect.Operation
	dialect *dialect.Dialect // which the client speaks; never nil
	socket  *dialect.Socket  // what is spoken on the WebSocket that it is to become; nil: nothing that is read
}

// match finds the route, and the user that the path names. Only the path
// counts: the host of an absolute-form request line is ignored, so that a
// client cannot choose where the gateway connects to.
func (g *Gateway) match(r *http.Request) (from match, user string, err error) {
	from.dialect = dialects.Default
	path := mergeSlashes(r.URL.EscapedPath())
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
	from.rest = mergeSlashes(rest)
	// Judged as servers read it and forwarded as it came: the upstream may read
	// /V1/chat/%63ompletions/ as /v1/chat/completions, and so do the rules.
	from.plain = dialect.JudgedPath(from.rest)
	home := route.Dialect
	if mount == "/" { // one address for the protocols of all providers
		home = dialects.Asked(home, r.Header, r.Method, from.plain)
	}
	from.op, from.dialect = operationOf(r, home, from.plain)
	if r.ContentLength == 0 && upgradeOf(r.Header) != "" {
		socket, spoken := dialects.ReadSocket(home, from.plain)
		if socket != nil { // what costs is asked for by its messages
			from.socket = socket
			from.op = dialect.Other
			from.dialect = spoken
		}
	}
	from.setRest(from.rest, r.Method)
	return from, user, nil
}

// setRest sets the path after the mount, and what follows from it.
func (from *match) setRest(rest, method string) {
	from.rest = rest
	from.plain = dialect.JudgedPath(rest)
	from.paths = make([]string, 1, 2+len(from.route.Aliases))
	from.paths[0] = from.route.Prefix
	from.paths = append(from.paths, from.route.Aliases...)
	end := from.dialect.Unversioned(method, from.plain)
	for i, prefix := range from.paths {
		prefix = strings.TrimSuffix(prefix, "/")
		from.paths[i] = dialect.FoldPath(prefix + from.plain)
		if end != "" { // a rule for /v1/chat/completions holds for /chat/completions too
			from.paths = append(from.paths, dialect.FoldPath(prefix+"/v1"+end))
		}
	}
}

// mergeSlashes merges the slashes that a path starts with. A base URL with a
// slash at its end makes //v1/… of the path that the client appends, and an
// upstream could take that for a host.
func mergeSlashes(path string) string {
	if strings.HasPrefix(path, "//") {
		return "/" + strings.TrimLeft(path, "/")
	}
	return path
}

// operationOf returns what a request asks for at a route of dialect home, and
// the dialect of the question. What costs nothing as it should be asked may be
// something else with a body, which servers read whatever the method is, or
// with another protocol on the connection.
func operationOf(r *http.Request, home *dialect.Dialect, path string) (dialect.Operation, *dialect.Dialect) {
	op, spoken := dialects.Read(home, r.Method, path)
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if r.ContentLength != 0 {
			return dialect.Unknown, spoken
		}
	}
	if upgradeOf(r.Header) != "" {
		return dialect.Unknown, spoken
	}
	return op, spoken
}
