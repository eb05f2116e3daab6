package forward

import (
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"forward/internal/cache"
	"forward/internal/duration"
	"forward/internal/jsonscan"
	"forward/internal/keys"
)

// setQuestion gives m its question and key: which callers may share the answer,
// which upstream is asked, and every part of the request that can change the
// answer. Fields that only define how the answer travels are left out, so that
// both forms share one entry.
func (g *Gateway) setQuestion(m *memory, a *ask, to target) error {
	var err error
	m.ttl, err = g.cacheTTL(a.in.r.Header)
	if err != nil {
		return err
	}
	scope := a.who.scope
	if g.sharesCache(&a.who) && !a.who.own && !strings.HasPrefix(scope, "own:") && (a.from.op.Generates() || !g.ownsOnly(&a.who, to)) {
		scope = "shared" // but never across provider accounts of the clients' own
	}
	// Google distinguishes both forms of a request in its path, others in the
	// body.
	d := a.from.dialect
	path, query := d.PlainForm(a.from.op, to.rest, a.in.r.URL.RawQuery)
	q := cache.Question{
		Route: to.route.Name, Dialect: d.Name, Operation: string(a.from.op), Model: a.req.Model, Scope: scope,
		Method: a.in.r.Method, Path: path, Query: sortedQuery(keys.StripQuery(query)), Header: make(map[string]string), Body: a.raw,
	}
	for _, name := range d.VersionHeaders {
		canonical := http.CanonicalHeaderKey(name)
		if to.swap && slices.Contains(d.Provider.AccountHeaders, canonical) {
			continue // it does not go upstream
		}
		values := a.in.r.Header[canonical]
		if len(values) > 0 {
			q.Header[name] = strings.Join(values, ",")
		}
	}
	if a.body != nil {
		q.Body, err = jsonscan.Canonical(a.body.Raw(), a.isTransportField)
		if err != nil {
			return refused(http.StatusBadRequest, "invalid_json",
				"The request body cannot be cached: "+err.Error()+".")
		}
	} else {
		q.ContentType = a.in.r.Header.Get("Content-Type")
	}
	private := []string{scope, to.route.Base.String()}
	if !to.strip && !a.who.own { // also credentials in which the gateway sees no key, such as Basic
		private = append(private, credentials(a.in.r.Header), sortedQuery(query))
	}
	m.question = q
	m.key = q.Key(private...)
	return nil
}

// cacheTTL reads X-Forward-Cache-TTL: seconds, or a duration such as 90s or
// 12h. It is 0 where the client sends none.
func (g *Gateway) cacheTTL(h http.Header) (time.Duration, error) {
	value := h.Get("X-Forward-Cache-Ttl")
	if value == "" {
		return 0, nil
	}
	ttl, err := duration.ParseSeconds(value)
	if err != nil || ttl <= 0 {
		return 0, refused(http.StatusBadRequest, "invalid_cache_ttl",
			"X-Forward-Cache-TTL is not a number of seconds or a duration such as 12h.")
	}
	if g.CacheTTL > 0 {
		ttl = min(ttl, g.CacheTTL)
	}
	return ttl, nil
}

// sharesCache reports whether the caller gets and gives cached answers of
// others: as its key is configured, or else the gateway.
func (g *Gateway) sharesCache(who *caller) bool {
	if who.policy.CacheScope != "" {
		return who.policy.CacheScope == "shared"
	}
	return g.CacheShared
}

func sortedQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parameters := strings.Split(raw, "&")
	sort.Strings(parameters)
	return strings.Join(parameters, "&")
}

// isTransportField reports whether a body field defines only how an answer
// travels. Of a path that the dialect does not know only caching is certain to.
func (a *ask) isTransportField(name string) bool {
	if name == "caching" {
		return a.req.Caching != nil // else it is the provider's own
	}
	if !a.from.op.Parsed() {
		return false
	}
	return slices.Contains(a.from.dialect.TransportFields, name)
}
