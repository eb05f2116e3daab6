package forward

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"forward/internal/clientip"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// caller is the party that a request counts for, and what it may do.
type caller struct {
	ip        netip.Addr
	id        string // stable and not secret: the bucket of its limits
	scope     string // whose cached answers it may get; see Options.CacheShared
	name      string // what logs call it
	level     int
	policy    *keys.Policy // of its key; never nil
	user      string       // on whose behalf it asks
	presented string       // its credential; empty when there was none, or more than one
	slot      keys.Slot    // where the credential came
	others    []string     // further credentials of the request, which must not be written either
	known     bool         // the credential is a valid forward key
	own       bool         // it is known by X-Forward-Key, and its own credential goes upstream
	ours      bool         // it is a forward key, perhaps disabled or expired
	ephemeral bool         // it is a credential that the provider handed out for the key
	labels                 // of its request
}

// noName is what the access log calls a caller without a key.
const noName = "-"

// unrestricted is the policy of callers without a forward key: their level, or
// their own provider, decides what they may do.
var unrestricted keys.Policy

// identify finds the route and the caller, from the request line and the
// headers alone.
func (g *Gateway) identify(in *inbound) (from match, who caller, err error) {
	ip := clientip.Of(in.r, g.TrustedProxies)
	who = caller{ip: ip, policy: &unrestricted}
	from, user, err := g.match(in.r)
	if err != nil {
		return from, who, err
	}
	if !g.admitsIP(ip) {
		return from, who, refused(http.StatusForbidden, "ip_not_allowed",
			"Requests from your address are not allowed here.")
	}
	if in.r.Method == http.MethodTrace || in.r.Method == http.MethodConnect {
		in.w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		return from, who, refused(http.StatusMethodNotAllowed, "method_not_allowed",
			"Method "+in.r.Method+" is not forwarded.")
	}
	if user == "" {
		user = in.r.Header.Get("X-User-Id")
		err = checkUser(user)
		if err != nil {
			return from, who, err
		}
	}
	if in.as == nil {
		who, err = g.authenticate(in.r, &from, ip)
	} else {
		who, err = g.introduce(in.as, &from, ip)
	}
	if err != nil {
		return from, who, err
	}
	if g.namesUsers(&who) {
		who.user = user
	}
	err = g.label(in.r, &who)
	if err != nil {
		return from, who, err
	}
	if in.as != nil {
		who.addTags(in.as.Tags)
	}
	if !who.policy.AllowsIP(ip) {
		return from, who, refused(http.StatusForbidden, "ip_not_allowed",
			"Your key may not be used from your address.")
	}
	err = who.checkRoute(from.route)
	if err != nil {
		return from, who, err
	}
	return from, who, checkUpgrade(in.r)
}

// authenticate decides who the caller is, by the rules of "Access" in the
// README: open routes need no key, an empty ring needs none, and otherwise a
// forward key is needed.
func (g *Gateway) authenticate(r *http.Request, from *match, ip netip.Addr) (caller, error) {
	who := caller{ip: ip, policy: &unrestricted}
	route := from.route
	needed := g.Ring.Len() > 0 && (!route.Open || g.ExtraAuth)
	named := g.named(r)
	if named != nil && (sendsOwn(named, route) || g.clientRoute(from).Client) {
		who.know(named)
		return who, g.bringOwn(&who, r, g.clientRoute(from))
	}
	presented, slot, err := g.presented(r)
	who.presented = presented
	who.slot = slot
	if err != nil {
		who.others = keys.Credentials(r.Header, r.URL.RawQuery)
		if needed || g.mayHoldForwardKey(r) {
			return who, g.wrongKey(&who, r, from, err)
		}
		presented = credentials(r.Header) + r.URL.RawQuery // all of them are the upstream's to judge
	}
	key, err := g.Ring.Lookup(presented)
	who.ours = !errors.Is(err, keys.ErrUnknown)
	if !who.ours {
		key, err = g.ownerOfSecret(&who, route, err)
	}
	switch {
	case err == nil:
		who.know(key)
		if !who.ephemeral && !route.Open && sendsOwn(key, route) {
			return who, noCredential(&who, route)
		}
		return who, nil
	case needed && (who.ours || !g.passes(presented)):
		return who, g.wrongKey(&who, r, from, err)
	}
	if g.target(&who, route, "").strip || who.ephemeral {
		presented = "" // it does not go upstream, or names no account
	}
	who.anonymous(presented)
	return who, nil
}

