package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"forward/internal/limits"
)

// TestQuotas reads quotas from YAML. What an override leaves out it has from
// the default; 0 lifts it.
func TestQuotas(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": `
quotas:
  global: {tokens_per_day: 5000}
  provider: {openai: {rpm: 7}}
  key:
    team-a: {tokens_per_minute: 0, output_tokens_per_day: 9}
    "*": {tokens_per_minute: 100, requests_per_day: 3, shadow: true}
    team-b: {requests_per_day: 30, shadow: false}
token_estimation: {chars_per_token: 4, provider_chars_per_token: {Anthropic: 3.5}, max_sample_bytes: -1}
queue_keepalive: 15s
default_max_tokens: 256
routes:
  local: {forward: 'http://h.example', models: {'*': {rpm: 5, max_parallel: 2}, 'gpt-4o*': {tpm: 9}}}
`})
	c, warnings := mustLoad(t)
	want := []limits.Quota{
		{Scope: "global", Match: "*", TokensPerDay: 5000},
		{Scope: "route", Match: "openai", RequestsPerMinute: 7},
		{Scope: "key", Match: "team-a", RequestsPerDay: 3, OutputPerDay: 9, Shadow: true},
		{Scope: "key", Match: "*", TokensPerMinute: 100, RequestsPerDay: 3, Shadow: true},
		{Scope: "key", Match: "team-b", TokensPerMinute: 100, RequestsPerDay: 30},
	}
	if !slices.Equal(c.Limits.Quotas, want) {
		t.Errorf("%+v\nwant %+v", c.Limits.Quotas, want)
	}
	if got := fmt.Sprint(c.Limits.Estimation); got != "{4 map[anthropic:3.5] 4 -1}" {
		t.Error(got)
	}
	if c.Limits.QueueKeepalive != 15*time.Second || c.Limits.DefaultMaxTokens != 256 {
		t.Error(c.Limits.QueueKeepalive, c.Limits.DefaultMaxTokens)
	}
	if len(c.Models) != 2 || c.Models[0].Models != "*" || c.Models[0].RPM != 5 || c.Models[0].MaxParallel != 2 {
		t.Errorf("%+v", c.Models)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not in force") {
			t.Error(w)
		}
	}
}

// TestWrongQuotas: all mistakes come at once, each with what to write.
func TestWrongQuotas(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": `
quotas:
  modell: {a: {rpm: 1}}
  key: {a: {tokens_per_minut: 1, rpm: -1, tpd: many}, b: 7, c: {shadow: perhaps}, c: {}}
  global: 5
token_estimation: {chars_per_token: 0, max_sample_bytes: big, provider_chars_per_token: {openai: x}, chars: 1}
default_max_tokens: -1
queue_keepalive: often
`})
	shown := ""
	for _, p := range problems(t) {
		if p.Fix == "" || !strings.HasPrefix(p.Where, "forward.yaml:") {
			t.Errorf("%+v", p)
		}
		shown += p.Name + ": " + p.Problem + "; " + p.Fix + "\n"
	}
	for _, want := range []string{
		`quotas: "modell" is not a scope; did you mean model?`, "key.a.tokens_per_minut is no limit; did you mean tokens_per_minute?", `key.a.rpm is "-1"; write a whole number`, `key.a.tpd is "many"`,
		"key.b has no limits", `key.c.shadow is "perhaps"`, "key.c is written twice", "global has no limits", `chars_per_token is "0"`, `max_sample_bytes is "big"`, `provider_chars_per_token.openai is "x"`,
		`"chars" is no setting`, "default_max_tokens: not a whole number", "queue_keepalive: not a duration",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(shown)
	}
}

// TestInstaworkLimits loads the section of llm-proxy's YAML, below features and
// by itself.
func TestInstaworkLimits(t *testing.T) {
	section := `rate_limiting:
  enabled: true
  backend: redis
  redis: {url: 'redis://h.example:6379/4'}
  limits: {requests_per_minute: 60, tokens_per_minute: 0}
  overrides:
    per_key: {team: {requests_per_minute: 100, tokens_per_day: 0}}
  estimation: {max_sample_bytes: 20000, bytes_per_token: 4, chars_per_token: 4, provider_chars_per_token: {openai: 5, anthropic: 3}}
`
	for _, text := range []string{section, "features:\n  " + strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n  ") + "\n"} {
		dir(t, map[string]string{"forward.yaml": text})
		c, warnings := mustLoad(t)
		want := []limits.Quota{
			{Scope: "global", Match: "*", RequestsPerMinute: 60}, {Scope: "route", Match: "*", RequestsPerMinute: 60}, {Scope: "model", Match: "*", RequestsPerMinute: 60},
			{Scope: "key", Match: "*", RequestsPerMinute: 60}, {Scope: "key", Match: "team", RequestsPerMinute: 100}, {Scope: "user", Match: "*", RequestsPerMinute: 60},
		}
		if !slices.Equal(c.Limits.Quotas, want) {
			t.Errorf("%+v\nwant %+v", c.Limits.Quotas, want)
		}
		if got := fmt.Sprint(c.Limits.Estimation); got != "{4 map[anthropic:3 openai:5] 4 20000}" || c.Limits.Backend != "redis://h.example:6379/4" {
			t.Error(got, c.Limits.Backend)
		}
		if !strings.Contains(fmt.Sprint(warnings), "an override above them has no effect") {
			t.Error("no word of overrides that have no effect:", warnings)
		}
	}
	dir(t, map[string]string{"forward.yaml": strings.Replace(section, "true", "false", 1)})
	if c, _ := mustLoad(t); len(c.Limits.Quotas) > 0 || c.Limits.Backend != "memory" {
		t.Error("limits that are not enabled are applied")
	}
	dir(t, map[string]string{"forward.yaml": "features:\n  pii_redact: {enabled: true}\n  rate_limiting: {backend: redis, redis: {address: 'h:1'}, overrides: {per_provider: {}}, limit: 3}\n"})
	shown := fmt.Sprint(problems(t))
	for _, want := range []string{"features.pii_redact", "redis.address", "write url: redis://", "per_provider", "rate_limiting.limit "} {
		if !strings.Contains(shown, want) {
			t.Errorf("missing %s in %s", want, shown)
		}
	}
}
