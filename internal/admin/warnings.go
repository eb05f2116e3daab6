package admin

import (
	"net/http"

	"forward/internal/audit"
	"forward/internal/ledger"
)

func (s *server) warnings(r *http.Request, _ *viewer) (any, error) {
	values, err := query(r, "limit")
	if err != nil {
		return nil, err
	}
	p, err := paging(values)
	if err != nil {
		return nil, err
	}
	list, err := s.Ledger.Warnings(r.Context(), p.limit)
	if err != nil {
		return nil, err
	}
	return struct {
		Warnings []ledger.Warning `json:"warnings"`
	}{list}, nil
}

// alertTest is what became of a test message.
type alertTest struct {
	Sent   bool   `json:"sent"`
	Status int    `json:"status"` // of the answer; 0: none
	Error  string `json:"error"`
}

// testAlert sends a test message to the address of BUDGET_WEBHOOK, and to no
// other.
func (s *server) testAlert(r *http.Request, v *viewer) (any, error) {
	if err := nothing(r); err != nil {
		return nil, err
	}
	if s.Gateway.TestAlert == nil {
		return nil, &problem{status: http.StatusNotFound, code: "no_webhook", message: "There is no address for warnings: set BUDGET_WEBHOOK and start the gateway again."}
	}
	status, err := s.Gateway.TestAlert(r.Context())
	answer := alertTest{Sent: err == nil, Status: status}
	if err != nil {
		answer.Error = err.Error()
	}
	s.record(r, v, audit.Entry{Action: "alerts.test", After: answer})
	return answer, nil
}
