package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"forward/internal/cache"
	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/reload"
)

// Options are the operations that a Handler offers.
type Options struct {
	// Reload reads the settings again and applies them; nil: there are none to
	// reload.
	Reload func() (reload.Result, error)
	// Cache returns the cache of answers, nil while there is none.
	Cache func() *cache.Cache
	// SignIn returns the address of the dashboard at which one request signs in
	// as administrator; nil: there is no dashboard.
	SignIn func(context.Context) (url string, err error)
}

// Handler returns the handler of the control socket. It checks no permissions:
// the socket does.
//
//	POST /reload                 reload.Result
//	POST /dashboard/link         Link
//	GET  /cache/stats            cache.Stats
//	GET  /cache/entries          a cache.Info a line, of the entries that the filter selects
//	GET  /cache/entries/{key}    one entry with its bodies, by the start of its key
//	GET  /cache/count            cache.Sum
//	POST /cache/purge            cache.Sum
//	POST /cache/verify           cache.Verified
//	GET  /cache/export           an export
//	POST /cache/import?ttl=720h  Imported
//
// The filter is the parameters route, model, scope and before (RFC 3339).
// Errors have the form of OpenAI's.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		result, err := o.Reload()
		if err != nil {
			refuse(w, &refusal{http.StatusUnprocessableEntity, "settings_refused", err})
			return
		}
		writeJSON(w, result)
	})
	mux.HandleFunc("POST /dashboard/link", func(w http.ResponseWriter, r *http.Request) {
		if o.SignIn == nil {
			http.NotFound(w, r)
			return
		}
		url, err := o.SignIn(r.Context())
		if err != nil {
			refuse(w, &refusal{http.StatusConflict, "no_dashboard", err})
			return
		}
		writeJSON(w, Link{url})
	})
	for pattern, serve := range map[string]operation{
		"GET /cache/stats":         result(func(_ *http.Request, c *cache.Cache, _ cache.Filter) (any, error) { return c.Stats(), nil }),
		"GET /cache/count":         result(func(r *http.Request, c *cache.Cache, f cache.Filter) (any, error) { return c.Count(r.Context(), f) }),
		"POST /cache/purge":        result(func(r *http.Request, c *cache.Cache, f cache.Filter) (any, error) { return c.Purge(r.Context(), f) }),
		"POST /cache/verify":       result(func(r *http.Request, c *cache.Cache, _ cache.Filter) (any, error) { return c.Verify(r.Context()) }),
		"POST /cache/import":       result(importEntries),
		"GET /cache/entries/{key}": result(showEntry),
		"GET /cache/entries":       listEntries,
		"GET /cache/export":        exportEntries,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			c := o.Cache()
			if c == nil {
				http.NotFound(w, r)
				return
			}
			f, err := readFilter(r.URL.Query())
			if err == nil {
				err = serve(w, r, c, f)
			}
			if err != nil {
				refuse(w, err)
			}
		})
	}
	return mux
}

// operation serves one request on the cache. It returns an error only while
// nothing of the answer is written.
type operation func(w http.ResponseWriter, r *http.Request, c *cache.Cache, f cache.Filter) error

// result is the operation that answers with what do returns, as JSON.
func result(do func(*http.Request, *cache.Cache, cache.Filter) (any, error)) operation {
	return func(w http.ResponseWriter, r *http.Request, c *cache.Cache, f cache.Filter) error {
		value, err := do(r, c, f)
		if err != nil {
			return err
		}
		writeJSON(w, value)
		return nil
	}
}

func showEntry(r *http.Request, c *cache.Cache, _ cache.Filter) (any, error) {
	detail, err := c.Show(r.Context(), r.PathValue("key"))
	switch {
	case errors.Is(err, cache.ErrAmbiguous):
		return nil, &refusal{http.StatusConflict, "ambiguous_key", err}
	case err == nil && detail == nil:
		return nil, &refusal{http.StatusNotFound, "not_found", fmt.Errorf("no entry has a key that starts with %q", r.PathValue("key"))}
	}
	return detail, err
}

// Link is a page of the dashboard that signs in once.
type Link struct {
	URL string `json:"url"`
}

// Imported is the outcome of an import.
type Imported struct {
	Entries int `json:"imported"`
	TooLong int `json:"too_long"` // longer than CACHE_MAX_ENTRY_BYTES, or than a quarter of the cache's bound
}

func importEntries(r *http.Request, c *cache.Cache, _ cache.Filter) (any, error) {
	var ttl time.Duration
	if s := r.URL.Query().Get("ttl"); s != "" {
		var err error
		ttl, err = time.ParseDuration(s)
		if err != nil || ttl <= 0 {
			return nil, badRequest("ttl is not a duration such as 720h")
		}
	}
	entries, tooLong, err := c.Import(r.Context(), r.Body, ttl)
	if err != nil {
		err = fmt.Errorf("%w (%d entries were imported before)", err, entries)
		return nil, &refusal{http.StatusUnprocessableEntity, "import_failed", err}
	}
	return Imported{Entries: entries, TooLong: tooLong}, nil
}

func listEntries(w http.ResponseWriter, r *http.Request, c *cache.Cache, f cache.Filter) error {
	w.Header().Set("Content-Type", "application/jsonl")
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if err := c.List(r.Context(), f, func(i *cache.Info) bool { return lines.Encode(i) == nil }); err != nil {
		panic(http.ErrAbortHandler) // half a list must not look whole
	}
	return nil
}

func exportEntries(w http.ResponseWriter, r *http.Request, c *cache.Cache, f cache.Filter) error {
	w.Header().Set("Content-Type", "application/jsonl")
	if _, err := c.Export(r.Context(), w, f); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// filterValues writes a filter as parameters; readFilter reads them.
func filterValues(f cache.Filter) url.Values {
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

func readFilter(v url.Values) (cache.Filter, error) {
	f := cache.Filter{Route: v.Get("route"), Model: v.Get("model"), Scope: v.Get("scope")}
	before := v.Get("before")
	if before == "" {
		return f, nil
	}
	var err error
	f.Before, err = time.Parse(time.RFC3339Nano, before)
	if err != nil {
		return f, badRequest("before is not a time such as 2026-01-02T03:04:05Z")
	}
	return f, nil
}

// refusal is an error with the status and the code of its answer.
type refusal struct {
	status int
	code   string
	error
}

func badRequest(message string) error {
	return &refusal{http.StatusBadRequest, "invalid_request", errors.New(message)}
}

// refuse writes an error as OpenAI writes them, the form of all errors of the
// gateway that no route has a form for. The caller is the operator, so the
// message is the whole error.
func refuse(w http.ResponseWriter, err error) {
	f, ok := errors.AsType[*refusal](err)
	if !ok {
		f = &refusal{http.StatusInternalServerError, "internal_error", err}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	w.Write(dialects.Default.Error(dialect.Problem{Status: f.status, Code: f.code, Message: f.Error()}))
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.Encode(value) // a client that has left needs no answer
}
