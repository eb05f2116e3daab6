package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"forward/internal/keys"
	"forward/internal/ledger"
)

func (s *server) keyRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/keys", who: administrators, ask: s.listKeys},
		{method: http.MethodGet, pattern: "/_/api/keys/{key}", who: administrators, ask: s.showKey},
	}
}

// keyView is a keys.View whose times are null where there are none: the API
// promises each of its fields.
type keyView struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	State   string      `json:"state"`
	Origin  string      `json:"origin"`
	Level   int         `json:"level"`
	Expires *time.Time  `json:"expires"`
	Grace   *time.Time  `json:"grace"`
	Created *time.Time  `json:"created"`
	Updated *time.Time  `json:"updated"`
	Policy  keys.Policy `json:"policy"`
}

func keyViewOf(v keys.View) keyView {
	return keyView{ID: v.ID, Name: v.Name, State: v.State, Origin: v.Origin, Level: v.Level, Expires: v.Expires, Grace: v.Grace, Created: v.Created, Updated: v.Updated, Policy: v.Policy}
}

// keyDetail is a key with the state of its budgets.
type keyDetail struct {
	keyView
	Budgets []budgetView `json:"budgets"`
	Used    usedView     `json:"used"`
}

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

func (s *server) now() time.Time { return s.Now().In(s.Location) }

func (s *server) views(ctx context.Context) ([]keyView, error) {
	views := []keyView{}
	for _, v := range s.Declared.Views(s.now()) {
		views = append(views, keyViewOf(v))
	}
	if s.Keys == nil {
		return views, nil
	}
	managed, err := s.Keys.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range managed {
		views = append(views, keyViewOf(m.View(s.now())))
	}
	return views, nil
}

func (s *server) listKeys(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, "state", "limit", "offset")
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	state := values.Get("state")
	if states := []string{"", "active", "disabled", "expired", "revoked"}; !slices.Contains(states, state) {
		return nil, invalid("state", "is none of active, disabled, expired, revoked")
	}
	views, err := s.views(r.Context())
	if err != nil {
		return nil, err
	}
	if state != "" {
		views = slices.DeleteFunc(views, func(v keyView) bool { return v.State != state })
	}
	return struct {
		Keys  []keyView `json:"keys"`
		Count int       `json:"count"`
		Next  *int      `json:"next_offset"`
	}{of(p, views), len(views), p.next(len(views))}, nil
}

func (s *server) showKey(r *http.Request, _ *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	ref := r.PathValue("key")
	if v, ok := s.Declared.Find(ref, s.now()); ok {
		return s.detail(r.Context(), keyViewOf(v))
	}
	if s.Keys == nil {
		return nil, noSuchKey
	}
	m, err := s.Keys.Find(r.Context(), ref)
	if errors.Is(err, keys.ErrNoSuchKey) {
		return nil, noSuchKey
	}
	if err != nil {
		return nil, err
	}
	return s.detail(r.Context(), keyViewOf(m.View(s.now())))
}

var noSuchKey = &problem{status: http.StatusNotFound, code: "key_not_found", message: "There is no key of this id or name.", param: "key"}

func (s *server) detail(ctx context.Context, v keyView) (any, error) {
	balances, err := s.balances(ctx, v.ID, v.Policy)
	if err != nil {
		return nil, err
	}
	used, err := s.used(ctx, v.ID)
	if err != nil {
		return nil, err
	}
	return keyDetail{v, s.standing(v.Policy, balances), used}, nil
}

// balances returns the state of a key's budgets, and of those of its tags, in
// their order.
func (s *server) balances(ctx context.Context, id string, p keys.Policy) ([]ledger.Balance, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	budgets := s.Ledger.Budgets(&p, s.Location)
	for _, b := range s.ofTags(p) {
		budgets = append(budgets, ledger.TagBudgets([]ledger.TagBudget{b}, s.Location)[b.Tag]...)
	}
	return s.Ledger.Balances(ctx, id, budgets)
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

func (s *server) used(ctx context.Context, id string) (used usedView, err error) {
	if s.Ledger == nil {
		return used, nil
	}
	now := s.now()
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, s.Location)
	groups, err := s.since(ctx, id, today)
	if err != nil {
		return used, err
	}
	used.Day = ledger.SumUp(groups)
	groups, err = s.since(ctx, id, today.AddDate(0, 0, 1-today.Day()))
	used.Month = ledger.SumUp(groups)
	return used, err
}

func (s *server) since(ctx context.Context, id string, start time.Time) ([]ledger.Group, error) {
	return s.Ledger.Report(ctx, ledger.Query{By: []ledger.Dimension{ledger.ByDay}, Since: start, Filter: map[ledger.Dimension]string{ledger.ByKey: id}})
}
