package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"forward/internal/audit"
	"forward/internal/cache"
	"forward/internal/ledger"
	"forward/internal/price"
)

// hasCache is the need of what is about the cache.
func hasCache(s *server) error {
	if s.Gateway.Cache == nil || s.Gateway.Cache() == nil {
		return &problem{status: http.StatusNotFound, code: "cache_off", message: "This gateway remembers no answers: set CACHE_CHAT_COMPLETION=true or CACHE_EMBEDDING=true."}
	}
	return nil
}

// cacheView is what the cache holds and what it saved.
type cacheView struct {
	Backend  string      `json:"backend"`
	Entries  int64       `json:"entries"` // about; -1: not known
	Bytes    int64       `json:"bytes"`   // -1: not known
	MaxBytes int64       `json:"max_bytes"`
	Hits     int64       `json:"hits"` // since the start, as are misses
	Misses   int64       `json:"misses"`
	Disabled string      `json:"disabled"`       // why nothing is written; empty: it is
	Saved    price.Money `json:"saved_nano_usd"` // in the last 30 days, as are the next two
	ByRoute  []routeHits `json:"by_route"`
	ByModel  []modelHits `json:"by_model"`
}

type routeHits struct {
	Route string `json:"route"`
	hits
}

type modelHits struct {
	Model string `json:"model"`
	hits
}

// hits are the requests that looked into the cache, and those that found an
// answer there.
type hits struct {
	Requests int64       `json:"requests"`
	Hits     int64       `json:"hits"`
	Saved    price.Money `json:"saved_nano_usd"`
}

// cachedDays is how many days the cache's figures are about.
const cachedDays = 30

func (s *server) cacheStats(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	st := s.Gateway.Cache().Stats()
	v := cacheView{Backend: st.Backend, Entries: st.Entries, Bytes: st.Bytes, MaxBytes: st.MaxBytes, Hits: st.Hits, Misses: st.Misses, Disabled: st.Disabled,
		ByRoute: []routeHits{}, ByModel: []modelHits{}}
	if s.Ledger == nil {
		return v, nil
	}
	routes, err := s.hitsBy(r, ledger.ByRoute)
	if err != nil {
		return nil, err
	}
	models, err := s.hitsBy(r, ledger.ByModel)
	if err != nil {
		return nil, err
	}
	for _, one := range routes {
		v.ByRoute = append(v.ByRoute, routeHits{one.name, one.hits})
		v.Saved += one.Saved
	}
	for _, one := range models {
		v.ByModel = append(v.ByModel, modelHits{one.name, one.hits})
	}
	return v, nil
}

type namedHits struct {
	name string
	hits
}

// hitsBy adds up the requests that looked into the cache, by one dimension, in
// the order of the report.
func (s *server) hitsBy(r *http.Request, by ledger.Dimension) (list []*namedHits, err error) {
	groups, err := s.Ledger.Report(r.Context(), ledger.Query{By: []ledger.Dimension{by, ledger.ByCache}, Since: s.Now().AddDate(0, 0, -cachedDays), Top: maxLimit})
	if err != nil {
		return nil, err
	}
	byName := map[string]*namedHits{}
	for _, g := range groups {
		name, word := g.Values[0], g.Values[1]
		if word != "hit" && word != "miss" {
			continue
		}
		h := byName[name]
		if h == nil {
			h = &namedHits{name: name}
			byName[name] = h
			list = append(list, h)
		}
		h.Requests += g.Requests
		if word == "hit" {
			h.Hits += g.Requests
			h.Saved += g.Sums.Saved
		}
	}
	return list, nil
}

// entryView is an entry without its bodies.
type entryView struct {
	Key     cache.Key  `json:"key"`
	Route   string     `json:"route"`
	Model   string     `json:"model"`
	Scope   string     `json:"scope"`
	Stored  time.Time  `json:"stored"`
	Expires *time.Time `json:"expires"` // null: never
	Bytes   int64      `json:"bytes"`
	Status  int        `json:"status"`
	Stream  bool       `json:"stream"`
}

// never is a time that an entry without a bound lives at least.
const never = 50 * 365 * 24 * time.Hour

func (s *server) entryView(i *cache.Info) entryView {
	v := entryView{Key: i.Key, Route: i.Route, Model: i.Model, Scope: i.Scope, Stored: i.Stored.In(s.Location), Bytes: i.Kept, Status: i.Status, Stream: i.Stream}
	if i.Expires.Sub(s.Now()) < never {
		expires := i.Expires.In(s.Location)
		v.Expires = &expires
	}
	return v
}

// cacheFilters are the parameters that select entries.
var cacheFilters = []string{"route", "model", "scope", "before"}

func (s *server) cacheFilter(values url.Values) (f cache.Filter, err error) {
	f = cache.Filter{Route: values.Get("route"), Model: values.Get("model"), Scope: values.Get("scope")}
	f.Before, err = s.moment(values, "before")
	return f, err
}

func (s *server) listEntries(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, append([]string{"after", "limit"}, cacheFilters...)...)
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	f, err := s.cacheFilter(values)
	if err != nil {
		return nil, err
	}
	var after cache.Place
	if text := values.Get("after"); text != "" {
		after, err = cache.ParsePlace(text)
		if err != nil {
			return nil, invalid("after", "is no value of next")
		}
	}
	list, more, err := s.Gateway.Cache().Latest(r.Context(), f, after, p.limit)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Entries []entryView `json:"entries"`
		Next    *string     `json:"next"`
	}{Entries: []entryView{}}
	for i := range list {
		answer.Entries = append(answer.Entries, s.entryView(&list[i]))
	}
	if more && len(list) > 0 {
		next := list[len(list)-1].Place().String()
		answer.Next = &next
	}
	return answer, nil
}

