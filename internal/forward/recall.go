package forward

import (
	"bytes"
	"io"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/duration"
	"forward/internal/framing"
	"forward/internal/jsonscan"
	"forward/internal/keys"
)

// memory is what the cache has to do with one exchange.
type memory struct {
	question cache.Question
	key      cache.Key
	store    bool          // a complete answer is to be remembered
	shared   bool          // with all who ask the same meanwhile
	ttl      time.Duration // of the remembered answer; 0: the cache's own
	size     int           // bytes remembered so far, to see whether more came
	status   string        // HIT, MISS, BYPASS; empty when the cache has nothing to do with it
	detail   string        // Cache-Status after the name of the cache
}

// announce tells the client what the cache did (X-Cache, and Cache-Status of RFC 9211).
func (m *memory) announce(h http.Header) {
	if m.status != "" {
		h.Set("X-Cache", m.status)
		h.Set("Cache-Status", "forward; "+m.detail)
	}
}

// recall looks for the answer in the cache. It returns nil when the upstream is to be asked.
func (x *exchange) recall() (*cache.Entry, error) {
	m := &x.memory
	offline := x.CacheMode == CacheOffline
	if x.Cache == nil || !x.cacheable() {
		if offline {
			return nil, cacheOnlyMiss("This kind of request is not cached, and the gateway answers only from its cache (CACHE_MODE=offline).")
		}
		if x.Cache != nil && cacheControl(x.r.Header)["only-if-cached"] {
			return nil, cacheOnlyMiss("This kind of request is not cached, and it may only be answered from the cache.")
		}
		return nil, nil
	}
	want := x.CachingDefault || offline
	if x.ask.Caching != nil {
		want = *x.ask.Caching
	}
	control := cacheControl(x.r.Header)
	if !want || control["no-store"] {
		m.status, m.detail = "BYPASS", "fwd=bypass; detail=not-asked"
		if offline || control["only-if-cached"] {
			return nil, cacheOnlyMiss("This request does not ask for caching, and it may only be answered from the cache.")
		}
		return nil, nil
	}
	if err := x.cacheTTL(); err != nil {
		return nil, err
	}
	if err := x.cacheKey(); err != nil {
		return nil, err
	}
	if !offline && (control["no-cache"] || x.CacheMode == CacheRefresh) {
		m.status, m.detail, m.store = "MISS", "fwd=request", true
		return nil, nil
	}
	if entry := x.lookup(); entry != nil {
		return entry, nil
	}
	if offline || control["only-if-cached"] {
		return nil, x.unanswered()
	}
	m.status, m.detail, m.store = "MISS", "fwd=miss", true
	m.shared = !x.ask.Array && x.r.Header.Get("X-Forward-Max-Wait") == "" // whose deadline is nobody else's
	return nil, nil
}

// unanswered is a miss that is the end, with what to look at. Names of fields are all it says of other requests.
func (x *exchange) unanswered() error {
	message := "The answer to this request is not in the cache."
	if x.CacheMode != CacheOffline {
		return cacheOnlyMiss(message)
	}
	differing, ok := x.Cache.Nearest(x.ctx, &x.memory.question)
	switch {
	case ok && len(differing) > 0:
		message += " The nearest one that is differs in " + strings.Join(differing, ", ") + "."
	case ok:
		message += " The same request is, but of another upstream or credential."
	}
	return cacheOnlyMiss(message)
}

func cacheOnlyMiss(message string) error {
	return &refusal{status: http.StatusGatewayTimeout, code: "cache_only_miss", message: message}
}

// cacheable reports whether answers to this operation are remembered at all.
func (x *exchange) cacheable() bool {
	switch x.op {
	case dialect.Chat, dialect.Completion, dialect.Responses, dialect.Messages, dialect.Generate:
		if x.CacheChat {
			return x.body != nil
		}
	case dialect.Embedding, dialect.EmbedContent:
		if x.CacheEmbedding {
			return x.body != nil
		}
	}
	if !x.cacheRoutes[x.plain] {
		return false
	}
	// A body that nobody has read is a part of the question that the key would not know.
	return x.r.Method == http.MethodPost && x.payload != nil || x.r.Method == http.MethodGet && x.r.ContentLength == 0
}

func cacheControl(h http.Header) map[string]bool {
	directives := make(map[string]bool)
	for _, d := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		directives[strings.ToLower(strings.TrimSpace(d))] = true
	}
	return directives
}

