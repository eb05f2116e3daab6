package forward

import "forward/internal/limits"

// admit asks the request limits of the route and the caller, and tells what is left on the answer, whichever it is.
func (x *exchange) admit() error {
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
