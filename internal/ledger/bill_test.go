package ledger_test

import (
	"cmp"
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
	reported := func(amount price.Money) dialect.Usage {
		return dialect.Usage{Input: 1000, Output: 100, Terms: dialect.Terms{Reported: int64(amount), HasReported: true}}
	}
	for _, c := range []struct {
		name        string
		row         ledger.Row
		priced      bool
		cost, saved price.Money
		price       string
	}{
		{"as it was answered", ledger.Row{Model: "gpt-4o", Answered: "gpt-4o-2024-05-13", Usage: u, Status: 200}, true, 6_500_000, 0, "openai/gpt-4o-2024-05-13 in the table"},
		{"as it was asked for", ledger.Row{Model: "gpt-4o", Answered: "no-such-model", Usage: u, Status: 200}, true, 3_500_000, 0, "openai/gpt-4o in the table"},
		{"as forward.yaml has it", ledger.Row{Model: "deployment", Answered: "gpt-4o", Usage: u, Status: 200}, true, 7_700_000, 0, "forward.yaml"},
		{"no price", ledger.Row{Model: "mystery", Usage: u, Status: 200}, false, 0, 0, `no price of "mystery"`},
		{"no price for what was used", ledger.Row{Model: "gpt-4-turbo", Usage: u, Status: 200, Tier: "priority"}, false, 0, 0, "no price of input for gpt-4-turbo served as priority"},
		{"served first", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200, Tier: "priority"}, true, 5_950_000, 0, ", served as priority"},
		{"served when there was time", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200, Tier: "flex"}, true, 1_750_000, 0, ", served as flex"},
		{"aborted, by what was seen", ledger.Row{Model: "gpt-4o", Usage: u, Status: 499}, true, 3_500_000, 0, "gpt-4o"},
		{"failed before its first byte", ledger.Row{Model: "mystery", Status: 502, Operation: dialect.Chat}, true, 0, 0, "nothing was used"},
		{"a call that costs by itself", ledger.Row{Model: "by-the-call", Status: 200, Operation: dialect.Image}, true, cents(1), 0, "forward.yaml"},
		{"one that failed", ledger.Row{Model: "by-the-call", Status: 502, Operation: dialect.Image}, true, 0, 0, "nothing was used"},
		{"a list of models", ledger.Row{Status: 200, Operation: dialect.Models}, true, 0, 0, "free"},
		{"an answer without a usage", ledger.Row{Model: "gpt-4o", Status: 200, Operation: dialect.Chat}, false, 0, 0, "reported no usage"},
		{"sound of a model without a price by tokens", ledger.Row{Model: "whisper-1", Status: 200, Operation: dialect.Audio}, false, 0, 0, "reported no usage"},
		{"spoken characters", ledger.Row{Model: "tts-1", Status: 200, Operation: dialect.Speech, Usage: dialect.Usage{Media: dialect.Media{Characters: 1000}}}, true, 15_000_000, 0, "tts-1"},
		{"the provider's own amount beside ours", ledger.Row{Model: "gpt-4o", Usage: reported(cents(9)), Status: 200}, true, 3_500_000, 0, "openai/gpt-4o in the table"},
		{"the provider's own amount, where it charges that", ledger.Row{Upstream: "openrouter", Model: "openai/gpt-5.4", Usage: reported(cents(9)), Status: 200}, true, cents(9), 0, "the amount that the provider reported"},
		{"one of 0, where it charges that", ledger.Row{Upstream: "openrouter", Model: "mystery", Usage: reported(0), Status: 200}, true, 0, 0, "the amount that the provider reported"},
		{"the provider's own amount in place of none", ledger.Row{Model: "mystery", Usage: reported(cents(9)), Status: 200}, true, cents(9), 0, "the amount that the provider reported"},
		{"one of 0 is not a price", ledger.Row{Model: "mystery", Usage: reported(0), Status: 200}, false, 0, 0, "no price of"},
		{"moderation of OpenAI's", ledger.Row{Model: "omni-moderation-2024-09-26", Status: 200, Operation: dialect.Moderation}, true, 0, 0, "omni-moderation"},
		{"moderation of others", ledger.Row{Model: "guard", Status: 200, Operation: dialect.Moderation}, false, 0, 0, "reported no usage"},
		{"an unknown operation", ledger.Row{Status: 200, Operation: dialect.Unknown}, false, 0, 0, "reported no usage"},
		{"rerank", ledger.Row{Model: "rerank-v3", Status: 200, Operation: dialect.Rerank}, false, 0, 0, "reported no usage"},
		{"fast", ledger.Row{Upstream: "anthropic", Model: "claude-opus-5", Usage: dialect.Usage{Input: 1000, Terms: dialect.Terms{Speed: "fast"}}, Status: 200}, true, cents(1), 0, ", served as speed fast"},
		{"doubtful", ledger.Row{Model: "gpt-4o", Usage: dialect.Usage{Input: 1000, Terms: dialect.Terms{Doubt: "the parts exceed the sum"}}, Status: 200}, false, 0, 0, "the parts exceed the sum"},
		{"out of the cache", ledger.Row{Model: "gpt-4o", Usage: u, Status: 200, Cache: "hit"}, true, 0, 3_500_000, "gpt-4o"},
		{"out of the cache, without a price", ledger.Row{Model: "mystery", Usage: u, Status: 200, Cache: "hit"}, true, 0, 0, "no price"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.row
			r.Upstream = cmp.Or(r.Upstream, "openai")
			r.Bill(table)
			if r.Priced != c.priced || r.Cost != c.cost || r.Saved != c.saved || !strings.Contains(r.Price, c.price) {
				t.Errorf("priced %t, cost %s, saved %s, %q; want %t, %s, %s, %q", r.Priced, r.Cost, r.Saved, r.Price, c.priced, c.cost, c.saved, c.price)
			}
			if r.Usage.Terms.HasReported && !strings.HasPrefix(r.Trail[len(r.Trail)-1].Text, "the provider reported $") {
				t.Errorf("the trail does not show what the provider reported: %v", r.Trail)
			}
			if c.cost > 0 && !r.Usage.Terms.HasReported && (len(r.Trail) == 0 || !strings.Contains(r.Trail[0].Text, " × $")) {
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
		{"an answer without tokens", "openai", "text-embedding-3-small", 1000, 0, true, 1000 * 20, 1000},
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
