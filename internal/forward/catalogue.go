package forward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialects"
	"forward/internal/upstream"
)

const (
	catalogueFresh   = time.Minute      // for which a provider's list is not asked for again
	catalogueStale   = time.Hour        // for which an old list is better than none, when the provider is down
	catalogueTimeout = 10 * time.Second // for one provider
	maxCatalogue     = 8 << 20          // bytes of one provider's list
)

// catalogue holds the providers' lists of models, as one list that is asked on / needs them.
type catalogue struct {
	mu    sync.Mutex
	lists map[catalogueKey]*modelList
}

// catalogueKey is whose list it is: API keys of different levels may be of different accounts.
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

// listsModels reports whether the gateway itself answers what models there are: on /, where several providers are behind
// one address, and where the caller may not use all of them. It takes keys of ours to ask every provider.
func (x *exchange) listsModels() bool {
	if x.op != dialect.Models || x.mount != "/" || x.route.Dialect != dialects.Default || x.r.Method != http.MethodGet || !x.swap {
		return false
	}
	return x.plain == "/v1/models" && (len(x.modelRoutes()) > 1 || x.restricted())
}

// modelRoutes are the routes that requests on / are led to, each once, the one at / first.
func (x *exchange) modelRoutes() []*upstream.Route {
	list := []*upstream.Route{x.matched}
	for _, m := range x.Models {
		known := false
		for _, r := range list {
			known = known || r == m.Route
		}
		if !known {
			list = append(list, m.Route)
		}
	}
	return list
}

// listModels answers with the models of all providers that the caller may use. A provider that does not tell its own is
// left out, and only when none does the answer is an error.
func (x *exchange) listModels() error {
	routes := x.modelRoutes()
	lists, errs := make([][]modelEntry, len(routes)), make([]error, len(routes))
	var wg sync.WaitGroup
	for i, r := range routes {
		if r.Keys.Len() > 0 && !r.Keys.Serves(x.caller.level) || !x.allowsRoute(r) {
			continue
		}
		wg.Go(func() { lists[i], errs[i] = x.modelsOf(r) })
	}
	wg.Wait()
	told, entries, seen := []string{}, []json.RawMessage{}, map[string]bool{}
	for i, r := range routes {
		if errs[i] != nil || lists[i] == nil {
			continue
		}
		told = append(told, r.Name)
		for _, m := range lists[i] {
			if !seen[m.id] && x.leads(m.id) == r && x.allowsModel(m.id) {
				seen[m.id], entries = true, append(entries, m.raw)
			}
		}
	}
	if len(told) == 0 {
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return &upstream.Error{Cause: upstream.NoKey, Err: upstream.ErrNoKey, Route: x.route.Name}
	}
	body, err := json.Marshal(struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
	}{"list", entries})
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Forward-Upstream", strings.Join(told, ", "))
	h.Set(x.dialect.RequestIDHeader, x.id)
	x.status = http.StatusOK
	x.w.WriteHeader(x.status)
	if _, err := x.w.Write(body); err != nil {
		x.cause = "client_gone"
	}
	return nil
}

// modelsOf returns the models of one provider, from memory if they were asked for in the last minute.
func (x *exchange) modelsOf(r *upstream.Route) ([]modelEntry, error) {
	l := x.catalogue.list(catalogueKey{r, x.caller.level})
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.fetched)
	if l.models != nil && age < catalogueFresh {
		return l.models, nil
	}
	// Not with the client's context: others wait for the same list.
	ctx, cancel := context.WithTimeout(x.life, catalogueTimeout)
	defer cancel()
	models, err := x.fetchModels(ctx, r)
	if err != nil {
		x.Log.WarnContext(ctx, "a provider does not list its models", "route", r.Name, "error", err)
		if l.models != nil && age < catalogueStale {
			return l.models, nil
		}
		return nil, err
	}
	l.models, l.fetched = models, time.Now()
	return models, nil
}

// fetchModels asks a provider for its models. Anthropic lists its own in its own form only, 1,000 at most at a time
// (https://docs.anthropic.com/en/api/models-list).
func (x *exchange) fetchModels(ctx context.Context, r *upstream.Route) ([]modelEntry, error) {
	path, query := openAIBase(r, "/v1/models"), ""
	if r.Dialect == anthropic.Dialect {
		query = "limit=1000"
	}
	ask := (&http.Request{Method: http.MethodGet, URL: r.URL(path, query), Header: http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"forward/" + x.Version},
	}}).WithContext(ctx)
	if r.Dialect == anthropic.Dialect {
		ask.Header.Set("Anthropic-Version", "2023-06-01")
	}
	attempts := upstream.Attempts{Route: r, Level: x.caller.level, Transport: x.Transport, Swap: r.Keys.Len() > 0, Retries: x.Retries, Log: x.Log}
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

// readModels reads a list of models. OpenAI's form stays as it is; of any other an entry in that form is made. Google writes
// "models/gemini-…" here, and takes the name without that in requests.
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
