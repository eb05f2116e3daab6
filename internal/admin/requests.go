package admin

import (
	"bytes"
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

func (s *server) requestRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/requests", who: both, ask: s.bounded(s.listRequests), needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/requests/histogram", who: both, ask: s.bounded(s.histogram), needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/requests/{id}", who: both, ask: s.bounded(s.showRequest), needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/requests/{id}/content", who: both, ask: s.bounded(s.content), needs: hasLedger},
		{method: http.MethodGet, pattern: "/_/api/latency", who: both, ask: s.bounded(s.latency), needs: hasLedger},
	}
}

const (
	requestsSince  = 24 * time.Hour      // where none is given
	requestsWindow = 92 * 24 * time.Hour // at most
	exportedRows   = 10_000              // of one CSV or JSONL
)

// selection are the parameters that choose single requests.
var selection = append([]string{"since", "until", "min_ms", "min_cost", "id", "unpriced", "unmetered"}, filters...)

// requestPage is a page of requests.
type requestPage struct {
	Requests  []ledger.Row `json:"requests"`
	Next      *string      `json:"next_before"`
	ScannedTo *time.Time   `json:"scanned_to"`
}

func (s *server) listRequests(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, append([]string{"before", "limit", "format"}, selection...)...)
	if err != nil {
		return nil, err
	}
	q := ledger.PageQuery{Limit: 100}
	if q.Selection, err = s.selected(v, values); err != nil {
		return nil, err
	}
	if text := values.Get("before"); text != "" {
		if q.Before, err = strconv.ParseInt(text, 10, 64); err != nil || q.Before <= 0 {
			return nil, invalid("before", "is no next_before of a page")
		}
	}
	format, most := values.Get("format"), maxLimit
	if format != "" {
		most, q.Limit = exportedRows, exportedRows
		q.MaxRows, q.MaxTime = 1<<30, reportPatience
	}
	if values.Has("limit") {
		if q.Limit, err = strconv.Atoi(values.Get("limit")); err != nil || q.Limit < 1 || q.Limit > most {
			return nil, invalid("limit", fmt.Sprintf("is not a whole number from 1 to %d", most))
		}
	}
	p, err := s.Ledger.Page(r.Context(), q)
	if err != nil {
		return nil, err
	}
	for i := range p.Rows {
		p.Rows[i].Trail = nil
		p.Rows[i].Usage.Raw = nil
		hide(v, &p.Rows[i])
	}
	switch format {
	case "":
	case "csv":
		return written("text/csv; charset=utf-8", "requests.csv", func(w io.Writer) error { return ledger.WriteRows(w, p.Rows) })
	case "jsonl":
		return written("application/jsonl", "requests.jsonl", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			for _, row := range p.Rows {
				if err := encoder.Encode(row); err != nil {
					return err
				}
			}
			return nil
		})
	default:
		return nil, invalid("format", "is csv or jsonl")
	}
	out := requestPage{Requests: append([]ledger.Row{}, p.Rows...), ScannedTo: when(p.Scanned)}
	if p.Next > 0 {
		next := strconv.FormatInt(p.Next, 10)
		out.Next = &next
	}
	return out, nil
}

// written is a file that is written whole while its question is asked.
func written(contentType, name string, write func(io.Writer) error) (any, error) {
	var body bytes.Buffer
	if err := write(&body); err != nil {
		return nil, err
	}
	file := document{contentType, func(w io.Writer) error { _, err := w.Write(body.Bytes()); return err }}
	return reply{http.StatusOK, http.Header{"Content-Disposition": {`attachment; filename="` + name + `"`}}, file}, nil
}

// selected reads the parameters that choose single requests.
func (s *server) selected(v *viewer, values url.Values) (q ledger.Selection, err error) {
	if q.Since, err = s.moment(values, "since"); err != nil {
		return q, err
	}
	if q.Until, err = s.moment(values, "until"); err != nil {
		return q, err
	}
	q.ID = values.Get("id")
	now := s.Now()
	end := q.Until
	if end.IsZero() {
		end = now
	}
	switch {
	case !values.Has("since") && q.ID != "":
		q.Since = end.Add(-requestsWindow)
	case !values.Has("since"):
		q.Since = end.Add(-requestsSince)
	case end.Sub(q.Since) > requestsWindow:
		return q, invalid("since", "is more than 92 days before the end; ask for the time in parts")
	case !q.Since.Before(end):
		return q, invalid("since", "is not before the end")
	}
	if q.Terms, err = terms(v, values); err != nil {
		return q, err
	}
	if text := values.Get("min_ms"); text != "" {
		ms, err := strconv.ParseFloat(text, 64)
		if err != nil || !(ms >= 0 && ms < 1e12) {
			return q, invalid("min_ms", "is no number of milliseconds")
		}
		q.MinTotal = time.Duration(ms * float64(time.Millisecond))
	}
	if text := values.Get("min_cost"); text != "" {
		nano, err := strconv.ParseInt(text, 10, 64)
		if err != nil || nano < 0 {
			return q, invalid("min_cost", "is no whole number of nano-dollars")
		}
		q.MinCost = price.Money(nano)
	}
	if q.Unpriced, err = flag(values, "unpriced"); err != nil {
		return q, err
	}
	q.Unmetered, err = flag(values, "unmetered")
	return q, err
}

