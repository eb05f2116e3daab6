package admin

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"forward/internal/keys"
)

// crossOrigin refuses what a page of another origin sends. Programs send no
// header that it looks at.
var crossOrigin = http.NewCrossOriginProtection()

// changes reports whether a method may change something.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}

// checkOrigin refuses requests that a page of another origin makes a browser
// send. Also those that read: a page at another port of the same host is of the
// same site, so its requests have the cookie, and a stream of events would keep
// one of the few viewers.
//
// A request that changes something has a body of JSON, which no form can send
// and no page of another origin without a preflight, which is refused.
func checkOrigin(r *http.Request, route route) error {
	judged := *r
	if !changes(r.Method) {
		judged.Method = http.MethodPost // for others are not looked at
	}
	// A link that a person follows reads what it names, and nothing of it can
	// be read by the page that has the link.
	followed := !changes(r.Method) && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	if err := crossOrigin.Check(&judged); err != nil && !followed {
		return &problem{status: http.StatusForbidden, code: "cross_origin", message: "This comes from a page of another origin, which may not use the dashboard. Where a proxy is in front, it has to keep the Host header."}
	}
	if !changes(r.Method) || r.Method == http.MethodDelete || route.raw {
		return nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &problem{status: http.StatusUnsupportedMediaType, code: "not_json", message: "Send JSON, with Content-Type: application/json."}
	}
	return nil
}

// checkHost refuses names that are not this gateway's. A page whose name is
// pointed at the gateway's address after it was loaded is of the same origin
// for its browser (DNS rebinding); addresses and localhost cannot be pointed
// elsewhere. A caller with a credential in a header is a program: that page has
// none, and what it guesses is counted.
func (s *server) checkHost(r *http.Request) error {
	presented, _, conflict := keys.Presented(r.Header, "")
	if presented != "" && conflict == nil {
		return nil
	}
	if s.knownHost(r) {
		return nil
	}
	return &problem{status: http.StatusMisdirectedRequest, code: "unknown_host",
		message: fmt.Sprintf("The dashboard does not answer at the name %q. Add it to DASHBOARD_HOSTS, or open the gateway by its address.", hostname(r))}
}

// hostname is the name or the address that a request was sent to, without the
// port.
func hostname(r *http.Request) string {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func (s *server) knownHost(r *http.Request) bool {
	name := hostname(r)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if len(s.Browser.Hosts) == 0 {
		return strings.HasPrefix(s.Origin(r), "https://") // a certificate names its host
	}
	return slices.Contains(s.Browser.Hosts, "*") || slices.Contains(s.Browser.Hosts, name)
}

// onKnownHost serves pages at the names of the gateway alone.
func (s *server) onKnownHost(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.knownHost(r) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(http.StatusMisdirectedRequest)
			fmt.Fprintf(w, "The dashboard does not answer at the name %q. Add it to DASHBOARD_HOSTS, or open the gateway by its address.\n", hostname(r))
			return
		}
		pages.ServeHTTP(w, r)
	})
}
