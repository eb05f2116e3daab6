package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"forward/internal/chatlog"
)

// conversion is one call of `forward convert`.
type conversion struct {
	chatlog.ConvertOptions
	output, since string
	folder        string // openai-forward's name of the INPUT
}

// convertCommand turns chat logs into conversations.
func convertCommand() *cobra.Command {
	var o conversion
	c := &cobra.Command{
		Use:   "convert [INPUT…]",
		Short: "Turn chat logs into JSON conversations",
		Long: "convert reads chat logs, forward's own and openai-forward's, and writes conversations.\n" +
			"Without INPUT (files or directories) it reads LOG_DIR. Without -o it writes chat_openai.json; -o - writes to stdout.",
		Args: cobra.ArbitraryArgs,
	}
	from := sourcesOf(c, hasManagedKeys)
	flags := c.Flags()
	flags.StringVar(&o.Format, "format", "openai-forward", "openai-forward, jsonl, log, openai-ft, sharegpt or csv")
	flags.StringVarP(&o.output, "output", "o", "", "file to write, - for stdout (default chat_openai.json, or .jsonl, .log and .csv by format)")
	flags.StringVar(&o.since, "since", "", "only what was asked since an age (12h, 30d, 8w), a day (2026-11-01) or a time (RFC 3339)")
	flags.StringVar(&o.Filter.Key, "key", "", "only what a key of this name asked")
	flags.StringVar(&o.Filter.Model, "model", "", "only what this model was asked")
	flags.BoolVar(&o.Filter.Dedupe, "dedupe", false, "of equal conversations only the first, and of the turns of one only the last")
	flags.StringVar(&o.Filter.Session, "session", "", "only what belongs to this session")
	flags.StringVar(&o.folder, "log_folder", "", "INPUT, as openai-forward called it")
	flags.StringVar(&o.output, "target_path", "", "--output, as openai-forward called it")
	flags.Lookup("log_folder").Hidden = true
	flags.Lookup("target_path").Hidden = true
	c.RunE = func(c *cobra.Command, args []string) error {
		if !chatlog.KnownFormat(o.Format) {
			return &usageError{fmt.Errorf("unknown format %q: write openai-forward, jsonl, log, openai-ft, sharegpt or csv", o.Format)}
		}
		if o.folder != "" {
			args = append(args, o.folder)
		}
		o.Inputs = args
		zone := time.Local
		if len(args) == 0 { // files by name need no settings
			cfg, warnings, err := from.read(nil)
			printWarnings(c.ErrOrStderr(), warnings)
			if err != nil {
				return err
			}
			o.Dir = cfg.Log.Dir
			zone = cfg.Location
		}
		return o.run(c, zone)
	}
	return c
}

func (o *conversion) run(c *cobra.Command, zone *time.Location) error {
	start, err := moment(o.since, time.Now().In(zone))
	if err != nil {
		return &usageError{fmt.Errorf("--since %w", err)}
	}
	if !start.IsZero() {
		o.Filter.Since = start.In(zone)
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		o.Progress = os.Stderr
	}
	if o.output == "" {
		o.output = defaultOutput(o.Format)
	}
	var summary chatlog.Summary
	err = writeFile(c.OutOrStdout(), o.output, func(w io.Writer) (err error) {
		summary, err = chatlog.Convert(c.Context(), w, o.ConvertOptions)
		return err
	})
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%d conversations from %d files", summary.Exchanges, len(summary.Files))
	for _, part := range []struct {
		format string
		count  int
	}{
		{", %d without an answer", summary.Unanswered},
		{", %d left out that the format has no place for" + reasons(summary.Reasons), summary.Omitted},
		{", %d not asked for", summary.Filtered},
		{", %d turns that a later one has", summary.Folded},
		{", %d answers without a request", summary.Orphans},
		{", %d left out whose earlier lines are missing or changed", summary.Lost},
		{", %d lines skipped that are torn or not of a chat log", summary.Skipped},
	} {
		if part.count > 0 {
			line += fmt.Sprintf(part.format, part.count)
		}
	}
	if o.output != "-" {
		line += " → " + o.output
	}
	fmt.Fprintln(c.ErrOrStderr(), line)
	return nil
}

// reasons lists why exchanges are left out, as a part of a format.
func reasons(counts map[string]int) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%d: %s", counts[reason], reason))
	}
	if len(list) == 0 {
		return ""
	}
	return strings.ReplaceAll(" ("+strings.Join(list, ", ")+")", "%", "%%")
}

func defaultOutput(format string) string {
	switch format {
	case "log":
		return "chat_openai.log"
	case "csv":
		return "chat_openai.csv"
	case "jsonl", "openai-ft":
		return "chat_openai.jsonl"
	}
	return "chat_openai.json"
}
