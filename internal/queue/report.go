package queue

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// State says how the line of a model stands.
type State struct {
	Route, Model string // of those that are too many the model is the glob
	Limits       Model
	Waiting      int           // requests in line
	Callers      int           // who have them
	Longest      time.Duration // wait so far of the request whose turn it is
	InFlight     int           // requests that are executed
	Requests     int64         // left in the bucket; below zero in debt; 0 without a limit
	Tokens       int64
	Held         time.Duration // until the provider, or another replica, lets requests go again
}

// Report says how all lines stand, in the order of their names.
func (s *Scheduler) Report() []State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	states := make([]State, 0, len(s.units))
	for _, u := range s.units {
		states = append(states, u.report())
	}
	slices.SortFunc(states, func(a, b State) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Model, b.Model))
	})
	return states
}

func (u *unit) report() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	now, l := u.s.now(), u.line
	st := State{
		Route: u.key.route, Model: strings.TrimPrefix(u.key.model, others), Limits: l.model,
		Waiting: l.waiting, Callers: len(l.byStart.items), InFlight: l.inFlight,
		Held: time.Duration(max(l.held-now, l.notice.held-now, 0)),
	}
	if f := l.byStart.first(); f != nil {
		st.Longest = time.Duration(now - f.head.arrived)
	}
	if l.model.RPM > 0 {
		st.Requests = l.requests.left(now)
	}
	if l.model.TPM > 0 {
		st.Tokens = l.tokens.left(now)
	}
	return st
}