// know makes the caller the holder of a forward key.
func (who *caller) know(key *keys.Key) {
	who.known = true
	who.policy = &key.Policy
	who.id = key.ID()
	who.scope = "key:" + who.id
	who.name = key.Name
	who.level = key.Level
}

// wrongKey returns why a credential is refused. One that is no key of ours may
// be a guess, and guesses are slowed down by their address.
func (g *Gateway) wrongKey(who *caller, r *http.Request, from *match, err error) error {
	wrong := &keyError{err: err, presented: who.presented, authorization: r.Header.Get("Authorization")}
	g.blameNamed(wrong, who, r, g.clientRoute(from))
	guess := (errors.Is(wrong.err, keys.ErrConflict) && g.named(r) == nil) || (errors.Is(wrong.err, keys.ErrUnknown) && who.presented != "" && !g.Ring.Former(who.presented))
	if guess {
		wrong.wait = g.Guard.Fail(who.ip, who.presented, time.Now())
	}
	return wrong
}

// ownerOfSecret returns the key for which the route handed out the ephemeral
// credential that was presented, which counts for that key. Where no key is
// asked for, it has none. Without one, the error is what it was.
func (g *Gateway) ownerOfSecret(who *caller, route *upstream.Route, unknown error) (*keys.Key, error) {
	owner, ok := g.Owners.OfSecret(route.Name, who.presented)
	if !ok {
		return nil, unknown
	}
	if owner == "" {
		who.ephemeral = g.Ring.Len() == 0
		return nil, unknown
	}
	key, err := g.Ring.ByID(owner)
	who.ephemeral = err == nil
	return key, err
}

// mayHoldForwardKey reports whether a forward key may be among several
// credentials.
func (g *Gateway) mayHoldForwardKey(r *http.Request) bool {
	if g.Ring.Len() == 0 {
		return false
	}
	holds := func(h http.Header, rawQuery string) bool {
		one, _, err := keys.Presented(h, rawQuery)
		if err == nil {
			_, err = g.Ring.Lookup(one)
		}
		return !errors.Is(err, keys.ErrUnknown)
	}
	for _, name := range credentialHeaders {
		if holds(http.Header{name: r.Header[name]}, "") {
			return true
		}
	}
	return holds(nil, r.URL.RawQuery)
}

// credentialHeaders are the headers that keys.Strip cleans.
var credentialHeaders = [...]string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Sec-Websocket-Protocol"}

// credentials returns the values of the headers in which a credential may come,
// as input of a digest.
func credentials(h http.Header) string {
	var b strings.Builder
	for _, name := range credentialHeaders {
		for _, v := range h[name] {
			b.WriteString(name + "\x00" + v + "\x00")
		}
	}
	return b.String()
}

// passes reports whether a provider key of the client's own is let through
// although forward keys are configured.
func (g *Gateway) passes(presented string) bool {
	return g.Passthrough && presented != "" && !strings.HasPrefix(presented, "fk-")
}

// anonymous identifies a caller without a forward key: by a digest of the
// provider key that goes upstream, or by its address when there is none. It
// stays at level 0, which may use every model: either its own key pays, or no
// key is asked for.
func (who *caller) anonymous(presented string) {
	if presented == "" {
		who.id = "ip:" + clientip.Network(who.ip)
		who.scope = "anyone"
		who.name = noName
		return
	}
	sum := sha256.Sum256([]byte("credential\x00" + presented))
	who.id = "own:" + hex.EncodeToString(sum[:6])
	// The whole digest scopes cached answers: two provider accounts must not
	// share them.
	who.scope = "own:" + hex.EncodeToString(sum[:])
	who.name = who.id
}

// admitsIP reports whether IP_WHITELIST and IP_BLACKLIST let an address in.
func (g *Gateway) admitsIP(ip netip.Addr) bool {
	if clientip.In(g.Deny, ip) {
		return false
	}
	return len(g.Allow) == 0 || clientip.In(g.Allow, ip)
}

// newID returns the name of a request: 32 hexadecimal digits, 12 of time in
// milliseconds and 20 random ones, so that names sort by time and cannot be
// guessed.
func newID() string {
	var b [16]byte
	ms := time.Now().UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	rand.Read(b[6:]) // never fails, see its documentation
	return "req_" + hex.EncodeToString(b[:])
}
