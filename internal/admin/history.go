package admin

import (
	"net/http"
	"time"

	"forward/internal/keys"
)

// historyLife is how far back the quarters of an hour of a ledger reach.
const historyLife = 400 * 24 * time.Hour

// pastView is a period, and when a limit would have stopped the key in it.
type pastView struct {
	Start   time.Time  `json:"start"`
	End     time.Time  `json:"end"`
	Spent   int64      `json:"spent"`
	Limit   int64      `json:"limit"`
	Stopped *time.Time `json:"stopped"` // the quarter of an hour; null: not at all
}

// budgetHistory answers when a limit would have stopped a key. It changes
// nothing; the limit need not be one of the key's.
func (s *server) budgetHistory(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, "limit", "since")
	if err != nil {
		return nil, err
	}
	id, err := s.visibleKey(r, v)
	if err != nil {
		return nil, err
	}
	budget, err := keys.ParseBudget(values.Get("limit"))
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", message: err.Error(), param: "limit"}
	}
	if !values.Has("since") {
		values.Set("since", "90d")
	}
	since, err := s.moment(values, "since")
	if err != nil {
		return nil, err
	}
	now := s.now()
	if since.Before(now.Add(-historyLife)) || since.After(now) {
		return nil, invalid("since", "is more than 400 days ago, or not yet")
	}
	list, err := s.Ledger.History(r.Context(), id, s.Ledger.Budgets(&keys.Policy{Budgets: []keys.Budget{budget}}, s.Location)[0], since)
	if err != nil {
		return nil, err
	}
	periods := []pastView{}
	for _, p := range list {
		periods = append(periods, pastView{p.Start, p.End, p.Spent, budget.Amount, when(p.Stopped)})
	}
	return struct {
		Budget  string     `json:"budget"`
		Unit    string     `json:"unit"`
		Periods []pastView `json:"periods"`
	}{budget.String(), budget.Unit, periods}, nil
}

// visibleKey returns the id of the key that a path names, if the viewer may see
// it: a holder sees its own.
func (s *server) visibleKey(r *http.Request, v *viewer) (string, error) {
	ref := r.PathValue("key")
	if v.key != nil {
		if !v.owns(ref) {
			return "", noSuchKey
		}
		return v.key.ID(), nil
	}
	found, err := s.editor().Find(r.Context(), ref)
	if err != nil {
		return "", keyProblem(err)
	}
	return found.ID, nil
}
