package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"forward/internal/audit"
	"forward/internal/ledger"
)

// upstreamView is the state of a route with what became of its requests.
type upstreamView struct {
	Upstream
	Queues     []queueState `json:"queues"` // in which requests wait
	Errors     []causeView  `json:"errors"`
	Requests   int64        `json:"requests"` // of the last 24 hours, as are the next two
	ErrorCount int64        `json:"error_count"`
}

// causeView is how many requests ended with an error of one cause.
type causeView struct {
	Cause    string `json:"cause"`
	Status   int    `json:"status"` // of the upstream's answer where that is all that is known; 0: there is a cause
	Requests int64  `json:"requests"`
}

func (s *server) listUpstreams(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	day, err := s.lastDay(r.Context())
	if err != nil {
		return nil, err
	}
	queues := s.queues(v, nil)
	views := []upstreamView{}
	for _, u := range s.Gateway.Upstreams() {
		view := upstreamView{Upstream: u, Queues: []queueState{}, Errors: []causeView{}}
		for _, q := range queues {
			if q.Route == u.Name {
				view.Queues = append(view.Queues, q)
			}
		}
		if d := day[u.Name]; d != nil {
			view.Requests, view.ErrorCount = d.requests, d.errors
			view.Errors = append(view.Errors, d.causes...)
		}
		views = append(views, view)
	}
	return struct {
		Upstreams []upstreamView `json:"upstreams"`
	}{views}, nil
}

// routeDay is what became of a route's requests in the last 24 hours.
type routeDay struct {
	requests, errors int64
	causes           []causeView
}

// add counts errors of a cause, or of a status where there is no cause.
func (d *routeDay) add(cause, status string, requests int64) {
	c := causeView{Cause: cause, Requests: requests}
	if cause == "" {
		c.Status, _ = strconv.Atoi(status) // a column of numbers
	}
	at := slices.IndexFunc(d.causes, func(have causeView) bool { return have.Cause == c.Cause && have.Status == c.Status })
	if at < 0 {
		d.causes = append(d.causes, c)
		return
	}
	d.causes[at].Requests += requests
}

// days are the last day of all routes as it was read a moment ago: a page that
// is open asks again and again, and causes are read from single rows. Only one
// caller reads them at a time.
type days struct {
	mu   sync.Mutex
	read time.Time
	list map[string]*routeDay
}

const (
	dayPause    = 30 * time.Second // for which the causes are not read again
	dayPatience = 3 * time.Second  // for which they are looked for
)

// lastDay returns what became of requests, by the name of their route. Where
// there are too many to be read within the bound, causes are left out.
func (s *server) lastDay(ctx context.Context) (map[string]*routeDay, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	s.days.mu.Lock()
	defer s.days.mu.Unlock()
	now := s.Now()
	if s.days.list != nil && now.Sub(s.days.read) < dayPause {
		return s.days.list, nil
	}
	since := now.Add(-24 * time.Hour)
	groups, err := s.Ledger.Report(ctx, ledger.Query{By: []ledger.Dimension{ledger.ByRoute}, Since: since})
	if err != nil {
		return nil, err
	}
	list := map[string]*routeDay{}
	for _, g := range groups {
		list[g.Values[0]] = &routeDay{requests: g.Requests, errors: g.Sums.Errors}
	}
	bounded, cancel := context.WithTimeout(ctx, dayPatience)
	defer cancel()
	groups, err = s.Ledger.Report(bounded, ledger.Query{By: []ledger.Dimension{ledger.ByRoute, ledger.ByCause, ledger.ByStatus}, Since: since})
	switch {
	case bounded.Err() != nil && ctx.Err() == nil:
		s.Log.DebugContext(ctx, "the causes of the last day's errors are not read: there are too many requests", "bound", dayPatience)
	case err != nil:
		return nil, err
	}
	for _, g := range groups {
		if d := list[g.Values[0]]; d != nil && g.Sums.Errors > 0 {
			d.add(g.Values[1], g.Values[2], g.Sums.Errors)
		}
	}
	for _, d := range list {
		slices.SortFunc(d.causes, func(a, b causeView) int {
			return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Status, b.Status))
		})
	}
	s.days.list, s.days.read = list, now
	return list, nil
}

// checkUpstream makes a connect test. It takes nothing but the name of a route:
// a URL of a browser would make the gateway a way into its network.
func (s *server) checkUpstream(r *http.Request, v *viewer) (any, error) {
	if err := nothing(r); err != nil {
		return nil, err
	}
	name := r.PathValue("route")
	checked := s.Gateway.Check(r.Context(), name)
	switch {
	case !checked.Found:
		return nil, noSuchRoute
	case checked.Wait > 0:
		return nil, &problem{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", wait: checked.Wait,
			message: fmt.Sprintf("%q was tested a moment ago. Try again in %v.", name, checked.Wait)}
	}
	s.record(r, v, audit.Entry{Action: "upstream.check", Object: name, After: checked.Results})
	return checked, nil
}

// wakeKey ends the rest of an API key.
func (s *server) wakeKey(r *http.Request, v *viewer) (any, error) {
	if err := nothing(r); err != nil {
		return nil, err
	}
	name, number := r.PathValue("route"), r.PathValue("number")
	var before *UpstreamKey
	for _, u := range s.Gateway.Upstreams() {
		for _, k := range u.Keys {
			if u.Name == name && strconv.Itoa(k.Number) == number {
				before = &k
			}
		}
	}
	if before == nil || !s.Gateway.Wake(name, before.Number) {
		return nil, &problem{status: http.StatusNotFound, code: "not_found", message: "There is no API key of this number on a route of this name.", param: "number"}
	}
	s.record(r, v, audit.Entry{Action: "upstream.wake", Object: name + "/" + number, Before: before, After: UpstreamKey{Number: before.Number, State: "ready"}})
	return reply{status: http.StatusNoContent}, nil
}

var noSuchRoute = &problem{status: http.StatusNotFound, code: "not_found", message: "There is no route of this name.", param: "route"}
