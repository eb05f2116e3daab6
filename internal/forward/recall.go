package forward

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/framing"
)

// memory is what the cache has to do with one request.
type memory struct {
	question  cache.Question
	key       cache.Key
	answer    *answer       // from the cache, or out of another caller's call; nil: the upstream is asked
	call      *call         // the request's own call, which others may follow
	store     bool          // a complete answer is to be stored
	collapsed bool          // the answer is another caller's
	ttl       time.Duration // of the stored answer; 0: the cache's own
	status    string        // HIT, MISS, BYPASS; empty when the cache is not concerned
	detail    string        // Cache-Status after the name of the cache
}

// announce writes into the header what the cache did: X-Cache, and Cache-Status
// of RFC 9211.
func (m *memory) announce(h http.Header) {
	if m.status != "" {
		h.Set("X-Cache", m.status)
		h.Set("Cache-Status", "forward; "+m.detail)
	}
}

// work returns the life in which the upstream is asked: the client's, or that
// of the call that others may follow.
func (m *memory) work(in *inbound) life {
	if m.call != nil {
		return m.call.life
	}
	return in.life
}

// recall looks for the answer in the cache and among the calls under way.
// Without one the upstream is to be asked. logged reports whether the request
// was written to the chat log.
func (g *Gateway) recall(a *ask, to target) (m *memory, logged bool, err error) {
	m = &memory{}
	control := cacheControl(a.in.r.Header)
	offline := g.CacheMode == CacheOffline
	only := offline || control["only-if-cached"]
	wanted, err := g.wantsCache(m, a, control)
	if err != nil || !wanted {
		return m, false, err
	}
	err = g.setQuestion(m, a, to)
	if err != nil {
		return m, false, err
	}
	m.status = "MISS"
	m.detail = "fwd=miss"
	m.store = true
	switch {
	case !offline && (control["no-cache"] || g.CacheMode == CacheRefresh):
		m.detail = "fwd=request"
		return m, false, nil
	case only:
		if !g.lookup(m, a) {
			return m, false, g.cacheMiss(m, a)
		}
		return m, g.logRequest(a, to), nil
	case a.req.Array || a.in.r.Header.Get("X-Forward-Max-Wait") != "":
		// The deadline is one caller's own, and an array is neither of the two
		// forms that callers share.
		found := g.lookup(m, a)
		return m, found && g.logRequest(a, to), nil
	}
	logged, err = g.share(m, a, to)
	return m, logged, err
}

// wantsCache reports whether a request is to be answered from the cache, and
// refuses one that may only be answered from it and is not to.
func (g *Gateway) wantsCache(m *memory, a *ask, control map[string]bool) (bool, error) {
	offline := g.CacheMode == CacheOffline
	only := offline || control["only-if-cached"]
	if g.Cache == nil || !g.cacheable(a) {
		switch {
		case offline:
			return false, cacheOnlyMiss("This kind of request is not cached, and the gateway answers only from its cache (CACHE_MODE=offline).")
		case g.Cache != nil && only:
			return false, cacheOnlyMiss("This kind of request is not cached, and it may only be answered from the cache.")
		}
		return false, nil
	}
	asks := g.CachingDefault || offline
	if a.req.Caching != nil {
		asks = *a.req.Caching
	}
	if asks && !control["no-store"] {
		return true, nil
	}
	m.status = "BYPASS"
	m.detail = "fwd=bypass; detail=not-asked"
	if only {
		return false, cacheOnlyMiss("This request does not ask for caching, and it may only be answered from the cache.")
	}
	return false, nil
}

// share joins or starts the upstream call for the question of a request. The
// call is registered before the cache is looked at: an answer on its way to the
// cache is found in one of the two.
func (g *Gateway) share(m *memory, a *ask, to target) (logged bool, err error) {
	form := ""
	for {
		m.detail = "fwd=miss"
		m.collapsed = false
		c, reader := g.calls.join(callKey{m.key, form}, a, g.CacheMaxEntry)
		if reader == nil && g.lookup(m, a) {
			c.finish(errAskAgain)
			return logged || g.logRequest(a, to), nil
		}
		g.Log.LogAttrs(a.in, slog.LevelDebug, "shares a call", slog.String("id", a.in.id), slog.Bool("leads", reader == nil))
		if reader == nil {
			m.call = c
			c.start(a.in, func() {
				g.parallel.Leave(a.who.id)
				g.Log.LogAttrs(a.in, slog.LevelDebug, "left a call", slog.String("id", a.in.id), slog.String("cause", clientGone))
			})
			g.live.Enter(&c.under, "", a.in.start, c.end)
			a.in.under.OnStop(c.halt)
			return logged, nil
		}
		logged = logged || g.logRequest(a, to)
		var again bool
		form, again, err = g.follow(m, a, reader)
		if !again {
			return logged, err
		}
	}
}