// flag reads a parameter that is true or false.
func flag(values url.Values, name string) (bool, error) {
	switch values.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, invalid(name, "is true or false")
}

// terms reads the filters. A value after ! excludes. A holder's are about the
// requests of its key; which API key and which base URL answered is the
// administrator's.
func terms(v *viewer, values url.Values) (list []ledger.Term, err error) {
	for _, name := range filters {
		if !values.Has(name) {
			continue
		}
		value, not := strings.CutPrefix(values.Get(name), "!")
		t := ledger.Term{Dimension: ledger.Dimension(name), Value: value, Not: not}
		if !v.isAdministrator() {
			switch {
			case slices.Contains(hidden, t.Dimension):
				return nil, invalid(name, "is for the administrator only")
			case t.Dimension == ledger.ByKey && value != v.key.ID() && value != v.key.Name:
				return nil, noSuchKey
			}
		}
		list = append(list, t)
	}
	if !v.isAdministrator() {
		list = append(list, ledger.Term{Dimension: ledger.ByKey, Value: v.key.ID()})
	}
	return list, nil
}

// hidden are the dimensions that only the administrator sees.
var hidden = []ledger.Dimension{ledger.ByUpstream, ledger.BySlot}

// hide takes out of a row what a holder does not see: which API key and which
// base URL answered, and the prices of the settings.
func hide(v *viewer, r *ledger.Row) {
	if v.isAdministrator() {
		return
	}
	r.Slot = ""
	r.Upstream = ""
	override := isOverride(r.Price)
	if override {
		r.Price = ""
	}
	r.Trail = slices.DeleteFunc(slices.Clone(r.Trail), func(s ledger.Step) bool {
		return slices.Contains([]string{"base url", "attempts", "made", "fetched"}, s.Name) || (override && s.Name == "price")
	})
}

// isOverride reports whether a price is one of the settings.
func isOverride(text string) bool { return strings.HasPrefix(text, "forward.yaml") }

type bucketView struct {
	Time     time.Time   `json:"time"`
	Requests int64       `json:"requests"`
	Errors   int64       `json:"errors"`
	Cost     price.Money `json:"cost_nano_usd"`
}

type histogramView struct {
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	Seconds int64        `json:"seconds"`
	Buckets []bucketView `json:"buckets"`
}

func (s *server) histogram(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, append([]string{"buckets"}, selection...)...)
	if err != nil {
		return nil, err
	}
	q, err := s.selected(v, values)
	if err != nil {
		return nil, err
	}
	if q.Until.IsZero() {
		q.Until = s.Now().Add(time.Millisecond)
	}
	buckets := 60
	if text := values.Get("buckets"); text != "" {
		if buckets, err = strconv.Atoi(text); err != nil || buckets < 1 || buckets > 200 {
			return nil, invalid("buckets", "is not a whole number from 1 to 200")
		}
	}
	h, err := s.Ledger.Histogram(r.Context(), q, buckets)
	if err != nil {
		return nil, err
	}
	out := histogramView{h.Since, h.Until, int64(h.Width.Seconds()), make([]bucketView, len(h.Buckets))}
	for i, b := range h.Buckets {
		out.Buckets[i] = bucketView(b)
	}
	return out, nil
}

type percentilesView struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

type latencyGroup struct {
	Value    string           `json:"value"`
	KeyName  string           `json:"key_name,omitempty"`
	Requests int64            `json:"requests"`
	First    *percentilesView `json:"first_ms"` // null: no answer had a first token
	Total    *percentilesView `json:"total_ms"`
}

type latencyView struct {
	By     string         `json:"by"`
	Groups []latencyGroup `json:"groups"`
}

// milliseconds returns percentiles with a digit behind the point, or nil where
// there is nothing that they are of.
func milliseconds(p ledger.Percentiles, of int64) *percentilesView {
	if of == 0 {
		return nil
	}
	ms := func(d time.Duration) float64 { return float64(d.Round(100*time.Microsecond).Microseconds()) / 1000 }
	return &percentilesView{ms(p.P50), ms(p.P95), ms(p.P99)}
}

func (s *server) latency(r *http.Request, v *viewer) (any, error) {
	values, err := query(r, "by", "since", "until", "key", "model", "route")
	if err != nil {
		return nil, err
	}
	q := ledger.LatencyQuery{By: ledger.Dimension(values.Get("by"))}
	if q.By == "none" {
		q.By = ""
	}
	if !values.Has("since") {
		values.Set("since", "30d")
	}
	if q.Since, err = s.moment(values, "since"); err != nil {
		return nil, err
	}
	if q.Until, err = s.moment(values, "until"); err != nil {
		return nil, err
	}
	if q.Terms, err = terms(v, values); err != nil {
		return nil, err
	}
	if err := q.Check(); err != nil {
		return nil, &problem{status: http.StatusBadRequest, code: "invalid_query", message: err.Error() + ".", param: "by"}
	}
	groups, err := s.Ledger.Latency(r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := latencyView{By: string(q.By), Groups: []latencyGroup{}}
	for _, g := range groups {
		out.Groups = append(out.Groups, latencyGroup{g.Value, g.KeyName, g.Requests, milliseconds(g.First, g.Firsts), milliseconds(g.Total, g.Requests)})
	}
	return out, nil
}
