package dialect_test

import (
	"net/http"
	"testing"

	"forward/internal/dialect"

	"github.com/google/go-cmp/cmp"
)

func TestOperation(t *testing.T) {
	for _, test := range []struct {
		d            *dialect.Dialect
		method, path string
		want         dialect.Operation
	}{
		{dialect.OpenAI, "POST", "/v1/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/openai/v1/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/openai/deployments/my%20gpt/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/v1beta/openai/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/api/paas/v4/chat/completions", dialect.Chat},
		{dialect.OpenAI, "POST", "/v1/%63hat/completion%73", dialect.Chat},
		{dialect.OpenAI, "POST", "/v1/chat%2Fcompletions", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/Chat/completions", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/chat/completions/", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/chat/completions/chatcmpl-1", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/xchat/completions", dialect.Other},
		{dialect.OpenAI, "POST", "/v1xchat/completions", dialect.Other},
		{dialect.OpenAI, "GET", "/v1/chat/completions", dialect.Other},
		{dialect.OpenAI, "DELETE", "/v1/chat/completions", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/completions", dialect.Completion},
		{dialect.OpenAI, "POST", "/v1/engines/davinci/completions", dialect.Completion},
		{dialect.OpenAI, "POST", "/beta/completions", dialect.Completion},
		{dialect.OpenAI, "POST", "/v1/embeddings", dialect.Embedding},
		{dialect.OpenAI, "POST", "/openai/deployments/e/embeddings", dialect.Embedding},
		{dialect.OpenAI, "POST", "/v1/responses", dialect.Responses},
		{dialect.OpenAI, "POST", "/v1/responses/resp_1/cancel", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/threads/t/responses", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/moderations", dialect.Moderation},
		{dialect.OpenAI, "POST", "/v1/images/generations", dialect.Image},
		{dialect.OpenAI, "POST", "/v1/images/edits", dialect.ImageEdit},
		{dialect.OpenAI, "POST", "/v1/audio/speech", dialect.Speech},
		{dialect.OpenAI, "POST", "/v1/audio/transcriptions", dialect.Audio},
		{dialect.OpenAI, "POST", "/v1/audio/translations", dialect.Audio},
		{dialect.OpenAI, "GET", "/v1/models", dialect.Models},
		{dialect.OpenAI, "GET", "/v1/models/gpt-4o", dialect.Models},
		{dialect.OpenAI, "DELETE", "/v1/models/ft:gpt", dialect.Other},
		{dialect.OpenAI, "GET", "/v1/modelsx", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/files", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/messages", dialect.Other},
		{dialect.OpenAI, "POST", "", dialect.Other},
		{dialect.OpenAI, "POST", "/", dialect.Other},
		{dialect.OpenAI, "POST", "/v1/%", dialect.Other},

		{dialect.Anthropic, "POST", "/v1/messages", dialect.Messages},
		{dialect.Anthropic, "POST", "/v1/m%65ssages", dialect.Messages},
		{dialect.Anthropic, "GET", "/v1/messages", dialect.Other},
		{dialect.Anthropic, "POST", "/v1/messages/count_tokens", dialect.CountTokens},
		{dialect.Anthropic, "POST", "/v1/messages/batches", dialect.Other},
		{dialect.Anthropic, "POST", "/v1/complete", dialect.Other},
		{dialect.Anthropic, "POST", "/v1/completions", dialect.Other},
		{dialect.Anthropic, "POST", "/v1/chat/completions", dialect.Chat},
		{dialect.Anthropic, "GET", "/v1/models", dialect.Models},

		{dialect.Gemini, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", dialect.Generate},
		{dialect.Gemini, "POST", "/v1beta/models/gemini-2.5-pro%3AstreamGenerateContent", dialect.Generate},
		{dialect.Gemini, "POST", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent", dialect.Generate},
		{dialect.Gemini, "POST", "/v1beta/tunedModels/mine:generateContent", dialect.Generate},
		{dialect.Gemini, "POST", "/v1beta/models/e:embedContent", dialect.EmbedContent},
		{dialect.Gemini, "POST", "/v1beta/models/e:batchEmbedContents", dialect.EmbedContent},
		{dialect.Gemini, "POST", "/v1beta/models/g:countTokens", dialect.CountTokens},
		{dialect.Gemini, "POST", "/v1beta/models/imagen:predict", dialect.Other},
		{dialect.Gemini, "GET", "/v1beta/models/g:generateContent", dialect.Models},
		{dialect.Gemini, "POST", "/v1beta/files/g:generateContent", dialect.Other},
		{dialect.Gemini, "GET", "/v1beta/models", dialect.Models},
		{dialect.Gemini, "POST", "/v1beta/openai/chat/completions", dialect.Chat},
		{dialect.Gemini, "POST", "/v1beta/openai/embeddings", dialect.Embedding},
		{dialect.Gemini, "GET", "/v1beta/openai/models", dialect.Models},
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
		"chat": {dialect.OpenAI, "/v1/chat/completions", "", `{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"caching":false,"max_tokens":5,"n":2,"user":"alice"}`,
			dialect.Request{Model: "gpt-4o", Stream: true, IncludeUsage: true, Caching: &no, MaxTokens: 5, N: 2, User: "alice"}},
		"new limit wins": {dialect.OpenAI, "/v1/chat/completions", "", `{"max_tokens":5,"max_completion_tokens":7,"caching":true}`, dialect.Request{MaxTokens: 7, Caching: &yes}},
		"wrong types":    {dialect.OpenAI, "/v1/chat/completions", "", `{"model":7,"stream":"true","stream_options":[],"caching":"yes","max_tokens":-1,"n":"2","user":null}`, dialect.Request{}},
		"huge":           {dialect.OpenAI, "/v1/chat/completions", "", `{"max_tokens":9223372036854775808,"n":1e400}`, dialect.Request{MaxTokens: 1 << 53, N: 1 << 53}},
		"other case":     {dialect.OpenAI, "/v1/chat/completions", "", `{"Model":"a","STREAM":true}`, dialect.Request{}},
		"no body":        {dialect.OpenAI, "/v1/models", "", "", dialect.Request{}},
		"not kept":       {dialect.OpenAI, "/v1/responses", "", `{"model":"o3","store":false}`, dialect.Request{Model: "o3"}},
		"kept chat":      {dialect.OpenAI, "/v1/chat/completions", "", `{"model":"o3","store":true}`, dialect.Request{Model: "o3", Store: true}},
		"responses":      {dialect.OpenAI, "/v1/responses", "", `{"model":"o3","max_output_tokens":9,"stream":true}`, dialect.Request{Model: "o3", MaxTokens: 9, Stream: true, Store: true}},
		"azure":          {dialect.OpenAI, "/openai/deployments/my%20gpt/chat/completions", "api-version=1", `{"model":"cheap"}`, dialect.Request{Model: "my gpt"}},
		"messages": {dialect.Anthropic, "/v1/messages", "", `{"model":"claude","max_tokens":1024,"stream":true,"metadata":{"user_id":"u1"},"caching":true}`,
			dialect.Request{Model: "claude", MaxTokens: 1024, Stream: true, User: "u1", Caching: &yes}},
		"anthropic compatible": {dialect.Anthropic, "/v1/chat/completions", "", `{"model":"claude","max_tokens":3,"stream_options":{"include_usage":true}}`, dialect.Request{Model: "claude", MaxTokens: 3, IncludeUsage: true}},
		"gemini": {dialect.Gemini, "/v1beta/models/gemini-2.5-pro:generateContent", "", `{"model":"other","caching":true,"generationConfig":{"maxOutputTokens":10,"candidateCount":2}}`,
			dialect.Request{Model: "gemini-2.5-pro", MaxTokens: 10, N: 2, Caching: &yes}},
		"gemini snake":      {dialect.Gemini, "/v1beta/models/g:generateContent", "", `{"generation_config":{"max_output_tokens":10}}`, dialect.Request{Model: "g", MaxTokens: 10}},
		"gemini stream":     {dialect.Gemini, "/v1beta/models/g%2Fx%3AstreamGenerateContent", "alt=sse", `{}`, dialect.Request{Model: "g/x", Stream: true}},
		"gemini array":      {dialect.Gemini, "/v1beta/models/g:streamGenerateContent", "", `{}`, dialect.Request{Model: "g", Stream: true, Array: true}},
		"gemini no body":    {dialect.Gemini, "/v1beta/models/g", "%zz", "", dialect.Request{}},
		"gemini compatible": {dialect.Gemini, "/v1beta/openai/chat/completions", "", `{"model":"g","stream":true,"user":"u"}`, dialect.Request{Model: "g", Stream: true, User: "u"}},
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
		{dialect.OpenAI, "/v1/chat/completions", "Authorization", "Bearer k"},
		{dialect.OpenAI, "/v1/files", "Authorization", "Bearer k"},
		{dialect.Anthropic, "/v1/messages", "X-Api-Key", "k"},
		{dialect.Anthropic, "/v1/messages/batches", "X-Api-Key", "k"},
		{dialect.Anthropic, "/v1/models", "X-Api-Key", "k"},
		{dialect.Anthropic, "/v1/chat/completions", "Authorization", "Bearer k"},
		{dialect.Gemini, "/v1beta/models/g:generateContent", "X-Goog-Api-Key", "k"},
		{dialect.Gemini, "/upload/v1beta/files", "X-Goog-Api-Key", "k"},
		{dialect.Gemini, "/v1beta/openai/chat/completions", "Authorization", "Bearer k"},
		{dialect.Gemini, "/v1beta/openai/models", "Authorization", "Bearer k"},
	} {
		h := http.Header{}
		test.d.SetCredentialFor(test.path, h, "k")
		if len(h) != 1 || h.Get(test.header) != test.key {
			t.Errorf("%s %s: %v", test.d.Name, test.path, h)
		}
	}
	for d, name := range map[*dialect.Dialect]string{dialect.OpenAI: "Authorization", dialect.Anthropic: "X-Api-Key", dialect.Gemini: "X-Goog-Api-Key"} {
		h := http.Header{}
		d.SetCredential(h, "k")
		if len(h) != 1 || h.Get(name) == "" {
			t.Errorf("%s: %v", d.Name, h)
		}
	}
}

func TestByName(t *testing.T) {
	for _, d := range []*dialect.Dialect{dialect.OpenAI, dialect.Anthropic, dialect.Gemini} {
		if got, ok := dialect.ByName(d.Name); !ok || got != d {
			t.Errorf("%s", d.Name)
		}
	}
	if d, ok := dialect.ByName("OpenAI"); ok || d != nil {
		t.Error("names have one spelling")
	}
}

func TestPlainForm(t *testing.T) {
	for _, test := range []struct {
		d                        *dialect.Dialect
		path, query, plain, rest string
	}{
		{dialect.Gemini, "/v1beta/models/m:streamGenerateContent", "alt=sse", "/v1beta/models/m:generateContent", ""},
		{dialect.Gemini, "/v1beta/models/m:streamGenerateContent", "", "/v1beta/models/m:generateContent", ""},
		{dialect.Gemini, "/v1beta/models/m:streamGenerateContent", "x=1&alt=sse&y=%20", "/v1beta/models/m:generateContent", "x=1&y=%20"},
		{dialect.Gemini, "/v1beta/models/m:streamGenerateContent", "alt=media", "/v1beta/models/m:generateContent", "alt=media"},
		{dialect.Gemini, "/v1beta/models/m:generateContent", "x=1&&y", "/v1beta/models/m:generateContent", "x=1&&y"},
		{dialect.OpenAI, "/v1/chat/completions", "alt=sse", "/v1/chat/completions", "alt=sse"},
	} {
		plain, rest := test.d.PlainForm(test.d.Operation("POST", test.path), test.path, test.query)
		if plain != test.plain || rest != test.rest {
			t.Errorf("%s?%s is %s?%s", test.path, test.query, plain, rest)
		}
	}
}
