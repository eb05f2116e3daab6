package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/upstream"
)

const (
	catalogueFresh   = time.Minute      // for which a provider's list is not asked for again
	catalogueStale   = time.Hour        // for which an old list is better than none, when the provider is down
	catalogueTimeout = 10 * time.Second // for one provider
	maxCatalogue     = 8 << 20          // bytes of one provider's list
)

// catalogue holds the providers' lists of models, as one list that is asked on
// / needs them.
type catalogue struct {
	mu    sync.Mutex
	lists map[catalogueKey]*modelList
}

// catalogueKey is whose list it is: API keys of different levels may be of
// different accounts.
type catalogueKey struct {
	route *upstream.Route
	level int
}

// modelList is what one provider offers.
type modelList struct {
	mu      sync.Mutex // held while it is asked for, so that it is asked for once
	fetched time.Time
	models  []modelEntry
}

// modelEntry is one model as OpenAI lists it.
type modelEntry struct {
	id  string
	raw json.RawMessage
}

func (c *catalogue) list(key catalogueKey) *modelList {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists == nil {
		c.lists = map[catalogueKey]*modelList{}
	}
	if c.lists[key] == nil {
		c.lists[key] = &modelList{}
	}
	return c.lists[key]
}

// listsModels reports whether the gateway itself answers which models there
// are: on /, where several providers are behind one address, and where the
// caller may not use all of them. It takes keys of ours to ask every provider.
func (g *Gateway) listsModels(a *ask, to target) bool {
	from := &a.from
	if from.op != dialect.Models || from.mount != "/" || !strings.EqualFold(from.plain, "/v1/models") {
		return false
	}
	if from.route.Dialect != dialects.Default || a.in.r.Method != http.MethodGet || !to.swap {
		return false
	}
	return len(g.modelRoutes(from.route)) > 1 || g.restricted(&a.who)
}

// modelRoutes returns the routes to which requests on / are led, each once,
// home first, which is the one at /.
func (g *Gateway) modelRoutes(home *upstream.Route) []*upstream.Route {
	list := []*upstream.Route{home}
	for _, m := range g.Models {
		if !slices.Contains(list, m.Route) {
			list = append(list, m.Route)
		}
	}
	return list
}

// listModels answers with the models of all providers that the caller may use.
// A provider that does not list its own is left out, and only when none does
// the answer is an error.
func (g *Gateway) listModels(a *ask, to target) (status int, cause string, err error) {
	routes := g.modelRoutes(a.from.route)
	lists := make([][]modelEntry, len(routes))
	errs := make([]error, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		if r.Client || (r.Keys.Len() > 0 && !r.Keys.Serves(a.who.level)) || a.who.checkRoute(r) != nil {
			continue
		}
		wg.Go(func() { lists[i], errs[i] = g.modelsOf(r, a.who.level) })
	}
	wg.Wait()
	asked := []string{}
	entries := []json.RawMessage{}
	seen := map[string]bool{}
	for i, r := range routes {
		if errs[i] != nil || lists[i] == nil {
			continue
		}
		asked = append(asked, r.Name)
		for _, m := range lists[i] {
			led, err := g.routeOf(a, dialects.Default, dialect.Chat, m.id)
			if !seen[m.id] && err == nil && led == r && g.allowsModel(&a.who, m.id) {
				seen[m.id] = true
				entries = append(entries, m.raw)
			}
		}
	}
	if len(asked) == 0 {
		err = errors.Join(errs...)
		if err == nil {
			err = &upstream.Error{Cause: upstream.NoKey, Err: upstream.ErrNoKey, Route: to.route.Name}
		}
		return 0, "", err
	}
	body, err := json.Marshal(struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
	}{"list", entries})
	if err != nil {
		return 0, "", err
	}
	h := a.in.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Forward-Upstream", strings.Join(asked, ", "))
	h.Set(a.from.dialect.RequestIDHeader, a.in.id)
	a.in.w.WriteHeader(http.StatusOK)
	_, failed := a.in.w.Write(body)
	if failed != nil {
		cause = clientGone
	}
	return http.StatusOK, cause, nil
}

// modelsOf returns the models of one provider, from memory if they were asked
// for in the last minute.
func (g *Gateway) modelsOf(r *upstream.Route, level int) ([]modelEntry, error) {
	l := g.catalogue.list(catalogueKey{r, level})
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.fetched)
	if l.models != nil && age < catalogueFresh {
		return l.models, nil
	}
	// Not with the client's context: others wait for the same list.
	ctx, cancel := context.WithTimeout(g.running, catalogueTimeout)
	defer cancel()
	models, err := g.fetchModels(ctx, r, level)
	if err != nil {
		g.Log.WarnContext(ctx, "a provider does not list its models", "route", r.Name, "error", err)
		if l.models != nil && age < catalogueStale {
			return l.models, nil
		}
		return nil, err
	}
	l.models = models
	l.fetched = time.Now()
	return models, nil
}

// fetchModels asks a provider for its models.
func (g *Gateway) fetchModels(ctx context.Context, r *upstream.Route, level int) ([]modelEntry, error) {
	provider := &r.Dialect.Provider
	h := http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"forward/" + g.Version}}
	maps.Copy(h, provider.ModelsHeader)
	address := r.URL(r.Dialect.OpenAIPath("/v1/models"), provider.ModelsQuery)
	ask := (&http.Request{Method: http.MethodGet, URL: address, Header: h}).WithContext(ctx)
	attempts := upstream.Attempts{Route: r, Level: level, Transport: g.Transport, Swap: r.Keys.Len() > 0, Own: true, Retries: g.Retries, Log: g.Log}
	res, err := attempts.RoundTrip(ask)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxCatalogue))
	if err != nil {
		return nil, upstream.Classify(err)
	}
	if res.StatusCode != http.StatusOK || !gjson.ValidBytes(body) {
		return nil, &upstream.Error{Cause: upstream.BadResponse, Err: fmt.Errorf("the list of models has status %d and %d bytes", res.StatusCode, len(body)), Route: r.Name}
	}
	return readModels(body, r.Name), nil
}

// readModels reads a list of models. OpenAI's form stays as it is; of any other
// an entry in that form is made. Google writes "models/gemini-…" here, and
// takes the name without that in requests.
func readModels(list []byte, owner string) []modelEntry {
	models := []modelEntry{}
	gjson.GetBytes(list, "data").ForEach(func(_, m gjson.Result) bool {
		id := m.Get("id").String()
		if id == "" {
			return true
		}
		entry := modelEntry{id, json.RawMessage(m.Raw)}
		if name, ok := strings.CutPrefix(id, "models/"); ok || m.Get("object").String() != "model" {
			entry.id = name
			created := m.Get("created").Int()
			if at, err := time.Parse(time.RFC3339, m.Get("created_at").String()); err == nil {
				created = at.Unix()
			}
			if by := m.Get("owned_by").String(); by != "" {
				owner = by
			}
			entry.raw, _ = json.Marshal(struct {
				ID      string `json:"id"`
				Object  string `json:"object"`
				Created int64  `json:"created"`
				OwnedBy string `json:"owned_by"`
			}{name, "model", created, owner})
		}
		models = append(models, entry)
		return true
	})
	return models
}
