package ledger_test

import (
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/ledger"
	"forward/internal/price"
)

func TestBill(t *testing.T) {
	table := mustTable(t,
		price.Override{Model: "deployment", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 7 * price.Dollar, price.Output: 7 * price.Dollar}}}},
		price.Override{Model: "by-the-call", Tiers: []price.Tier{{Rates: price.Rates{price.Request: cents(1)}}}})
	u := dialect.Usage{Input: 1000, Output: 100}
	for _, c := range []struct {
		name        string
		row         ledger.Row
		options     price.Options
		priced      bool
		cost, saved price.Money
		price       string
	}{
		{"as it was answered", ledger.Row{Model: "gpt-4o", Answered: "gpt-4o-2024-05-13", Usage: u, Status: 200}, price.Options{}, true, 6_500_000, 0, "openai/gpt-4o-2024-05-13 in the table"},
		{"as it was asked for", ledger.Row{Model: "gpt-4o", Answered: "no-such-model", Usage: u, Status: 200}, price.Options{}, true, 3_500_000, 0, "openai/gpt-4o in the table"},
		{"as forward.yaml has it", ledger.Row{Model: "deployment", Answered: "gpt-4o", Usage: u, Status: 200}, price.Options{}, true, 7_700_000, 0, "forward.yaml"},
		{"no price", ledger.Row{Model: "mystery", Usage: u, Status: 200}, price.Options{}, false, 0, 0, `no price of "mystery"`},
		{"no price for what was used", ledger.Row{Model: "gpt-4-turbo", Usage: u, Status: 200}, price.Options{Tier: "priority"}, false, 0, 0, "no price of input for gpt-4-turbo served as priority"},
		{"served first", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200}, price.Options{Tier: "priority"}, true, 5_950_000, 0, ", served as priority"},
		{"served when there was time", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200}, price.Options{Tier: "flex"}, true, 1_750_000, 0, ", served as flex"},
		{"aborted, by what was seen", ledger.Row{Model: "gpt-4o", Usage: u, Status: 499}, price.Options{}, true, 3_500_000, 0, "gpt-4o"},
		{"failed before its first byte", ledger.Row{Model: "mystery", Status: 502, Operation: dialect.Chat}, price.Options{}, true, 0, 0, "nothing was used"},
		{"a call that costs by itself", ledger.Row{Model: "by-the-call", Status: 200, Operation: dialect.Image}, price.Options{}, true, cents(1), 0, "forward.yaml"},
		{"one that failed", ledger.Row{Model: "by-the-call", Status: 502, Operation: dialect.Image}, price.Options{}, true, 0, 0, "nothing was used"},
		{"a list of models", ledger.Row{Status: 200, Operation: dialect.Models}, price.Options{}, true, 0, 0, "free"},
		{"an answer without a usage", ledger.Row{Model: "gpt-4o", Status: 200, Operation: dialect.Chat}, price.Options{}, false, 0, 0, "reported no usage"},
		{"sound of a model without a price by tokens", ledger.Row{Model: "whisper-1", Status: 200, Operation: dialect.Audio}, price.Options{}, false, 0, 0, "reported no usage"},
		{"spoken characters", ledger.Row{Model: "tts-1", Status: 200, Operation: dialect.Speech}, price.Options{Characters: 1000}, true, 15_000_000, 0, "tts-1"},
		{"out of the cache", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200, Cache: "hit"}, price.Options{}, true, 0, 3_500_000, "gpt-4o"},
		{"out of the cache, without a price", ledger.Row{Model: "mystery", Usage: u, Status: 200, Cache: "hit"}, price.Options{}, true, 0, 0, "no price"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.row
			r.Upstream = "openai"
			r.Bill(table, c.options)
			if r.Priced != c.priced || r.Cost != c.cost || r.Saved != c.saved || !strings.Contains(r.Price, c.price) {
				t.Errorf("priced %t, cost %s, saved %s, %q; want %t, %s, %s, %q", r.Priced, r.Cost, r.Saved, r.Price, c.priced, c.cost, c.saved, c.price)
			}
			if c.cost > 0 && (len(r.Trail) == 0 || !strings.Contains(r.Trail[0].Text, " × $")) {
				t.Errorf("the trail does not show how: %v", r.Trail)
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
		cost                  price.Money
		tokens                int64
	}{
		{"bounded by the request", "openai", "gpt-4o", 1000, 500, true, 1000*2_500 + 500*10_000, 1500},
		{"bounded by the model", "openai", "gpt-4o", 1000, 0, true, 1000*2_500 + 16_384*10_000, 17_384},
		{"a prompt that may go into the cache for an hour", "anthropic", "claude-sonnet-4-5", 1000, 10, true, 1000*6_000 + 10*15_000, 1010},
		{"in the dearer tier", "google", "gemini-2.5-pro", 200_001, 10, true, 200_001*2_500 + 10*15_000, 200_011},
		{"without a price", "openai", "mystery", 1000, 500, false, 0, 1500},
	} {
		r := ledger.Row{Upstream: c.provider, Model: c.model}
		r.Estimate(table, c.input, c.output)
		if r.Priced != c.priced || r.Cost != c.cost || r.Usage.Input+r.Usage.Output != c.tokens {
			t.Errorf("%s: priced %t, %s, %+v; want %t, %s, %d tokens", c.name, r.Priced, r.Cost, r.Usage, c.priced, c.cost, c.tokens)
		}
	}
}
