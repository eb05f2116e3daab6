package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"forward/internal/config"
	"forward/internal/keys"
	"forward/internal/ledger"
	"forward/internal/price"
	"forward/internal/queue"
	"forward/internal/upstream"
)

// checkCommand validates the settings and prints the current ones, secrets
// masked, with the source of each, and what was made of them. It refuses what
// run refuses, and its last line is the verdict.
func checkCommand() *cobra.Command {
	c := &cobra.Command{Use: "check", Short: "Validate the settings and print them"}
	online := c.Flags().Bool("online", false, "also connect to every upstream")
	c = frame{}.command(c, func(c *call) error {
		out := c.OutOrStdout()
		printSettings(out, c.cfg)
		printRoutes(out, c.cfg)
		err := try(c.cfg)
		if err == nil && *online {
			err = reach(c.Context(), out, c.cfg)
		}
		if err == nil {
			fmt.Fprintln(out, "\nThe settings are fine: forward starts with them.")
		}
		return err
	})
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		err := run(c, args)
		if err != nil {
			return fmt.Errorf("%w\nThe settings are not fine", err)
		}
		return nil
	}
	return c
}

// try opens a gateway by the settings, as run does, but for what is outside of
// the process: its files are in a directory that is removed again, and Redis
// and receivers of usage are left out. So whatever run would refuse is found
// here by the same code.
func try(cfg *config.Config) error {
	dir, err := os.MkdirTemp("", "forward-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	trial := *cfg
	trial.DataDir = dir
	trial.Limits.Backend = "memory"
	trial.Cache.Backend = "MEMORY"
	trial.Log.Chat = false
	trial.Log.Console = false
	trial.Ledger.File = ""
	trial.Ledger.StatsD = nil
	trial.Ledger.Webhook = keys.Secret{}
	trial.Ledger.BudgetWebhook = keys.Secret{}
	a, err := open(&trial, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return a.Close()
}

// checkWidth is how wide the tables of check are at most, in columns.
const checkWidth = 100

func printSettings(w io.Writer, cfg *config.Config) {
	var rows [][]string
	if term.IsTerminal(int(os.Stdout.Fd())) {
		rows = append(rows, []string{"NAME", "VALUE", "SOURCE"})
	}
	for _, s := range cfg.Effective() {
		source := string(s.Source)
		if s.Where != "" && s.Where != source {
			source += " (" + s.Where + ")"
		}
		rows = append(rows, []string{s.Name, s.Value, source})
	}
	writeWrapped(w, rows, checkWidth)
}

// printRoutes prints what the settings became: routes, bounds of models and
// prices.
func printRoutes(w io.Writer, cfg *config.Config) {
	rows := [][]string{{"ROUTE", "BASE URL", "ACCESS"}}
	for _, r := range cfg.Routes {
		bases := []string{r.BaseURL.Redacted()}
		for _, base := range r.Also {
			bases = append(bases, base.Redacted())
		}
		access := fmt.Sprintf("%d API keys", len(r.APIKeys))
		switch {
		case r.Open:
			access = "open"
		case r.Client:
			access = "client credentials"
		case len(r.APIKeys) == 0:
			access = "no API key"
		case len(r.APIKeys) == 1:
			access = "1 API key"
		}
		rows = append(rows, []string{strings.Join(append([]string{r.Prefix}, r.Aliases...), ", "), strings.Join(bases, ", then "), r.Dialect.Name + ", " + access})
	}
	for _, m := range cfg.ModelRoutes {
		asked := ""
		if m.Dialect != nil {
			asked = m.Dialect.Name + " requests"
		}
		rows = append(rows, []string{"model " + m.Model, "to " + m.Prefix, asked})
	}
	for _, alias := range slices.Sorted(maps.Keys(cfg.Aliases)) {
		rows = append(rows, []string{"model " + alias, "is " + cfg.Aliases[alias], "alias"})
	}
	section(w, rows)
	rows = [][]string{{"MODEL", "ROUTE", "BOUNDS"}}
	for _, m := range cfg.Models {
		rows = append(rows, []string{m.Models, m.Route, boundsText(m.Model)})
	}
	section(w, rows)
	rows = [][]string{{"TAG", "BUDGET", ""}}
	for _, b := range cfg.Limits.Budgets {
		rows = append(rows, []string{b.Tag, b.Limit.String(), tagRules(b)})
	}
	section(w, rows)
	rows = [][]string{{"PRICED MODEL", "PRICE", ""}}
	for _, p := range cfg.Ledger.Prices {
		rows = append(rows, []string{p.Model, priceText(p), ""})
	}
	section(w, rows)
}

// section prints a table, unless it has its head alone.
func section(w io.Writer, rows [][]string) {
	if len(rows) > 1 {
		fmt.Fprintln(w)
		writeWrapped(w, rows, checkWidth)
	}
}

func boundsText(m queue.Model) string {
	var parts []string
	for _, bound := range []struct {
		name  string
		value int64
	}{{"rpm", m.RPM}, {"tpm", m.TPM}, {"max_parallel", int64(m.MaxParallel)}} {
		if bound.value > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", bound.name, bound.value))
		}
	}
	if m.MaxQueue > 0 {
		parts = append(parts, fmt.Sprintf("%d wait up to %v", m.MaxQueue, m.MaxWait))
	}
	return strings.Join(parts, ", ")
}

// tagRules are the settings of a tag's budget that differ from the defaults.
func tagRules(b ledger.TagBudget) string {
	var rules []string
	if b.Overrun != "" {
		rules = append(rules, "overrun "+b.Overrun)
	}
	if b.UnknownPrice != "" {
		rules = append(rules, "unknown price "+b.UnknownPrice)
	}
	return strings.Join(rules, ", ")
}

func priceText(p price.Override) string {
	if p.Alias != "" {
		return "as " + p.Alias
	}
	var groups []string
	for _, tier := range p.Tiers {
		label := ""
		if tier.Above > 0 {
			label = fmt.Sprintf("above %d prompt tokens: ", tier.Above)
		}
		groups = append(groups, label+listText(tier.Rates))
		if len(tier.Batch) > 0 {
			groups = append(groups, "in a batch: "+listText(tier.Batch))
		}
		if len(tier.Priority) > 0 {
			groups = append(groups, "priority: "+listText(tier.Priority))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Times)) {
		groups = append(groups, fmt.Sprintf("%s times %s", name, p.Times[name]))
	}
	return strings.Join(groups, ", ")
}

func listText(rates price.Rates) string {
	var parts []string
	for _, q := range rates.Listed() {
		parts = append(parts, fmt.Sprintf("%s %v", q, rates[q]))
	}
	return strings.Join(parts, ", ")
}

// reach makes a connect test of every upstream.
func reach(ctx context.Context, w io.Writer, cfg *config.Config) error {
	transport, err := reachTransport(cfg)
	if err != nil {
		return err
	}
	var errs []error
	for _, route := range cfg.Routes {
		results := upstream.Reach(ctx, transport, append([]*url.URL{route.BaseURL}, route.Also...))
		for i, r := range results {
			name := route.Name
			if len(route.Also) > 0 {
				name = fmt.Sprintf("%s, base URL %d", name, i+1)
			}
			if r.Err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, r.Err))
				continue
			}
			fmt.Fprintf(w, "%s: reached in %d ms\n", name, r.Took.Milliseconds())
		}
	}
	return errors.Join(errs...)
}

// reachTransport connects as the gateway does, for each request again.
func reachTransport(cfg *config.Config) (*http.Transport, error) {
	options := cfg.Upstream.Options
	options.HeaderTimeout = 10 * time.Second
	transport, err := upstream.NewTransport(options)
	if err != nil {
		return nil, err
	}
	transport.DisableKeepAlives = true
	return transport, nil
}
