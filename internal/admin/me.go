package admin

import (
	"context"
	"net/http"
	"time"

	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
)

func (s *server) meRoutes() []route {
	list := []route{{method: http.MethodGet, pattern: "/_/api/me", who: holders, ask: s.me, inQuery: true}}
	for _, prefix := range []string{"", "/v1"} {
		list = append(list,
			route{method: http.MethodGet, pattern: prefix + "/dashboard/billing/subscription", who: holders, ask: s.subscription, inQuery: true, program: true, needs: hasLedger},
			route{method: http.MethodGet, pattern: prefix + "/dashboard/billing/usage", who: holders, ask: s.billed, inQuery: true, program: true, needs: hasLedger})
	}
	return list
}

// limitsView is the part of a policy that concerns the key's holder; tags,
// priority and what the chat log keeps are the administrator's.
type limitsView struct {
	Models   []string `json:"models"` // globs; empty: all of its level
	Routes   []string `json:"routes"`
	RPM      int64    `json:"rpm"` // 0: no limit, as in the next two
	TPM      int64    `json:"tpm"`
	Parallel int      `json:"parallel"`
}

type meView struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Level     int          `json:"level"`
	Expires   *time.Time   `json:"expires"`
	Limits    limitsView   `json:"limits"`
	Budgets   []budgetView `json:"budgets"`
	Used      usedView     `json:"used"`
	BaseURL   string       `json:"base_url"` // at which the caller has reached the gateway
	MayRotate bool         `json:"may_rotate"`
}

func (s *server) me(r *http.Request, v *viewer) (any, error) {
	k := v.key
	balances, err := s.balancesOf(r.Context(), k)
	if err != nil {
		return nil, err
	}
	used, err := s.used(r.Context(), k.ID())
	if err != nil {
		return nil, err
	}
	p := k.Policy
	return meView{
		ID: k.ID(), Name: k.Name, Level: k.Level, Expires: when(k.Expires), Budgets: s.standing(p, balances), Used: used[k.ID()],
		Limits:  limitsView{append([]string{}, p.Models...), append([]string{}, p.Routes...), p.RPM, p.TPM, p.Parallel},
		BaseURL: s.baseURL(r), MayRotate: s.Features.RotateOwn && k.PublicID != "",
	}, nil
}

// baseURL is the address at which a caller has reached the gateway.
func (s *server) baseURL(r *http.Request) string { return s.Origin(r) + s.Browser.Prefix(r) }

// unlimited is the limit in answers about a key without a budget in dollars.
// Clients want a number, and take one this large for no limit.
const unlimited = 100_000_000

// subscription answers as OpenAI's old billing endpoint, as far as clients read
// it. They show what was used this month against hard_limit_usd and know no
// other period. So it is what was used this month and what the tightest budget
// has left: the difference is what the key can still spend, whatever the period
// of its budgets. For a budget by month it is the budget.
func (s *server) subscription(r *http.Request, v *viewer) (any, error) {
	k := v.key
	limit, err := s.hardLimit(r.Context(), k)
	if err != nil {
		return nil, err
	}
	var until int64
	if !k.Expires.IsZero() {
		until = k.Expires.Unix()
	}
	return struct {
		Object       string  `json:"object"`
		HasPayment   bool    `json:"has_payment_method"`
		SoftLimit    float64 `json:"soft_limit_usd"`
		HardLimit    float64 `json:"hard_limit_usd"`
		SystemLimit  float64 `json:"system_hard_limit_usd"`
		AccessUntil  int64   `json:"access_until"`
		AccountLabel string  `json:"account_name"`
	}{"billing_subscription", true, limit, limit, limit, until, k.Name}, nil
}

func (s *server) hardLimit(ctx context.Context, k *keys.Key) (dollars float64, err error) {
	balances, err := s.balancesOf(ctx, k)
	if err != nil {
		return 0, err
	}
	tightest := int64(-1)
	for _, b := range balances {
		if b.Budget.Unit == ledger.USD && (tightest < 0 || left(b) < tightest) {
			tightest = left(b)
		}
	}
	if tightest < 0 {
		return unlimited, nil
	}
	used, err := s.used(ctx, k.ID())
	return (used[k.ID()].Month.Cost + price.Money(tightest)).Dollars(), err
}

type dailyCost struct {
	Timestamp int64      `json:"timestamp"` // the day's start, in Unix seconds
	Items     []costItem `json:"line_items"`
}

type costItem struct {
	Name string  `json:"name"` // the model
	Cost float64 `json:"cost"` // cents
}

// billed answers as OpenAI's old endpoint of usage: cents from start_date until
// end_date, which is not part of the period any more, and this month when they
// are missing.
func (s *server) billed(r *http.Request, v *viewer) (any, error) {
	k := v.key
	values := r.URL.Query() // clients send more than this, such as normalized_usage
	now := s.now()
	q := ledger.Query{
		By: []ledger.Dimension{ledger.ByDay, ledger.ByModel}, Filter: map[ledger.Dimension]string{ledger.ByKey: k.ID()},
		Since: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, s.Location),
	}
	for name, at := range map[string]*time.Time{"start_date": &q.Since, "end_date": &q.Until} {
		if text := values.Get(name); text != "" {
			day, err := time.ParseInLocation(time.DateOnly, text, s.Location)
			if err != nil {
				return nil, invalid(name, "is no day such as 2026-11-01")
			}
			*at = day
		}
	}
	groups, err := s.Ledger.Report(r.Context(), q)
	if err != nil {
		return nil, err
	}
	days := []dailyCost{}
	for _, g := range groups {
		day, err := time.ParseInLocation(time.DateOnly, g.Values[0], s.Location)
		if err != nil {
			return nil, err
		}
		if len(days) == 0 || days[len(days)-1].Timestamp != day.Unix() {
			days = append(days, dailyCost{Timestamp: day.Unix()})
		}
		last := &days[len(days)-1]
		last.Items = append(last.Items, costItem{g.Values[1], cents(g.Cost)})
	}
	return struct {
		Object string      `json:"object"`
		Total  float64     `json:"total_usage"` // cents
		Daily  []dailyCost `json:"daily_costs"`
	}{"list", cents(ledger.SumUp(groups).Cost), days}, nil
}

func cents(n price.Money) float64 { return float64(n) / 1e7 }
