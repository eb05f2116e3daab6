package admin

import (
	"errors"
	"net/http"
	"net/url"

	"forward/internal/audit"
	"forward/internal/ledger"
	"forward/internal/price"
)

// priceView is a price and why it applies.
type priceView struct {
	Price price.List `json:"price"`
	Why   string     `json:"why"`
}

func (s *server) prices(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, "provider")
	if err != nil {
		return nil, err
	}
	model := r.PathValue("model")
	found := s.Gateway.Prices.Lookup(values.Get("provider"), model)
	if len(found) == 0 {
		return nil, &problem{status: http.StatusNotFound, code: "no_price", message: price.Unpriced(model), param: "model"}
	}
	answer := struct {
		Model  string      `json:"model"`
		Prices []priceView `json:"prices"`
	}{Model: model}
	for _, m := range found {
		answer.Prices = append(answer.Prices, priceView(m))
	}
	return answer, nil
}

// repriced is what today's prices change in the ledger.
type repriced struct {
	DryRun         bool              `json:"dry_run"`
	Rows           int64             `json:"rows"`
	Priced         int64             `json:"priced"` // rows that have another cost now
	Before         price.Money       `json:"before_nano_usd"`
	After          price.Money       `json:"after_nano_usd"`
	UnpricedBefore int64             `json:"unpriced_before"`
	UnpricedAfter  int64             `json:"unpriced_after"`
	Models         []ledger.Repriced `json:"models"`
}

// reprice calculates again what requests cost. It changes the ledger only where
// dry_run is false.
func (s *server) reprice(r *http.Request, v *viewer) (any, error) {
	asked := struct {
		Since  string `json:"since"`
		Until  string `json:"until"`
		Model  string `json:"model"`
		DryRun *bool  `json:"dry_run"`
	}{}
	if err := decode(r, &asked); err != nil {
		return nil, err
	}
	if asked.Since == "" {
		return nil, invalid("since", "is missing: write an age such as 30d, a day, a time, or all")
	}
	if s.Gateway.Prices == nil {
		return nil, has(false)(s)
	}
	p := ledger.Reprice{Prices: s.Gateway.Prices, Model: asked.Model, DryRun: asked.DryRun == nil || *asked.DryRun}
	times := url.Values{"since": {asked.Since}, "until": {asked.Until}}
	var err error
	if p.Since, err = s.moment(times, "since"); err != nil {
		return nil, err
	}
	if p.Until, err = s.moment(times, "until"); err != nil {
		return nil, err
	}
	models, err := s.Ledger.Reprice(r.Context(), p)
	if errors.Is(err, ledger.ErrRepricing) {
		return nil, &problem{status: http.StatusConflict, code: "already_running", message: "The ledger is being priced again. Wait until that has ended."}
	}
	if err != nil {
		return nil, err
	}
	total := ledger.SumRepriced(models)
	answer := repriced{DryRun: p.DryRun, Rows: total.Requests, Priced: total.Changed, Before: total.Before, After: total.After,
		UnpricedBefore: total.UnpricedBefore, UnpricedAfter: total.UnpricedAfter, Models: append([]ledger.Repriced{}, models...)}
	if !p.DryRun {
		s.record(r, v, audit.Entry{Action: "usage.reprice", Object: asked.Since, Before: total.Before, After: total.After})
	}
	return answer, nil
}
