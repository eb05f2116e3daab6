package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/cache"
)

// cacheCommand looks at the cache of answers, empties it, and carries it to
// other machines, whether a gateway runs or not.
func cacheCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "List, empty, export and import the remembered answers",
		Long: "cache works on the remembered answers. While a gateway runs on the same DATA_DIR it asks that one, by the socket control.sock\n" +
			"there; otherwise it opens the cache directory itself. CACHE_BACKEND=MEMORY lives in the gateway alone, so it has to run.",
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("choose what to do with the cache: stats, list, show, purge, export, import or verify")}
		},
	}
	c.AddCommand(cacheStats(), cacheList(), cacheShow(), cachePurge(), cacheExport(), cacheImport(), cacheVerify())
	return c
}

// cacheCall is one call of a command on the cache.
type cacheCall struct {
	*call
	cache *cacheClient
}

// cacheVerb makes one command. It opens the cache, which create makes if it is
// not there, and closes it after do.
func cacheVerb(c *cobra.Command, f frame, create bool, do func(*cacheCall) error) *cobra.Command {
	f.offline = true
	return f.command(c, func(c *call) (err error) {
		client, err := openCacheClient(c.Context(), c.cfg, create)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		return do(&cacheCall{c, client})
	})
}

func cacheStats() *cobra.Command {
	c := &cobra.Command{Use: "stats", Short: "How much is remembered, and how often it was asked for"}
	return cacheVerb(c, frame{operands: none, forms: tableOrJSON}, false, func(c *cacheCall) error {
		var s struct {
			cache.Stats
			Running bool `json:"running"` // a gateway; without one nothing was counted
		}
		var err error
		s.Stats, err = c.cache.Stats(c.Context())
		if err != nil {
			return err
		}
		s.Running = c.cache.own == nil
		if c.form == "json" {
			return writeJSON(c.OutOrStdout(), s)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		row := func(name, format string, values ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
		row("backend", "%s", s.Backend)
		if s.Backend == "BADGER" {
			row("directory", "%s", c.cfg.Cache.Dir)
		}
		if s.Entries >= 0 {
			row("entries", "about %d", s.Entries)
		}
		if s.Bytes >= 0 {
			row("size", "%s of %s", sizeText(s.Bytes), sizeText(s.MaxBytes))
		}
		if s.Running {
			row("hits", "%d of %d (%.0f %%)", s.Hits, s.Hits+s.Misses, 100*float64(s.Hits)/float64(max(s.Hits+s.Misses, 1)))
			row("written", "%d, %d waiting, %d dropped", s.Stored, s.Pending, s.Dropped)
			row("damaged", "%d", s.Damaged)
		} else {
			row("gateway", "not running, so nothing is counted")
		}
		if s.Disabled != "" {
			row("writing", "off: %s", s.Disabled)
		}
		return t.Flush()
	})
}

func cacheList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "What is remembered, the latest first"}
	filter := filterFlags(c)
	limit := c.Flags().Int("limit", 50, "at most so many lines; 0 for all")
	return cacheVerb(c, frame{operands: none, forms: tableOrJSON}, false, func(c *cacheCall) error {
		f, err := filter(c.cfg)
		if err != nil {
			return err
		}
		all, err := c.cache.List(c.Context(), f)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b cache.Info) int { return a.Place().Compare(b.Place()) })
		all = slices.CompactFunc(all, func(a, b cache.Info) bool { return a.Key == b.Key })
		shown := all
		if *limit > 0 && len(all) > *limit {
			shown = all[:*limit]
		}
		if err := printEntries(c.OutOrStdout(), shown, c.form); err != nil {
			return err
		}
		if len(shown) < len(all) {
			fmt.Fprintf(c.ErrOrStderr(), "%d of %d entries; --limit 0 shows all\n", len(shown), len(all))
		}
		return nil
	})
}

// printEntries writes a line for each entry. JSON is one object a line.
func printEntries(w io.Writer, list []cache.Info, form string) error {
	if form == "json" {
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		for _, i := range list {
			if err := lines.Encode(i); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTORED\tEXPIRES\tROUTE\tOPERATION\tMODEL\tFOR\tREQUEST\tRESPONSE")
	for _, i := range list {
		response := sizeText(i.Answered)
		if i.Stream {
			response += " stream"
		}
		fmt.Fprintln(t, strings.Join([]string{i.Key.String()[:12], i.Stored.Local().Format(time.DateTime), i.Expires.Local().Format(time.DateOnly),
			i.Route, cmp.Or(i.Operation, i.Method+" "+i.Path), cmp.Or(i.Model, "-"), shortScope(i.Scope), sizeText(i.Asked), response}, "\t"))
	}
	return t.Flush()
}

// shortScope cuts the digest of a provider account off: it is as long as a
// line.
func shortScope(scope string) string {
	if strings.HasPrefix(scope, "own:") && len(scope) > 12 {
		return scope[:12] + "…"
	}
	return cmp.Or(scope, "-")
}

func cacheShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "One question and its answer, by the beginning of its key"}
	return cacheVerb(c, frame{operands: []string{"KEY"}}, false, func(c *cacheCall) error {
		entry, err := c.cache.Show(c.Context(), c.args[0])
		if err != nil {
			return err
		}
		return writeJSON(c.OutOrStdout(), entry)
	})
}

func cachePurge() *cobra.Command {
	c := &cobra.Command{
		Use: "purge", Short: "Forget answers: those that the flags select, or all",
		Long: "purge makes the gateway forget answers, at once. Without flags it deletes the files of the cache. Of single answers the bytes\n" +
			"stay on disk until their part of the cache is dropped as a whole.",
	}
	filter := filterFlags(c)
	yes := c.Flags().Bool("yes", false, "do not ask")
	return cacheVerb(c, frame{operands: none}, false, func(c *cacheCall) error {
		f, err := filter(c.cfg)
		if err != nil {
			return err
		}
		if !*yes {
			sum, err := c.cache.Count(c.Context(), f)
			if err != nil {
				return err
			}
			agreed, err := agrees(c.Command, fmt.Sprintf("Forget %d answers (%s)?", sum.Entries, sizeText(sum.Bytes)))
			if err != nil || !agreed {
				return err
			}
		}
		sum, err := c.cache.Purge(c.Context(), f)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%d answers forgotten\n", sum.Entries)
		return nil
	})
}

func cacheVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Read every answer and compare it with its checksum"}
	return cacheVerb(c, frame{operands: none, forms: tableOrJSON}, false, func(c *cacheCall) error {
		v, err := c.cache.Verify(c.Context())
		if err != nil {
			return err
		}
		if c.form == "json" {
			err = writeJSON(c.OutOrStdout(), v)
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d answers are whole (%s), %d are damaged, %d are of another version of forward\n", v.Entries, sizeText(v.Bytes), v.Damaged, v.Foreign)
		}
		if err == nil && v.Damaged > 0 {
			return fmt.Errorf("%d answers are damaged; no caller is given them", v.Damaged)
		}
		return err
	})
}
