package forward

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// A client may have an account of its own at the provider, such as the
// subscription of a person, and a forward key beside it. The key comes in
// X-Forward-Key then: it identifies, and stays here. Where a route or the key
// has `credentials: client`, all else that is a credential is the client's and
// goes on untouched, and no API key of the gateway's is used. Elsewhere
// X-Forward-Key is one more place for a forward key.

// sendsOwn reports whether the client's own credential goes upstream: the route
// or the key wants it, or the route is open, where none is ever set.
func sendsOwn(key *keys.Key, route *upstream.Route) bool {
	return route.Open || route.Client || key.Policy.BringsOwn()
}

// clientRoute returns the route whose setting decides about the credentials of
// a request. On / that may be the route of the protocol that the path shows.
func (g *Gateway) clientRoute(from *match) *upstream.Route {
	if from.mount != "/" || from.dialect == from.route.Dialect || from.route.Client {
		return from.route
	}
	routes := RoutesOf(g.Routes, from.dialect)
	if len(routes) > 0 && routes[0].Client {
		return routes[0]
	}
	return from.route
}

// checkOwn refuses to send a client's own credential to a route that a model
// leads to: it is for the provider of the protocol in which the client asks, or
// for where an administrator lets it go.
func checkOwn(a *ask, route *upstream.Route, d *dialect.Dialect) error {
	who := &a.who
	switch {
	case route != a.from.route && route.Client && who.known && !who.own:
		return noCredential(who, route)
	case !who.own, route.Client, route.Open:
		return nil
	case who.policy.BringsOwn() && (route == a.from.route || route.Prefix == "/"+d.Name || dialects.OfHost(route.Base.Hostname()) == d):
		return nil
	}
	return refused(http.StatusForbidden, "route_not_allowed",
		"The model leads to the route '"+route.Name+"', to which your own credential does not go. An administrator of the gateway can let it: credentials: client.")
}

// named returns the valid forward key of X-Forward-Key, nil for none.
func (g *Gateway) named(r *http.Request) *keys.Key {
	if r.Header[keys.Header] == nil {
		return nil
	}
	value, err := keys.Named(r.Header)
	if err != nil {
		return nil
	}
	key, err := g.Ring.Lookup(value)
	if err != nil {
		return nil
	}
	return key
}

// presented returns the credential of a request. A gateway without forward keys
// does not look at X-Forward-Key.
func (g *Gateway) presented(r *http.Request) (value string, slot keys.Slot, err error) {
	if g.Ring.Len() == 0 {
		return keys.Credential(r.Header, r.URL.RawQuery)
	}
	return keys.Presented(r.Header, r.URL.RawQuery)
}

// bringOwn lets the credential of a caller that is known by X-Forward-Key go
// on, as it came. A forward key in its place does not.
func (g *Gateway) bringOwn(who *caller, r *http.Request, route *upstream.Route) error {
	who.own = true
	who.presented, _ = keys.Named(r.Header)
	who.others = keys.Credentials(r.Header, r.URL.RawQuery)
	if slices.ContainsFunc(who.others, g.holdsForwardKey) || (len(who.others) == 0 && !route.Open) {
		return noCredential(who, route)
	}
	return nil
}

// holdsForwardKey reports whether a text has a forward key in it.
func (g *Gateway) holdsForwardKey(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }), func(word string) bool {
		if strings.HasPrefix(word, "fk-") {
			return true
		}
		_, err := g.Ring.Lookup(word)
		return !errors.Is(err, keys.ErrUnknown)
	})
}

// noCredential refuses a caller whose request has nothing to send upstream.
func noCredential(who *caller, route *upstream.Route) error {
	where := "Key '" + who.name + "' is"
	if route.Client || route.Open {
		where = "The route '" + route.Name + "' is"
	}
	return refused(http.StatusUnauthorized, "invalid_api_key",
		where+" for the provider's credentials of the clients' own (credentials: client), and this request has none. "+
			"Send your forward key in X-Forward-Key only, and your own token or key where your provider expects it, such as Authorization: Bearer …")
}

// blameNamed completes the reason for which a request is refused that has
// X-Forward-Key, or should have.
func (g *Gateway) blameNamed(wrong *keyError, who *caller, r *http.Request, route *upstream.Route) {
	value, err := keys.Named(r.Header)
	switch {
	case value == "" && err == nil:
		wrong.unnamed = route.Client && !who.ours
	case errors.Is(wrong.err, keys.ErrConflict):
		wrong.named = true
		_, refused := g.Ring.Lookup(value)
		if err == nil && refused != nil {
			who.presented = value
			wrong.presented = value
			wrong.err = refused
		}
	default:
		wrong.named = true
	}
}
