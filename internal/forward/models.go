package forward

import (
	"errors"
	"net/http"
	"strings"

	"forward/internal/dialect/gemini"
	"forward/internal/dialects"
	"forward/internal/glob"
	"forward/internal/upstream"
)

// ModelRoute leads requests on / to another route by the model they name, so that one base URL serves the models of
// several providers. The route must serve OpenAI's operations.
type ModelRoute struct {
	Models string // a glob as in keys.Levels
	Route  *upstream.Route
}

// Fallback names the models that are asked instead, in turn, when a model that matches the glob cannot be.
type Fallback struct {
	Models  string // a glob as in keys.Levels
	Instead []string
}

// openAIBase is where a provider serves OpenAI's operations; elsewhere the path stays as it is. Sources:
// https://docs.anthropic.com/en/api/openai-sdk (/v1, as OpenAI) and https://ai.google.dev/gemini-api/docs/openai.
func openAIBase(r *upstream.Route, rest string) string {
	if r.Dialect == gemini.Dialect {
		return "/v1beta/openai" + strings.TrimPrefix(rest, "/v1")
	}
	return rest
}

// leads returns the route that serves a model asked for on the route at /, where the request came.
func (x *exchange) leads(model string) *upstream.Route {
	for _, m := range x.Models {
		if glob.Match(m.Models, model) {
			return m.Route
		}
	}
	return x.matched
}

// follow leads an OpenAI request that came on / (and not on /openai, which names its provider) to the route of its model.
// The limits stay those of the path it came on, and whoever may come in there may come in here: it is decided before.
func (x *exchange) follow() error {
	if x.mount != "/" || x.dialect != dialects.Default || !x.op.Parsed() || x.ask.Model == "" {
		return nil
	}
	route := x.leads(x.ask.Model)
	if route == x.route {
		return nil
	}
	if err := x.complyRoute(route); err != nil {
		return err
	}
	passes := !x.known && !x.swap && !x.strip && x.Ring.Len() > 0 // a provider key that was let through
	x.route, x.rest = route, x.matchedRest
	if route != x.matched {
		x.rest = openAIBase(route, x.matchedRest)
	}
	if !passes {
		x.credential()
	}
	return nil
}

// errFallBack is why an answer of the upstream is not relayed: another model is asked.
var errFallBack = errors.New("another model is asked instead")

// fallsBack chooses the next model to ask, if the configuration names one that the caller may use. It is asked only where
// the upstream certainly has not begun: it was not reached, or says that it limits or is overloaded.
func (x *exchange) fallsBack(status int, err error) bool {
	if x.body == nil || !x.body.Get("model").Exists() {
		return false
	}
	switch status {
	case 0:
		if !neverSent(err) && upstream.Classify(err).Cause != upstream.AuthFailed {
			return false
		}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529: // Anthropic's overloaded_error
	default:
		return false
	}
	for _, f := range x.Fallbacks {
		if !glob.Match(f.Models, x.asked()) {
			continue
		}
		for x.fallback < len(f.Instead) {
			model := f.Instead[x.fallback]
			x.fallback++
			if model == x.ask.Model || !x.allowsModel(model) {
				continue
			}
			before := x.ask.Model
			if x.ask.Model = model; x.follow() != nil {
				x.ask.Model = before
				continue
			}
			x.instead, x.memory.store = model, false // it is no answer to the question that was asked
			x.demand = nil                           // other models count otherwise
			return true
		}
		return false
	}
	return false
}

// asked is the model that the client named.
func (x *exchange) asked() string {
	if x.body == nil || x.instead == "" {
		return x.ask.Model
	}
	return x.body.Get("model").String()
}
