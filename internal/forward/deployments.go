package forward

import (
	"sync"

	"forward/internal/bounded"
	"forward/internal/ledger"
	"forward/internal/price"
	"forward/internal/upstream"
)

// maxDeployments bounds the names that are remembered.
const maxDeployments = 4096

// deployments remembers which model answers to a name that the price table does
// not have, such as a deployment of Azure's or an alias of a router. So a
// budget can hold for it once it was answered. The zero value is ready, and
// safe for concurrent use.
type deployments struct {
	mu     sync.Mutex // guards models
	models bounded.Map[string]
}

// learn takes in a row that was answered.
func (d *deployments) learn(prices *price.Table, r *ledger.Row) {
	if r.Answered == "" || r.Answered == r.Model || r.Model == "" || r.Status >= 300 || r.Cache == "hit" {
		return
	}
	_, _, known := prices.Price(r.Upstream, r.Model)
	_, _, priced := prices.Price(r.Upstream, r.Answered)
	if known || !priced {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.models.Put(r.Route+"\x00"+r.Model, r.Answered, maxDeployments, func(string) float64 { return 0 })
}

// model returns the model that answers to a name on a route, "" where that is
// not known.
func (d *deployments) model(route, name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.models.Entries[route+"\x00"+name]
}

// answering returns the model that is known to answer to a name without a price
// of its own, else "".
func (g *Gateway) answering(r *upstream.Route, model string) string {
	if _, _, known := g.Prices.Price(g.provider(r), model); known {
		return ""
	}
	return g.deployments.model(r.Name, model)
}

// priceOf returns the price list by which a model is reserved.
func (g *Gateway) priceOf(r *upstream.Route, model string) price.List {
	if g.Prices == nil {
		return price.List{}
	}
	list, _, _ := g.Prices.Answered(g.provider(r), model, g.answering(r, model))
	return list
}
