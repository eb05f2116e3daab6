package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// State is the state of a model's queue.
type State struct {
	Route, Model string // the model is a glob where many share a queue
	Limits       Model
	Waiting      int           // requests in the queue
	Callers      int           // of these requests
	Longest      time.Duration // wait so far of the request whose turn it is
	InFlight     int           // requests that are executed
	Requests     int64         // left in the bucket; below zero in debt; 0 without a limit
	Tokens       int64
	Held         time.Duration // until the provider or the replicas let requests start again
}

// Report returns the states of all queues, sorted by route and model.
func (s *Scheduler) Report() []State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	states := make([]State, 0, len(s.drivers))
	for _, r := range s.drivers {
		states = append(states, r.report())
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Model, b.Model))
	})
	return states
}

func (r *driver) report() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.s.now()
	q := r.queue
	st := State{
		Route:    r.key.route,
		Model:    strings.TrimPrefix(r.key.model, others),
		Limits:   q.model,
		Waiting:  q.order.waiting,
		Callers:  q.order.byStart.Len(),
		InFlight: q.allowance.inFlight,
		Held:     time.Duration(max(q.allowance.held()-now, 0)),
	}
	if f := q.order.byStart.first(); f != nil {
		st.Longest = time.Duration(now - f.head.arrived)
	}
	if q.model.RPM > 0 {
		st.Requests = q.allowance.requests.left(now)
	}
	if q.model.TPM > 0 {
		st.Tokens = q.allowance.tokens.left(now)
	}
	return st
}
