package forward

import (
	"cmp"
	"net/http"
	"strings"

	"forward/internal/dialect"
	"forward/internal/dialects"
)

// An operation that no dialect knows may cost anything and ask any model. It
// counts as a request, a spent budget refuses it, and its row in the ledger has
// a cost that is unknown. That is no rule for a key that is to be held to a
// budget or to some models, so by default such keys may not use these
// operations.

// checkOperation refuses an unknown operation that counts for a forward key to
// a caller that may not use any. A connection that is to become a
// WebSocket is one of these operations: what is asked on it is not read.
func (g *Gateway) checkOperation(a *ask, to target) error {
	r := a.in.r
	if a.from.op != dialect.Unknown || !to.counts(&a.who) || g.allowsUnknown(&a.who) || dialect.HandsOutSecrets(r.Method, a.from.plain) {
		return nil // credentials are judged by checkEphemeral
	}
	cure := " Its administrator can allow it with forward keys set " + a.who.name + " --unknown-operations allow, or with UNKNOWN_OPERATIONS=allow for all keys that have no setting of their own."
	if upgradeOf(r.Header) != "" {
		op, _ := dialects.Read(a.from.route.Dialect, http.MethodPost, a.from.plain)
		if op.Generates() && op != dialect.Unknown {
			// Clients that can do both go on with POST (RFC 9110, section
			// 15.5.22; Codex does).
			h := a.in.w.Header()
			h.Set("Connection", "Upgrade")
			h.Set("Upgrade", "HTTP/1.1")
			return refused(http.StatusUpgradeRequired, "operation_not_allowed",
				"Key '"+a.who.name+"' may not use WebSockets. Send the request with POST."+cure)
		}
	}
	return refused(http.StatusForbidden, "operation_not_allowed",
		"Key '"+a.who.name+"' may only use operations whose model and cost the gateway knows, and "+r.Method+" "+a.from.plain+" is none."+cure)
}

// allowsUnknown reports whether a caller may use operations that no dialect
// knows: by its key's policy, else by the settings, else unless there is a rule
// that they could evade.
func (g *Gateway) allowsUnknown(who *caller) bool {
	switch cmp.Or(who.policy.UnknownOperations, g.UnknownOperations) {
	case "allow":
		return true
	case "deny":
		return false
	}
	return !who.hasBudgets() && !g.restricted(who)
}

// checkUpgrade refuses every change of the protocol but that to WebSocket: on
// another one, such as HTTP/2 without TLS, more requests could follow that no
// step judges.
func checkUpgrade(r *http.Request) error {
	if upgradeOf(r.Header) == "" {
		return nil
	}
	protocols := r.Header["Upgrade"]
	if r.Method == http.MethodGet && len(protocols) == 1 && strings.EqualFold(protocols[0], "websocket") {
		return nil
	}
	return refused(http.StatusBadRequest, "upgrade_not_supported",
		r.Method+" with Upgrade: "+strings.Join(protocols, ", ")+" is not forwarded; only GET with Upgrade: websocket is. Make your HTTP client stay with HTTP/1.1, as with Java's HttpClient.Version.HTTP_1_1.")
}
