package tokens_test

import (
	"testing"

	"github.com/pkoukk/tiktoken-go"

	"forward/internal/tokens"
)

func TestForModel(t *testing.T) {
	for _, c := range []struct {
		want   tokens.Encoding
		known  bool
		models []string
	}{
		{tokens.O200kBase, true, []string{
			"gpt-4o", "gpt-4o-mini", "gpt-4o-2024-05-13", "gpt-4o-realtime-preview", "chatgpt-4o-latest", "gpt-4.1", "gpt-4.1-nano",
			"gpt-4.5-preview", "gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5.2-codex", "o1", "o1-mini", "o1-pro", "o3", "o3-mini",
			"o3-deep-research", "o4-mini", "o4-mini-2025-04-16", "gpt-oss-120b", "openai/gpt-oss-20b", "openai/gpt-4o",
			"ft:gpt-4o-mini-2024-07-18:acme:name:id", "ft:gpt-4.1-2025-04-14:acme::id", "gpt-realtime", "gpt-audio-mini",
		}},
		{tokens.Cl100kBase, true, []string{
			"gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-4-32k", "gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-instruct",
			"gpt-35-turbo", "gpt-35-turbo-16k", "text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002",
			"davinci-002", "babbage-002", "ft:gpt-3.5-turbo-0125:acme::id", "ft:gpt-4-0613:acme::id", "ft:davinci-002:acme::id",
		}},
		{tokens.P50kBase, true, []string{"text-davinci-003", "text-davinci-002", "code-davinci-002", "text-davinci-edit-001"}},
		{tokens.R50kBase, true, []string{"davinci", "ada", "text-ada-001", "text-similarity-ada-001", "gpt2", "gpt-2", "davinci:ft-acme-2023-01-01"}},
		{tokens.O200kBase, false, []string{
			"", "claude-sonnet-4-5", "gemini-2.5-pro", "llama3", "qwen2.5:7b", "anthropic/claude-3", "o10", "o1x", "gpt-4.7", "gpt-50",
			"gpt-4omni", "GPT-4", "ft:", "openai/", "mistral/gpt-4o-clone",
		}},
	} {
		for _, model := range c.models {
			if enc, known := tokens.ForModel(model); enc != c.want || known != c.known {
				t.Errorf("ForModel(%q) = %s, %v, want %s, %v", model, enc, known, c.want, c.known)
			}
		}
	}
}

// TestForModelAgreesWithTiktoken walks tiktoken-go's own table.
func TestForModelAgreesWithTiktoken(t *testing.T) {
	same := map[string]string{tiktoken.MODEL_P50K_EDIT: tiktoken.MODEL_P50K_BASE, "gpt2": tiktoken.MODEL_R50K_BASE}
	for model, want := range tiktoken.MODEL_TO_ENCODING {
		if s, ok := same[want]; ok {
			want = s
		}
		if enc, known := tokens.ForModel(model); string(enc) != want || !known {
			t.Errorf("ForModel(%q) = %s, %v, want %s, true", model, enc, known, want)
		}
	}
	for prefix, want := range tiktoken.MODEL_PREFIX_TO_ENCODING {
		if enc, known := tokens.ForModel(prefix + "2030-01-01"); string(enc) != want || !known {
			t.Errorf("ForModel(%q…) = %s, %v, want %s, true", prefix, enc, known, want)
		}
	}
}
