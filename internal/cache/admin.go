package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Admin returns what an operator asks of a running cache, over HTTP. It checks nobody's rights: whoever mounts it does, for
// it shows what everybody asked and was answered.
//
//	GET  /stats            Stats
//	GET  /entries          an Info a line, of what the filter selects
//	GET  /entries/{key}    one entry with its bodies, by the beginning of its key
//	GET  /count            Sum
//	POST /purge            Sum
//	POST /verify           Verified
//	GET  /export           an export
//	POST /import?ttl=720h  ImportResult
//
// The filter is the parameters route, model, scope and before (RFC 3339).
func (c *Cache) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, c.Stats()) })
	mux.HandleFunc("GET /entries", c.adminList)
	mux.HandleFunc("GET /entries/{key}", c.adminShow)
	mux.HandleFunc("GET /export", c.adminExport)
	mux.HandleFunc("POST /import", c.adminImport)
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(f Filter) (any, error) { return c.Count(r.Context(), f) })
	})
	mux.HandleFunc("POST /purge", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(f Filter) (any, error) { return c.Purge(r.Context(), f) })
	})
	mux.HandleFunc("POST /verify", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, func(Filter) (any, error) { return c.Verify(r.Context()) })
	})
	return mux
}

// Detail is an entry with its bodies, written as an export writes them.
type Detail struct {
	Key     Key       `json:"key"`
	Scope   string    `json:"scope,omitempty"`
	Expires time.Time `json:"expires"`
	*exportLine
}

// ImportResult says what an import has done.
type ImportResult struct {
	Imported int `json:"imported"`
	TooLong  int `json:"too_long"` // longer than CACHE_MAX_ENTRY_BYTES, or than a quarter of what the cache holds
}

// Values returns the filter as parameters for the handler of Admin.
func (f Filter) Values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"route": f.Route, "model": f.Model, "scope": f.Scope} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !f.Before.IsZero() {
		v.Set("before", f.Before.Format(time.RFC3339Nano))
	}
	return v
}

func readFilter(v url.Values) (f Filter, err error) {
	f = Filter{Route: v.Get("route"), Model: v.Get("model"), Scope: v.Get("scope")}
	if before := v.Get("before"); before != "" {
		if f.Before, err = time.Parse(time.RFC3339Nano, before); err != nil {
			return f, errors.New("before is not a time such as 2026-01-02T03:04:05Z")
		}
	}
	return f, nil
}

func answer(w http.ResponseWriter, r *http.Request, do func(Filter) (any, error)) {
	f, err := readFilter(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	result, err := do(f)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	writeJSON(w, result)
}

func (c *Cache) adminList(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	f, err := readFilter(query)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	limit := int64(-1)
	if query.Has("limit") {
		if limit, err = strconv.ParseInt(query.Get("limit"), 10, 64); err != nil || limit < 0 {
			refuse(w, http.StatusBadRequest, errors.New("limit is not a number"))
			return
		}
	}
	w.Header().Set("Content-Type", "application/jsonl")
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if limit == 0 {
		return
	}
	err = c.List(r.Context(), f, func(i *Info) bool {
		limit--
		return lines.Encode(i) == nil && limit != 0
	})
	if err != nil {
		panic(http.ErrAbortHandler) // half a list must not look whole
	}
}

func (c *Cache) adminShow(w http.ResponseWriter, r *http.Request) {
	i, e, err := c.Find(r.Context(), r.PathValue("key"))
	switch {
	case errors.Is(err, ErrAmbiguous):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	case e == nil:
		refuse(w, http.StatusNotFound, fmt.Errorf("no entry has a key that begins with %q", r.PathValue("key")))
	default:
		writeJSON(w, Detail{Key: i.Key, Scope: i.Scope, Expires: i.Expires.UTC(), exportLine: newExportLine(e)})
	}
}

func (c *Cache) adminExport(w http.ResponseWriter, r *http.Request) {
	f, err := readFilter(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	if _, err := c.Export(r.Context(), w, f); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (c *Cache) adminImport(w http.ResponseWriter, r *http.Request) {
	var ttl time.Duration
	if s := r.URL.Query().Get("ttl"); s != "" {
		var err error
		if ttl, err = time.ParseDuration(s); err != nil || ttl <= 0 {
			refuse(w, http.StatusBadRequest, errors.New("ttl is not a duration such as 720h"))
			return
		}
	}
	imported, tooLong, err := c.Import(r.Context(), r.Body, ttl)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, fmt.Errorf("%w (%d entries were imported before)", err, imported))
		return
	}
	writeJSON(w, ImportResult{Imported: imported, TooLong: tooLong})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(value) // who does not read it any more needs no answer
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
