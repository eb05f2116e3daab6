package price_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/price"
)

func mustTable(t testing.TB, overrides ...price.Override) *price.Table {
	t.Helper()
	table, err := price.NewTable(overrides)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestPriceIsNeverGuessed(t *testing.T) {
	free := []price.Tier{{Rates: price.Rates{price.Input: 0, price.Output: 0}}}
	table := mustTable(t,
		price.Override{Model: "team-model", Alias: "openai/gpt-4o"},
		price.Override{Model: "openai/gpt-4.1-mini", Tiers: free},
		price.Override{Model: "local", Tiers: free},
	)
	for _, c := range []struct {
		name, provider, model, want, why string
	}{
		{"exact", "openai", "gpt-4o", "openai/gpt-4o", "in the table of"},
		{"exact with date", "openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13", "in the table of"},
		{"without its date", "openai", "gpt-4.1-2025-04-14", "openai/gpt-4.1", "without its date"},
		{"without Vertex's date", "google-vertex", "gemini-2.5-pro@20250617", "google-vertex/gemini-2.5-pro", "without its date"},
		{"without Vertex's date, of another provider's model", "anthropic", "claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5", "without its date"},
		{"alias", "openai", "team-model", "openai/gpt-4o", "priced as openai/gpt-4o"},
		{"override", "openai", "gpt-4.1-mini", "openai/gpt-4.1-mini", "forward.yaml has a price"},
		{"override without its date", "openai", "gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini", "without its date"},
		{"override of every provider", "groq", "local", "groq/local", "forward.yaml has a price"},
		{"override of another provider", "azure", "gpt-4.1-mini", "azure/gpt-4.1-mini", "in the table of"},
		{"longer name", "openai", "gpt-4o-mine", "", "no price"},
		{"shorter name", "openai", "gpt", "", "no price"},
		{"other case", "openai", "GPT-4o", "", "no price"},
		{"no date at all", "openai", "gpt-4.1-99999999", "", "no price"},
		{"only a date", "openai", "-20250101", "", "no price"},
		{"another provider's", "anthropic", "gpt-4o", "", "no price"},
		{"of a price 0 that means not known", "google", "gemma-4-31b-it", "", "no price"},
		{"empty", "", "", "", "no price"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row, why, ok := table.Price(c.provider, c.model)
			got := ""
			if ok {
				got = row.Provider + "/" + row.Model
			}
			if got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("%q because %q, want %q because %q", got, why, c.want, c.why)
			}
		})
	}
	if _, err := price.NewTable([]price.Override{{Model: "a", Alias: "openai/none"}}); err == nil {
		t.Error("an alias of nothing was taken")
	}
	if _, err := price.NewTable([]price.Override{{Model: "a"}}); err == nil {
		t.Error("an empty price was taken")
	}
}

func TestProviderOfHost(t *testing.T) {
	table := mustTable(t)
	for _, c := range []struct{ host, otherwise, want string }{
		{"api.openai.com", "openai", "openai"},
		{"API.DeepSeek.com", "openai", "deepseek"},
		{"api.anthropic.com", "anthropic", "anthropic"},
		{"generativelanguage.googleapis.com", "google", "google"},
		{"generativelanguage.googleapis.com", "openai", "google"},
		{"europe-west1-aiplatform.googleapis.com", "google", "google-vertex"},
		{"team.openai.azure.com", "openai", "azure"},
		{"evil-api.openai.com.example", "openai", "openai"},
		{"llm.internal", "anthropic", "anthropic"},
	} {
		if got := table.Provider(c.host, c.otherwise); got != c.want {
			t.Errorf("%s, otherwise %s, is %s, want %s", c.host, c.otherwise, got, c.want)
		}
	}
}

// TestEmbeddedTable looks at every row: an absurd rate is a mistake of the
// generator.
func TestEmbeddedTable(t *testing.T) {
	table := mustTable(t)
	if table.Date() < "2026-11-10" || len(table.Sources()) != 3 {
		t.Errorf("the table is of %s, from %v", table.Date(), table.Sources())
	}
	data := price.TableData(table)
	if len(data.Rows) < 1500 {
		t.Errorf("only %d models", len(data.Rows))
	}
	seen := map[string]bool{}
	for _, row := range data.Rows {
		name := row.Provider + "/" + row.Model
		if seen[name] || row.Provider == "" || row.Model == "" || row.Source == "" {
			t.Errorf("%s is twice there, or without a name or source", name)
		}
		seen[name] = true
		last := int64(-1)
		for _, tier := range row.Tiers {
			if tier.Above <= last || len(tier.Rates) == 0 {
				t.Errorf("%s: tiers %v", name, row.Tiers)
			}
			last = tier.Above
			for q, rate := range tier.Rates {
				if rate < 0 || rate > 2000*price.Dollar {
					t.Errorf("%s: %s costs %s", name, q, rate)
				}
				if batch, ok := tier.Batch[q]; ok && batch > rate {
					t.Errorf("%s: %s costs %s in a batch and %s outside", name, q, batch, rate)
				}
			}
		}
	}
}

// TestPriceTwice checks that the quotes that a table keeps equal the first
// ones, also after more names than it keeps.
func TestPriceTwice(t *testing.T) {
	table := mustTable(t, price.Override{Model: "mine", Alias: "openai/gpt-4o"})
	for i := range 2100 {
		table.Price("openai", fmt.Sprint("invented-", i))
		for _, model := range []string{"gpt-4o", "gpt-4.1-2025-04-14", "mine", "mystery"} {
			first, why, ok := table.Price("openai", model)
			again, whyAgain, okAgain := table.Price("openai", model)
			if ok != (model != "mystery") || okAgain != ok || whyAgain != why || again.Model != first.Model {
				t.Fatalf("after %d names %s is %q, then %q", i, model, why, whyAgain)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	table := mustTable(t, price.Override{Model: "acme", Tiers: []price.Tier{{Rates: price.Rates{price.Input: 5}}}})
	for _, test := range []struct {
		provider, model string
		found           int
	}{{"", "acme", 1}, {"openai", "gpt-4o", 1}, {"gemini", "gemini-2.5-pro", 1}, {"google", "gemini-2.5-pro", 1}, {"openai", "no-such-model", 0}, {"", "no-such-model", 0}} {
		if got := table.Lookup(test.provider, test.model); len(got) != test.found {
			t.Errorf("%s of %q: %d prices", test.model, test.provider, len(got))
		}
	}
	if text := price.Unpriced("m"); !strings.Contains(text, `prices: {"m": openai/gpt-4o}`) {
		t.Error(text)
	}
}
