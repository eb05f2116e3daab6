package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"forward/internal/config"
	"forward/internal/upstream"
)

// checkCommand validates the settings and prints the current ones, secrets
// masked, with the source of each.
func checkCommand() *cobra.Command {
	c := &cobra.Command{Use: "check", Short: "Validate the settings and print them"}
	online := c.Flags().Bool("online", false, "also connect to every upstream")
	return frame{}.command(c, func(c *call) error {
		if err := printSettings(c.OutOrStdout(), c.cfg); err != nil {
			return err
		}
		if *online {
			return reach(c.Context(), c.OutOrStdout(), c.cfg)
		}
		return nil
	})
}

func printSettings(w io.Writer, cfg *config.Config) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Fprintln(t, "NAME\tVALUE\tSOURCE")
	}
	for _, s := range cfg.Effective() {
		source := string(s.Source)
		if s.Where != "" && s.Where != source {
			source += " (" + s.Where + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, s.Value, source)
	}
	return t.Flush()
}

// reach sends each upstream a request for its root, without a key: any answer
// means that it can be reached.
func reach(ctx context.Context, w io.Writer, cfg *config.Config) error {
	options := cfg.Upstream.Options
	options.HeaderTimeout = 10 * time.Second
	transport, err := upstream.NewTransport(options)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	var errs []error
	for _, route := range cfg.Routes {
		for i, base := range append([]*url.URL{route.BaseURL}, route.Also...) {
			name := route.Name
			if len(route.Also) > 0 {
				name = fmt.Sprintf("%s, base URL %d", name, i+1)
			}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
			if err != nil {
				return err
			}
			start := time.Now()
			res, err := transport.RoundTrip(r)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, upstream.Classify(err)))
				continue
			}
			res.Body.Close()
			fmt.Fprintf(w, "%s: reached in %d ms\n", name, time.Since(start).Milliseconds())
		}
	}
	return errors.Join(errs...)
}
