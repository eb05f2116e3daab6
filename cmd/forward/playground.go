package main

import (
	"net/http"

	"forward/internal/forward"
	"forward/internal/queue"
)

// play serves a request of the dashboard's playground.
func (a *app) play(w http.ResponseWriter, r *http.Request, key string, tags []string) {
	a.gateway().Play(w, r, forward.Caller{Key: key, Tags: tags})
}

// queuesOf returns the states of the models' queues; nil without a scheduler.
func queuesOf(s *queue.Scheduler) func() []queue.State {
	if s == nil {
		return nil
	}
	return s.Report
}
