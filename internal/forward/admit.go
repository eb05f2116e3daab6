package forward

import (
	"fmt"
	"net/http"
	"time"

	"forward/internal/limits"
)

// admission records which request limits hold for a request.
type admission struct {
	entered string // under which name it counts as one of the caller's parallel requests; "": it does not
	limited bool   // the answer carries the gateway's limit headers, not the upstream's
}

// admit asks the request limits of the route and of the caller. What is left of
// them goes into the header of the answer, whichever that is.
func (g *Gateway) admit(a *ask) (admission, error) {
	who := &a.who
	most := g.MaxParallel
	if own := who.policy.Parallel; own > 0 && (most == 0 || own < most) {
		most = own
	}
	name := who.id
	if a.from.socket != nil {
		name = "sockets of " + name // they are as many as may run, beside what runs
	}
	if !g.parallel.Enter(name, most) {
		return admission{}, &refusal{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", retryAfter: time.Second, limit: "parallel", detail: fmt.Sprintf("%d at the same time", most),
			message: fmt.Sprintf("%d requests of yours are running, which is as many as may at the same time. Wait for one to end.", most)}
	}
	admitted := admission{entered: name}
	if a.session != nil && a.session.admitted {
		return admitted, nil // the connection was, for its first response
	}
	status, err := g.Gate.Admit(a.in, a.from.paths, a.from.route.Name, limits.Caller{ID: who.id, Level: who.level})
	if err != nil {
		return admitted, err
	}
	if status.Limited {
		status.SetHeader(a.in.w.Header())
		admitted.limited = true
	}
	return admitted, nil
}
