package dialect_test

import (
	"net/http"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/ollama"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	other, unknown := dialect.Other, dialect.Unknown
	for _, test := range []struct {
		home         *dialect.Dialect
		method, path string
		want         dialect.Operation
		spoken       *dialect.Dialect // nil: home
	}{
		{openai.Dialect, "POST", "/v1/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/openai/v1/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/openai/deployments/my%20gpt/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/openai/deployments/d/extensions/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1beta/openai/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/api/paas/v4/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/serving-endpoints/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/serving-endpoints/my-model/invocations", dialect.Chat, nil},
		{openai.Dialect, "POST", "/accounts/a/gateways/g/chat/completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1/%63hat/completion%73", dialect.Chat, nil},
		{openai.Dialect, "POST", "/V1/Chat/COMPLETIONS", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1/chat/completions/", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1//chat///completions", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1/chat;a=b/completions;c", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1/chat/completions%20", dialect.Chat, nil},
		{openai.Dialect, "POST", "/v1/chat%2Fcompletions", unknown, nil},
		{openai.Dialect, "POST", "/v1/chat/completions/chatcmpl-1", other, nil},
		{openai.Dialect, "POST", "/v1/chat/completions/x", unknown, nil},
		{openai.Dialect, "POST", "/v1/xchat/completions", unknown, nil},
		{openai.Dialect, "POST", "/v1xchat/completions", unknown, nil},
		{openai.Dialect, "PUT", "/v1/chat/completions", unknown, nil},
		{openai.Dialect, "GET", "/v1/chat/completions", other, nil},
		{openai.Dialect, "OPTIONS", "/v1/chat/completions", other, nil},
		{openai.Dialect, "HEAD", "/v1/files", other, nil},
		{openai.Dialect, "DELETE", "/v1/chat/completions", unknown, nil},
		{openai.Dialect, "POST", "/v1/completions", dialect.Completion, nil},
		{openai.Dialect, "POST", "/v1/fim/completions", dialect.Completion, nil},
		{openai.Dialect, "POST", "/v1/engines/davinci/completions", dialect.Completion, nil},
		{openai.Dialect, "POST", "/beta/completions", dialect.Completion, nil},
		{openai.Dialect, "POST", "/v1/embeddings", dialect.Embedding, nil},
		{openai.Dialect, "POST", "/openai/deployments/e/embeddings", dialect.Embedding, nil},
		{openai.Dialect, "POST", "/v1/responses", dialect.Responses, nil},
		{openai.Dialect, "POST", "/v1/responses/compact", dialect.Responses, nil},
		{openai.Dialect, "POST", "/v1/responses/input_tokens", dialect.CountTokens, nil},
		{openai.Dialect, "POST", "/v1/responses/resp_1/cancel", other, nil},
		{openai.Dialect, "GET", "/v1/responses", unknown, nil},
		{openai.Dialect, "POST", "/v1/threads/t/responses", unknown, nil},
		{openai.Dialect, "POST", "/v1/threads/runs", unknown, nil},
		{openai.Dialect, "POST", "/v1/threads/t/runs", unknown, nil},
		{openai.Dialect, "POST", "/v1/threads/t", other, nil},
		{openai.Dialect, "POST", "/v1/threads/t/messages", other, nil},
		{openai.Dialect, "POST", "/v1/moderations", dialect.Moderation, nil},
		{openai.Dialect, "POST", "/v1/images/generations", dialect.Image, nil},
		{openai.Dialect, "POST", "/v1/images/edits", dialect.ImageEdit, nil},
		{openai.Dialect, "POST", "/v1/audio/speech", dialect.Speech, nil},
		{openai.Dialect, "POST", "/v1/audio/transcriptions", dialect.Audio, nil},
		{openai.Dialect, "POST", "/v1/audio/translations", dialect.Audio, nil},
		{openai.Dialect, "POST", "/v1/videos", dialect.Video, nil},
		{openai.Dialect, "POST", "/v1/videos/video_1/remix", dialect.Video, nil},
		{openai.Dialect, "POST", "/openai/v1/video/generations/jobs", dialect.Video, nil},
		{openai.Dialect, "GET", "/v1/videos/video_1/content", other, nil},
		{openai.Dialect, "POST", "/v2/rerank", dialect.Rerank, nil},
		{openai.Dialect, "POST", "/rerank", dialect.Rerank, nil},
		{openai.Dialect, "GET", "/v1/models", dialect.Models, nil},
		{openai.Dialect, "GET", "/v1/models/gpt-4o", dialect.Models, nil},
		{openai.Dialect, "DELETE", "/v1/models/ft:gpt", other, nil},
		{openai.Dialect, "GET", "/v1/modelsx", unknown, nil},
		{openai.Dialect, "POST", "/v1/files", other, nil},
		{openai.Dialect, "POST", "/v1/fine_tuning/jobs", unknown, nil},
		{openai.Dialect, "POST", "/v1/vector_stores/vs/search", unknown, nil},
		{openai.Dialect, "POST", "/v1/containers", unknown, nil},
		{openai.Dialect, "POST", "/v1/realtime/client_secrets", unknown, nil},
		{openai.Dialect, "POST", "/v1/messages", dialect.Messages, anthropic.Dialect},
		{openai.Dialect, "POST", "/v1/messages/count_tokens", dialect.CountTokens, anthropic.Dialect},
		{openai.Dialect, "POST", "/v1/messages/batches", other, anthropic.Dialect},
		{openai.Dialect, "POST", "/api/chat", dialect.Chat, ollama.Dialect},
		{openai.Dialect, "POST", "/api/generate", dialect.Completion, ollama.Dialect},
		{openai.Dialect, "POST", "/api/embed", dialect.Embedding, ollama.Dialect},
		{openai.Dialect, "POST", "/api/embeddings", dialect.Embedding, ollama.Dialect},
		{openai.Dialect, "POST", "/api/v1/embeddings", dialect.Embedding, nil},
		{openai.Dialect, "POST", "/v1beta/models/g:generateContent", dialect.Generate, gemini.Dialect},
		{openai.Dialect, "POST", "", unknown, nil},
		{openai.Dialect, "POST", "/", unknown, nil},
		{openai.Dialect, "POST", "/v1/%", unknown, nil},

		{anthropic.Dialect, "POST", "/v1/messages", dialect.Messages, nil},
		{anthropic.Dialect, "POST", "/v1/m%65ssages", dialect.Messages, nil},
		{anthropic.Dialect, "GET", "/v1/messages", unknown, nil},
		{anthropic.Dialect, "POST", "/v1/messages/count_tokens", dialect.CountTokens, nil},
		{anthropic.Dialect, "POST", "/v1/messages/batches", other, nil},
		{anthropic.Dialect, "GET", "/v1/files/file_1/content", other, nil},
		{anthropic.Dialect, "POST", "/v1/complete", unknown, nil},
		{anthropic.Dialect, "POST", "/v1/completions", dialect.Completion, openai.Dialect},
		{anthropic.Dialect, "POST", "/v1/chat/completions", dialect.Chat, openai.Dialect},
		{anthropic.Dialect, "GET", "/v1/models", dialect.Models, nil},

		{gemini.Dialect, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", dialect.Generate, nil},
		{gemini.Dialect, "POST", "/v1beta/Models/gemini-2.5-pro:GENERATECONTENT/", dialect.Generate, nil},
		{gemini.Dialect, "POST", "/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent", dialect.Generate, nil},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent", dialect.Generate, nil},
		{gemini.Dialect, "POST", "/v1beta/tunedModels/mine:generateContent", dialect.Generate, nil},
		{gemini.Dialect, "POST", "/v1beta/models/e:embedContent", dialect.EmbedContent, nil},
		{gemini.Dialect, "POST", "/v1beta/models/e:batchEmbedContents", dialect.EmbedContent, nil},
		{gemini.Dialect, "POST", "/v1beta/models/g:countTokens", dialect.CountTokens, nil},
		{gemini.Dialect, "POST", "/v1beta/models/imagen-4.0:predict", dialect.Image, nil},
		{gemini.Dialect, "POST", "/v1beta/models/veo-3:predictLongRunning", dialect.Video, nil},
		{gemini.Dialect, "POST", "/v1beta/models/g:somethingNew", unknown, nil},
		{gemini.Dialect, "GET", "/v1beta/models/g:generateContent", dialect.Models, nil},
		{gemini.Dialect, "GET", "/v1beta/models/veo/operations/o", other, nil},
		{gemini.Dialect, "POST", "/v1beta/files/g:generateContent", unknown, nil},
		{gemini.Dialect, "DELETE", "/v1beta/files/f1", other, nil},
		{anthropic.Dialect, "DELETE", "/v1/files/f1", other, nil},
		{gemini.Dialect, "POST", "/v1beta/cachedContents", unknown, nil},
		{gemini.Dialect, "POST", "/v1beta/interactions", unknown, nil},
		{gemini.Dialect, "GET", "/v1beta/models", dialect.Models, nil},
		{gemini.Dialect, "POST", "/v1beta/openai/chat/completions", dialect.Chat, openai.Dialect},
		{gemini.Dialect, "POST", "/v1beta/openai/embeddings", dialect.Embedding, openai.Dialect},
		{gemini.Dialect, "POST", "/v1beta/openai/something/new", unknown, openai.Dialect},
		{gemini.Dialect, "GET", "/v1beta/openai/models", dialect.Models, openai.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", dialect.Chat, openai.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict", dialect.Messages, anthropic.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict", dialect.Messages, anthropic.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict", dialect.CountTokens, anthropic.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict", dialect.Chat, openai.Dialect},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/acme/models/m:rawPredict", unknown, nil},
	} {
		spoken := test.spoken
		if spoken == nil {
			spoken = test.home
		}
		if got, d := dialects.Read(test.home, test.method, dialect.JudgedPath(test.path)); got != test.want || d != spoken {
			t.Errorf("%s: %s %s is %q in %s, want %q in %s", test.home.Name, test.method, test.path, got, d.Name, test.want, spoken.Name)
		}
	}
}

func TestParsed(t *testing.T) {
	for op, want := range map[dialect.Operation]bool{
		dialect.Other: false, dialect.Unknown: false, dialect.Video: false, dialect.Rerank: true, dialect.Audio: false, dialect.ImageEdit: false, dialect.Models: false, dialect.Chat: true, dialect.Completion: true, dialect.Embedding: true, dialect.Responses: true,
		dialect.Moderation: true, dialect.Image: true, dialect.Speech: true, dialect.Messages: true, dialect.CountTokens: true, dialect.Generate: true, dialect.EmbedContent: true,
	} {
		if op.Parsed() != want {
			t.Errorf("%q", op)
		}
	}
}

func TestRequest(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		d           *dialect.Dialect
		path, query string
		body        string
		want        dialect.Request
	}{
		"chat": {openai.Dialect, "/v1/chat/completions", "", `{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"caching":false,"max_tokens":5,"n":2,"user":"alice"}`,
			dialect.Request{Model: "gpt-4o", Stream: true, IncludeUsage: true, Caching: &no, MaxTokens: 5, N: 2, User: "alice"}},
		"new limit wins":     {openai.Dialect, "/v1/chat/completions", "", `{"max_tokens":5,"max_completion_tokens":7,"caching":true}`, dialect.Request{MaxTokens: 7, Caching: &yes}},
		"wrong types":        {openai.Dialect, "/v1/chat/completions", "", `{"model":7,"stream":"true","stream_options":[],"caching":"yes","max_tokens":-1,"n":true,"user":null}`, dialect.Request{}},
		"digits in a string": {openai.Dialect, "/v1/chat/completions", "", `{"max_tokens":"60","n":"2"}`, dialect.Request{MaxTokens: 60, N: 2}},
		"best of":            {openai.Dialect, "/v1/completions", "", `{"prompt":["a","b"],"n":2,"best_of":3}`, dialect.Request{N: 6}},
		"not this API's":     {openai.Dialect, "/v1/responses", "", `{"max_tokens":1,"store":false}`, dialect.Request{}},
		"fewer than none":    {openai.Dialect, "/v1/chat/completions", "", `{"n":-5}`, dialect.Request{Absurd: "n"}},
		"not whole":          {openai.Dialect, "/v1/chat/completions", "", `{"max_tokens":10.5}`, dialect.Request{MaxTokens: 11, Absurd: "max_tokens"}},
		"huge":               {openai.Dialect, "/v1/chat/completions", "", `{"max_tokens":9223372036854775808,"n":1e400}`, dialect.Request{MaxTokens: 1 << 53, N: 1 << 53, Absurd: "max_tokens"}},
		"other case":         {openai.Dialect, "/v1/chat/completions", "", `{"Model":"a","STREAM":true}`, dialect.Request{}},
		"no body":            {openai.Dialect, "/v1/models", "", "", dialect.Request{}},
		"not kept":           {openai.Dialect, "/v1/responses", "", `{"model":"o3","store":false}`, dialect.Request{Model: "o3"}},
		"kept chat":          {openai.Dialect, "/v1/chat/completions", "", `{"model":"o3","store":true}`, dialect.Request{Model: "o3", Store: true}},
		"responses":          {openai.Dialect, "/v1/responses", "", `{"model":"o3","max_output_tokens":9,"stream":true}`, dialect.Request{Model: "o3", MaxTokens: 9, Stream: true, Store: true}},
		"azure":              {openai.Dialect, "/openai/deployments/my%20gpt/chat/completions", "api-version=1", `{"model":"cheap"}`, dialect.Request{Model: "my gpt"}},
		"an engine's case":   {openai.Dialect, "/openai/Deployments/O1-pro/chat/completions/", "", `{"model":"cheap"}`, dialect.Request{Model: "O1-pro"}},
		"a serving endpoint": {openai.Dialect, "/serving-endpoints/m/invocations", "", `{}`, dialect.Request{Model: "m"}},
		"Claude on Vertex": {gemini.Dialect, "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict", "", `{"max_tokens":3}`,
			dialect.Request{Model: "claude-sonnet-4-5@20250929", MaxTokens: 3, Stream: true}},
		"Mistral on Vertex": {gemini.Dialect, "/v1/projects/p/locations/l/publishers/mistralai/models/mistral:rawPredict", "", `{"model":"other","max_tokens":3}`,
			dialect.Request{Model: "mistral", MaxTokens: 3}},
		"messages": {anthropic.Dialect, "/v1/messages", "", `{"model":"claude","max_tokens":1024,"stream":true,"metadata":{"user_id":"u1"},"caching":true}`,
			dialect.Request{Model: "claude", MaxTokens: 1024, Stream: true, User: "u1", Caching: &yes}},
		"anthropic compatible": {anthropic.Dialect, "/v1/chat/completions", "", `{"model":"claude","max_tokens":3,"stream_options":{"include_usage":true}}`, dialect.Request{Model: "claude", MaxTokens: 3, IncludeUsage: true}},
		"gemini": {gemini.Dialect, "/v1beta/models/gemini-2.5-pro:generateContent", "", `{"model":"other","caching":true,"generationConfig":{"maxOutputTokens":10,"candidateCount":2}}`,
			dialect.Request{Model: "gemini-2.5-pro", MaxTokens: 10, N: 2, Caching: &yes}},
		"gemini both":       {gemini.Dialect, "/v1beta/models/g:generateContent", "", `{"generationConfig":{"max_output_tokens":10},"generation_config":{"candidateCount":"3"}}`, dialect.Request{Model: "g", MaxTokens: 10, N: 3}},
		"gemini snake":      {gemini.Dialect, "/v1beta/models/g:generateContent", "", `{"generation_config":{"max_output_tokens":10}}`, dialect.Request{Model: "g", MaxTokens: 10}},
		"gemini stream":     {gemini.Dialect, "/v1beta/models/g%2Fx%3AstreamGenerateContent", "alt=sse", `{}`, dialect.Request{Model: "g/x", Stream: true}},
		"gemini array":      {gemini.Dialect, "/v1beta/models/g:streamGenerateContent", "", `{}`, dialect.Request{Model: "g", Stream: true, Array: true}},
		"gemini no body":    {gemini.Dialect, "/v1beta/models/g", "%zz", "", dialect.Request{}},
		"gemini compatible": {gemini.Dialect, "/v1beta/openai/chat/completions", "", `{"model":"g","stream":true,"user":"u"}`, dialect.Request{Model: "g", Stream: true, User: "u"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b *dialect.Body
			if test.body != "" {
				var err error
				if b, err = dialect.Scan([]byte(test.body)); err != nil {
					t.Fatal(err)
				}
			}
			path := dialect.JudgedPath(test.path)
			op, d := dialects.Read(test.d, "POST", path)
			got := d.Request(op, path, test.query, b)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	for _, test := range []struct {
		d           *dialect.Dialect
		path        string
		header, key string
	}{
		{openai.Dialect, "/v1/chat/completions", "Authorization", "Bearer k"},
		{openai.Dialect, "/v1/files", "Authorization", "Bearer k"},
		{anthropic.Dialect, "/v1/messages", "X-Api-Key", "k"},
		{anthropic.Dialect, "/v1/messages/batches", "X-Api-Key", "k"},
		{anthropic.Dialect, "/v1/models", "X-Api-Key", "k"},
		{anthropic.Dialect, "/v1/chat/completions", "Authorization", "Bearer k"},
		{gemini.Dialect, "/v1beta/models/g:generateContent", "X-Goog-Api-Key", "k"},
		{gemini.Dialect, "/upload/v1beta/files", "X-Goog-Api-Key", "k"},
		{gemini.Dialect, "/v1beta/openai/chat/completions", "Authorization", "Bearer k"},
		{gemini.Dialect, "/v1beta/openai/models", "Authorization", "Bearer k"},
		{gemini.Dialect, "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "Authorization", "Bearer k"},
		{gemini.Dialect, "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict", "X-Goog-Api-Key", "k"},
		{openai.Dialect, "/v1/messages", "Authorization", "Bearer k"},
		{openai.Dialect, "/api/chat", "Authorization", "Bearer k"},
	} {
		h := http.Header{}
		test.d.SetCredentialFor(test.path, h, "k")
		if len(h) != 1 || h.Get(test.header) != test.key {
			t.Errorf("%s %s: %v", test.d.Name, test.path, h)
		}
	}
	for d, name := range map[*dialect.Dialect]string{openai.Dialect: "Authorization", anthropic.Dialect: "X-Api-Key", gemini.Dialect: "X-Goog-Api-Key"} {
		h := http.Header{}
		d.SetCredential(h, "k")
		if len(h) != 1 || h.Get(name) == "" {
			t.Errorf("%s: %v", d.Name, h)
		}
	}
}

func TestByName(t *testing.T) {
	for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
		if got, ok := dialects.ByName(d.Name); !ok || got != d {
			t.Errorf("%s", d.Name)
		}
	}
	if d, ok := dialects.ByName("OpenAI"); ok || d != nil {
		t.Error("names have one spelling")
	}
}

func TestPlainForm(t *testing.T) {
	for _, test := range []struct {
		d                        *dialect.Dialect
		path, query, plain, rest string
	}{
		{gemini.Dialect, "/v1beta/models/m:streamGenerateContent", "alt=sse", "/v1beta/models/m:generateContent", ""},
		{gemini.Dialect, "/v1beta/models/m:streamGenerateContent", "", "/v1beta/models/m:generateContent", ""},
		{gemini.Dialect, "/v1beta/models/m:streamGenerateContent", "x=1&alt=sse&y=%20", "/v1beta/models/m:generateContent", "x=1&y=%20"},
		{gemini.Dialect, "/v1beta/models/m:streamGenerateContent", "alt=media", "/v1beta/models/m:generateContent", "alt=media"},
		{gemini.Dialect, "/v1beta/models/m:generateContent", "x=1&&y", "/v1beta/models/m:generateContent", "x=1&&y"},
		{openai.Dialect, "/v1/chat/completions", "alt=sse", "/v1/chat/completions", "alt=sse"},
	} {
		plain, rest := test.d.PlainForm(test.d.Operation("POST", test.path), test.path, test.query)
		if plain != test.plain || rest != test.rest {
			t.Errorf("%s?%s is %s?%s", test.path, test.query, plain, rest)
		}
	}
}
