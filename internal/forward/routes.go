package forward

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"forward/internal/clientip"
)

// Handler returns the gateway as gin serves it: our own endpoints by name,
// everything else is forwarded. Forwarding hangs on NoRoute because a catch-all
// beside /health makes gin panic at the start. gin's own logger is not used (it
// prints ?key=), nor its recovery (see recovery), and no redirect or proxy
// header is ever its decision.
func (g *Gateway) Handler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.HandleMethodNotAllowed = false
	e.UseRawPath = true // or /%68ealth would be ours
	e.UnescapePathValues = false
	e.SetTrustedProxies(nil)
	e.Use(g.recovery, g.cors)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Handle(method, "/health", g.health)
		e.Handle(method, "/healthz", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", []byte(`"OK"`)) })
		e.Handle(method, "/readyz", g.readyz)
		if g.Metrics != nil {
			e.Handle(method, "/metrics", g.onlyAllowed, g.onlyMetricsKey, gin.WrapH(g.Metrics.Handler()))
		}
	}
	forward := func(c *gin.Context) {
		if g.leadsHome(c.Request) {
			home(c.Writer)
			c.Writer.WriteHeaderNow()
			return
		}
		g.sandbox(c.Writer, c.Request)
		g.handle(interimWriter{c.Writer, c.Request}, c.Request, nil)
		c.Writer.WriteHeaderNow() // or gin would write a page of its own over an upstream's empty 404
	}
	e.NoRoute(forward)
	if g.Admin != nil {
		e.Any("/_/*path", g.onlyAllowed, gin.WrapH(g.Admin))
		billing := func(c *gin.Context) {
			if g.Ring.Len() == 0 || g.Ledger == nil { // there is nothing that the gateway could answer
				forward(c)
				return
			}
			g.onlyAllowed(c)
			if !c.IsAborted() {
				g.Admin.ServeHTTP(c.Writer, c.Request)
			}
		}
		for _, path := range []string{"/dashboard/billing/subscription", "/dashboard/billing/usage"} {
			e.GET(path, billing)
			e.GET("/v1"+path, billing)
		}
	}
	return e
}

// interimWriter lets 1xx answers out as they come (RFC 9110, section 15.2: a
// proxy must); gin takes them for a status to be sent later. 100 Continue is
// net/http's to send, and HTTP/1.0 knows none.
type interimWriter struct {
	gin.ResponseWriter
	r *http.Request
}

func (w interimWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w interimWriter) WriteHeader(status int) {
	if w.Written() {
		return // keepalive comments were sent
	}
	under, ok := w.ResponseWriter.(interface{ Unwrap() http.ResponseWriter })
	if ok && status > http.StatusSwitchingProtocols && status < http.StatusOK {
		if w.r.ProtoAtLeast(1, 1) {
			under.Unwrap().WriteHeader(status)
		}
		return
	}
	if status != http.StatusContinue {
		w.ResponseWriter.WriteHeader(status)
	}
}

// recovery turns a panic into a 500, unless the answer has started or the panic
// is the one with which deliver aborts a connection: gin's own recovery
// swallows that one, and a cut answer then reaches the client as a complete one
// (measured: the read ended with a nil error). Headers are never logged; keys
// are in them.
func (g *Gateway) recovery(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v != http.ErrAbortHandler {
			g.Log.LogAttrs(c.Request.Context(), slog.LevelError, "panic", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
		if v == http.ErrAbortHandler || c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		c.Data(http.StatusInternalServerError, "application/json",
			[]byte(`{"error":{"message":"Internal gateway error.","type":"server_error","param":null,"code":"internal_error"}}`))
		c.Abort()
	}()
	c.Next()
}

// cors answers preflights and decides which pages may read answers. No
// credentials are allowed, so that `*` is safe: a page has to know a key to get
// anything.
func (g *Gateway) cors(c *gin.Context) {
	origin := c.GetHeader("Origin")
	if g.Admin != nil && strings.HasPrefix(c.Request.URL.Path, "/_/") { // no page but its own may read the dashboard
		if isPreflight(c.Request) {
			c.AbortWithStatus(http.StatusForbidden)
		}
		return
	}
	if origin == "" || len(g.CORSOrigins) == 0 {
		return
	}
	h := c.Writer.Header()
	switch {
	case slices.Contains(g.CORSOrigins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(g.CORSOrigins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Add("Vary", "Origin")
	default:
		h.Add("Vary", "Origin")
		if isPreflight(c.Request) {
			c.AbortWithStatus(http.StatusNoContent)
		}
		return
	}
	h.Set("Access-Control-Expose-Headers", "*")
	if !isPreflight(c.Request) {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	// Echoed, not `*`: browsers do not count Authorization into the star.
	h.Set("Access-Control-Allow-Headers", strings.Join(c.Request.Header.Values("Access-Control-Request-Headers"), ", "))
	h.Set("Access-Control-Max-Age", "600")
	c.AbortWithStatus(http.StatusNoContent)
}

// onlyAllowed refuses the addresses that IP_WHITELIST and IP_BLACKLIST refuse.
func (g *Gateway) onlyAllowed(c *gin.Context) {
	if !g.admitsIP(clientip.Of(c.Request, g.TrustedProxies)) {
		c.AbortWithStatus(http.StatusForbidden)
	}
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}
