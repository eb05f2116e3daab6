package forward

import (
	"net/http"

	"forward/internal/keys"
	"forward/internal/upstream"
)

// everything is the policy of callers without a key of ours: their level, or their own provider, says what they may do.
var everything keys.Policy

// comply refuses what the caller's key may not do from here or on this route.
func (x *exchange) comply() error {
	if !x.policy.AllowsIP(x.ip) {
		return &refusal{status: http.StatusForbidden, code: "ip_not_allowed", message: "Your key may not be used from your address."}
	}
	return x.complyRoute(x.route)
}

func (x *exchange) complyRoute(r *upstream.Route) error {
	if x.allowsRoute(r) {
		return nil
	}
	return &refusal{status: http.StatusForbidden, code: "route_not_allowed", message: "Key '" + x.caller.name + "' may not use the route '" + r.Name + "'."}
}

func (x *exchange) allowsRoute(r *upstream.Route) bool {
	return x.policy.AllowsRoute(r.Name, r.Prefix)
}

// restricted reports whether there may be a model that the caller may not use, so that every body that could name one is read.
func (x *exchange) restricted() bool {
	return x.Levels.Restricted(x.caller.level) || x.policy.RestrictsModels()
}

// allowsModel reports whether level and key let the caller use a model.
func (x *exchange) allowsModel(model string) bool {
	return x.Levels.Allows(x.caller.level, model) && x.policy.AllowsModel(model)
}

// sharesCache reports whether the caller gets and gives remembered answers of others: as the key says, or else the gateway.
func (x *exchange) sharesCache() bool {
	if x.policy.CacheScope != "" {
		return x.policy.CacheScope == "shared"
	}
	return x.CacheShared
}
