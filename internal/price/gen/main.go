// Command gen makes the price table that the package usage embeds. It reads the packages that tools/prices/package-lock.json
// pins, which `npm ci` has put into tools/prices/node_modules, and tools/prices/hand.json, which is kept by hand.
//
// pi-ai is the source of chat models. A price of 0 in it stands for free, for included in a plan and for not known, so models
// without any price are left out, and so is a cache price of 0. gpt-tokenizer is the source of OpenAI's retired models, but only of
// those that hand.json lists: its other prices are copies of gpt-4-turbo's (it has gpt-4o at four times its price). hand.json
// has what neither has: embeddings, audio, images, what a batch and an hour in the cache cost.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"forward/internal/price"
)

const tools = "../../tools/prices"

func main() {
	if err := run("prices.json.zst"); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// hand is the form of hand.json. Its rates are in dollars.
type hand struct {
	Date  string
	Rules map[string]rule
	Hosts map[string]string
	Old   []string
	// Priority has what OpenAI's models cost when they are served as "priority".
	Priority map[string]map[price.Quantity]json.Number
	Models   []struct {
		Provider, Model string
		Rates           map[price.Quantity]json.Number
		NoBatch         bool `json:"no_batch"`
		Extends         bool // adds rates to the model that pi-ai has
	}
}

// rule is what holds for all models of a provider.
type rule struct {
	BatchPercent      int64 `json:"batch_percent"`
	BatchCacheFull    bool  `json:"batch_cache_full"`     // a cached token costs as much in a batch as outside
	Write1hTimesInput int64 `json:"write_1h_times_input"` // for models whose five-minute write has a price
}

type table struct {
	hand  hand
	rows  map[string]price.List
	hosts map[string]map[string]bool
}

func run(out string) error {
	t := table{rows: map[string]price.List{}, hosts: map[string]map[string]bool{}}
	if err := readJSON(filepath.Join(tools, "hand.json"), &t.hand); err != nil {
		return err
	}
	date, err := t.readPi()
	if err != nil {
		return err
	}
	t.applyRules()
	if err := t.readOld(); err != nil {
		return err
	}
	if err := t.readHand(); err != nil {
		return err
	}
	if err := t.addPriority(); err != nil {
		return err
	}
	data := price.Data{Date: date, Hosts: t.hand.Hosts}
	for host, providers := range t.hosts {
		if len(providers) == 1 {
			for p := range providers {
				data.Hosts[host] = p
			}
		}
	}
	for _, row := range t.rows {
		data.Rows = append(data.Rows, row)
	}
	slices.SortFunc(data.Rows, func(a, b price.List) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	for name, date := range map[string]string{"@earendil-works/pi-ai": date, "gpt-tokenizer": ""} {
		source, err := sourceOf(name, date)
		if err != nil {
			return err
		}
		data.Sources = append(data.Sources, source)
	}
	data.Sources = append(data.Sources, price.Source{Name: "hand.json", Date: t.hand.Date})
	slices.SortFunc(data.Sources, func(a, b price.Source) int { return cmp.Compare(a.Name, b.Name) })
	return write(out, data)
}

// readPi reads pi-ai's models: a file a provider, in it api → "kind:id" → model. It returns the day of the data.
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
	row := price.List{Provider: m.Provider, Model: m.ID, MaxOutput: m.MaxTokens, Tiers: []price.Tier{{Rates: base}}, Source: "pi-ai"}
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
	// The same name as a classifier and as a chat model: the chat model's price says what an answer costs, too.
	if _, there := t.rows[m.Provider+"/"+m.ID]; !there || m.Type == "chat" {
		t.rows[m.Provider+"/"+m.ID] = row
	}
	return nil
}

// rates reads one price list. It is nil where nothing is known.
func (p piRates) rates(kind string) (price.Rates, error) {
	rates := price.Rates{}
	for q, n := range map[price.Quantity]json.Number{price.Input: p.Input, price.Output: p.Output, price.CachedRead: p.CacheRead, price.CachedWrite: p.CacheWrite} {
		rate, err := nano(n)
		if err != nil {
			return nil, err
		}
		if rate < 0 { // a router that says only afterwards what it took
			return nil, nil
		}
		if rate > 0 {
			rates[q] = rate
		}
	}
	if len(rates) == 0 {
		return nil, nil
	}
	if kind == "classifier" { // what it answers is free
		rates[price.Output] = max(0, rates[price.Output])
	}
	return rates, nil
}

// applyRules adds what holds for all models of a provider.
func (t *table) applyRules() {
	for _, row := range t.rows {
		rule := t.hand.Rules[row.Provider]
		for i := range row.Tiers {
			rates := row.Tiers[i].Rates
			if rule.Write1hTimesInput > 0 && rates[price.CachedWrite] > 0 {
				rates[price.CachedWrite1h] = rates[price.Input] * price.Money(rule.Write1hTimesInput)
			}
			row.Tiers[i].Batch = rule.batch(rates)
		}
	}
}

// batch is a price list at a batch's discount.
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

// readOld reads the listed models of gpt-tokenizer, where pi-ai does not have them.
func (t *table) readOld() error {
	command := exec.Command("node", append([]string{"old.mjs"}, t.hand.Old...)...)
	command.Dir, command.Stderr = tools, os.Stderr
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
		t.rows["openai/"+name] = price.List{Provider: "openai", Model: name, Tiers: []price.Tier{{Rates: rates, Batch: batch}}, Source: "gpt-tokenizer"}
	}
	return nil
}

