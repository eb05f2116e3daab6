package forward

import (
	"fmt"
	"net/http"
	"time"

	"forward/internal/limits"
)

// admit asks the request limits of the route and the caller, and tells what is left on the answer, whichever it is.
func (x *exchange) admit() error {
	most := x.MaxParallel
	if own := x.policy.Parallel; own > 0 && (most == 0 || own < most) {
		most = own
	}
	if x.entered = x.parallel.Enter(x.caller.id, most); !x.entered {
		return &refusal{status: http.StatusTooManyRequests, code: "rate_limit_exceeded", retryAfter: time.Second,
			message: fmt.Sprintf("%d requests of yours are running, which is as many as may at the same time. Wait for one to end.", most)}
	}
	status, err := x.Gate.Admit(x.ctx, x.paths, x.limits, limits.Caller{ID: x.caller.id, Level: x.caller.level})
	if err != nil {
		return err
	}
	if status.Limited {
		status.SetHeader(x.w.Header())
		x.limited = true
	}
	return nil
}
