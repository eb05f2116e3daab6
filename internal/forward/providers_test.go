package forward_test

import (
	"strings"
	"testing"

	"forward/internal/dialect/anthropic"
	"forward/internal/keys"
)

// TestProvidersThatNeedNoCodeOfTheirOwn pins what makes Azure and local servers
// mere routes.
func TestProvidersThatNeedNoCodeOfTheirOwn(t *testing.T) {
	for _, row := range []struct {
		name, mount, path, query, slot, model string
		general                               bool
		credential                            string // the header of the API key upstream
	}{
		{"Azure, deployment path", "/azure", "/openai/deployments/my-gpt/chat/completions", "?api-version=2024-10-21", "api-key", "my-gpt", true, "Api-Key"},
		{"Azure, v1", "/azure", "/openai/v1/chat/completions", "?api-version=preview", "api-key", "gpt-4o-mini", true, "Api-Key"},
		{"Azure, bearer token", "/azure", "/openai/deployments/my-gpt/chat/completions", "?api-version=2024-10-21", "Authorization", "my-gpt", true, "Authorization"},
		{"LocalAI, vLLM, LM Studio", "/local", "/v1/chat/completions", "", "Authorization", "gpt-4o-mini", false, "Authorization"},
		{"Ollama's OpenAI path", "/ollama", "/v1/chat/completions", "", "Authorization", "gpt-4o-mini", false, "Authorization"},
		{"Groq, with a base path", "/groq", "/chat/completions", "", "Authorization", "gpt-4o-mini", false, "Authorization"},
		{"OpenRouter", "/openrouter", "/api/v1/chat/completions", "", "Authorization", "gpt-4o-mini", false, "Authorization"},
		{"Anthropic as OpenAI", "/claude", "/v1/chat/completions", "", "Authorization", "gpt-4o-mini", false, "Authorization"},
	} {
		t.Run(row.name, func(t *testing.T) {
			up := start(t, provider, nil)
			b := start(t, nil, func(s *setup) {
				r := up.route("it", row.mount, []string{canary})
				r.General = row.general
				if strings.HasPrefix(row.name, "Anthropic") {
					r.Dialect = anthropic.Dialect
				}
				s.routes = append(s.routes, r)
				s.keys = append(s.keys, keys.Key{Name: "guest", Secret: keys.NewSecret("fk-guest"), Level: 1})
				s.Levels = keys.Levels{1: {row.model}}
			})
			value := "fk-guest"
			if row.slot == "Authorization" {
				value = "Bearer " + value
			}
			ask := func(body string) answer {
				return b.do("POST", row.mount+row.path+row.query, body, "Authorization", "", row.slot, value)
			}
			a := ask(`{"model":"gpt-4o-mini","messages":[],"stream":true}`)
			if a.want(t, 200); a.body != events(false) || reportedUsage(a.Trailer) != "9 3 12" {
				t.Errorf("usage %q of %s", reportedUsage(a.Trailer), a.body)
			}
			r, _ := up.last()
			if r.URL.RequestURI() != row.path+row.query || !strings.HasSuffix(r.Header.Get(row.credential), canary) {
				t.Errorf("asked %s with %v", r.URL, r.Header)
			}
			if row.model == "my-gpt" { // the deployment is the model, whatever the body names
				b2 := strings.Replace(row.path, "my-gpt", "dear-gpt", 1)
				b.do("POST", row.mount+b2+row.query, `{"model":"my-gpt","messages":[]}`, "Authorization", "", row.slot, value).want(t, 403, "model_not_allowed")
			} else {
				ask(`{"model":"dear-gpt","messages":[]}`).want(t, 403, "model_not_allowed")
			}
		})
	}
}
