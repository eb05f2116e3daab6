package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"forward/internal/chatlog"
)

// convertCommand turns chat logs into conversations.
func convertCommand() *cobra.Command {
	var o chatlog.ConvertOptions
	var output, since string
	c := &cobra.Command{
		Use:   "convert [INPUT…]",
		Short: "Turn chat logs into JSON conversations",
		Long: "convert reads chat logs, forward's own and openai-forward's, and writes conversations.\n" +
			"Without INPUT (files or directories) it reads LOG_DIR. Without -o it writes chat_openai.json; -o - writes to stdout.",
		Args: cobra.ArbitraryArgs,
	}
	load := settingsFlags(c)
	c.Flags().StringVar(&o.Format, "format", "openai-forward", "openai-forward, jsonl, openai-ft, sharegpt or csv")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write, - for stdout (default chat_openai.json, or .jsonl and .csv by format)")
	c.Flags().StringVar(&since, "since", "", "only what was asked since an age (12h, 30d, 8w), a day (2026-11-01) or a time (RFC 3339)")
	c.Flags().StringVar(&o.Filter.Key, "key", "", "only what a key of this name asked")
	c.Flags().StringVar(&o.Filter.Model, "model", "", "only what this model was asked")
	c.Flags().BoolVar(&o.Filter.Dedupe, "dedupe", false, "of equal conversations with the same model and answer only the first")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !chatlog.KnownFormat(o.Format) {
			return &usageError{fmt.Errorf("unknown format %q: write openai-forward, jsonl, openai-ft, sharegpt or csv", o.Format)}
		}
		o.Inputs = args
		zone := time.Local
		if len(args) == 0 {
			cfg, err := load()
			if err != nil {
				return err
			}
			o.Dir, zone = cfg.LogDir, cfg.Location
		}
		begin, err := moment(since, time.Now().In(zone))
		if err != nil {
			return &usageError{fmt.Errorf("--since %w", err)}
		}
		if o.Filter.Since = begin; !begin.IsZero() {
			o.Filter.Since = begin.In(zone)
		}
		if term.IsTerminal(int(os.Stderr.Fd())) {
			o.Progress = os.Stderr
		}
		if output == "" {
			output = defaultOutput(o.Format)
		}
		var summary chatlog.Summary
		err = writeFile(c.OutOrStdout(), output, func(w io.Writer) (err error) {
			summary, err = chatlog.Convert(c.Context(), w, o)
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "%d conversations from %d files", summary.Exchanges, len(summary.Files))
		if summary.Unanswered > 0 {
			fmt.Fprintf(c.ErrOrStderr(), ", %d without an answer", summary.Unanswered)
		}
		if summary.Omitted > 0 {
			fmt.Fprintf(c.ErrOrStderr(), ", %d left out that the format has no place for", summary.Omitted)
		}
		if summary.Filtered > 0 {
			fmt.Fprintf(c.ErrOrStderr(), ", %d not asked for", summary.Filtered)
		}
		if summary.Orphans > 0 {
			fmt.Fprintf(c.ErrOrStderr(), ", %d answers without a request", summary.Orphans)
		}
		if summary.Skipped > 0 {
			fmt.Fprintf(c.ErrOrStderr(), ", %d lines skipped that are torn or not of a chat log", summary.Skipped)
		}
		if output != "-" {
			fmt.Fprintf(c.ErrOrStderr(), " → %s", output)
		}
		fmt.Fprintln(c.ErrOrStderr())
		return nil
	}
	return c
}

func defaultOutput(format string) string {
	switch format {
	case "csv":
		return "chat_openai.csv"
	case "jsonl", "openai-ft":
		return "chat_openai.jsonl"
	}
	return "chat_openai.json"
}

// writeFile writes to name by way of a temporary file beside it, so that a failure leaves what was there.
func writeFile(stdout io.Writer, name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+strings.TrimPrefix(filepath.Base(name), ".")+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // fails when it was renamed, as it should
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
