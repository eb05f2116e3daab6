package admin

import (
	"errors"
	"net/http"

	"forward/internal/audit"
	"forward/internal/glob"
	"forward/internal/live"
	"forward/internal/queue"
)

// Traffic is what is under way in the gateway, and what adds to it.
type Traffic struct {
	Live   *live.Requests       // those under way; nil: they are not shown
	Queues func() []queue.State // of the models; nil: there are none
	// Play serves a request below /_/api/play as one from outside, in the name
	// of the key of an id; nil: there is no playground.
	Play func(w http.ResponseWriter, r *http.Request, key string, tags []string)
}

// maxRunning bounds the requests under way that an answer has.
const maxRunning = 1000

func (s *server) runningRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/_/api/running", who: both, ask: s.listRunning, needs: hasLive},
		{method: http.MethodDelete, pattern: "/_/api/running/{id}", who: both, ask: s.stopRunning, needs: hasLive},
		{method: http.MethodGet, pattern: "/_/api/live", who: both, ask: s.watch, needs: hasLive},
		{method: http.MethodPost, pattern: "/_/api/play/{path...}", who: both, ask: s.play, needs: hasPlay, raw: true},
	}
}

// hasLive is the need of what shows the requests under way.
func hasLive(s *server) error {
	if s.Live == nil {
		return &problem{status: http.StatusNotFound, code: "not_found", message: "This gateway does not show the requests under way."}
	}
	return nil
}

// sees returns which requests a viewer sees.
func (v *viewer) sees() func(*live.About) bool {
	if v.isAdministrator() {
		return func(*live.About) bool { return true }
	}
	own := v.key.ID()
	return func(a *live.About) bool { return a.Key == own }
}

// queueState is the state of a model's queue.
type queueState struct {
	Model   string  `json:"model"`
	Route   string  `json:"route"`
	Waiting int     `json:"waiting"`
	Longest float64 `json:"longest_ms"`
}

// queues returns the queues in which requests wait. A holder sees those in
// which its own requests, list, do.
func (s *server) queues(v *viewer, list []live.Running) []queueState {
	states := []queueState{}
	if s.Queues == nil {
		return states
	}
	for _, q := range s.Queues() {
		if q.Waiting == 0 || (!v.isAdministrator() && !waitsIn(&q, list)) {
			continue
		}
		states = append(states, queueState{q.Model, q.Route, q.Waiting, float64(q.Longest.Milliseconds())})
	}
	return states
}

// waitsIn reports whether one of the requests waits in a queue.
func waitsIn(q *queue.State, list []live.Running) bool {
	for i := range list {
		r := &list[i]
		if r.Phase == live.Queue && r.Route == q.Route && glob.Match(q.Model, r.Model) {
			return true
		}
	}
	return false
}

// inZone returns a request with its times in the zone of all answers.
func (s *server) inZone(r live.Running) live.Running {
	r.Started = r.Started.In(s.Location)
	r.Since = r.Since.In(s.Location)
	return r
}

// listRunning shows the requests under way, the oldest first.
func (s *server) listRunning(r *http.Request, v *viewer) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	list, count := s.Live.List(v.sees(), maxRunning)
	shown := make([]live.Running, len(list))
	for i, one := range list {
		shown[i] = s.inZone(one)
	}
	return struct {
		Running []live.Running `json:"running"`
		Count   int            `json:"count"` // of all, also those beyond the bound of the list
		Queues  []queueState   `json:"queues"`
	}{shown, count, s.queues(v, list)}, nil
}

// stopRunning stops a request under way.
func (s *server) stopRunning(r *http.Request, v *viewer) (any, error) {
	id := r.PathValue("id")
	was, err := s.Live.Stop(id, v.sees(), &live.StoppedError{Holder: !v.isAdministrator()})
	switch {
	case errors.Is(err, live.ErrUnknown):
		return nil, &problem{status: http.StatusNotFound, code: "request_not_running", param: "id", message: "No request of this id is under way. It may have ended: see /_/api/requests."}
	case errors.Is(err, live.ErrShared):
		return nil, &problem{status: http.StatusConflict, code: "request_is_shared", param: "id", message: "Callers with other keys receive the answer of this request too. Only the administrator can stop it."}
	case err != nil:
		return nil, err
	}
	s.record(r, v, audit.Entry{Action: "request.stop", Object: id, Before: s.inZone(was)})
	return reply{status: http.StatusNoContent}, nil
}
