package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"forward/internal/price"
)

// pricesCommand shows what a model costs and why.
func pricesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "prices",
		Short: "Show what a model costs, and where the price is from",
		Long: "prices looks a model up the way the gateway does: by its exact name, then without the date at its end, in forward.yaml first.\n" +
			"Without --provider it shows every provider that has a model of this name; MODEL may be provider/model.",
		Example: "  forward usage prices gpt-4o-2024-08-06\n  forward usage prices --provider anthropic claude-sonnet-4-5",
	}
	provider := c.Flags().String("provider", "", "whose price, such as openai, anthropic, google, azure")
	f := frame{operands: []string{"MODEL"}, complain: "write the name of one model", forms: tableOrJSON}
	return f.command(c, func(c *call) error {
		prices, err := price.NewTable(c.cfg.Ledger.Prices)
		if err != nil {
			return err
		}
		model := c.args[0]
		found := prices.Lookup(*provider, model)
		if len(found) == 0 {
			return errors.New(price.Unpriced(model))
		}
		if c.form == "json" {
			return writeJSON(c.OutOrStdout(), found)
		}
		for _, m := range found {
			printPrice(c.OutOrStdout(), m)
		}
		return printSources(c.ErrOrStderr(), prices)
	})
}

func printPrice(w io.Writer, m price.Match) {
	name := m.Price.Model
	if m.Price.Provider != "" {
		name = m.Price.Provider + "/" + name
	}
	writeParagraph(w, "", fmt.Sprintf("%s: %s (%s)", name, m.Why, m.Price.Source))
	for _, tier := range m.Price.Tiers {
		if tier.Above > 0 {
			fmt.Fprintf(w, "  calls with more than %d prompt tokens:\n", tier.Above)
		}
		tierTable(&tier).write(w)
	}
	printTerms(w, &m.Price)
	if m.Price.MaxOutput > 0 {
		fmt.Fprintf(w, "  answers with up to %d tokens\n", m.Price.MaxOutput)
	}
	fmt.Fprintln(w)
}

// printTerms shows what applies whatever the tier: factors and tools.
func printTerms(w io.Writer, list *price.List) {
	for _, name := range slices.Sorted(maps.Keys(list.Times)) {
		of, value, _ := strings.Cut(name, "/")
		fmt.Fprintf(w, "  %s times these rates where the answer has %s %q\n", list.Times[name], of, value)
	}
	if _, hasText := list.Tiers[0].Rates[price.Input]; !hasText {
		return // no tool runs for it
	}
	var tools []string
	for _, q := range list.Fees.Listed() {
		_, own := list.Tiers[0].Rates[q]
		_, name, _ := strings.Cut(string(q), "/")
		if !own && list.Fees[q] > 0 {
			tools = append(tools, fmt.Sprintf("%s %s", name, list.Fees[q]))
		}
	}
	if len(tools) > 0 {
		writeParagraph(w, "  ", "a call of a tool of the provider: "+strings.Join(tools, ", "))
	}
}

// tierTable has a row for each quantity with a rate, and a column for each
// further price list that the tier has.
func tierTable(tier *price.Tier) *table {
	t := &table{head: []string{"", "price", "per"}, right: []bool{false, true, false}}
	var lists []price.Rates
	for _, list := range []struct {
		name  string
		rates price.Rates
	}{{"in a batch, or flex", tier.Batch}, {"priority", tier.Priority}} {
		if list.rates != nil {
			t.head = append(t.head, list.name)
			t.right = append(t.right, true)
			lists = append(lists, list.rates)
		}
	}
	for _, q := range tier.Rates.Listed() {
		rate := tier.Rates[q]
		per := "million"
		if q.Per() == 1 {
			per = "one"
		}
		row := []string{"  " + string(q), rate.String(), per}
		for i, rates := range lists {
			rate, ok := rates[q]
			if ok {
				row = append(row, rate.String())
				continue
			}
			row = append(row, "")
			t.right[3+i] = false // a column with gaps reads as text
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func printSources(w io.Writer, prices *price.Table) error {
	var list []string
	for _, s := range prices.Sources() {
		list = append(list, strings.Join(strings.Fields(strings.Join([]string{s.Name, s.Version, s.License, s.Date}, " ")), " "))
	}
	return writeParagraph(w, "", fmt.Sprintf("prices of %s: %s", prices.Date(), strings.Join(list, "; ")))
}
