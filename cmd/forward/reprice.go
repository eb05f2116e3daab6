package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/ledger"
	"forward/internal/price"
)

// repriceCommand prices again what was used.
func repriceCommand() *cobra.Command {
	var p ledger.Reprice
	c := &cobra.Command{
		Use:   "reprice --since TIME",
		Short: "Calculate again what requests cost, with the prices of today",
		Long: "reprice takes the usage that providers reported for each request, prices it with this binary's table and forward.yaml's prices, and\n" +
			"changes the ledger's rows and sums by the difference. It works beside a running gateway, which has to be restarted to use\n" +
			"new prices itself. What budgets were charged stays as it was. Requests older than LEDGER_RETENTION keep their cost.",
		Example: "  forward usage reprice --since 30d --dry-run\n  forward usage reprice --since 2026-11-01 --model gpt-4o",
	}
	flags := c.Flags()
	since := flags.String("since", "", "start: an age (12h, 30d, 8w), a day (2026-11-01), a time (RFC 3339) or all")
	until := flags.String("until", "", "end, in the same forms (default now)")
	flags.StringVar(&p.Model, "model", "", "only this model, as it was asked for or as it answered")
	flags.BoolVar(&p.DryRun, "dry-run", false, "only show what would change")
	frame{forms: tableOrJSON}.command(c, func(c *call) (err error) {
		if *since == "" {
			return &usageError{errors.New("write since when: --since 30d, a day, or all")}
		}
		p.Since, p.Until, err = between(*since, *until, time.Now().In(c.cfg.Location))
		if err != nil {
			return &usageError{err}
		}
		p.Prices, err = price.NewTable(c.cfg.Ledger.Prices)
		if err != nil {
			return err
		}
		return withLedger(c.cfg, func(db *sql.DB) error {
			list, err := p.Run(c.Context(), db, c.cfg.Location)
			if err != nil {
				return err
			}
			if c.form == "json" {
				return writeJSON(c.OutOrStdout(), list)
			}
			repriceTable(c.OutOrStdout(), list, p.DryRun)
			return nil
		})
	})
	noArguments(c)
	return c
}

// repriceTable shows the models whose cost has changed, and the sum of all.
func repriceTable(w io.Writer, list []ledger.Repriced, dry bool) {
	t := table{
		head:  []string{"provider", "model", "requests", "changed", "before", "after", "difference", "unpriced before", "unpriced after"},
		right: []bool{false, false, true, true, true, true, true, true, true},
	}
	total := ledger.SumRepriced(list)
	for _, m := range list {
		if m.Changed > 0 {
			t.rows = append(t.rows, repriceRow(&m, visible(m.Upstream), visible(m.Model)))
		}
	}
	if total.Changed == 0 {
		fmt.Fprintf(w, "%d requests cost what they cost before: %s\n", total.Requests, total.After)
		return
	}
	t.foot = repriceRow(&total, "all models", "")
	t.write(w)
	if total.ListBefore+total.ListAfter > 0 {
		fmt.Fprintf(w, "The list price of what callers' own credentials paid, which is not billed, was %s and is %s.\n", total.ListBefore, total.ListAfter)
	}
	if dry {
		fmt.Fprintln(w, "Nothing was changed: leave --dry-run out to change the ledger.")
		return
	}
	fmt.Fprintln(w, "The ledger's rows and sums are changed. Budgets stay as they were charged.")
}

func repriceRow(m *ledger.Repriced, provider, model string) []string {
	row := []string{provider, model}
	for _, value := range []any{m.Requests, m.Changed, m.Before, m.After, m.After - m.Before, m.UnpricedBefore, m.UnpricedAfter} {
		row = append(row, fmt.Sprint(value))
	}
	return row
}
