package forward

import (
	"errors"
	"net/http"

	"forward/internal/dialect"
	"forward/internal/glob"
	"forward/internal/limits"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// Fallback names the models that are asked instead, in turn, when a model that
// matches the glob cannot be.
type Fallback struct {
	Models  string // a pattern of package glob
	Instead []string
}

// verdict is what follows after a target was tried.
type verdict int

const (
	done       verdict = iota // relay the answer, or refuse with the error
	again                     // ask the next target in the same turn
	otherModel                // ask the next target, in a turn of its own
)

// decide returns what follows after a target was tried: ans is its answer, err
// why there is none. It is the only place that chooses another target. Within
// one target, package upstream decides about base URLs and API keys.
//
// A target is left only where the upstream certainly has not executed the
// request: it was not reached, or reports that it limits, is overloaded, or
// does not know a field that the gateway added.
func (g *Gateway) decide(a *ask, to target, ans *answer, err error) (verdict, target) {
	next := to
	if ans != nil {
		next.tries += ans.attempts.Count
	}
	if err == nil && g.refusesUsage(a, to, ans) {
		next.withoutUsage = true
		return again, next
	}
	if !mayFallBack(ans, err) {
		return done, to
	}
	next, ok := g.fallback(a, to, next.tries)
	if !ok {
		return done, to
	}
	return otherModel, next
}

// mayFallBack reports whether another model may have what this one has not.
func mayFallBack(ans *answer, err error) bool {
	switch {
	case err == nil:
		switch ans.res.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, dialect.StatusOverloaded:
			return true
		}
		return false
	case ans == nil:
		return isLimited(err)
	}
	return neverSent(err) || upstream.Classify(err).Cause == upstream.AuthFailed
}

// isLimited reports whether a model had no allowance left, and another one may.
func isLimited(err error) bool {
	if e, ok := errors.AsType[*queue.Error](err); ok {
		return e.Reason != queue.TooLarge
	}
	e, ok := errors.AsType[*limits.QuotaError](err)
	return ok && e.Scope == limits.ScopeModel && !e.TooLarge
}

// fallback returns the target of the next model that is configured to be asked
// instead, and that the caller may use.
func (g *Gateway) fallback(a *ask, to target, tries int) (target, bool) {
	if a.body == nil || a.packed || !a.from.op.Parsed() || !a.body.Get("model").Exists() {
		return to, false
	}
	for _, f := range g.Fallbacks {
		if !glob.Match(f.Models, a.req.Model) {
			continue
		}
		for i := to.fallback; i < len(f.Instead); i++ {
			model := f.Instead[i]
			if model == to.model || !g.allowsModel(&a.who, model) {
				continue
			}
			next, err := g.lead(a, model)
			if err != nil || (a.who.own && next.route != to.route) {
				continue // a client's own credential goes where the client sends it
			}
			next.instead = true
			next.fallback = i + 1
			next.tries = tries
			next.withoutUsage = to.withoutUsage
			if next.route == to.route {
				next.place = to.place
			}
			return next, true
		}
		return to, false
	}
	return to, false
}
