package forward_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/forward"
	"forward/internal/keys"
)

// TestAliasesAreReplacedWhereAModelIsNamed: the one word, by offset, with every
// other byte as it came; elsewhere an alias is refused, and never sent on.
func TestAliasesAreReplacedWhereAModelIsNamed(t *testing.T) {
	accounting, rows := accounting(t)
	b := mounted(t, []place{atOpenAI, atAnthropic, atGemini}, nil, func(s *setup) {
		accounting(s)
		s.Aliases = map[string]string{"fast": "gpt-6", "claude-best": "claude-opus-5", "flash": "gemini-3-flash", "gpt-5": "gpt-6", "slash": "a/b c"}
		s.keys = append(s.keys,
			keys.Key{Name: "own", Secret: keys.NewSecret("fk-own"), Policy: keys.Policy{Aliases: map[string]string{"fast": "claude-sonnet-5"}}},
			keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"gpt-6", "flash"}}})
	})
	own, narrow := []string{"Authorization", "Bearer fk-own"}, []string{"Authorization", "Bearer fk-narrow"}
	const chat, messages, generate = "/v1/chat/completions", "/v1/messages", "/v1beta/models/"
	for _, test := range []struct {
		name, path, body string
		headers          []string
		status           int
		asked            string // the host and path
		sent             string // the body, or what the refusal contains
		alias, model     string // in the ledger
	}{
		{"chat", chat, `{ "messages":[{"content":"fast \u00e4"}] ,"model" : "fast", "seed":1.50}`, nil, 200, "api.openai.com" + chat,
			`{ "messages":[{"content":"fast \u00e4"}] ,"model" : "gpt-6", "seed":1.50}`, "fast", "gpt-6"},
		{"an escaped spelling", chat, `{"model":"f\u0061st"}`, nil, 200, "api.openai.com" + chat, `{"model":"gpt-6"}`, "fast", "gpt-6"},
		{"a stream", chat, `{"model":"fast","stream":true,"caching":false}`, nil, 200, "api.openai.com" + chat, `{"stream_options":{"include_usage":true},"model":"gpt-6","stream":true}`, "fast", "gpt-6"},
		{"responses", "/v1/responses", `{"model":"fast","input":"x"}`, nil, 200, "api.openai.com/v1/responses", `{"model":"gpt-6","input":"x"}`, "fast", "gpt-6"},
		{"embeddings", "/v1/embeddings", `{"model":"fast","input":"x"}`, nil, 200, "api.openai.com/v1/embeddings", `{"model":"gpt-6","input":"x"}`, "fast", "gpt-6"},
		{"speech", "/v1/audio/speech", `{"model":"fast","input":"x"}`, nil, 200, "api.openai.com/v1/audio/speech", `{"model":"gpt-6","input":"x"}`, "fast", "gpt-6"},
		{"a video", "/v1/videos", `{"model":"fast","prompt":"x"}`, nil, 200, "api.openai.com/v1/videos", `{"model":"gpt-6","prompt":"x"}`, "fast", "gpt-6"},
		{"messages", messages, `{"model":"claude-best","max_tokens":1}`, nil, 200, "api.anthropic.com" + messages, `{"model":"claude-opus-5","max_tokens":1}`, "claude-best", "claude-opus-5"},
		{"count_tokens", messages + "/count_tokens", `{"model":"claude-best"}`, nil, 200, "api.anthropic.com" + messages + "/count_tokens", `{"model":"claude-opus-5"}`, "claude-best", "claude-opus-5"},
		{"messages on the provider's mount", "/anthropic" + messages, `{"model":"claude-best"}`, nil, 200, "api.anthropic.com" + messages, `{"model":"claude-opus-5"}`, "claude-best", "claude-opus-5"},
		{"an alias of another provider's model", chat, `{"model":"claude-best"}`, nil, 200, "api.anthropic.com" + chat, `{"model":"claude-opus-5"}`, "claude-best", "claude-opus-5"},
		{"generateContent", generate + "flash:generateContent?alt=json", `{"contents":["flash"]}`, nil, 200, "generativelanguage.googleapis.com" + generate + "gemini-3-flash:generateContent?alt=json", `{"contents":["flash"]}`, "flash", "gemini-3-flash"},
		{"an escaped path", generate + "fl%61sh:streamGenerateContent?alt=sse", `{}`, nil, 200, "generativelanguage.googleapis.com" + generate + "gemini-3-flash:streamGenerateContent?alt=sse", `{}`, "flash", "gemini-3-flash"},
		{"a model that a path cannot spell", generate + "slash:generateContent", `{}`, nil, 200, "generativelanguage.googleapis.com" + generate + "a%2Fb%20c:generateContent", `{}`, "slash", "a/b c"},
		{"embedContent", "/gemini" + generate + "flash:embedContent", `{}`, nil, 200, "generativelanguage.googleapis.com" + generate + "gemini-3-flash:embedContent", `{}`, "flash", "gemini-3-flash"},
		{"a deployment", "/openai/deployments/fast/chat/completions", `{}`, nil, 200, "api.openai.com/openai/deployments/gpt-6/chat/completions", `{}`, "fast", "gpt-6"},
		{"the key's own alias comes first", chat, `{"model":"fast"}`, own, 200, "api.anthropic.com" + chat, `{"model":"claude-sonnet-5"}`, "fast", "claude-sonnet-5"},
		{"the name of another model", chat, `{"model":"gpt-5"}`, nil, 200, "api.openai.com" + chat, `{"model":"gpt-6"}`, "gpt-5", "gpt-6"},
		{"no alias", chat, `{"model":"gpt-6"}`, nil, 200, "api.openai.com" + chat, `{"model":"gpt-6"}`, "", "gpt-6"},
		{"an alias that the key may use", chat, `{"model":"fast"}`, narrow, 200, "api.openai.com" + chat, `{"model":"gpt-6"}`, "fast", "gpt-6"},
		{"an alias of a model that the key may not use", messages, `{"model":"claude-best"}`, narrow, 403, "", `may not use model \"claude-opus-5\"`, "", ""},
		{"the key may use the alias and not the model", generate + "flash:generateContent", `{}`, narrow, 403, "", "gemini-3-flash", "", ""},

		{"an alias deeper in a body too", chat, `{"model":"fast","tools":[{"type":"image_generation","model":"fast"}]}`, nil, 400, "", `is an alias of the model \"gpt-6\"`, "", ""},
		{"in a path and a body", generate + "flash:batchEmbedContents", `{"requests":[{"model":"models/flash"}]}`, nil, 400, "", "is an alias of the model", "", ""},
		{"in a form", "/v1/audio/transcriptions", "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nfast\r\n--b--\r\n", []string{"Content-Type", "multipart/form-data; boundary=b"}, 400, "", "is an alias of the model", "", ""},
		{"in a compressed body", chat, packedBody(`{"model":"fast"}`), []string{"Content-Encoding", "gzip"}, 400, "", "is an alias of the model", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls := b.seenBy.calls()
			a := b.do("POST", test.path, test.body, test.headers...)
			if test.status != 200 {
				a.want(t, test.status, test.sent)
				if b.seenBy.calls() != calls {
					t.Error("it went upstream")
				}
				return
			}
			a.want(t, 200)
			r, body := b.seenBy.last()
			if got := r.Header.Get("X-Dialled") + r.URL.RequestURI(); got != test.asked || string(body) != test.sent {
				t.Errorf("asked %s with %s", got, body)
			}
			if modified := strings.Contains(a.Header.Get("X-Forward-Modified"), "model"); modified != (test.alias != "") {
				t.Errorf("X-Forward-Modified is %q", a.Header.Get("X-Forward-Modified"))
			}
			all := rows(b)
			row := all[len(all)-1]
			if row.Alias != test.alias || row.Model != test.model {
				t.Errorf("the ledger has model %q, called %q", row.Model, row.Alias)
			}
		})
	}
}

