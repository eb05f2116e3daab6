// Package upstream knows where requests go and sends them there: routes and the
// table of their prefixes, the API keys of a route, the transport, and the
// attempts of one request.
//
// Two promises shape it. The authority of an outgoing request, its scheme, host
// and port, comes from configuration alone: prefixes match in whole segments,
// paths are joined as parsed parts and never as strings, and redirects are not
// followed. openai-forward appended "/p.evil.example/x" to a base URL and sent
// the real API key there.
//
// And a request is never sent again once a byte of it may have been written,
// for it may have been executed and billed. Attempts counts what goes through
// each connection, so it knows "nothing was sent" instead of guessing it from
// an error, and it keeps net/http's own rules from re-sending a POST (see
// outgoing).
//
// API keys are set here, in one place, and looked for in what comes back, in
// one place (Scrubber). The Message of an Error is for clients and its Error
// for logs; neither contains a key.
package upstream

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"forward/internal/dialect"
)

// Route is one upstream as the gateway offers it. Routes do not change after
// NewTable.
type Route struct {
	Name      string     // what logs and messages call it
	Prefix    string     // the path it is mounted on: "/" or "/openai", without a slash at its end
	Aliases   []string   // further prefixes of the same route, such as "/openai" beside "/"
	Base      *url.URL   // where requests go: scheme, host and perhaps a path
	Also      []*url.URL // further base URLs of the same API and keys, tried in this order when those before cannot be used
	Dialect   *dialect.Dialect
	Open      bool              // no key is asked for and none is set; redirects reach the client
	Client    bool              // the clients' own credentials go there, and X-Forward-Key identifies their callers
	General   bool              // the API key goes into the slot in which the forward key came
	Keys      *Pool             // nil: the gateway has no API key for it
	Transport http.RoundTripper // instead of the gateway's shared one; nil for real upstreams

	once    sync.Once
	targets []*target // Base and Also
}

// order returns Base and Also as targets.
func (r *Route) order() []*target {
	r.once.Do(func() { r.targets = newTargets(append([]*url.URL{r.Base}, r.Also...)) })
	return r.targets
}

// BaseStates returns the state of each base URL in the words of circuit
// breakers: closed (in order), open (left alone) or half-open (tried with one
// request). It returns nil where there is only one.
func (r *Route) BaseStates() (states []string) {
	if len(r.Also) > 0 {
		for _, t := range r.order() {
			states = append(states, t.breaker.State().String())
		}
	}
	return states
}

// URL returns where a request goes whose path after the route's prefix is rest
// (escaped) and whose query is rawQuery. The path is joined to the base's
// without a double slash and keeps its escapes byte for byte; scheme, host and
// port are the base's whatever rest holds. The bare prefix, rest "/", is the
// base URL itself.
func (r *Route) URL(rest, rawQuery string) *url.URL { return join(r.Base, rest, rawQuery) }

func join(base *url.URL, rest, rawQuery string) *url.URL {
	u := *base
	u.RawQuery = rawQuery
	escaped := base.EscapedPath()
	if rest != "/" || escaped == "" {
		escaped = strings.TrimRight(escaped, "/") + "/" + strings.TrimLeft(rest, "/")
	}
	path, err := url.PathUnescape(escaped)
	if err != nil {
		path = escaped // no valid escaping: sent with its percent signs escaped
		escaped = ""
	}
	u.Path = path
	u.RawPath = escaped
	return &u
}

// Below returns the path of an address below one of the route's base URLs as it
// is below the route's prefix, with its escapes. The scheme, host and port must
// be the base URL's own: an API key goes nowhere else.
func (r *Route) Below(u *url.URL) (rest string, ok bool) {
	if u.User != nil || u.Opaque != "" {
		return "", false
	}
	for _, t := range r.order() {
		rest, below := strings.CutPrefix(u.EscapedPath(), strings.TrimRight(t.base.EscapedPath(), "/"))
		if !below || u.Scheme != t.base.Scheme || authority(u) != authority(t.base) {
			continue
		}
		if rest == "" || rest[0] == '/' {
			return rest, true
		}
	}
	return "", false
}

// authority is the host of a URL with its port, also if that is the scheme's.
func authority(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// check returns what is wrong with the route as configured.
func (r *Route) check() error {
	for _, b := range append([]*url.URL{r.Base}, r.Also...) {
		if err := r.checkBase(b); err != nil {
			return err
		}
	}
	if r.Dialect == nil {
		return fmt.Errorf("route %q has no dialect", r.Name)
	}
	return nil
}

func (r *Route) checkBase(b *url.URL) error {
	switch {
	case b == nil:
		return fmt.Errorf("route %q has no base URL", r.Name)
	case (b.Scheme != "http" && b.Scheme != "https") || b.Host == "" || b.Opaque != "":
		return fmt.Errorf("route %q: base URL %q must start with http:// or https:// and a host", r.Name, b.Redacted())
	case b.User != nil:
		return fmt.Errorf("route %q: base URL must not contain a user name or password; give the key as an API key", r.Name)
	case b.RawQuery != "" || b.Fragment != "":
		return fmt.Errorf("route %q: base URL must end with its path, without ?query and #fragment", r.Name)
	}
	return nil
}
