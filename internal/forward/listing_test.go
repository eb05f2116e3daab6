package forward_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"forward/internal/keys"
)

// modelsAt are the lists of models of the providers of a test, by host and
// path.
var modelsAt = map[string]string{
	"api.openai.com/v1/models": `{"object":"list","data":[{"id":"gpt-6","object":"model","created":1,"owned_by":"openai","x":"<&>"},{"id":"claude-of-openai","object":"model"},{"id":"gpt-5","object":"model","created":2,"owned_by":"openai"}]}`,
	"gpu-1:8000/v1/models":     `{"object":"list","data":[{"id":"qwen3","object":"model","created":1700000000,"owned_by":"vllm","max_model_len":4096}]}`,
	"api.anthropic.com/v1/models": `{"data":[{"type":"model","id":"claude-opus-5","display_name":"Claude Opus 5","created_at":"2026-01-02T00:00:00Z","max_tokens":128000},` +
		`{"type":"model","id":"claude-sonnet-5","display_name":"Claude Sonnet 5","created_at":"2026-02-03T00:00:00Z"},{"type":"model","id":"claude-haiku-5","display_name":"Claude Haiku 5","created_at":"2026-03-04T00:00:00Z"}],"has_more":false,"first_id":"claude-opus-5","last_id":"claude-haiku-5"}`,
	"api.anthropic.com/v1/models/claude-opus-5":                    `{"type":"model","id":"claude-opus-5","from":"upstream"}`,
	"generativelanguage.googleapis.com/v1beta/models":              `{"models":[{"name":"models/gemini-3-pro","displayName":"Gemini 3 Pro","inputTokenLimit":1048576},{"name":"models/gemini-3-flash"},{"name":"models/learnlm"}]}`,
	"generativelanguage.googleapis.com/v1beta/models/gemini-3-pro": `{"name":"models/gemini-3-pro","from":"upstream"}`,
}

var (
	claudeCode = []string{"Anthropic-Version", "2023-06-01"}
	gemini1    = []string{"Authorization", "", "X-Goog-Api-Key", "fk-alice"}
)