// maxAge is how old an answer may be, in seconds, if the client says so (RFC 9111, section 5.2.1.1). What is no number counts as
// zero, which is the strictest.
func maxAge(h http.Header) (seconds int64, said bool) {
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

// cacheTTL reads X-Forward-Cache-TTL: seconds, or a duration such as 90s or 12h.
func (x *exchange) cacheTTL() error {
	value := x.r.Header.Get("X-Forward-Cache-TTL")
	if value == "" {
		return nil
	}
	ttl, err := duration.ParseSeconds(value)
	if err != nil || ttl <= 0 {
		return &refusal{status: http.StatusBadRequest, code: "invalid_cache_ttl", message: "X-Forward-Cache-TTL is not a number of seconds or a duration such as 12h."}
	}
	if x.CacheTTL > 0 {
		ttl = min(ttl, x.CacheTTL)
	}
	x.memory.ttl = ttl
	return nil
}

// cacheKey names the question: who may share the answer, who is asked, and every part of the request that can change
// what is answered. Fields that only say how the answer travels are left out, so that both forms share one entry.
func (x *exchange) cacheKey() error {
	scope := x.caller.scope
	if x.sharesCache() && !strings.HasPrefix(scope, "own:") {
		scope = "shared" // but never across provider accounts that are not ours
	}
	// Google tells both forms of a request apart in its path, all others in the body.
	path, query := x.dialect.PlainForm(x.op, x.rest, x.r.URL.RawQuery)
	q := cache.Question{
		Route: x.route.Name, Dialect: x.dialect.Name, Operation: string(x.op), Model: x.ask.Model, Scope: scope,
		Method: x.r.Method, Path: path, Query: sortedQuery(keys.StripQuery(query)), Header: make(map[string]string), Body: x.payload,
	}
	for _, name := range x.dialect.VersionHeaders {
		if values := x.r.Header.Values(name); len(values) > 0 {
			q.Header[name] = strings.Join(values, ",")
		}
	}
	if x.body != nil {
		var err error
		if q.Body, err = jsonscan.Canonical(x.body.Raw(), x.transportField); err != nil {
			return &refusal{status: http.StatusBadRequest, code: "invalid_json", message: "The request body cannot be cached: " + err.Error() + "."}
		}
	} else {
		q.ContentType = x.r.Header.Get("Content-Type")
	}
	private := []string{scope, x.route.Base.String()}
	if !x.strip { // also those that are no key to us, such as Basic
		private = append(private, credentials(x.r.Header), sortedQuery(query))
	}
	x.memory.question, x.memory.key = q, q.Key(private...)
	return nil
}

func sortedQuery(raw string) string {
	parameters := strings.Split(raw, "&")
	sort.Strings(parameters)
	return strings.Join(parameters, "&")
}

// transportField reports whether a body field says only how an answer travels. Of a path that the dialect does not
// know only our own flag is certain to.
func (x *exchange) transportField(name string) bool {
	if !x.op.Parsed() {
		return name == "caching"
	}
	for _, field := range x.dialect.TransportFields {
		if name == field {
			return true
		}
	}
	return false
}

// lookup finds the answer in the form that was asked for.
func (x *exchange) lookup() *cache.Entry {
	found, ok := x.Cache.Get(x.ctx, x.memory.key, x.memory.question.Key())
	if !ok {
		return nil
	}
	entry, ok := x.inForm(*found)
	if !ok {
		return nil
	}
	age := int64(time.Since(entry.Stored) / time.Second)
	if oldest, said := maxAge(x.r.Header); said && age > oldest {
		return nil
	}
	x.memory.status = "HIT"
	x.memory.detail = "hit; ttl=" + strconv.FormatInt(int64(time.Until(entry.Expires)/time.Second), 10)
	x.w.Header().Set("Age", strconv.FormatInt(max(age, 0), 10))
	return &entry
}

// inForm turns a stream into a body or back where the other one was asked for.
func (x *exchange) inForm(entry cache.Entry) (_ cache.Entry, ok bool) {
	d, op := x.dialect, x.op
	switch {
	case !op.Parsed():
	case x.ask.Array:
		if !entry.Stream && d.Cut != nil {
			if entry.Body, ok = d.Cut(op, entry.Body, true); !ok {
				return entry, false
			}
		}
		if entry.Body, ok = framing.JSONArray(entry.Body); !ok {
			return entry, false
		}
		entry.Header = withType(entry.Header, "application/json; charset=UTF-8")
	case entry.Stream == x.ask.Stream:
		// A stored stream was asked for with its usage: without any, its upstream tells none.
		if entry.Stream && d.WithUsage != nil {
			entry.Body = d.WithUsage(op, entry.Body, x.ask.IncludeUsage)
		}
	case x.ask.Stream && d.Cut != nil:
		if entry.Body, ok = d.Cut(op, entry.Body, x.ask.IncludeUsage); !ok {
			return entry, false
		}
		entry.Header = withType(entry.Header, "text/event-stream; charset=utf-8")
	case entry.Stream && d.Fold != nil:
		if entry.Body, ok = d.Fold(op, entry.Body); !ok {
			return entry, false
		}
		entry.Gaps = nil
		entry.Header = withType(entry.Header, "application/json")
	default:
		return entry, false
	}
	entry.Stream = strings.HasPrefix(entry.Header.Get("Content-Type"), "text/event-stream")
	return entry, true
}

func withType(h http.Header, contentType string) http.Header {
	h = h.Clone()
	h.Set("Content-Type", contentType)
	return h
}

// replay answers from the cache through the same tap as an upstream's answer: paced, logged, counted.
func (x *exchange) replay(e *cache.Entry) {
	x.logRequest()
	res := &http.Response{StatusCode: e.Status, Header: e.Header.Clone(), ContentLength: int64(len(e.Body)), Body: io.NopCloser(bytes.NewReader(e.Body))}
	if e.Stream {
		res.ContentLength = -1
	} else {
		res.Header.Set("Content-Length", strconv.Itoa(len(e.Body)))
	}
	x.addedUsage = false
	if !e.Stream {
		x.whole = e.Body
	} else if x.CacheRecorded {
		x.gaps = e.Gaps
	}
	x.answer(res)
}

// answer presents and delivers an answer that is not the upstream's own.
func (x *exchange) answer(res *http.Response) {
	if err := x.present(res); err != nil {
		x.refuse(err)
		return
	}
	x.deliver(res)
}
