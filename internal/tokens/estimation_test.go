package tokens_test

import (
	"strings"
	"testing"

	"forward/internal/tokens"
)

func TestEstimation(t *testing.T) {
	e := tokens.Estimation{CharsPerToken: 4, ByProvider: map[string]float64{"anthropic": 3}, MaxSample: 100}
	for _, c := range []struct {
		name, provider, text string
		want                 int64
	}{
		{"nothing", "openai", "", 0},
		{"rounded up", "openai", "hello", 2},
		{"by provider", "anthropic", "hello, you", 4},
		{"characters, not bytes", "openai", strings.Repeat("漢", 20), 5},
		{"as long as is looked at", "openai", strings.Repeat("a", 100), 25},
		{"longer: the rest is alike", "openai", strings.Repeat("a", 1000), 250},
		{"longer, of other characters", "openai", strings.Repeat("é", 1000), 250},
		{"not UTF-8", "openai", strings.Repeat("\xff", 8), 2},
	} {
		if got := e.EstimateTokens(c.provider, []byte(c.text)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if e.MaxSample = -1; e.EstimateTokens("anthropic", []byte("hello, you")) != 3 {
		t.Error("a text that is not to be looked at is not counted by its bytes")
	}
	only := tokens.Estimation{ByProvider: map[string]float64{"openai": 5}, BytesPerToken: 2}
	if !only.On("openai") || only.On("gemini") || only.EstimateBytes(7) != 4 || only.EstimateBytes(-1) != 0 || (tokens.Estimation{}).On("") {
		t.Error("who is estimated, and bytes")
	}
}