// listing starts a gateway with all providers; the home is the one at /. The
// key fk-narrow may use one model of each.
func listing(t *testing.T, home place) *bench {
	return mounted(t, []place{home, atAnthropic, atGemini}, nil, func(s *setup) {
		s.keys = append(s.keys, keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-5", "claude-sonnet-*", "gemini-3-flash"}}})
	})
}

// names are the models of a list in any form.
func names(a answer) string {
	var out []string
	for _, path := range []string{"data.#.id", "models.#.name"} {
		for _, id := range gjson.Get(a.body, path).Array() {
			out = append(out, id.Str)
		}
	}
	return strings.Join(out, " ")
}

// TestModelsAreListedInTheFormOfTheQuestion and with what can be asked for in
// that protocol.
func TestModelsAreListedInTheFormOfTheQuestion(t *testing.T) {
	b, local := listing(t, atOpenAI), listing(t, atLocal)
	a := b.do("GET", "/v1/models", "")
	a.want(t, 200, `{"object":"list","data":[{"id":"gpt-6","object":"model","created":1,"owned_by":"openai","x":"<&>"},`, `{"id":"claude-opus-5","object":"model","created":1767312000,"owned_by":"anthropic"}`)
	if got := names(a); got != "gpt-6 gpt-5 claude-opus-5 claude-sonnet-5 claude-haiku-5 gemini-3-pro gemini-3-flash" {
		t.Errorf("OpenAI's form has %s", got)
	}
	a = b.do("GET", "/v1/models?limit=1000", "", claudeCode...)
	a.want(t, 200, `{"data":[{"type":"model","id":"claude-opus-5","display_name":"Claude Opus 5","created_at":"2026-01-02T00:00:00Z","max_tokens":128000},`,
		`"has_more":false,"first_id":"claude-opus-5","last_id":"claude-haiku-5"}`)
	if got := names(a); got != "claude-opus-5 claude-sonnet-5 claude-haiku-5" {
		t.Errorf("Anthropic's form has %s", got)
	}
	if names(b.do("GET", "/v1/models", "", "Authorization", "", "X-Api-Key", "fk-alice")) != names(a) {
		t.Error("a key in Anthropic's slot is not answered in Anthropic's form")
	}
	a = local.do("GET", "/v1/models", "", claudeCode...)
	a.want(t, 200, `{"type":"model","id":"qwen3","display_name":"qwen3","created_at":"2023-11-14T22:13:20Z"}`, `"id":"claude-opus-5"`)
	a = b.do("GET", "/v1beta/models", "", gemini1...)
	a.want(t, 200, `{"models":[{"name":"models/gemini-3-pro","displayName":"Gemini 3 Pro","inputTokenLimit":1048576},`)
	if got := names(a); got != "models/gemini-3-pro models/gemini-3-flash models/learnlm" {
		t.Errorf("Gemini's form has %s", got)
	}
	if names(b.do("GET", "/v1/models", "", gemini1...)) != names(a) {
		t.Error("a key in Gemini's slot is not answered in Gemini's form")
	}
}

// TestModelsAreFilteredOnEveryMount: a list shows what the key may use, and a
// single model that it may not use is none, in the form of each protocol.
func TestModelsAreFilteredOnEveryMount(t *testing.T) {
	b := listing(t, atOpenAI)
	narrow := []string{"Authorization", "Bearer fk-narrow"}
	for _, test := range []struct {
		path    string
		headers []string
		list    string
		missing string // a model that the key may not use
		refusal string
	}{
		{"/v1/models", nil, "gpt-5 claude-sonnet-5 gemini-3-flash", "gpt-6", `"code":"model_not_found"`},
		{"/v1/models", claudeCode, "claude-sonnet-5", "claude-opus-5", `{"type":"error","error":{"type":"not_found_error","message":"There is no model`},
		{"/v1beta/models", nil, "models/gemini-3-flash", "gemini-3-pro", `"status":"NOT_FOUND"`},
		{"/anthropic/v1/models", claudeCode, "claude-sonnet-5", "claude-opus-5", `"not_found_error"`},
		{"/gemini/v1beta/models", nil, "models/gemini-3-flash", "gemini-3-pro", `"status":"NOT_FOUND"`},
		{"/gemini/v1beta/openai/models", nil, "gemini-3-flash", "gemini-3-pro", `"code":"model_not_found"`},
	} {
		headers := append(narrow[:2:2], test.headers...)
		if got := names(b.do("GET", test.path, "", headers...)); got != test.list {
			t.Errorf("%s lists %s, want %s", test.path, got, test.list)
		}
		b.do("GET", test.path+"/"+test.missing, "", headers...).want(t, 404, test.refusal)
	}
	// Callers that may use every model get the provider's own answers.
	for path, want := range map[string]string{
		"/anthropic/v1/models": modelsAt["api.anthropic.com/v1/models"], "/gemini/v1beta/models": modelsAt["generativelanguage.googleapis.com/v1beta/models"],
		"/v1/models/claude-opus-5": modelsAt["api.anthropic.com/v1/models/claude-opus-5"], "/v1beta/models/gemini-3-pro": modelsAt["generativelanguage.googleapis.com/v1beta/models/gemini-3-pro"],
	} {
		if a := b.do("GET", path, "", claudeCode...); a.body != want {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	// In another form the entry is made of the list.
	b.do("GET", "/v1/models/claude-sonnet-5", "", narrow...).want(t, 200, `{"id":"claude-sonnet-5","object":"model","created":1770076800,"owned_by":"anthropic"}`)
}

// TestListsHaveThePagesOfTheirForm as the SDKs turn them.
func TestListsHaveThePagesOfTheirForm(t *testing.T) {
	b := listing(t, atOpenAI)
	ask := func(query, want string, more bool) answer {
		t.Helper()
		a := b.do("GET", "/v1/models"+query, "", claudeCode...)
		if got := names(a); got != want || gjson.Get(a.body, "has_more").Bool() != more {
			t.Errorf("%s: %s", query, a.body)
		}
		return a
	}
	ask("?limit=2", "claude-opus-5 claude-sonnet-5", true)
	ask("?limit=2&after_id=claude-sonnet-5", "claude-haiku-5", false)
	ask("?limit=1&before_id=claude-haiku-5", "claude-sonnet-5", true)
	ask("?limit=5&before_id=claude-sonnet-5", "claude-opus-5", false)
	ask("?after_id=claude-haiku-5", "", false).want(t, 200, `{"data":[],"has_more":false,"first_id":null,"last_id":null}`)
	for _, query := range []string{"?limit=x", "?limit=-1", "?after_id=nothing", "?before_id=nothing"} {
		b.do("GET", "/v1/models"+query, "", claudeCode...).want(t, 400, "invalid_request_error")
	}
	narrow := []string{"Authorization", "", "X-Goog-Api-Key", "fk-alice"}
	page := b.do("GET", "/v1beta/models?pageSize=2", "", narrow...)
	token := gjson.Get(page.body, "nextPageToken").Str
	if names(page) != "models/gemini-3-pro models/gemini-3-flash" || token == "" {
		t.Error(page.body)
	}
	page = b.do("GET", "/v1beta/models?pageSize=2&pageToken="+token, "", narrow...)
	if names(page) != "models/learnlm" || strings.Contains(page.body, "nextPageToken") {
		t.Error(page.body)
	}
	b.do("GET", "/v1beta/models?pageToken=x", "", narrow...).want(t, 400, "INVALID_ARGUMENT")
}

// TestAnOwnCredentialGetsItsOwnList: where the client's own credential goes
// upstream, the answer is that of its account.
func TestAnOwnCredentialGetsItsOwnList(t *testing.T) {
	b := mounted(t, []place{atOpenAI.without(), atAnthropic.without()}, nil, func(s *setup) { s.open = true })
	if a := b.do("GET", "/v1/models", "", "Authorization", "", "X-Api-Key", "sk-ant-own", "Anthropic-Version", "2023-06-01"); a.body != modelsAt["api.anthropic.com/v1/models"] {
		t.Error(a.body)
	}
	b = mounted(t, []place{atOpenAI}, nil, nil)
	b.do("GET", "/v1/models", "", claudeCode...).want(t, 404, "no route of type anthropic")
}
