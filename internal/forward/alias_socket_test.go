package forward_test

import (
	"testing"

	"github.com/tidwall/gjson"
)

// TestAnAliasOnAWebSocketIsRefused: a frame passes as it came, so the upstream
// would be asked for a model that it does not know.
func TestAnAliasOnAWebSocketIsRefused(t *testing.T) {
	up := playing(t)
	b := start(t, up.ServeHTTP, func(s *setup) { s.Aliases = map[string]string{"fast": "gpt-4o-mini"} })
	c := b.dial("/v1/responses")
	c.send(create("fast", "one"))
	wantError(t, c.last(), 426, "model_not_here", `"fast" is an alias of the model "gpt-4o-mini"`)
	c.send(create("gpt-4o-mini", "one"))
	if got := c.last(); gjson.Get(got, "type").Str != "response.completed" {
		t.Error(got)
	}
}
