package forward

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
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
	path  string // on the upstream's side
}

// modelList is what one provider offers.
type modelList struct {
	mu      sync.Mutex // held while it is asked for, so that it is asked for once
	fetched time.Time
	models  []dialect.Model
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

// modelsOf returns the models of one provider, from memory if they were asked
// for in the last minute.
func (g *Gateway) modelsOf(key catalogueKey) ([]dialect.Model, error) {
	l := g.catalogue.list(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.fetched)
	if l.models != nil && age < catalogueFresh {
		return l.models, nil
	}
	// Not with the client's context: others wait for the same list.
	ctx, cancel := context.WithTimeout(g.running, catalogueTimeout)
	defer cancel()
	models, err := g.fetchModels(ctx, key)
	if err != nil {
		g.Log.WarnContext(ctx, "a provider does not list its models", "route", key.route.Name, "error", err)
		if l.models != nil && age < catalogueStale {
			return l.models, nil
		}
		return nil, err
	}
	l.models = models
	l.fetched = time.Now()
	return models, nil
}

// fetchModels asks a provider for its models, in its own protocol.
func (g *Gateway) fetchModels(ctx context.Context, key catalogueKey) ([]dialect.Model, error) {
	r := key.route
	lists := r.Dialect.Provider.Lists
	h := http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"forward/" + g.Version}}
	maps.Copy(h, lists.Header)
	ask := (&http.Request{Method: http.MethodGet, URL: r.URL(key.path, lists.Query), Header: h}).WithContext(ctx)
	attempts := upstream.Attempts{Route: r, Level: key.level, Transport: g.Transport, Swap: r.Keys.Len() > 0, Own: true, Retries: g.Retries, Log: g.Log}
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
	return lists.Read(body, r.Name), nil
}
