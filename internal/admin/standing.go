package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"forward/internal/keys"
	"forward/internal/ledger"
)

// budgetView is the state of a budget, in nano-dollars or tokens.
type budgetView struct {
	Tag    string     `json:"tag"`    // whose budget it is; empty: the key's own
	Budget string     `json:"budget"` // as `forward keys` reads it
	Unit   string     `json:"unit"`   // usd or tokens
	Limit  int64      `json:"limit"`
	Spent  int64      `json:"spent"`
	Held   int64      `json:"held"` // reserved for calls under way
	Left   int64      `json:"left"`
	Reset  *time.Time `json:"reset"` // null: never
}

// usedView is what a key used in the calendar's day and month of now.
type usedView struct {
	Day   ledger.Sums `json:"day"`
	Month ledger.Sums `json:"month"`
}

// balances returns the state of the budgets of keys, and of those of their
// tags, in their order. policies has the keys by id.
func (s *server) balances(ctx context.Context, policies map[string]*keys.Policy) (map[string][]ledger.Balance, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	own := make(map[string][]ledger.Budget, len(policies))
	for id, p := range policies {
		own[id] = s.Ledger.Budgets(p, s.Location)
	}
	all, err := s.Ledger.BalancesOf(ctx, own)
	if err != nil {
		return nil, err
	}
	ofTags := map[ledger.TagBudget][]ledger.Balance{} // many keys share them
	for id, p := range policies {
		for _, b := range s.ofTags(*p) {
			balances, known := ofTags[b]
			if !known {
				balances, err = s.Ledger.Balances(ctx, "", ledger.TagBudgets([]ledger.TagBudget{b}, s.Location)[b.Tag])
				if err != nil {
					return nil, err
				}
				ofTags[b] = balances
			}
			all[id] = append(all[id], balances...)
		}
	}
	return all, nil
}

// balancesOf returns the same of one key.
func (s *server) balancesOf(ctx context.Context, k *keys.Key) ([]ledger.Balance, error) {
	id := k.ID()
	all, err := s.balances(ctx, map[string]*keys.Policy{id: &k.Policy})
	return all[id], err
}

// ofTags returns the budgets of a key's tags.
func (s *server) ofTags(p keys.Policy) (list []ledger.TagBudget) {
	for _, b := range s.TagBudgets {
		if slices.Contains(p.Tags, b.Tag) {
			list = append(list, b)
		}
	}
	return list
}

// standing shows what balances returned.
func (s *server) standing(p keys.Policy, balances []ledger.Balance) []budgetView {
	var texts []string
	for _, b := range p.Budgets {
		texts = append(texts, b.String())
	}
	for _, b := range s.ofTags(p) {
		texts = append(texts, b.Limit.String())
	}
	views := []budgetView{}
	for i, b := range balances {
		views = append(views, viewOf(texts[i], b))
	}
	return views
}

func viewOf(text string, b ledger.Balance) budgetView {
	return budgetView{Tag: b.Budget.Tag, Budget: text, Unit: string(b.Budget.Unit), Limit: b.Budget.Amount, Spent: b.Spent, Held: b.Held,
		Left: left(b), Reset: when(b.Reset)}
}

// budgets shows the budgets of all tags, also of those that no key has and
// requests bring.
func (s *server) budgets(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	views := []budgetView{}
	for _, b := range s.TagBudgets {
		balances, err := s.Ledger.Balances(r.Context(), "", ledger.TagBudgets([]ledger.TagBudget{b}, s.Location)[b.Tag])
		if err != nil {
			return nil, err
		}
		views = append(views, viewOf(b.Limit.String(), balances[0]))
	}
	return struct {
		Budgets []budgetView `json:"budgets"`
	}{views}, nil
}

func left(b ledger.Balance) int64 { return max(0, b.Budget.Amount-b.Spent-b.Held) }

// used returns what keys used, by their ids; only one of them unless it is "".
func (s *server) used(ctx context.Context, only string) (map[string]usedView, error) {
	used := map[string]usedView{}
	if s.Ledger == nil {
		return used, nil
	}
	now := s.now()
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, s.Location)
	q := ledger.Query{By: []ledger.Dimension{ledger.ByKey}, Since: today.AddDate(0, 0, 1-today.Day())}
	if only != "" {
		q.Filter = map[ledger.Dimension]string{ledger.ByKey: only}
	}
	month, err := s.Ledger.Report(ctx, q)
	if err != nil {
		return nil, err
	}
	q.Since = today
	day, err := s.Ledger.Report(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, g := range month {
		used[g.Values[0]] = usedView{Month: g.Sums}
	}
	for _, g := range day {
		u := used[g.Values[0]]
		u.Day = g.Sums
		used[g.Values[0]] = u
	}
	return used, nil
}
