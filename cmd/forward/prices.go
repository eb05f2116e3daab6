package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"forward/internal/config"
	"forward/internal/price"
)

// pricesCommand shows what a model costs and why.
func pricesCommand() *cobra.Command {
	var provider, output string
	c := &cobra.Command{
		Use:   "prices MODEL",
		Short: "Show what a model costs, and where the price is from",
		Long: "prices looks a model up the way the gateway does: by its exact name, then without the date at its end, in forward.yaml first.\n" +
			"Without --provider it shows every provider that has a model of this name; MODEL may be provider/model.",
		Example: "  forward usage prices gpt-4o-2024-08-06\n  forward usage prices --provider anthropic claude-sonnet-4-5",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{errors.New("write the name of one model")}
			}
			return nil
		},
	}
	load := settingsFlags(c)
	c.Flags().StringVar(&provider, "provider", "", "whose price, such as openai, anthropic, google, azure")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		if output != "table" && output != "json" {
			return &usageError{fmt.Errorf("unknown output %q: write table or json", output)}
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		prices, err := price.NewTable(priceOverrides(cfg))
		if err != nil {
			return err
		}
		found := prices.Find(args[0])
		if provider != "" {
			found = nil
			if list, why, ok := prices.Price(provider, args[0]); ok {
				found = []price.Match{{Price: list, Why: why}}
			}
		}
		if len(found) == 0 {
			return fmt.Errorf("%q has no price, so its calls count as unpriced; write one into forward.yaml: prices: {%q: {input: 2.50, output: 10}}, in dollars for a million tokens", args[0], args[0])
		}
		if output == "json" {
			return writeJSON(c.OutOrStdout(), found)
		}
		for _, m := range found {
			printPrice(c.OutOrStdout(), m)
		}
		return printSources(c.ErrOrStderr(), prices)
	}
	return c
}

// priceOverrides are the prices of the settings, as the table takes them.
func priceOverrides(cfg *config.Config) []price.Override {
	rates := func(m map[string]int64) price.Rates {
		if m == nil {
			return nil
		}
		out := price.Rates{}
		for q, n := range m {
			out[price.Quantity(q)] = price.Money(n)
		}
		return out
	}
	var list []price.Override
	for _, p := range cfg.Prices {
		o := price.Override{Model: p.Model, Alias: p.Alias}
		for _, t := range p.Tiers {
			o.Tiers = append(o.Tiers, price.Tier{Above: t.Above, Rates: rates(t.Rates), Batch: rates(t.Batch), Priority: rates(t.Priority)})
		}
		list = append(list, o)
	}
	return list
}

func printPrice(w io.Writer, m price.Match) {
	name := m.Price.Model
	if m.Price.Provider != "" {
		name = m.Price.Provider + "/" + name
	}
	fmt.Fprintf(w, "%s: %s (%s)\n", name, m.Why, m.Price.Source)
	for _, tier := range m.Price.Tiers {
		if tier.Above > 0 {
			fmt.Fprintf(w, "  calls with more than %d prompt tokens:\n", tier.Above)
		}
		t := newTable(w)
		head := table.Row{"", "price", "per"}
		lists := map[string]price.Rates{"in a batch, or flex": tier.Batch, "priority": tier.Priority}
		for _, name := range slices.Sorted(maps.Keys(lists)) {
			if lists[name] != nil {
				head = append(head, name)
			}
		}
		t.AppendHeader(head)
		for _, q := range price.Quantities() {
			rate, named, ok := tier.Rates.Of(q)
			if !ok || named != q {
				continue
			}
			per := "million"
			if q.Per() == 1 {
				per = "one"
			}
			line := table.Row{"  " + string(q), rate, per}
			for _, name := range slices.Sorted(maps.Keys(lists)) {
				if rate, ok := lists[name][q]; ok {
					line = append(line, rate)
				} else if lists[name] != nil {
					line = append(line, "")
				}
			}
			t.AppendRow(line)
		}
		t.Render()
	}
	if m.Price.MaxOutput > 0 {
		fmt.Fprintf(w, "  answers with up to %d tokens\n", m.Price.MaxOutput)
	}
	fmt.Fprintln(w)
}

func printSources(w io.Writer, prices *price.Table) error {
	var list []string
	for _, s := range prices.Sources() {
		list = append(list, strings.Join(strings.Fields(strings.Join([]string{s.Name, s.Version, s.License, s.Date}, " ")), " "))
	}
	_, err := fmt.Fprintf(w, "prices of %s: %s\n", prices.Date(), strings.Join(list, "; "))
	return err
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
