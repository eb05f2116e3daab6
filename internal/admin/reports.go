package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// What reads the ledger at length is bounded in number and in time, so that a
// report slows no completion: a few at once, and each for a few seconds.
const maxReports = 4

var (
	// reportTurn is how long a report waits for its turn: the reports of one
	// page come together and are quick.
	reportTurn = 2 * time.Second
	// reportPatience is how long it may take after that.
	reportPatience = 5 * time.Second
)

// bounded asks a question that may take long. It waits for its turn, and ends
// with what the client can do about it.
func (s *server) bounded(ask question) question {
	return func(r *http.Request, v *viewer) (any, error) {
		turn := time.NewTimer(reportTurn)
		defer turn.Stop()
		select {
		case s.reports <- struct{}{}:
			defer func() { <-s.reports }()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-turn.C:
			return nil, &problem{status: http.StatusTooManyRequests, code: "too_many_reports", wait: time.Second,
				message: "The gateway works on as many reports as it does at once. Try again in a moment."}
		}
		ctx, cancel := context.WithTimeout(r.Context(), reportPatience)
		defer cancel()
		value, err := ask(r.WithContext(ctx), v)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &problem{status: http.StatusGatewayTimeout, code: "query_too_wide",
				message: "This takes longer than a report may. Ask for a shorter time, or with fewer dimensions."}
		}
		return value, err
	}
}
