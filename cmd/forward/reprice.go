package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"forward/internal/ledger"
	"forward/internal/price"
)

// repriceCommand prices what was used again.
func repriceCommand() *cobra.Command {
	var since, until, model, output string
	var dry bool
	c := &cobra.Command{
		Use:   "reprice --since TIME",
		Short: "Work out anew what requests cost, with the prices of today",
		Long: "reprice takes the usage that providers told of each request, prices it with this binary's table and forward.yaml's prices, and\n" +
			"changes the ledger's rows and sums by the difference. It works beside a running gateway, which has to be started anew to use\n" +
			"new prices itself. What budgets were charged stays as it was. Requests older than LEDGER_RETENTION keep their cost.",
		Example: "  forward usage reprice --since 30d --dry-run\n  forward usage reprice --since 2026-11-01 --model gpt-4o",
	}
	load := settingsFlags(c)
	flags := c.Flags()
	flags.StringVar(&since, "since", "", "begin: an age (12h, 30d, 8w), a day (2026-11-01), a time (RFC 3339) or all")
	flags.StringVar(&until, "until", "", "end, in the same forms (default now)")
	flags.StringVar(&model, "model", "", "only this model, as it was asked for or as it answered")
	flags.BoolVar(&dry, "dry-run", false, "only tell what would change")
	flags.StringVarP(&output, "output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if output != "table" && output != "json" {
			return &usageError{fmt.Errorf("unknown output %q: write table or json", output)}
		}
		if since == "" {
			return &usageError{errors.New("say since when: --since 30d, a day, or all")}
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		p := ledger.Reprice{Model: model, DryRun: dry}
		if p.Since, p.Until, err = between(since, until, time.Now().In(cfg.Location)); err != nil {
			return &usageError{err}
		}
		if p.Prices, err = price.NewTable(priceOverrides(cfg)); err != nil {
			return err
		}
		return withLedger(cfg, func(db *sql.DB) error {
			list, err := p.Run(c.Context(), db, cfg.Location)
			if err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(c.OutOrStdout(), list)
			}
			repriceTable(c.OutOrStdout(), list, dry)
			return nil
		})
	}
	noArguments(c)
	return c
}

// repriceTable shows the models whose cost is another now, and what all add up to.
func repriceTable(w io.Writer, list []ledger.Repriced, dry bool) {
	t := newTable(w)
	columns := []string{"requests", "changed", "before", "after", "difference", "unpriced before", "unpriced after"}
	head := table.Row{"provider", "model"}
	var numbers []table.ColumnConfig
	for _, name := range columns {
		head = append(head, name)
		numbers = append(numbers, table.ColumnConfig{Name: name, Align: text.AlignRight, AlignFooter: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(numbers)
	t.AppendHeader(head)
	var total ledger.Repriced
	for _, m := range list {
		total.Requests, total.Changed = total.Requests+m.Requests, total.Changed+m.Changed
		total.Before, total.After = total.Before+m.Before, total.After+m.After
		total.UnpricedBefore, total.UnpricedAfter = total.UnpricedBefore+m.UnpricedBefore, total.UnpricedAfter+m.UnpricedAfter
		if m.Changed > 0 {
			t.AppendRow(repriceRow(&m, visible(m.Upstream), visible(m.Model)))
		}
	}
	if total.Changed == 0 {
		fmt.Fprintf(w, "%d requests cost what they cost before: %s\n", total.Requests, total.After)
		return
	}
	t.AppendFooter(repriceRow(&total, "all models", ""))
	t.Render()
	if dry {
		fmt.Fprintln(w, "Nothing was changed: leave --dry-run out to change the ledger.")
		return
	}
	fmt.Fprintln(w, "The ledger's rows and sums are changed. Budgets stay as they were charged.")
}

func repriceRow(m *ledger.Repriced, provider, model string) table.Row {
	return table.Row{provider, model, m.Requests, m.Changed, m.Before, m.After, m.After - m.Before, m.UnpricedBefore, m.UnpricedAfter}
}
