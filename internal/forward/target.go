package forward

import (
	"net/http"

	"forward/internal/upstream"
)

// target is where a request goes, and which model is asked there. decide makes
// another one of it when something else is to be tried.
type target struct {
	route        *upstream.Route
	rest         string         // the path on the upstream's side
	swap         bool           // set one of the route's API keys
	strip        bool           // remove the client's credential
	place        upstream.Place // the only API key and base URL that will do; see placeOf
	model        string         // that is asked
	instead      bool           // it is a fallback, and not the model that the client named
	fallback     int            // how many of the configured fallbacks were looked at
	withoutUsage bool           // the upstream refuses to be asked for usage
	tries        int            // attempts made for earlier targets
	demand       *demand
}

// counts reports whether what a request uses counts for a caller's key: one of
// the gateway's API keys goes with it, or the caller's own beside its forward
// key.
func (to target) counts(who *caller) bool { return to.swap || (who.own && !to.route.Open) }

// target returns where a caller's requests on a route go, and whose credential
// goes with them. A forward key never goes upstream. Where no key is needed and
// the gateway has API keys, they replace whatever the client sent, as in
// openai-forward; elsewhere the client's own credential goes through untouched.
// With forward keys configured, only a caller that has one is given an API key:
// one that came in on an open route, or with a provider key of its own, is not.
// A credential that the provider handed out passes: it is bound to a session.
// So does the client's own beside X-Forward-Key.
func (g *Gateway) target(who *caller, route *upstream.Route, rest string) target {
	swap := !route.Open && !route.Client && !who.own && !who.ephemeral && (who.known || g.Ring.Len() == 0 && route.Keys.Len() > 0)
	return target{route: route, rest: rest, swap: swap, strip: who.ours || swap}
}

// checkRoute refuses a route that the caller's key may not use.
func (who *caller) checkRoute(r *upstream.Route) error {
	if who.policy.AllowsRoute(r.Name, r.Prefix) {
		return nil
	}
	return refused(http.StatusForbidden, "route_not_allowed",
		"Key '"+who.name+"' may not use the route '"+r.Name+"'.")
}

// shown names the caller as people know it.
func (who *caller) shown() string {
	if who.known {
		return "key " + who.name
	}
	return "caller " + who.id
}

// restricted reports whether there may be a model that the caller may not use,
// so that every body that could name one is read.
func (g *Gateway) restricted(who *caller) bool {
	return g.Levels.Restricted(who.level) || who.policy.RestrictsModels()
}

// allowsModel reports whether level and key let the caller use a model.
func (g *Gateway) allowsModel(who *caller, model string) bool {
	return g.Levels.Allows(who.level, model) && who.policy.AllowsModel(model)
}
