package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"forward/internal/price"
)

// readPi reads pi-ai's models: one file for each provider, with api → "kind:id"
// → model. It returns the day of the data.
func (t *table) readPi() (date string, err error) {
	dir := filepath.Join(tools, "node_modules/@earendil-works/pi-ai/dist/providers/data")
	var manifest struct{ GeneratedAt string }
	if err := readJSON(filepath.Join(dir, ".manifest.json"), &manifest); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(dir, "[a-z]*.json"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no data in %s: run npm ci --prefix %s", dir, tools)
	}
	for _, file := range files {
		var apis map[string]map[string]piModel
		if err := readJSON(file, &apis); err != nil {
			return "", err
		}
		for _, models := range apis {
			for _, m := range models {
				if err := t.add(m); err != nil {
					return "", fmt.Errorf("%s: %s: %w", file, m.ID, err)
				}
			}
		}
	}
	return manifest.GeneratedAt[:len("2006-01-02")], nil
}

type piModel struct {
	ID, Provider, BaseURL, Type string
	MaxTokens                   int64
	Cost                        struct {
		piRates
		Tiers []struct {
			InputTokensAbove int64
			piRates
		}
	}
}

type piRates struct{ Input, Output, CacheRead, CacheWrite json.Number }

func (t *table) add(m piModel) error {
	base, err := m.Cost.rates(m.Type)
	if err != nil || base == nil {
		return err
	}
	row := price.List{
		Provider: m.Provider, Model: m.ID, MaxOutput: m.MaxTokens, Tiers: []price.Tier{{Rates: base}}, Source: "pi-ai",
	}
	for _, tier := range m.Cost.Tiers {
		rates, err := tier.rates(m.Type)
		if err != nil {
			return err
		}
		row.Tiers = append(row.Tiers, price.Tier{Above: tier.InputTokensAbove, Rates: rates})
	}
	slices.SortFunc(row.Tiers, func(a, b price.Tier) int { return cmp.Compare(a.Above, b.Above) })
	u, err := url.Parse(m.BaseURL)
	if err == nil && u.Host != "" && !strings.Contains(u.Host, "{") {
		if t.hosts[u.Host] == nil {
			t.hosts[u.Host] = map[string]bool{}
		}
		t.hosts[u.Host][m.Provider] = true
	}
	// Where a classifier and a chat model share a name, the chat model wins:
	// its price includes that of the answer.
	if _, there := t.rows[m.Provider+"/"+m.ID]; !there || m.Type == "chat" {
		t.rows[m.Provider+"/"+m.ID] = row
	}
	return nil
}

// rates reads one price list. It is nil where nothing is known.
func (p piRates) rates(kind string) (price.Rates, error) {
	rates := price.Rates{}
	for q, n := range map[price.Quantity]json.Number{
		price.Input: p.Input, price.Output: p.Output, price.CachedRead: p.CacheRead, price.CachedWrite: p.CacheWrite,
	} {
		rate, err := nano(n)
		if err != nil {
			return nil, err
		}
		if rate < 0 { // a router whose price is known only after the call
			return nil, nil
		}
		if rate > 0 {
			rates[q] = rate
		}
	}
	if len(rates) == 0 {
		return nil, nil
	}
	if kind == "classifier" { // its answers are free
		rates[price.Output] = max(0, rates[price.Output])
	}
	return rates, nil
}