// cacheMiss is the refusal of a request that only the cache may answer. Names
// of fields are all that it reveals of other requests.
func (g *Gateway) cacheMiss(m *memory, a *ask) error {
	message := "The answer to this request is not in the cache."
	if g.CacheMode != CacheOffline {
		return cacheOnlyMiss(message)
	}
	differing, ok := g.Cache.Nearest(a.in, &m.question)
	switch {
	case ok && len(differing) > 0:
		message += " The nearest one that is differs in " + strings.Join(differing, ", ") + "."
	case ok:
		message += " The same request is, but of another upstream or credential."
	}
	return cacheOnlyMiss(message)
}

func cacheOnlyMiss(message string) error {
	return refused(http.StatusGatewayTimeout, "cache_only_miss",
		message)
}

// cacheable reports whether answers to this operation are cached at all.
func (g *Gateway) cacheable(a *ask) bool {
	op := a.from.op
	if (op.AnswersText() && g.CacheChat) || (op.Embeds() && g.CacheEmbedding) {
		return a.body != nil
	}
	if !g.isCacheRoute(a) {
		return false
	}
	// A body that was not read is a part of the question that the key would
	// miss.
	r := a.in.r
	return (r.Method == http.MethodPost && a.raw != nil) || (r.Method == http.MethodGet && r.ContentLength == 0)
}

// mayStore reports whether an answer with these headers may be stored. A
// request that itself asks for caching overrides the upstream's no-store, which
// some providers send with everything.
func (a *ask) mayStore(h http.Header) bool {
	asks := a.req.Caching != nil && *a.req.Caching
	return asks || !cacheControl(h)["no-store"]
}

func cacheControl(h http.Header) map[string]bool {
	values := h["Cache-Control"]
	if len(values) == 0 {
		return nil
	}
	directives := make(map[string]bool)
	for d := range strings.SplitSeq(strings.Join(values, ","), ",") {
		directives[strings.ToLower(strings.TrimSpace(d))] = true
	}
	return directives
}

// maxAge returns how old an answer may be, in seconds, if the client sends it
// (RFC 9111, section 5.2.1.1). A value that is no number counts as zero, which
// is the strictest.
func maxAge(h http.Header) (seconds int64, sent bool) {
	for directive := range cacheControl(h) {
		if value, ok := strings.CutPrefix(directive, "max-age="); ok {
			n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
			if err != nil || n < 0 {
				n = 0
			}
			return n, true
		}
	}
	return 0, false
}

// lookup finds the answer in the form that was asked for.
func (g *Gateway) lookup(m *memory, a *ask) bool {
	found, ok := g.Cache.Get(a.in, m.key, m.question.Key())
	if !ok {
		return false
	}
	entry, ok := inForm(*found, a)
	if !ok {
		return false
	}
	age := int64(time.Since(entry.Stored) / time.Second)
	oldest, sent := maxAge(a.in.r.Header)
	if sent && age > oldest {
		return false
	}
	m.status = "HIT"
	m.detail = "hit; ttl=" + strconv.FormatInt(int64(time.Until(entry.Expires)/time.Second), 10)
	m.store = false
	m.answer = g.replayed(&entry)
	a.in.w.Header().Set("Age", strconv.FormatInt(max(age, 0), 10))
	return true
}

// inForm turns a stream into a body, or back, where the other one was asked
// for.
func inForm(entry cache.Entry, a *ask) (_ cache.Entry, ok bool) {
	d := a.from.dialect
	op := a.from.op
	switch {
	case !op.Parsed():
	case a.req.Array:
		if !entry.Stream && d.Cut != nil {
			entry.Body, ok = d.Cut(op, entry.Body, true)
			if !ok {
				return entry, false
			}
		}
		entry.Body, ok = framing.JSONArray(entry.Body)
		if !ok {
			return entry, false
		}
		entry.Header = withType(entry.Header, "application/json; charset=UTF-8")
	case entry.Stream == a.req.Stream:
		// A stored stream was asked for with its usage; if there is none, its
		// upstream reports none.
		if entry.Stream && d.WithUsage != nil {
			entry.Body = d.WithUsage(op, entry.Body, a.req.IncludeUsage)
		}
	case a.req.Stream && d.Cut != nil:
		entry.Body, ok = d.Cut(op, entry.Body, a.req.IncludeUsage)
		if !ok {
			return entry, false
		}
		entry.Header = withType(entry.Header, streamType(d))
	case entry.Stream && d.Fold != nil:
		entry.Body, ok = d.Fold(op, entry.Body)
		if !ok {
			return entry, false
		}
		entry.Gaps = nil
		entry.Header = withType(entry.Header, "application/json")
	default:
		return entry, false
	}
	_, entry.Stream = d.Framing(entry.Header)
	return entry, true
}

// streamType is the Content-Type of a stream that was made from a body.
func streamType(d *dialect.Dialect) string {
	if d.Framings != nil {
		return d.Framings[0].ContentType()
	}
	return framing.SSE.ContentType() + "; charset=utf-8"
}

func withType(h http.Header, contentType string) http.Header {
	h = h.Clone()
	h.Set("Content-Type", contentType)
	return h
}
