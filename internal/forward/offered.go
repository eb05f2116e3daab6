package forward

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"forward/internal/dialect"
	"forward/internal/glob"
	"forward/internal/keys"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// offerPatience bounds the wait for providers that do not list their models at
// once. Their lists are there the next time.
const offerPatience = 3 * time.Second

// Offer is a model as a caller may use it.
type Offer struct {
	Model     string
	Routes    []string    // prefixes of the routes that have it, in their order
	Price     *price.List // on the first of these routes; nil: it has none
	Limits    queue.Model // of its queue there; zero: it has none
	Aliases   []string    // by which the caller may call it
	Fallbacks []string    // which models are asked instead
}

// Offered returns the models that a key may use, sorted: those that the
// providers list. A nil key may use all.
func (g *Gateway) Offered(ctx context.Context, k *keys.Key) []Offer {
	who := caller{policy: &unrestricted}
	if k != nil {
		who.know(k)
	}
	lists := g.listsOf(ctx, &who)
	byName := map[string]*Offer{}
	for i, r := range g.Routes.Routes() {
		for _, m := range lists[i] {
			if !g.allowsModel(&who, m.ID) {
				continue
			}
			if byName[m.ID] == nil {
				byName[m.ID] = g.offer(&who, r, m.ID)
			}
			byName[m.ID].Routes = append(byName[m.ID].Routes, r.Prefix)
		}
	}
	var offers []Offer
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		o := byName[name]
		o.Routes = slices.Compact(o.Routes)
		offers = append(offers, *o)
	}
	return offers
}

// listsOf returns the models of each route that a caller may use, of those that
// answer in time.
func (g *Gateway) listsOf(ctx context.Context, who *caller) [][]dialect.Model {
	routes := g.Routes.Routes()
	type listed struct {
		at     int
		models []dialect.Model
	}
	answers := make(chan listed, len(routes)) // each has space, so none waits for a caller that has left
	asked := 0
	for i, r := range routes {
		lists := r.Dialect.Provider.Lists
		if lists == nil || r.Client || !r.Open && !r.Keys.Serves(who.level) || who.checkRoute(r) != nil {
			continue
		}
		asked++
		go func() {
			models, err := g.modelsOf(catalogueKey{r, who.level, lists.Path})
			if err != nil {
				models = nil // it is in the log
			}
			answers <- listed{i, models}
		}()
	}
	models := make([][]dialect.Model, len(routes))
	late := time.NewTimer(offerPatience)
	defer late.Stop()
	for range asked {
		select {
		case l := <-answers:
			models[l.at] = l.models
		case <-late.C:
			return models
		case <-ctx.Done():
			return models
		}
	}
	return models
}

// offer returns what is known of a model of a route.
func (g *Gateway) offer(who *caller, r *upstream.Route, model string) *Offer {
	o := &Offer{Model: model}
	if g.Prices != nil {
		list, _, ok := g.Prices.Price(g.provider(r), model)
		if ok {
			o.Price = &list
		}
	}
	if g.Scheduler != nil {
		o.Limits = g.Scheduler.Limits(r.Name, model)
	}
	all := maps.Clone(g.Aliases)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, who.policy.Aliases)
	for _, alias := range slices.Sorted(maps.Keys(all)) {
		if all[alias] == model {
			o.Aliases = append(o.Aliases, alias)
		}
	}
	for _, f := range g.Fallbacks {
		if glob.Match(f.Models, model) {
			o.Fallbacks = f.Instead
			break
		}
	}
	return o
}

// PriceDate returns the day of a price's source, "" for one of forward.yaml.
func (g *Gateway) PriceDate(list *price.List) string {
	if list.Source == "forward.yaml" {
		return ""
	}
	for _, s := range g.Prices.Sources() {
		if s.Name == list.Source {
			return cmp.Or(s.Date, g.Prices.Date())
		}
	}
	return g.Prices.Date()
}
