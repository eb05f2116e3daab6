package ledger

import (
	"cmp"
	"time"
)

// Refusal is why the gateway refused a request: which limit, whose, and when it
// lets requests through again. It is kept as steps of the row's trail.
type Refusal struct {
	Message string    // as the client read it
	Limit   string    // such as request_limit, rpm, budget or model
	Scope   string    // whose: "key alice", "tag team=search", "model gpt-4o"
	Detail  string    // "60 requests in 1m", "" where the limit has no figure
	Retry   time.Time // when a request may pass; zero: never by waiting, or unknown
}

// The names of the steps of a refusal.
const (
	refusedStep = "refused"
	limitStep   = "limit"
	scopeStep   = "whose"
	detailStep  = "detail"
	retryStep   = "again"
)

// maxMessage bounds what a row keeps of a message, in bytes.
const maxMessage = 1000

// Refuse adds the steps of a refusal to the trail of a row.
func (r *Row) Refuse(f Refusal, at time.Duration) {
	step := func(name, text string) {
		if text != "" {
			r.Trail = append(r.Trail, Step{at, name, text[:min(len(text), maxMessage)]})
		}
	}
	step(refusedStep, f.Message)
	step(limitStep, f.Limit)
	step(scopeStep, f.Scope)
	step(detailStep, f.Detail)
	if !f.Retry.IsZero() {
		step(retryStep, f.Retry.UTC().Truncate(time.Second).Format(time.RFC3339))
	}
}

// Refusal returns why a row was refused, and whether it was.
func (r *Row) Refusal() (f Refusal, ok bool) {
	for _, s := range r.Trail {
		switch s.Name {
		case refusedStep:
			f.Message = cmp.Or(f.Message, s.Text)
		case limitStep:
			f.Limit = cmp.Or(f.Limit, s.Text)
		case scopeStep:
			f.Scope = cmp.Or(f.Scope, s.Text)
		case detailStep:
			f.Detail = cmp.Or(f.Detail, s.Text)
		case retryStep:
			f.Retry, _ = time.Parse(time.RFC3339, s.Text) // of Refuse
		}
	}
	return f, f.Message != ""
}
