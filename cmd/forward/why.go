package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/ledger"
	"forward/internal/price"
)

// whyCommand explains one request out of the ledger.
func whyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "why",
		Short: "Explain what happened to one request, or what a batch cost",
		Long: "why shows the trail of a request: its caller, what the cache, the queue and the upstream did, and what it cost.\n" +
			"The id is in each answer's X-Forward-Request-Id, and in the log. Of a batch it shows the rows that settled it, one for each model.",
		Example: "  forward why req_019aa5b1c2d3\n  forward why batch_68f0c1",
	}
	f := frame{operands: []string{"REQUEST-ID | BATCH-ID"}, complain: "write the id of one request: the X-Forward-Request-Id of its answer", forms: tableOrJSON}
	return f.command(c, func(c *call) error {
		return withReader(c.cfg, func(r *ledger.Reader) error {
			ids, err := r.Settled(c.Context(), c.args[0])
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				ids = c.args
			}
			for i, id := range ids {
				if i > 0 && c.form == "table" {
					fmt.Fprintln(c.OutOrStdout())
				}
				if err := showWhy(c, r, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// showWhy shows one row of the ledger.
func showWhy(c *call, r *ledger.Reader, id string) error {
	row, open, err := r.Trail(c.Context(), id)
	switch {
	case errors.Is(err, ledger.ErrNoRow):
		return fmt.Errorf("%w: %q; it may be older than LEDGER_RETENTION, was refused before its route and key were known, or is a batch whose results were not fetched yet", err, id)
	case err != nil:
		return err
	case c.form == "json":
		return writeJSON(c.OutOrStdout(), &row)
	}
	return printWhy(c.OutOrStdout(), &row, open, c.cfg.Location)
}

// printWhy writes one subject a line; what does not apply is left out.
func printWhy(w io.Writer, r *ledger.Row, open bool, zone *time.Location) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name string, parts ...string) {
		var shown []string
		for _, p := range parts {
			if p != "" {
				shown = append(shown, visible(p))
			}
		}
		if len(shown) > 0 {
			fmt.Fprintf(t, "%s\t%s\n", name, strings.Join(shown, ", "))
		}
	}
	when := func(condition bool, format string, args ...any) string {
		if !condition {
			return ""
		}
		return fmt.Sprintf(format, args...)
	}
	batch := r.Operation == ledger.BatchOperation
	subject, at := "request", "started"
	if batch {
		subject, at = "batch", "settled"
	}
	line(subject, r.ID, when(open, "still under way: tokens and cost are what is reserved for it"))
	line(at, r.Time.In(zone).Format("2006-01-02 15:04:05.000 MST"))
	line("key", when(r.KeyName != "", "%s", r.KeyName), when(r.Key != "", "id %s", r.Key), when(r.User != "", "user %s", r.User), when(r.Session != "", "session %s", r.Session), when(len(r.Tags) > 0, "tags %s", strings.Join(r.Tags, " ")))
	line("route", r.Route, when(r.Upstream != "", "upstream %s", r.Upstream), when(r.Slot != "", "API key %s", r.Slot))
	line(map[bool]string{false: "asked", true: "answers"}[batch], when(!batch, "%s", r.Operation), when(r.Model != "", "model %s", r.Model), when(r.Alias != "", "called %s", r.Alias), when(r.Answered != "" && r.Answered != r.Model, "answered by %s", r.Answered), when(r.Stream, "streamed"), when(r.Tier != "", "served as %s", r.Tier))
	line("status", when(r.Status != 0 && !batch, "%d", r.Status), when(r.Cause != "", "cause %s", r.Cause), when(r.Finish != "", "finish reason %s", r.Finish))
	line("cache", when(!batch, "%s", r.Cache), when(r.Saved > 0, "saved %s", r.Saved))
	line("attempts", when(r.Attempts > 0, "%d", r.Attempts))
	line("times", when(r.Queue > 0, "%s in the queue", short(r.Queue)), when(r.First > 0, "%s to the first token", short(r.First)),
		when(r.Ask > 0, "%s of the upstream", short(r.Ask)), when(r.Total > 0, "%s in all", short(r.Total)))
	line("tokens", when(r.Usage.Input+r.Usage.Output > 0, "%d in", r.Usage.Input), when(r.Usage.CachedRead > 0, "%d of them cached", r.Usage.CachedRead),
		when(r.Usage.CachedWrite > 0, "%d written to the cache", r.Usage.CachedWrite), when(r.Usage.Input+r.Usage.Output > 0, "%d out", r.Usage.Output),
		when(r.Usage.Reasoning > 0, "%d of them reasoning", r.Usage.Reasoning), when(r.Usage.Audio > 0, "%d of sound", r.Usage.Audio), when(r.Estimated, "estimated"))
	line("bytes", when(r.BytesIn+r.BytesOut > 0, "%d in, %d out", r.BytesIn, r.BytesOut))
	cost := "unpriced"
	if r.Priced {
		cost = r.Cost.String()
	}
	line("cost", cost, when(r.Listed && r.Priced, "%s list price, not billed: the caller's own credential paid", r.List), r.Price, when(r.Unmetered, "nothing is known of what it used"))
	line("reported", when(r.Usage.Terms.HasReported, "%s by the provider itself", price.Money(r.Usage.Terms.Reported)))
	for _, s := range r.Trail {
		fmt.Fprintf(t, "  %s\t%s: %s\n", when(!batch, "%s", short(s.At)), visible(s.Name), visible(s.Text))
	}
	return t.Flush()
}

// short shows a time to about three figures.
func short(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}
