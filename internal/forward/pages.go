package forward

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"forward/internal/keys"
)

// framed are what Sec-Fetch-Dest calls requests whose answer becomes a page.
var framed = []string{"document", "iframe", "frame", "embed", "object", "fencedframe"}

// isNavigation reports whether a browser shows the answer of a request as a
// page. Browsers send Sec-Fetch-Dest to HTTPS and to the machine itself, and
// Accept: text/html with every navigation, whose method may be that of a form.
func isNavigation(r *http.Request) bool {
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" {
		return slices.Contains(framed, dest)
	}
	return slices.ContainsFunc(r.Header.Values("Accept"), func(list string) bool { return strings.Contains(strings.ToLower(list), "text/html") })
}

// sandbox keeps a page that passes through the gateway from being one of the
// gateway's own: it has its origin, so a script on it could ask the dashboard's
// API for everything that the person before the browser may see. In a sandbox
// its origin is none. What programs, scripts of other pages and forms in
// programs receive stays as it is.
//
// The header is set before the upstream's, which are added to it; browsers
// apply the stricter of both.
func (g *Gateway) sandbox(w http.ResponseWriter, r *http.Request) {
	if g.Dashboard && isNavigation(r) {
		w.Header().Set("Content-Security-Policy", "sandbox")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
}

// leadsHome reports whether a request is that of a person who has opened the
// gateway's address in a browser, where no route shows a page. An upstream of
// an open route may show one.
func (g *Gateway) leadsHome(r *http.Request) bool {
	if !g.Dashboard || r.URL.EscapedPath() != "/" || r.URL.RawQuery != "" || (r.Method != http.MethodGet && r.Method != http.MethodHead) || !isNavigation(r) {
		return false
	}
	presented, _, err := keys.Presented(r.Header, "")
	if presented != "" || err != nil {
		return false
	}
	route, _, _, ok := g.Routes.Match("/")
	return !ok || !route.Open
}

// home leads to the dashboard, at whatever path a proxy has the gateway.
func home(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Location", "_/")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Sec-Fetch-Dest")
	w.WriteHeader(http.StatusFound)
}

// OnlyAllowed serves h to the addresses that IP_WHITELIST and IP_BLACKLIST let
// in, on a listener beside the gateway's.
func (g *Gateway) OnlyAllowed(h http.Handler) http.Handler {
	e := gin.New()
	e.UseRawPath, e.UnescapePathValues = true, false
	e.RedirectTrailingSlash = false
	e.SetTrustedProxies(nil)
	e.Use(g.recovery, g.onlyAllowed)
	e.NoRoute(func(c *gin.Context) {
		c.Status(http.StatusOK) // and not the 404 of a route that gin does not know
		h.ServeHTTP(c.Writer, c.Request)
	})
	return e
}
