package keys

import (
	"net/netip"
	"strings"

	"forward/internal/clientip"
	"forward/internal/glob"
)

// Policy is what a key may do. The zero value lets it do everything that its
// level allows.
type Policy struct {
	Models   []string       `json:"models,omitempty"` // patterns as in Levels; those that start with ! take away
	Routes   []string       `json:"routes,omitempty"` // names or prefixes of routes, patterns too, ! takes away
	IPs      []netip.Prefix `json:"ips,omitempty"`    // where its requests may come from; none: from everywhere
	RPM      int64          `json:"rpm,omitempty"`    // requests a minute; 0: no limit
	TPM      int64          `json:"tpm,omitempty"`    // tokens a minute; 0: no limit
	Parallel int            `json:"parallel,omitempty"`
	Budgets  []Budget       `json:"budgets,omitempty"`
	// UnknownPrice is what a budget in dollars does with a model that has no
	// price: deny (also "") or allow.
	UnknownPrice string `json:"unknown_price,omitempty"`
	// Overrun is what becomes of a request that may cost more than is left of a
	// budget: deny (also "") or allow, while anything is left.
	Overrun string `json:"overrun,omitempty"`
	// UnknownOperations is what the key may do with operations that no dialect
	// knows: deny or allow. "" denies them to a key with budgets or models.
	UnknownOperations string `json:"unknown_operations,omitempty"`
	// Ephemeral is whether the key may have credentials made that providers
	// accept by themselves: deny or allow. "" denies them to a key with budgets
	// or models, whose rules would not hold there.
	Ephemeral string `json:"ephemeral,omitempty"`
	// Objects is which of the things that providers keep the key may use: own,
	// those it made, or all. "": OBJECTS decides.
	Objects string `json:"objects,omitempty"`
	// Credentials is whose credential goes upstream: client, the one that comes
	// beside the key in X-Forward-Key. "": the route decides.
	Credentials string `json:"credentials,omitempty"`
	// CountList is whether budgets in dollars count the list price of what the
	// client's own credential paid.
	CountList  bool     `json:"count_list,omitempty"`
	CacheScope string   `json:"cache_scope,omitempty"` // key or shared; "": CACHE_SCOPE decides
	Log        string   `json:"log,omitempty"`         // full, meta, redacted or off; "": LOG_CONTENT decides
	Priority   int      `json:"priority,omitempty"`    // higher ones leave a queue first
	Tags       []string `json:"tags,omitempty"`
	// Aliases are the key's own names for models, each with the model.
	Aliases map[string]string `json:"aliases,omitempty" xml:"-"` // xml has no maps
	SetUser bool              `json:"set_user,omitempty"`        // it may name the user of a request
}

// BringsOwn reports whether the client's own credential goes upstream with the
// key, whatever the route.
func (p *Policy) BringsOwn() bool { return p.Credentials == "client" }

// AllowsModel reports whether the key may use the model, as far as its policy
// goes.
func (p *Policy) AllowsModel(model string) bool { return allows(p.Models, model) }

// RestrictsModels reports whether there may be a model that the key may not
// use.
func (p *Policy) RestrictsModels() bool { return len(p.Models) > 0 }

// AllowsEphemeral reports whether the key may have ephemeral credentials made.
// restricted is whether its level limits it to some models, or a tag of the
// request has a budget.
func (p *Policy) AllowsEphemeral(restricted bool) bool {
	if p.Ephemeral != "" {
		return p.Ephemeral == "allow"
	}
	return !restricted && !p.RestrictsModels() && len(p.Budgets) == 0
}

// AllowsRoute reports whether the key may use the route of this name and
// prefix.
func (p *Policy) AllowsRoute(name, prefix string) bool { return allows(p.Routes, name, prefix) }

// AllowsIP reports whether a request of the key may come from ip.
func (p *Policy) AllowsIP(ip netip.Addr) bool {
	return len(p.IPs) == 0 || clientip.In(p.IPs, ip)
}

// allows reports whether a list lets one of the names of a thing in: no pattern
// with a ! matches any of them, and one without does, if the list has one.
func allows(globs []string, names ...string) bool {
	allowed, lists := false, false
	for _, item := range globs {
		pattern, excludes := strings.CutPrefix(item, "!")
		lists = lists || !excludes
		for _, name := range names {
			if !glob.Match(pattern, name) {
				continue
			}
			if excludes {
				return false
			}
			allowed = true
		}
	}
	return allowed || !lists
}
