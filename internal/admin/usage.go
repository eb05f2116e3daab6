package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"forward/internal/ledger"
	"forward/internal/price"
)

func (s *server) usageRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/usage", who: both, ask: s.bounded(s.usage), needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/budgets", who: administrators, ask: s.budgets, needs: hasLedger},
	}
}

// filters are the parameters that keep only some requests.
var filters = []string{"key", "model", "route", "operation", "status", "cache", "user", "upstream", "slot", "answered", "cause", "finish", "tag", "session"}

// usagePage is a page of a report.
type usagePage struct {
	By       []ledger.Dimension `json:"by"`
	Since    *time.Time         `json:"since"`
	Until    *time.Time         `json:"until"`
	Groups   []map[string]any   `json:"groups"`
	Total    ledger.Sums        `json:"total"` // of all pages
	Previous *ledger.Sums       `json:"previous,omitempty"`
	Forecast *forecastView      `json:"forecast,omitempty"`
	Count    int                `json:"count"` // of groups on all pages
	Next     *int               `json:"next_offset"`
}

type forecastView struct {
	Month string      `json:"month"`
	Cost  price.Money `json:"cost_nano_usd"`
	SoFar price.Money `json:"so_far_nano_usd"`
}

func (s *server) usage(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, append([]string{"by", "since", "until", "limit", "offset", "unmetered", "top", "compare", "forecast", "format"}, filters...)...)
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	q, err := s.report(v, values)
	if err != nil {
		return nil, err
	}
	groups, err := s.Ledger.Report(r.Context(), q)
	if err != nil {
		return nil, err
	}
	switch values.Get("format") {
	case "":
	case "csv":
		return written("text/csv; charset=utf-8", "usage.csv", func(w io.Writer) error { return ledger.WriteCSV(w, q, groups) })
	default:
		return nil, invalid("format", "is csv")
	}
	total, err := s.Ledger.Total(r.Context(), q, groups)
	if err != nil {
		return nil, err
	}
	out := usagePage{By: append([]ledger.Dimension{}, q.By...), Since: when(q.Since), Until: when(q.Until), Groups: []map[string]any{},
		Total: total, Count: len(groups), Next: p.next(len(groups))}
	if out.Previous, err = s.previous(r.Context(), q, values.Get("compare")); err != nil {
		return nil, err
	}
	if out.Forecast, err = s.forecast(r.Context(), q, values); err != nil {
		return nil, err
	}
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

// report reads the parameters of a report. A holder's is about the requests of
// its key.
func (s *server) report(v *viewer, values url.Values) (q ledger.Query, err error) {
	if !values.Has("since") {
		values.Set("since", "30d")
	}
	if q.Since, err = s.moment(values, "since"); err != nil {
		return q, err
	}
	if q.Until, err = s.moment(values, "until"); err != nil {
		return q, err
	}
	for word := range strings.SplitSeq(values.Get("by"), ",") {
		if word == "" {
			continue
		}
		d := ledger.Dimension(word)
		if !v.isAdministrator() && slices.Contains(hidden, d) {
			return q, invalid(word, "is for the administrator only")
		}
		q.By = append(q.By, d)
	}
	if text := values.Get("top"); text != "" {
		if q.Top, err = strconv.Atoi(text); err != nil || q.Top < 1 || q.Top > maxLimit {
			return q, invalid("top", fmt.Sprintf("is not a whole number from 1 to %d", maxLimit))
		}
	}
	if q.Terms, err = terms(v, values); err != nil {
		return q, err
	}
	if q.Unmetered, err = flag(values, "unmetered"); err != nil {
		return q, err
	}
	if err := q.Check(); err != nil {
		return q, &problem{status: http.StatusBadRequest, code: "invalid_query", message: err.Error() + ".", param: "by"}
	}
	return q, nil
}

// previous returns the sums of the time of the same length before that of a
// report: as many days where it has whole days, else as many hours.
func (s *server) previous(ctx context.Context, q ledger.Query, compare string) (*ledger.Sums, error) {
	switch {
	case compare == "":
		return nil, nil
	case compare != "previous":
		return nil, invalid("compare", "is previous")
	case q.Since.IsZero():
		return nil, invalid("compare", "needs a since: there is nothing before all")
	}
	end := q.Until
	if end.IsZero() {
		end = s.Now()
	}
	before := q
	before.Until = q.Since
	before.Since = q.Since.Add(-end.Sub(q.Since))
	if days, ok := s.wholeDays(q.Since, end); ok {
		before.Since = q.Since.In(s.Location).AddDate(0, 0, -days)
	}
	before.By = nil
	groups, err := s.Ledger.Report(ctx, before)
	if err != nil {
		return nil, err
	}
	sums := ledger.SumUp(groups)
	return &sums, nil
}

// wholeDays returns how many days a time has that starts and ends with a day.
func (s *server) wholeDays(since, until time.Time) (days int, ok bool) {
	start, _, err := ledger.Daily.Window(since, s.Location)
	end, _, err2 := ledger.Daily.Window(until, s.Location)
	if err != nil || err2 != nil || !start.Equal(since) || !end.Equal(until) {
		return 0, false
	}
	return int(until.Sub(since).Round(24*time.Hour) / (24 * time.Hour)), true
}

func (s *server) forecast(ctx context.Context, q ledger.Query, values url.Values) (*forecastView, error) {
	wanted, err := flag(values, "forecast")
	if err != nil || !wanted {
		return nil, err
	}
	f, err := s.Ledger.Forecast(ctx, q.Terms, s.Now())
	return &forecastView{f.Month, f.Cost, f.SoFar}, err
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
