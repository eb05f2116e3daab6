package forward

import (
	"strings"

	"forward/internal/dialect"
	"forward/internal/keys"
	"forward/internal/upstream"
)

// ModelRoute leads requests on / to another route by the model they name, so that one base URL serves the models of
// several providers. The route must serve OpenAI's operations.
type ModelRoute struct {
	Models string // a glob as in keys.Levels
	Route  *upstream.Route
}

// openAIBase is where a provider serves OpenAI's operations; elsewhere the path stays as it is. Sources:
// https://docs.anthropic.com/en/api/openai-sdk (/v1, as OpenAI) and https://ai.google.dev/gemini-api/docs/openai.
func openAIBase(r *upstream.Route, rest string) string {
	if r.Dialect == dialect.Gemini {
		return "/v1beta/openai" + strings.TrimPrefix(rest, "/v1")
	}
	return rest
}

// follow leads an OpenAI request that came on / (and not on /openai, which names its provider) to the route of its model. The limits stay those of the path it came
// on, and whoever may come in there may come in here: it is decided before.
func (x *exchange) follow() {
	if x.mount != "/" || x.dialect != dialect.OpenAI || !x.op.Parsed() || x.ask.Model == "" {
		return
	}
	for _, m := range x.Models {
		if m.Route == x.route || !keys.Match(m.Models, x.ask.Model) {
			continue
		}
		passes := !x.known && !x.swap && !x.strip && x.Ring.Len() > 0 // a provider key that was let through
		x.route, x.rest = m.Route, openAIBase(m.Route, x.rest)
		if !passes {
			x.credential()
		}
		return
	}
}
