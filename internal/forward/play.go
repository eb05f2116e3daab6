package forward

import (
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"forward/internal/keys"
)

// PlayPrefix is the path below which Play takes the paths of the gateway.
const PlayPrefix = "/_/api/play"

// Caller is the party to a request that was identified before: by its session
// in the dashboard, and not by a credential in the request.
type Caller struct {
	Key  string   // id of the forward key in whose name the request is made
	Tags []string // are added to those of the key and of the request
}

// Play serves a request below PlayPrefix as one for the path after it. It is
// made in the name of a caller, and is in all else a request from outside: the
// same limits, budgets, cache and rows, and the body untouched. No credential
// that it has goes upstream, nor counts.
//
// Only here is a caller taken at the word of another component. It is a value
// beside the request, so no header that a client sends can be mistaken for it.
func (g *Gateway) Play(w http.ResponseWriter, r *http.Request, by Caller) {
	// What comes back is for a program on the page, never a page itself: no
	// script in it runs with the dashboard's origin.
	h := w.Header()
	h.Del("Content-Type")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	played := r.WithContext(r.Context())
	u := *r.URL
	u.Path = strings.TrimPrefix(u.Path, PlayPrefix)
	u.RawPath = strings.TrimPrefix(u.RawPath, PlayPrefix)
	u.RawQuery = keys.StripQuery(u.RawQuery)
	played.URL = &u
	played.Header = maps.Clone(r.Header)
	keys.Strip(played.Header)
	for _, name := range []string{"Cookie", keys.Header, "X-Forward-Play-Key"} {
		played.Header.Del(name)
	}
	if direct, ok := w.(gin.ResponseWriter); ok {
		w = interimWriter{direct, r}
	}
	g.handle(w, played, &by)
}

// introduce makes the caller the holder of the key in whose name the request is
// made. The key may have been revoked since.
func (g *Gateway) introduce(by *Caller, from *match, ip netip.Addr) (caller, error) {
	who := caller{ip: ip, policy: &unrestricted, ours: true}
	key, err := g.Ring.ByID(by.Key)
	if err != nil {
		return who, &keyError{err: err, presented: by.Key}
	}
	who.know(key)
	if !from.route.Open && sendsOwn(key, from.route) {
		return who, noCredential(&who, from.route)
	}
	if from.socket != nil {
		return who, refused(http.StatusBadRequest, "websocket_not_here", "The playground makes no WebSockets. Use the key itself, from a program.")
	}
	return who, nil
}
