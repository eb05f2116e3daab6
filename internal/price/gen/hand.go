package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"

	"forward/internal/price"
)

// hand is the form of hand.json. Its rates are in dollars.
type hand struct {
	Date  string
	Rules map[string]rule
	Hosts map[string]string
	Old   []string
	// Providers has what applies to all models of a provider.
	Providers map[string]struct {
		Fees     map[price.Quantity]json.Number
		Reports  bool
		Variants map[string]bool
	}
	// Tools has other fees of models whose names start with a prefix.
	Tools []struct {
		Provider, Prefix string
		Rates            map[price.Quantity]json.Number
	}
	// Priority has the rates of OpenAI's models served as "priority".
	Priority map[string]map[price.Quantity]json.Number
	Models   []struct {
		Provider, Model string
		Rates           map[price.Quantity]json.Number
		Times           map[string]price.Factor
		MaxOutput       int64 `json:"max_output"`
		NoBatch         bool  `json:"no_batch"`
		Extends         bool  // adds rates to the model that pi-ai has
	}
}

// rule applies to all models of a provider.
type rule struct {
	BatchPercent      int64 `json:"batch_percent"`
	BatchCacheFull    bool  `json:"batch_cache_full"`     // a cached token costs as much in a batch as outside
	Write1hTimesInput int64 `json:"write_1h_times_input"` // for models whose five-minute write has a price
	Times             map[string]price.Factor
}

// applyRules adds the rates that follow from the rule of a provider.
func (t *table) applyRules() {
	for name, row := range t.rows {
		rule := t.hand.Rules[row.Provider]
		row.Times = maps.Clone(rule.Times)
		t.rows[name] = row
		for i := range row.Tiers {
			rates := row.Tiers[i].Rates
			if rule.Write1hTimesInput > 0 && rates[price.CachedWrite] > 0 {
				rates[price.CachedWrite1h] = rates[price.Input] * price.Money(rule.Write1hTimesInput)
			}
			row.Tiers[i].Batch = rule.batch(rates)
		}
	}
}

// batch returns rates at the discount of a batch.
func (r rule) batch(rates price.Rates) price.Rates {
	if r.BatchPercent == 0 {
		return nil
	}
	out := price.Rates{}
	for q, rate := range rates {
		out[q] = rate * price.Money(r.BatchPercent) / 100
		if r.BatchCacheFull && q == price.CachedRead {
			out[q] = rate
		}
	}
	return out
}

// readOld reads the listed models of gpt-tokenizer that pi-ai does not have.
func (t *table) readOld() error {
	command := exec.Command("node", append([]string{"old.mjs"}, t.hand.Old...)...)
	command.Dir = tools
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return fmt.Errorf("reading gpt-tokenizer: %w", err)
	}
	type prices struct{ Input, Output json.Number }
	var models map[string]struct{ Main, Batch prices }
	if err := json.Unmarshal(text, &models); err != nil {
		return fmt.Errorf("reading gpt-tokenizer: %w", err)
	}
	list := func(p prices) (price.Rates, error) { return piRates{Input: p.Input, Output: p.Output}.rates("") }
	for name, m := range models {
		if _, there := t.rows["openai/"+name]; there {
			continue
		}
		rates, err := list(m.Main)
		if err != nil {
			return err
		}
		batch, err := list(m.Batch)
		if err != nil {
			return err
		}
		tiers := []price.Tier{{Rates: rates, Batch: batch}}
		t.rows["openai/"+name] = price.List{Provider: "openai", Model: name, Tiers: tiers, Source: "gpt-tokenizer"}
	}
	return nil
}

// readHand adds the models that are kept by hand.
func (t *table) readHand() error {
	for _, m := range t.hand.Models {
		name := m.Provider + "/" + m.Model
		row, there := t.rows[name]
		if there != m.Extends {
			return fmt.Errorf("hand.json: %s: in the packages: %t, but extends: %t", name, there, m.Extends)
		}
		if !there {
			tiers := []price.Tier{{Rates: price.Rates{}}}
			row = price.List{Provider: m.Provider, Model: m.Model, Tiers: tiers, Source: "hand.json"}
		}
		row.MaxOutput = cmp.Or(m.MaxOutput, row.MaxOutput)
		for name, times := range m.Times {
			if !price.IsFactor(name) {
				return fmt.Errorf("hand.json: %s: %q is not a factor", m.Model, name)
			}
			if row.Times == nil {
				row.Times = map[string]price.Factor{}
			}
			row.Times[name] = times
		}
		for i := range row.Tiers {
			if err := setRates(row.Tiers[i].Rates, m.Rates); err != nil {
				return fmt.Errorf("hand.json: %s: %w", name, err)
			}
			if !m.NoBatch && len(m.Rates) > 0 {
				row.Tiers[i].Batch = t.hand.Rules[m.Provider].batch(row.Tiers[i].Rates)
			}
		}
		t.rows[name] = row
	}
	return nil
}

// addPriority adds the rates of priority processing, which is not sold for long
// prompts.
func (t *table) addPriority() error {
	for model, rates := range t.hand.Priority {
		row, there := t.rows["openai/"+model]
		if !there {
			return fmt.Errorf("hand.json: priority: there is no model %s", model)
		}
		row.Tiers[0].Priority = price.Rates{}
		if err := setRates(row.Tiers[0].Priority, rates); err != nil {
			return fmt.Errorf("hand.json: priority: %s: %w", model, err)
		}
	}
	return nil
}

// addTools adds the fees of tools that differ between the models of a provider.
// They are the same in every service tier.
func (t *table) addTools() error {
	for _, tool := range t.hand.Tools {
		for _, row := range t.rows {
			if row.Provider != tool.Provider || !strings.HasPrefix(row.Model, tool.Prefix) {
				continue
			}
			for _, tier := range row.Tiers {
				for _, rates := range []price.Rates{tier.Rates, tier.Batch, tier.Priority} {
					if rates == nil {
						continue
					}
					if err := setRates(rates, tool.Rates); err != nil {
						return fmt.Errorf("hand.json: tools: %s: %w", tool.Prefix, err)
					}
				}
			}
		}
	}
	return nil
}

// providers returns what applies to all models of each provider.
func (t *table) providers() (map[string]price.Terms, error) {
	all := map[string]price.Terms{}
	for name, p := range t.hand.Providers {
		fees := price.Rates{}
		if err := setRates(fees, p.Fees); err != nil {
			return nil, fmt.Errorf("hand.json: providers: %s: %w", name, err)
		}
		all[name] = price.Terms{Fees: fees, Reports: p.Reports, Variants: p.Variants}
	}
	return all, nil
}

// setRates writes rates of hand.json into those of a tier.
func setRates(into price.Rates, from map[price.Quantity]json.Number) error {
	for q, n := range from {
		rate, err := nano(n)
		if err != nil {
			return err
		}
		if _, ok := price.ParseQuantity(string(q)); !ok {
			return fmt.Errorf("%q is not a quantity", q)
		}
		into[q] = rate
	}
	return nil
}