func packedBody(body string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, body)
	w.Close()
	return b.String()
}

// TestAliasesShareWhatTheModelHas: the cache and the fallbacks go by the model.
func TestAliasesShareWhatTheModelHas(t *testing.T) {
	b := start(t, swapped, func(s *setup) {
		caching(memoryCache(t))(s)
		s.Aliases = map[string]string{"fast": "third", "busy": "full"}
		s.Fallbacks = []forward.Fallback{{Models: "full", Instead: []string{"third"}}}
	})
	ask := func(model string) answer {
		return b.do("POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"caching":true,"model":"`+model+`"}`)
	}
	ask("third").want(t, 200)
	if a := ask("fast"); a.Header.Get("X-Cache") != "HIT" {
		t.Errorf("the alias was asked again: %v", a.Header)
	}
	a := ask("busy")
	a.want(t, 200)
	if _, body := b.last(); !bytes.Contains(body, []byte(`"model":"third"`)) || strings.Count(a.Header.Get("X-Forward-Modified"), "model") != 1 {
		t.Errorf("asked %s, modified %q", body, a.Header.Get("X-Forward-Modified"))
	}
}

// TestAliasesAreListed with the entry of their model, to callers that may use
// it.
func TestAliasesAreListed(t *testing.T) {
	b := mounted(t, []place{atOpenAI, atAnthropic, atGemini}, nil, func(s *setup) {
		s.Aliases = map[string]string{"claude-best": "claude-opus-5", "fast": "gpt-6", "gpt-5": "gpt-6", "unlisted": "gpt-7"}
		s.keys = append(s.keys, keys.Key{Name: "narrow", Secret: keys.NewSecret("fk-narrow"), Policy: keys.Policy{Models: []string{"claude-opus-5"}, Aliases: map[string]string{"claude-mine": "claude-opus-5"}}})
	})
	a := b.do("GET", "/v1/models?limit=1000", "", claudeCode...)
	a.want(t, 200, `{"type":"model","id":"claude-best","display_name":"Claude Opus 5","created_at":"2026-01-02T00:00:00Z","max_tokens":128000}`)
	if got := names(a); got != "claude-opus-5 claude-sonnet-5 claude-haiku-5 claude-best" {
		t.Errorf("Anthropic's form has %s", got)
	}
	if got := names(b.do("GET", "/v1/models", "")); got != "gpt-6 claude-opus-5 claude-sonnet-5 claude-haiku-5 gemini-3-pro gemini-3-flash claude-best fast gpt-5 unlisted" {
		t.Errorf("OpenAI's form has %s", got)
	}
	b.do("GET", "/v1/models/fast", "").want(t, 200, `"id":"fast"`)
	b.do("GET", "/v1/models/claude-best", "", claudeCode...).want(t, 200, `"id":"claude-best"`)
	for _, path := range []string{"/v1/models", "/anthropic/v1/models"} {
		if got := names(b.do("GET", path, "", append([]string{"Authorization", "Bearer fk-narrow"}, claudeCode...)...)); got != "claude-opus-5 claude-best claude-mine" {
			t.Errorf("the narrow key sees %s at %s", got, path)
		}
	}
	b.do("GET", "/v1/models/fast", "", "Authorization", "Bearer fk-narrow").want(t, 404)
	if a := b.do("GET", "/anthropic/v1/models", "", claudeCode...); a.body != modelsAt["api.anthropic.com/v1/models"] || a.StatusCode != http.StatusOK {
		t.Errorf("the provider's own list changed: %s", a.body)
	}
}
