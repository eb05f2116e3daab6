package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"forward/internal/ledger"
)

func (s *server) usageRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/usage", who: both, ask: s.usage, needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/budgets", who: administrators, ask: s.budgets, needs: hasLedger},
	}
}

// filters are the parameters that keep only some requests.
var filters = []string{"key", "model", "route", "operation", "status", "cache", "user", "upstream", "slot", "answered", "cause", "finish", "tag", "session"}

// usagePage is a page of a report.
type usagePage struct {
	By     []ledger.Dimension `json:"by"`
	Since  *time.Time         `json:"since"`
	Until  *time.Time         `json:"until"`
	Groups []map[string]any   `json:"groups"`
	Total  ledger.Sums        `json:"total"` // of all pages
	Count  int                `json:"count"` // of groups on all pages
	Next   *int               `json:"next_offset"`
}

func (s *server) usage(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, append([]string{"by", "since", "until", "limit", "offset", "unmetered"}, filters...)...)
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	q := ledger.Query{Filter: map[ledger.Dimension]string{}}
	if !values.Has("since") {
		values.Set("since", "30d")
	}
	if q.Since, err = s.moment(values, "since"); err != nil {
		return nil, err
	}
	if q.Until, err = s.moment(values, "until"); err != nil {
		return nil, err
	}
	for word := range strings.SplitSeq(values.Get("by"), ",") {
		if word != "" {
			q.By = append(q.By, ledger.Dimension(word))
		}
	}
	for _, name := range filters {
		if values.Has(name) {
			q.Filter[ledger.Dimension(name)] = values.Get(name)
		}
	}
	if err := own(v, &q); err != nil {
		return nil, err
	}
	switch values.Get("unmetered") {
	case "", "false":
	case "true":
		q.Unmetered = true
	default:
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", message: "unmetered is true or false.", param: "unmetered"}
	}
	if err := q.Check(); err != nil {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", message: err.Error() + ".", param: "by"}
	}
	groups, err := s.Ledger.Report(r.Context(), q)
	if err != nil {
		return nil, err
	}
	total, err := s.Ledger.Total(r.Context(), q, groups)
	if err != nil {
		return nil, err
	}
	out := usagePage{By: append([]ledger.Dimension{}, q.By...), Since: when(q.Since), Until: when(q.Until), Groups: []map[string]any{},
		Total: total, Count: len(groups), Next: p.next(len(groups))}
	for _, g := range of(p, groups) {
		named, err := flat(g.Sums)
		if err != nil {
			return nil, err
		}
		for i, d := range q.By {
			named[string(d)] = g.Values[i]
			if d == ledger.ByKey {
				named["key_name"] = g.KeyName
			}
		}
		out.Groups = append(out.Groups, named)
	}
	return out, nil
}

// own restricts a holder's query to the requests of its key. Which API key and
// which base URL answered is the administrator's.
func own(v *viewer, q *ledger.Query) error {
	if v.isAdministrator() {
		return nil
	}
	for _, hidden := range []ledger.Dimension{ledger.ByUpstream, ledger.BySlot} {
		if _, ok := q.Filter[hidden]; ok || slices.Contains(q.By, hidden) {
			return invalid(string(hidden), "is for the administrator only")
		}
	}
	if key, ok := q.Filter[ledger.ByKey]; ok && key != v.key.ID() && key != v.key.Name {
		return noSuchKey
	}
	q.Filter[ledger.ByKey] = v.key.ID()
	return nil
}

// flat returns sums by their names, for a group has the names of what it is
// grouped by beside them, as `forward usage -o json` writes it.
func flat(s ledger.Sums) (map[string]any, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	numbers := map[string]json.Number{} // as they are: a float holds no nano-dollars
	if err := json.Unmarshal(text, &numbers); err != nil {
		return nil, err
	}
	named := map[string]any{}
	for name, n := range numbers {
		named[name] = n
	}
	return named, nil
}

// when returns t, or nil for the zero time.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