// entryDetail is an entry with its question and its answer.
type entryDetail struct {
	Entry     entryView `json:"entry"`
	Content   string    `json:"content"` // available, or why it is not shown: off, meta, redacted or disabled
	Request   any       `json:"request"`
	Response  any       `json:"response"`
	Truncated bool      `json:"truncated"`
}

func (s *server) showEntry(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	i, _, err := s.Gateway.Cache().Find(r.Context(), r.PathValue("entry"))
	if err != nil || i == nil {
		return nil, noSuchEntry(err)
	}
	detail := entryDetail{Entry: s.entryView(i)}
	detail.Content, err = s.mayShow(r, i.Scope)
	if err != nil || detail.Content != "available" {
		return detail, err
	}
	d, err := s.Gateway.Cache().Show(r.Context(), i.Key.String())
	if err != nil || d == nil {
		return nil, noSuchEntry(err)
	}
	var cut [2]bool
	detail.Request, cut[0] = content(d.Request, d.RequestText, d.RequestBase64)
	if d.ResponseEvents != nil {
		text := strings.Join(d.ResponseEvents, "")
		d.ResponseText = &text
	}
	detail.Response, cut[1] = content(d.Response, d.ResponseText, d.ResponseBase64)
	detail.Truncated = cut[0] || cut[1] || d.RequestSum != ""
	s.record(r, v, audit.Entry{Action: "content.read", Object: "cache/" + i.Key.String()})
	return detail, nil
}

func noSuchEntry(err error) error {
	switch {
	case err == nil:
		return &problem{status: http.StatusNotFound, code: "not_found", message: "No entry has a key that starts so.", param: "entry"}
	case errors.Is(err, cache.ErrAmbiguous):
		return &problem{status: http.StatusConflict, code: "ambiguous_key", message: "Several entries have a key that starts so. Write more of it.", param: "entry"}
	}
	return err
}

// mayShow reports whether what is stored under a scope may be shown, as the
// chat log may keep it of the callers with this scope. Where several share it,
// the strictest policy holds.
func (s *server) mayShow(r *http.Request, scope string) (string, error) {
	if !s.Features.Content {
		return "disabled", nil
	}
	views, err := s.views(r.Context())
	if err != nil {
		return "", err
	}
	id, ofKey := strings.CutPrefix(scope, "key:")
	strictest := s.keeps("")
	if ofKey || scope == cache.Imported {
		strictest = "full"
	}
	known := !ofKey
	for _, v := range views {
		if scope == "shared" || (ofKey && v.ID == id) {
			known = true
			if word := s.keeps(v.Policy.Log); strictness[word] > strictness[strictest] {
				strictest = word
			}
		}
	}
	switch {
	case !known:
		return "off", nil // of a key that is gone, and its policy with it
	case strictest == "full":
		return "available", nil
	}
	return strictest, nil
}

// strictness orders the policies of the chat log.
var strictness = map[string]int{"full": 0, "redacted": 1, "meta": 2, "off": 3}

// maxContent bounds a body that is shown, in bytes.
const maxContent = 1 << 20

// content returns a body as JSON where it is, else as text, and whether
// something is missing of it.
func content(value json.RawMessage, text *string, raw []byte) (any, bool) {
	switch {
	case len(value) > maxContent:
		return string(value[:maxContent]), true
	case len(value) > 0:
		return value, false
	case text != nil && len(*text) > maxContent:
		return (*text)[:maxContent], true
	case text != nil:
		return *text, false
	case len(raw) > 0:
		return nil, true
	}
	return nil, false
}

func (s *server) deleteEntry(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	var k cache.Key
	if err := k.UnmarshalText([]byte(r.PathValue("entry"))); err != nil {
		return nil, noSuchEntry(nil)
	}
	found, err := s.Gateway.Cache().Delete(r.Context(), k)
	if err != nil {
		return nil, notDeleted(err)
	}
	if !found {
		return nil, noSuchEntry(nil)
	}
	s.record(r, v, audit.Entry{Action: "cache.purge", Object: k.String()})
	return reply{status: http.StatusNoContent}, nil
}

// notDeleted reports why the cache does not delete: its disk may be full.
func notDeleted(err error) error {
	return &problem{status: http.StatusServiceUnavailable, code: "cache_unavailable", message: "The cache: " + err.Error() + "."}
}

// purgeEntries deletes what a filter selects, or counts it. A request without a
// filter deletes nothing: all=true is for that.
func (s *server) purgeEntries(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, append([]string{"all", "dry_run"}, cacheFilters...)...)
	if err != nil {
		return nil, err
	}
	f, err := s.cacheFilter(values)
	if err != nil {
		return nil, err
	}
	flags := map[string]bool{}
	for _, name := range []string{"all", "dry_run"} {
		if text := values.Get(name); text != "" && text != "true" && text != "false" {
			return nil, invalid(name, "is neither true nor false")
		}
		flags[name] = values.Get(name) == "true"
	}
	if f.All() != flags["all"] {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", param: "all",
			message: "Write a filter (" + strings.Join(cacheFilters, ", ") + "), or all=true for every entry."}
	}
	if flags["dry_run"] {
		return s.Gateway.Cache().Count(r.Context(), f)
	}
	sum, err := s.Gateway.Cache().Purge(r.Context(), f)
	if err != nil {
		return nil, notDeleted(err)
	}
	s.record(r, v, audit.Entry{Action: "cache.purge", Object: r.URL.RawQuery, After: sum})
	return sum, nil
}
