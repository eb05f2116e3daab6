package dialect_test

import (
	"net/http"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"

	"github.com/google/go-cmp/cmp"
)

func TestOperation(t *testing.T) {
	for _, test := range []struct {
		d            *dialect.Dialect
		method, path string
		want         dialect.Operation
	}{
		{openai.Dialect, "POST", "/v1/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/openai/v1/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/openai/deployments/my%20gpt/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/v1beta/openai/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/api/paas/v4/chat/completions", dialect.Chat},
		{openai.Dialect, "POST", "/v1/%63hat/completion%73", dialect.Chat},
		{openai.Dialect, "POST", "/v1/chat%2Fcompletions", dialect.Other},
		{openai.Dialect, "POST", "/v1/Chat/completions", dialect.Other},
		{openai.Dialect, "POST", "/v1/chat/completions/", dialect.Other},
		{openai.Dialect, "POST", "/v1/chat/completions/chatcmpl-1", dialect.Other},
		{openai.Dialect, "POST", "/v1/xchat/completions", dialect.Other},
		{openai.Dialect, "POST", "/v1xchat/completions", dialect.Other},
		{openai.Dialect, "GET", "/v1/chat/completions", dialect.Other},
		{openai.Dialect, "DELETE", "/v1/chat/completions", dialect.Other},
		{openai.Dialect, "POST", "/v1/completions", dialect.Completion},
		{openai.Dialect, "POST", "/v1/engines/davinci/completions", dialect.Completion},
		{openai.Dialect, "POST", "/beta/completions", dialect.Completion},
		{openai.Dialect, "POST", "/v1/embeddings", dialect.Embedding},
		{openai.Dialect, "POST", "/openai/deployments/e/embeddings", dialect.Embedding},
		{openai.Dialect, "POST", "/v1/responses", dialect.Responses},
		{openai.Dialect, "POST", "/v1/responses/resp_1/cancel", dialect.Other},
		{openai.Dialect, "POST", "/v1/threads/t/responses", dialect.Other},
		{openai.Dialect, "POST", "/v1/moderations", dialect.Moderation},
		{openai.Dialect, "POST", "/v1/images/generations", dialect.Image},
		{openai.Dialect, "POST", "/v1/images/edits", dialect.ImageEdit},
		{openai.Dialect, "POST", "/v1/audio/speech", dialect.Speech},
		{openai.Dialect, "POST", "/v1/audio/transcriptions", dialect.Audio},
		{openai.Dialect, "POST", "/v1/audio/translations", dialect.Audio},
		{openai.Dialect, "GET", "/v1/models", dialect.Models},
		{openai.Dialect, "GET", "/v1/models/gpt-4o", dialect.Models},
		{openai.Dialect, "DELETE", "/v1/models/ft:gpt", dialect.Other},
		{openai.Dialect, "GET", "/v1/modelsx", dialect.Other},
		{openai.Dialect, "POST", "/v1/files", dialect.Other},
		{openai.Dialect, "POST", "/v1/messages", dialect.Other},
		{openai.Dialect, "POST", "", dialect.Other},
		{openai.Dialect, "POST", "/", dialect.Other},
		{openai.Dialect, "POST", "/v1/%", dialect.Other},

		{anthropic.Dialect, "POST", "/v1/messages", dialect.Messages},
		{anthropic.Dialect, "POST", "/v1/m%65ssages", dialect.Messages},
		{anthropic.Dialect, "GET", "/v1/messages", dialect.Other},
		{anthropic.Dialect, "POST", "/v1/messages/count_tokens", dialect.CountTokens},
		{anthropic.Dialect, "POST", "/v1/messages/batches", dialect.Other},
		{anthropic.Dialect, "POST", "/v1/complete", dialect.Other},
		{anthropic.Dialect, "POST", "/v1/completions", dialect.Other},
		{anthropic.Dialect, "POST", "/v1/chat/completions", dialect.Chat},
		{anthropic.Dialect, "GET", "/v1/models", dialect.Models},

		{gemini.Dialect, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", dialect.Generate},
		{gemini.Dialect, "POST", "/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent", dialect.Generate},
		{gemini.Dialect, "POST", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent", dialect.Generate},
		{gemini.Dialect, "POST", "/v1beta/tunedModels/mine:generateContent", dialect.Generate},
		{gemini.Dialect, "POST", "/v1beta/models/e:embedContent", dialect.EmbedContent},
		{gemini.Dialect, "POST", "/v1beta/models/e:batchEmbedContents", dialect.EmbedContent},
		{gemini.Dialect, "POST", "/v1beta/models/g:countTokens", dialect.CountTokens},
		{gemini.Dialect, "POST", "/v1beta/models/imagen:predict", dialect.Other},
		{gemini.Dialect, "GET", "/v1beta/models/g:generateContent", dialect.Models},
		{gemini.Dialect, "POST", "/v1beta/files/g:generateContent", dialect.Other},
		{gemini.Dialect, "GET", "/v1beta/models", dialect.Models},
		{gemini.Dialect, "POST", "/v1beta/openai/chat/completions", dialect.Chat},
		{gemini.Dialect, "POST", "/v1beta/openai/embeddings", dialect.Embedding},
		{gemini.Dialect, "GET", "/v1beta/openai/models", dialect.Models},
	} {
		if got := test.d.Operation(test.method, test.path); got != test.want {
			t.Errorf("%s: %s %s is %q, want %q", test.d.Name, test.method, test.path, got, test.want)
		}
	}
}

func TestParsed(t *testing.T) {
	for op, want := range map[dialect.Operation]bool{
		dialect.Other: false, dialect.Audio: false, dialect.ImageEdit: false, dialect.Models: false, dialect.Chat: true, dialect.Completion: true, dialect.Embedding: true, dialect.Responses: true,
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
			got := test.d.Request(test.d.Operation("POST", test.path), test.path, test.query, b)
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
