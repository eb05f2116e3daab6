package forward_test

import (
	"strings"
	"testing"

	"forward/internal/forward"
	"forward/internal/keys"
	"forward/internal/price"
	"forward/internal/queue"
)

// What a caller may use is what the providers list, without what its key and
// its level may not, and with prices, limits, aliases and fallbacks.
func TestOffered(t *testing.T) {
	b := mounted(t, []place{atOpenAI, atAnthropic, atGemini}, nil, func(s *setup) {
		s.Aliases = map[string]string{"fast": "gpt-5"}
		s.Fallbacks = []forward.Fallback{{Models: "gpt-*", Instead: []string{"claude-opus-5"}}}
		s.Levels = keys.Levels{1: {"gpt-6"}}
		s.Prices = must(price.NewTable([]price.Override{{Model: "gpt-5", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 7}}}}}))(t)
		s.Scheduler = must(queue.New(queue.Options{}))(t)
		must(s.Scheduler.Change([]queue.Rule{{Models: "gpt-5", Model: queue.Model{RPM: 60, TPM: 9000}}}))(t)()
	})
	models := func(k *keys.Key) string {
		var names []string
		for _, o := range b.gateway.Offered(t.Context(), k) {
			names = append(names, o.Model)
		}
		return strings.Join(names, " ")
	}
	for _, test := range []struct {
		key  *keys.Key
		want string
	}{
		{nil, "claude-haiku-5 claude-of-openai claude-opus-5 claude-sonnet-5 gemini-3-flash gemini-3-pro gpt-5 gpt-6 learnlm"},
		{&keys.Key{Level: 1}, "gpt-6"},
		{&keys.Key{Policy: keys.Policy{Models: []string{"claude-*", "!*opus*"}}}, "claude-haiku-5 claude-of-openai claude-sonnet-5"},
		{&keys.Key{Policy: keys.Policy{Routes: []string{atGemini.prefix}}}, "gemini-3-flash gemini-3-pro learnlm"},
		{&keys.Key{Policy: keys.Policy{Models: []string{"nothing"}}}, ""},
	} {
		if got := models(test.key); got != test.want {
			t.Errorf("%+v may use %s, not %s", test.key, got, test.want)
		}
	}
	for _, o := range b.gateway.Offered(t.Context(), &keys.Key{Policy: keys.Policy{Aliases: map[string]string{"mine": "gpt-5"}}}) {
		if o.Model != "gpt-5" {
			continue
		}
		if strings.Join(o.Aliases, ",") != "fast,mine" || strings.Join(o.Fallbacks, ",") != "claude-opus-5" || o.Limits.RPM != 60 || o.Limits.TPM != 9000 ||
			strings.Join(o.Routes, ",") != atOpenAI.prefix || o.Price == nil || o.Price.Tiers[0].Rates[price.Input] != 7 || b.gateway.PriceDate(o.Price) != "" {
			t.Errorf("%+v", o)
		}
	}
}
