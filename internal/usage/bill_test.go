package usage_test

import (
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/usage"
)

func TestBill(t *testing.T) {
	table := mustTable(t,
		usage.Override{Model: "deployment", Tiers: []usage.Tier{{Rates: usage.Rates{usage.Input: 7 * usage.Dollar, usage.Output: 7 * usage.Dollar}}}},
		usage.Override{Model: "by-the-call", Tiers: []usage.Tier{{Rates: usage.Rates{usage.Request: cents(1)}}}})
	u := dialect.Usage{Input: 1000, Output: 100}
	for _, c := range []struct {
		name        string
		row         usage.Row
		options     usage.CostOptions
		priced      bool
		cost, saved usage.Nano
		price       string
	}{
		{"as it was answered", usage.Row{Model: "gpt-4o", Answered: "gpt-4o-2024-05-13", Usage: u, Status: 200}, usage.CostOptions{}, true, 6_500_000, 0, "openai/gpt-4o-2024-05-13 in the table"},
		{"as it was asked for", usage.Row{Model: "gpt-4o", Answered: "no-such-model", Usage: u, Status: 200}, usage.CostOptions{}, true, 3_500_000, 0, "openai/gpt-4o in the table"},
		{"as forward.yaml has it", usage.Row{Model: "deployment", Answered: "gpt-4o", Usage: u, Status: 200}, usage.CostOptions{}, true, 7_700_000, 0, "forward.yaml"},
		{"no price", usage.Row{Model: "mystery", Usage: u, Status: 200}, usage.CostOptions{}, false, 0, 0, `no price of "mystery"`},
		{"no price for what was used", usage.Row{Model: "gpt-4-turbo", Usage: u, Status: 200}, usage.CostOptions{Tier: "priority"}, false, 0, 0, "no price of input for gpt-4-turbo served as priority"},
		{"served first", usage.Row{Model: "gpt-4o", Usage: u, Status: 200}, usage.CostOptions{Tier: "priority"}, true, 5_950_000, 0, ", served as priority"},
		{"served when there was time", usage.Row{Model: "gpt-4o", Usage: u, Status: 200}, usage.CostOptions{Tier: "flex"}, true, 1_750_000, 0, ", served as flex"},
		{"aborted, by what was seen", usage.Row{Model: "gpt-4o", Usage: u, Status: 499}, usage.CostOptions{}, true, 3_500_000, 0, "gpt-4o"},
		{"failed before its first byte", usage.Row{Model: "mystery", Status: 502, Operation: dialect.Chat}, usage.CostOptions{}, true, 0, 0, "nothing was used"},
		{"a call that costs by itself", usage.Row{Model: "by-the-call", Status: 200, Operation: dialect.Image}, usage.CostOptions{}, true, cents(1), 0, "forward.yaml"},
		{"one that failed", usage.Row{Model: "by-the-call", Status: 502, Operation: dialect.Image}, usage.CostOptions{}, true, 0, 0, "nothing was used"},
		{"a list of models", usage.Row{Status: 200, Operation: dialect.Models}, usage.CostOptions{}, true, 0, 0, "free"},
		{"an answer without a usage", usage.Row{Model: "gpt-4o", Status: 200, Operation: dialect.Chat}, usage.CostOptions{}, false, 0, 0, "told no usage"},
		{"sound of a model without a price by tokens", usage.Row{Model: "whisper-1", Status: 200, Operation: dialect.Audio}, usage.CostOptions{}, false, 0, 0, "told no usage"},
		{"spoken characters", usage.Row{Model: "tts-1", Status: 200, Operation: dialect.Speech}, usage.CostOptions{Characters: 1000}, true, 15_000_000, 0, "tts-1"},
		{"out of the cache", usage.Row{Model: "gpt-4o", Usage: u, Status: 200, Cache: "hit"}, usage.CostOptions{}, true, 0, 3_500_000, "gpt-4o"},
		{"out of the cache, without a price", usage.Row{Model: "mystery", Usage: u, Status: 200, Cache: "hit"}, usage.CostOptions{}, true, 0, 0, "no price"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.row
			r.Upstream = "openai"
			table.Bill(&r, c.options)
			if r.Priced != c.priced || r.Cost != c.cost || r.Saved != c.saved || !strings.Contains(r.Price, c.price) {
				t.Errorf("priced %t, cost %s, saved %s, %q; want %t, %s, %s, %q", r.Priced, r.Cost, r.Saved, r.Price, c.priced, c.cost, c.saved, c.price)
			}
			if c.cost > 0 && (len(r.Trail) == 0 || !strings.Contains(r.Trail[0].Text, " × $")) {
				t.Errorf("the trail does not say how: %v", r.Trail)
			}
		})
	}
}

func TestEstimate(t *testing.T) {
	table := mustTable(t)
	for _, c := range []struct {
		name, provider, model string
		input, output         int64
		priced                bool
		cost                  usage.Nano
		tokens                int64
	}{
		{"bounded by the request", "openai", "gpt-4o", 1000, 500, true, 1000*2_500 + 500*10_000, 1500},
		{"bounded by the model", "openai", "gpt-4o", 1000, 0, true, 1000*2_500 + 16_384*10_000, 17_384},
		{"a prompt that may go into the cache for an hour", "anthropic", "claude-sonnet-4-5", 1000, 10, true, 1000*6_000 + 10*15_000, 1010},
		{"in the dearer tier", "gemini", "gemini-2.5-pro", 200_001, 10, true, 200_001*2_500 + 10*15_000, 200_011},
		{"without a price", "openai", "mystery", 1000, 500, false, 0, 1500},
	} {
		r := usage.Row{Upstream: c.provider, Model: c.model}
		table.Estimate(&r, c.input, c.output)
		if r.Priced != c.priced || r.Cost != c.cost || r.Usage.Input+r.Usage.Output != c.tokens {
			t.Errorf("%s: priced %t, %s, %+v; want %t, %s, %d tokens", c.name, r.Priced, r.Cost, r.Usage, c.priced, c.cost, c.tokens)
		}
	}
}
