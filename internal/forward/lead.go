package forward

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/glob"
	"forward/internal/upstream"
)

// On / one address serves the protocols of all providers. The path shows in
// which one a request is made (see match), and the model that it names at which
// route it is served. A request goes to a route that speaks its protocol, and
// is never translated: to a provider of another protocol goes neither a prompt
// nor an API key.

// ModelRoute leads requests on / to a route by the model that they name.
type ModelRoute struct {
	Dialect *dialect.Dialect // only requests in this dialect; nil: in any that the route serves
	Models  string           // a pattern of package glob
	Route   *upstream.Route
}

// matches reports whether requests in a dialect are led that name a model, or
// that name none, such as those about files.
func (m *ModelRoute) matches(d *dialect.Dialect, model string) bool {
	if m.Dialect != nil && m.Dialect != d {
		return false
	}
	if model == "" {
		return m.Dialect != nil && m.Models == "*"
	}
	return glob.Match(m.Models, model)
}

// lead returns the target of a model. Its limits stay those of the path on
// which the request came, and access to that was decided there.
func (g *Gateway) lead(ask *ask, model string) (target, error) {
	to, err := g.place(ask, model)
	if err != nil {
		return to, err
	}
	to.model = model
	to.demand = g.newDemand(ask, to.route, model)
	return to, nil
}

// heading returns where a request goes as far as its head shows it. The model
// that the body names may lead it elsewhere.
func (g *Gateway) heading(a *ask) (target, error) {
	to, err := g.place(a, "")
	if err != nil && a.from.op.RunsModel() && a.from.op != dialect.Unknown {
		return g.target(&a.who, a.from.route, a.from.rest), nil
	}
	return to, err
}

// place returns the route of a request that names a model, or none, and the
// path there.
func (g *Gateway) place(a *ask, model string) (target, error) {
	from := &a.from
	to := g.target(&a.who, from.route, from.rest)
	if from.mount != "/" || a.who.ephemeral || dialects.OfCloud(from.plain) {
		return to, nil
	}
	if !from.op.RunsModel() || from.op == dialect.Unknown {
		model = ""
	}
	if from.op == dialect.Models {
		_, model = modelsPath(from.plain)
	}
	d := from.dialect
	if named := dialects.Named(from.plain); named != nil {
		d = named
		model = ""
	}
	route, err := g.routeOf(a, d, from.op, model)
	if err != nil && from.op == dialect.Models && to.swap {
		return to, nil // the gateway answers, see listsModels
	}
	if err == nil {
		err = checkOwn(a, route, d)
	}
	if err != nil || route == from.route {
		return to, err
	}
	err = a.who.checkRoute(route)
	if err != nil {
		return to, err
	}
	rest := from.rest
	if from.dialect == dialects.Default {
		rest = route.Dialect.OpenAIPath(rest)
	}
	return g.target(&a.who, route, rest), nil
}

// routeOf returns the route that serves an operation in a dialect to a caller
// on /: the first one to which the model is led and that speaks the dialect,
// else the route at / where that one does, else the first one of the dialect.
func (g *Gateway) routeOf(a *ask, d *dialect.Dialect, op dialect.Operation, model string) (*upstream.Route, error) {
	home := a.from.route
	var other *upstream.Route // has the model, and does not speak the dialect
	for i := range g.Models {
		m := &g.Models[i]
		if !m.matches(d, model) {
			continue
		}
		if serves(m.Route, d, op) {
			return m.Route, nil
		}
		if other == nil {
			other = m.Route
		}
	}
	speaks := serves(home, d, op)
	if speaks && (home.Dialect == d || d == dialects.Default) && (other == nil || dialects.OfHost(home.Base.Hostname()) == nil) {
		return home, nil
	}
	own, usable := g.firstOf(a, d)
	beside := speaks && home.Dialect != d
	switch {
	case usable && own.Client && a.who.own && !home.Client:
		return own, nil
	case beside && (!usable || !g.target(&a.who, own, "").swap):
		return home, nil // the client's own credential is for the host of /
	case beside && model != "" && d.Provider.Beside:
		return home, nil // models of local servers are asked for in both protocols
	case usable && other == nil:
		return own, nil
	}
	return nil, notServed(a, d, own, other, model)
}

// serves reports whether a route may serve an operation in a dialect.
func serves(r *upstream.Route, d *dialect.Dialect, op dialect.Operation) bool {
	return dialects.Serve(r.Dialect, r.Base.Hostname(), d, op)
}

// RoutesOf returns the routes of a dialect: first those on a host of the
// provider that has made it, then the one that is mounted at its name, then
// others, which may be another provider's.
func RoutesOf(table *upstream.Table, d *dialect.Dialect) []*upstream.Route {
	var list []*upstream.Route
	for _, r := range table.Routes() {
		if r.Dialect == d && !r.Open {
			list = append(list, r)
		}
	}
	rank := func(r *upstream.Route) int {
		switch {
		case dialects.OfHost(r.Base.Hostname()) == d:
			return 0
		case r.Prefix == "/"+d.Name:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b *upstream.Route) int { return rank(a) - rank(b) })
	return list
}

// firstOf returns the first route of a dialect, and whether it is of use to the
// caller. One that is comes before others.
func (g *Gateway) firstOf(a *ask, d *dialect.Dialect) (first *upstream.Route, usable bool) {
	for _, r := range RoutesOf(g.Routes, d) {
		has := r.Keys.Len() > 0
		if !g.target(&a.who, r, "").swap {
			has = !r.Client || !a.who.known || a.who.own
		}
		if has && a.who.checkRoute(r) == nil {
			return r, true
		}
		if first == nil {
			first = r
		}
	}
	return first, false
}

// notServed reports that no route of the gateway serves what is asked on /, and
// which setting is missing.
func notServed(a *ask, d *dialect.Dialect, own, other *upstream.Route, model string) error {
	what := a.in.r.Method + " " + a.from.plain
	example := fmt.Sprintf(`MODEL_ROUTES={%q: {%q: "/…"}}`, d.Name, model)
	var message string
	switch {
	case other != nil:
		message = fmt.Sprintf("Model %q is served by the route at %s, which does not serve %s. Ask for it in that route's own API, or lead it to another route: %s.",
			model, other.Prefix, what, example)
	case own != nil && a.who.checkRoute(own) != nil:
		return a.who.checkRoute(own)
	case own != nil && own.Client && a.who.known && !a.who.own:
		return noCredential(&a.who, own)
	case own != nil:
		message = fmt.Sprintf("The route at / does not serve %s, and the one at %s has no API key. Set %s_API_KEY, or the keys of that route.",
			what, own.Prefix, strings.ToUpper(d.Name))
	default:
		message = fmt.Sprintf("The route at / does not serve %s, and there is no route of type %s. Add one, such as /%s, to forward.yaml or FORWARD_CONFIG.",
			what, d.Name, d.Name)
	}
	return refused(http.StatusNotFound, "route_not_found", message)
}
