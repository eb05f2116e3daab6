// Command gen makes the price table that package price embeds. It reads the
// packages that tools/prices/package-lock.json pins, which `npm ci` puts into
// tools/prices/node_modules, and tools/prices/hand.json, which is kept by hand.
//
// pi-ai is the source of chat models. A price of 0 in it can mean free,
// included in a plan, or not known, so models without any price are left out,
// and so is a cache price of 0. gpt-tokenizer is the source of OpenAI's retired
// models, and only of those that hand.json lists: its other prices are copies
// of gpt-4-turbo's (gpt-4o stands there at four times its price). hand.json has
// the rest: embeddings, audio, images, and what a batch and an hour in the
// cache cost.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"

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

// table is what was read so far.
type table struct {
	hand  hand
	rows  map[string]price.List      // by "provider/model"
	hosts map[string]map[string]bool // host → its providers
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
	for _, step := range []func() error{t.readOld, t.readHand, t.addPriority, t.addTools} {
		if err := step(); err != nil {
			return err
		}
	}
	sources, err := t.sources(date)
	if err != nil {
		return err
	}
	providers, err := t.providers()
	if err != nil {
		return err
	}
	data := price.Data{Date: date, Sources: sources, Hosts: t.hand.Hosts, Providers: providers}
	for host, providers := range t.hosts {
		if len(providers) == 1 {
			for p := range providers {
				data.Hosts[host] = p
			}
		}
	}
	data.Rows = slices.SortedFunc(maps.Values(t.rows), func(a, b price.List) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return write(out, data)
}

// sources describes where the prices are from, sorted by name. gpt-tokenizer
// has no date of its data and is known by its version alone.
func (t *table) sources(piDate string) ([]price.Source, error) {
	list := []price.Source{{Name: "hand.json", Date: t.hand.Date}}
	for name, date := range map[string]string{"@earendil-works/pi-ai": piDate, "gpt-tokenizer": ""} {
		var p struct{ Name, Version, License string }
		if err := readJSON(filepath.Join(tools, "node_modules", name, "package.json"), &p); err != nil {
			return nil, err
		}
		list = append(list, price.Source{Name: p.Name, Version: p.Version, License: p.License, Date: date})
	}
	slices.SortFunc(list, func(a, b price.Source) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// nano turns dollars into nano-dollars. It rounds, because the packages have
// numbers with the errors of floats in their last digits.
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
