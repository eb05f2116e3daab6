package forward

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"forward/internal/clientip"
	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/keys"
	"forward/internal/upstream"
)

type healthRoute struct {
	Name    string              `json:"name"`
	Prefix  string              `json:"prefix"`
	Aliases []string            `json:"aliases,omitempty"`
	Dialect string              `json:"dialect"`
	Open    bool                `json:"open,omitempty"`
	Keys    []upstream.KeyState `json:"api_keys"`
	Bases   []string            `json:"base_urls,omitempty"` // states, in their order, where there are several
}

// healthQueue is the line of one model.
type healthQueue struct {
	Route    string `json:"route"`
	Model    string `json:"model"`
	Waiting  int    `json:"waiting"`
	Callers  int    `json:"callers"`
	Longest  int64  `json:"longest_wait_ms"`
	InFlight int    `json:"in_flight"`
	Held     int64  `json:"held_ms,omitempty"` // until the provider lets requests go again
}

type healthPart struct {
	Backend string `json:"backend"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail,omitempty"`
}

// health reports the state of each route and store. It names no host and no
// key.
func (g *Gateway) health(c *gin.Context) {
	if !g.showsDetails(c.Request) {
		status := "ok"
		if g.draining.Load() {
			status = "draining"
		}
		c.JSON(http.StatusOK, gin.H{"status": status})
		return
	}
	routes := []healthRoute{}
	for _, r := range g.Routes.Routes() {
		routes = append(routes, healthRoute{r.Name, r.Prefix, r.Aliases, r.Dialect.Name, r.Open, r.Keys.Report(), r.BaseStates()})
	}
	status := "ok"
	parts := g.parts()
	for _, p := range parts {
		if !p.OK {
			status = "degraded"
		}
	}
	if g.draining.Load() {
		status = "draining"
	}
	c.JSON(http.StatusOK, gin.H{"status": status, "version": g.Version, "routes": routes, "stores": parts, "lines": g.queues()})
}

// queues reports how many callers wait for which model.
func (g *Gateway) queues() []healthQueue {
	list := []healthQueue{}
	if g.Scheduler == nil {
		return list
	}
	for _, l := range g.Scheduler.Report() {
		list = append(list, healthQueue{l.Route, l.Model, l.Waiting, l.Callers, l.Longest.Milliseconds(), l.InFlight, l.Held.Milliseconds()})
	}
	return list
}

// parts reports on the stores behind the gateway. Their trouble degrades it and
// never stops it: a completion does not fail because it could not be counted or
// remembered.
func (g *Gateway) parts() map[string]healthPart {
	ok, detail := g.Gate.Healthy()
	parts := map[string]healthPart{"limits": {g.Gate.Backend(), ok, detail}}
	if g.Cache != nil {
		ok, detail := g.Cache.Healthy()
		parts["cache"] = healthPart{g.Cache.Backend(), ok, detail}
	}
	if g.Ledger != nil {
		ok, detail := g.Ledger.Healthy()
		parts["ledger"] = healthPart{"SQLite", ok, detail}
	}
	return parts
}

// readyz answers 200 while new requests are welcome, and 503 from the moment
// the gateway drains.
func (g *Gateway) readyz(c *gin.Context) {
	status, word := http.StatusOK, "ready"
	if g.draining.Load() {
		status, word = http.StatusServiceUnavailable, "draining"
	}
	if !g.showsDetails(c.Request) {
		c.JSON(status, gin.H{"status": word})
		return
	}
	c.JSON(status, gin.H{"status": word, "stores": g.parts()})
}

// showsDetails reports whether a caller may see what others use: where there is
// a MetricsKey, with that or the administrator's. It comes in a header only,
// for URLs are written into logs.
func (g *Gateway) showsDetails(r *http.Request) bool {
	if g.MetricsKey.IsZero() {
		return true
	}
	presented, _, err := keys.Presented(r.Header, "")
	if presented == "" || err != nil {
		return false
	}
	return g.MetricsKey.Is(presented) || g.AdminKey.Is(presented)
}

// onlyMetricsKey refuses callers without the key of the metrics.
func (g *Gateway) onlyMetricsKey(c *gin.Context) {
	r := c.Request
	if g.showsDetails(r) {
		return
	}
	p := dialect.Problem{Status: http.StatusUnauthorized, Code: "invalid_api_key", Message: "This needs METRICS_KEY, in an Authorization header: Bearer …"}
	if presented, _, err := keys.Presented(r.Header, ""); presented != "" || err != nil {
		if wait := g.Guard.Fail(clientip.Of(r, g.TrustedProxies), presented, time.Now()); wait > 0 {
			p.Status = http.StatusTooManyRequests
			p.Code = "rate_limit_exceeded"
			setRetryAfter(c.Writer.Header(), wait)
		}
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", "Bearer")
	}
	c.Data(p.Status, "application/json", dialects.Default.Error(p))
	c.Abort()
}
