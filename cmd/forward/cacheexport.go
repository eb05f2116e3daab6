package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/config"
)

func cacheExport() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Write the remembered answers to a file that can be committed",
		Long: "export writes a line of JSON for each question, sorted, without keys, hosts and callers. The same answers give the same file.\n" +
			"FILE may be - for stdout.",
	}
	filter := filterFlags(c)
	return cacheVerb(c, frame{operands: []string{"FILE"}}, false, func(c *cacheCall) error {
		f, err := filter(c.cfg)
		if err != nil {
			return err
		}
		body, err := c.cache.Export(c.Context(), f)
		if err != nil {
			return err
		}
		defer body.Close()
		lines := &lineCounter{from: body}
		err = writeFile(c.OutOrStdout(), c.args[0], func(w io.Writer) error {
			if _, err := io.Copy(w, lines); err != nil {
				return fmt.Errorf("exporting: %w", err)
			}
			return nil
		})
		if err == nil {
			fmt.Fprintf(c.ErrOrStderr(), "%d answers exported\n", lines.count-1)
		}
		return err
	})
}

// lineCounter counts the lines that are read through it.
type lineCounter struct {
	from  io.Reader
	count int
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	l.count += bytes.Count(p[:n], []byte("\n"))
	return n, err
}

func cacheImport() *cobra.Command {
	c := &cobra.Command{
		Use: "import", Short: "Remember the answers of an export, for every caller",
		Long: "import reads a file that export wrote, - for stdin. Its answers are for all callers, and for every upstream of their route; a caller\n" +
			"with an answer of its own gets that one.",
	}
	ttl := c.Flags().String("ttl", "", "how long to remember them, such as 365d (default CACHE_TTL)")
	return cacheVerb(c, frame{operands: []string{"FILE"}}, true, func(c *cacheCall) error {
		var keep time.Duration
		if *ttl != "" {
			var err error
			keep, err = config.ParseDuration(*ttl)
			if err != nil || keep <= 0 {
				return &usageError{fmt.Errorf("--ttl %s: write a duration such as 12h or 365d", *ttl)}
			}
		}
		name := c.args[0]
		in := c.InOrStdin()
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		result, err := c.cache.Import(c.Context(), in, keep)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%d answers imported\n", result.Entries)
		if result.TooLong > 0 {
			return fmt.Errorf("%d answers are too long to be remembered; raise CACHE_MAX_ENTRY_BYTES or CACHE_MAX_BYTES", result.TooLong)
		}
		return nil
	})
}