// readHand adds what is kept by hand.
func (t *table) readHand() error {
	for _, m := range t.hand.Models {
		name := m.Provider + "/" + m.Model
		row, there := t.rows[name]
		if there != m.Extends {
			return fmt.Errorf("hand.json: %s: in the packages: %t, but extends: %t", name, there, m.Extends)
		}
		if !there {
			row = price.List{Provider: m.Provider, Model: m.Model, Tiers: []price.Tier{{Rates: price.Rates{}}}, Source: "hand.json"}
		}
		for i := range row.Tiers {
			if err := setRates(row.Tiers[i].Rates, m.Rates); err != nil {
				return fmt.Errorf("hand.json: %s: %w", name, err)
			}
			if !m.NoBatch {
				row.Tiers[i].Batch = t.hand.Rules[m.Provider].batch(row.Tiers[i].Rates)
			}
		}
		t.rows[name] = row
	}
	return nil
}

// addPriority adds the rates of priority processing, which is not for long contexts.
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

// setRates writes rates of hand.json into a price list.
func setRates(into price.Rates, from map[price.Quantity]json.Number) error {
	for q, n := range from {
		rate, err := nano(n)
		if err != nil {
			return err
		}
		if !slices.Contains(price.Quantities(), q) {
			return fmt.Errorf("%q is not a quantity", q)
		}
		into[q] = rate
	}
	return nil
}

// nano turns dollars into nano-dollars. Package data has numbers with the dirt of floats at their end: they are rounded.
func nano(n json.Number) (price.Money, error) {
	if n == "" {
		return 0, nil
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return 0, fmt.Errorf("%q is not a number", n)
	}
	r.Mul(r, big.NewRat(int64(price.Dollar), 1))
	i, ok := new(big.Int).SetString(r.FloatString(0), 10)
	if !ok || !i.IsInt64() {
		return 0, fmt.Errorf("%s is not a price", n)
	}
	return price.Money(i.Int64()), nil
}

// sourceOf describes a package. Without a date of its data it is known by its version alone.
func sourceOf(name, date string) (price.Source, error) {
	var p struct{ Name, Version, License string }
	err := readJSON(filepath.Join(tools, "node_modules", name, "package.json"), &p)
	return price.Source{Name: p.Name, Version: p.Version, License: p.License, Date: date}, err
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// write packs the table. The same input makes the same bytes.
func write(out string, data price.Data) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	packed := w.EncodeAll(text, nil)
	fmt.Printf("%s: %d models, %d hosts, %d bytes of JSON, %d packed\n", out, len(data.Rows), len(data.Hosts), len(text), len(packed))
	if old, err := os.ReadFile(out); err == nil && bytes.Equal(old, packed) {
		return nil
	}
	return os.WriteFile(out, packed, 0o644)
}
