package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/keys"
)

// cacheCommand looks at the cache of answers, empties it, and carries it to other machines, whether a gateway runs or not.
func cacheCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cache",
		Short: "List, empty, export and import the remembered answers",
		Long: "cache works on the remembered answers. While a gateway runs on the same DATA_DIR it asks that one, by the socket control.sock\n" +
			"there; otherwise it opens the cache directory itself. CACHE_BACKEND=MEMORY lives in the gateway alone, so it has to run.",
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("say what to do with the cache: stats, list, show, purge, export, import or verify")}
		},
	}
	c.AddCommand(cacheStats(), cacheList(), cacheShow(), cachePurge(), cacheExport(), cacheImport(), cacheVerify())
	return c
}

// cacheVerb makes one command. It opens the cache, which create makes if it is not there, and closes it behind do.
func cacheVerb(c *cobra.Command, operands []string, create bool, do func(*cobra.Command, *config.Config, *cacheClient, []string) error) *cobra.Command {
	load := settingsFlags(c)
	for _, name := range []string{"host", "port", "workers"} { // mean nothing here
		c.Flags().Lookup(name).Hidden = true
	}
	c.Use = strings.Join(append([]string{c.Use}, operands...), " ")
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != len(operands) {
			return &usageError{fmt.Errorf("write: forward cache %s", c.Use)}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		cfg, err := load()
		if err != nil {
			return err
		}
		client, err := openCacheClient(c.Context(), cfg, create)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		return do(c, cfg, client, args)
	}
	return c
}

// outputFlag adds -o, and returns the function that reads it.
func outputFlag(c *cobra.Command) func() (asJSON bool, err error) {
	output := c.Flags().StringP("output", "o", "table", "table or json")
	return func() (bool, error) {
		if *output != "table" && *output != "json" {
			return false, &usageError{fmt.Errorf("unknown output %q: write table or json", *output)}
		}
		return *output == "json", nil
	}
}

// filterFlags adds the flags that select entries, and returns the function that reads them.
func filterFlags(c *cobra.Command) func(*config.Config) (url.Values, error) {
	var f cache.Filter
	var key, older string
	flags := c.Flags()
	flags.StringVar(&f.Model, "model", "", "of this model, in which * stands for anything")
	flags.StringVar(&f.Route, "route", "", "of the route of this name, in which * stands for anything")
	flags.StringVar(&key, "key", "", "of this forward key, by its name or id; also shared, anyone and imported")
	flags.StringVar(&older, "older-than", "", "remembered longer ago than this, such as 12h or 30d")
	return func(cfg *config.Config) (url.Values, error) {
		for _, name := range []string{"model", "route", "key", "older-than"} {
			if flags.Changed(name) && flags.Lookup(name).Value.String() == "" { // a variable of a script that is not set
				return nil, &usageError{fmt.Errorf("--%s is empty; leave it out to select all", name)}
			}
		}
		var err error
		if f.Scope, err = scopeOf(c.Context(), cfg, key); err != nil {
			return nil, err
		}
		if older != "" {
			age, err := config.ParseDuration(older)
			if err != nil {
				return nil, &usageError{fmt.Errorf("--older-than %s: %w", older, err)}
			}
			f.Before = time.Now().Add(-age)
		}
		return f.Values(), nil
	}
}

// scopeOf returns the scope under which the answers of a forward key are remembered: one of the settings by its name, a managed one by its
// name, and of several keys that had it the one that is good. What is no name of a key is taken for its id, or for a scope as list shows it.
func scopeOf(ctx context.Context, cfg *config.Config, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	for _, k := range cfg.ForwardKeys {
		if k.Name == key {
			return "key:" + (&keys.Key{Secret: k.Secret}).ID(), nil
		}
	}
	managed, err := managedKey(ctx, cfg.DataDir, key)
	switch {
	case err == nil:
		return "key:" + managed.ID, nil
	case !errors.Is(err, keys.ErrNoSuchKey):
		return "", fmt.Errorf("looking for the key %q: %w", key, err)
	case strings.Contains(key, ":") || slices.Contains([]string{"shared", "anyone", cache.Imported}, key):
		return key, nil
	}
	return "key:" + key, nil
}

// managedKey finds a key in a DATA_DIR. It makes nothing.
func managedKey(ctx context.Context, dir, ref string) (*keys.Managed, error) {
	if !database.Exists(dir) {
		return nil, keys.ErrNoSuchKey
	}
	db, err := database.Open(dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return keys.Find(ctx, db, ref)
}

func cacheStats() *cobra.Command {
	c := &cobra.Command{Use: "stats", Short: "How much is remembered, and how often it was asked for"}
	asJSON := outputFlag(c)
	return cacheVerb(c, nil, false, func(c *cobra.Command, cfg *config.Config, client *cacheClient, _ []string) error {
		object, err := asJSON()
		if err != nil {
			return err
		}
		var s struct {
			cache.Stats
			Running bool `json:"running"` // a gateway; without one nothing was counted
		}
		if err := client.get("/stats", nil, &s.Stats); err != nil {
			return err
		}
		s.Running = client.running
		if object {
			return writeJSON(c.OutOrStdout(), s)
		}
		t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
		row := func(name, format string, values ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", values...) }
		row("backend", "%s", s.Backend)
		if s.Backend == "BADGER" {
			row("directory", "%s", cfg.CacheDir)
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
	asJSON, filter := outputFlag(c), filterFlags(c)
	limit := c.Flags().Int("limit", 50, "at most so many lines; 0 for all")
	return cacheVerb(c, nil, false, func(c *cobra.Command, cfg *config.Config, client *cacheClient, _ []string) error {
		object, err := asJSON()
		if err != nil {
			return err
		}
		values, err := filter(cfg)
		if err != nil {
			return err
		}
		body, err := client.do(http.MethodGet, "/entries", values, nil)
		if err != nil {
			return err
		}
		defer body.Close()
		var all []cache.Info
		for lines := json.NewDecoder(body); ; {
			var i cache.Info
			if err := lines.Decode(&i); err == io.EOF {
				break
			} else if err != nil {
				return fmt.Errorf("reading the list: %w", err)
			}
			all = append(all, i)
		}
		slices.SortFunc(all, func(a, b cache.Info) int {
			return cmp.Or(b.Stored.Compare(a.Stored), strings.Compare(a.Key.String(), b.Key.String()))
		})
		// One that was used while it was listed is there twice.
		all = slices.CompactFunc(all, func(a, b cache.Info) bool { return a.Key == b.Key })
		shown := all
		if *limit > 0 && len(all) > *limit {
			shown = all[:*limit]
		}
		if err := printEntries(c.OutOrStdout(), shown, object); err != nil {
			return err
		}
		if len(shown) < len(all) {
			fmt.Fprintf(c.ErrOrStderr(), "%d of %d entries; --limit 0 shows all\n", len(shown), len(all))
		}
		return nil
	})
}

// printEntries writes a line for each entry. JSON is one object a line.
func printEntries(w io.Writer, list []cache.Info, object bool) error {
	if object {
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
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Key.String()[:12], i.Stored.Local().Format(time.DateTime), i.Expires.Local().Format(time.DateOnly),
			i.Route, cmp.Or(i.Operation, i.Method+" "+i.Path), cmp.Or(i.Model, "-"), shortScope(i.Scope), sizeText(i.Asked), response)
	}
	return t.Flush()
}

// shortScope cuts the digest of a provider account off: it is as long as a line.
func shortScope(scope string) string {
	if strings.HasPrefix(scope, "own:") && len(scope) > 12 {
		return scope[:12] + "…"
	}
	return cmp.Or(scope, "-")
}

func cacheShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "One question and its answer, by the beginning of its key"}
	return cacheVerb(c, []string{"KEY"}, false, func(c *cobra.Command, _ *config.Config, client *cacheClient, args []string) error {
		var entry json.RawMessage
		if err := client.get("/entries/"+url.PathEscape(args[0]), nil, &entry); err != nil {
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
	return cacheVerb(c, nil, false, func(c *cobra.Command, cfg *config.Config, client *cacheClient, _ []string) error {
		values, err := filter(cfg)
		if err != nil {
			return err
		}
		var sum cache.Sum
		if err := client.get("/count", values, &sum); err != nil {
			return err
		}
		if !*yes {
			if agreed, err := agrees(c, fmt.Sprintf("Forget %d answers (%s)?", sum.Entries, sizeText(sum.Bytes))); err != nil || !agreed {
				return err
			}
		}
		if err := client.post("/purge", values, nil, &sum); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%d answers forgotten\n", sum.Entries)
		return nil
	})
}

// agrees asks on a terminal whether to destroy something. Elsewhere nobody can answer, so that is a wrong call.
func agrees(c *cobra.Command, question string) (bool, error) {
	if in, ok := c.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return false, &usageError{fmt.Errorf("%s Nobody can be asked here: say --yes", question)}
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, errors.New("nothing was done")
}

func cacheExport() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Write the remembered answers to a file that can be committed",
		Long: "export writes a line of JSON for each question, sorted, without keys, hosts and callers. The same answers give the same file.\n" +
			"FILE may be - for stdout.",
	}
	filter := filterFlags(c)
	return cacheVerb(c, []string{"FILE"}, false, func(c *cobra.Command, cfg *config.Config, client *cacheClient, args []string) error {
		values, err := filter(cfg)
		if err != nil {
			return err
		}
		body, err := client.do(http.MethodGet, "/export", values, nil)
		if err != nil {
			return err
		}
		defer body.Close()
		lines := &lineCounter{from: body}
		err = writeFile(c.OutOrStdout(), args[0], func(w io.Writer) error {
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

// lineCounter counts what is read through it.
type lineCounter struct {
	from  io.Reader
	count int
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	l.count += strings.Count(string(p[:n]), "\n")
	return n, err
}

func cacheImport() *cobra.Command {
	c := &cobra.Command{
		Use: "import", Short: "Remember the answers of an export, for every caller",
		Long: "import reads a file that export wrote, - for stdin. Its answers are for everybody, and for every upstream of their route; who has\n" +
			"an answer of his own is given that.",
	}
	ttl := c.Flags().String("ttl", "", "how long to remember them, such as 365d (default CACHE_TTL)")
	return cacheVerb(c, []string{"FILE"}, true, func(c *cobra.Command, _ *config.Config, client *cacheClient, args []string) error {
		values := url.Values{}
		if *ttl != "" {
			d, err := config.ParseDuration(*ttl)
			if err != nil || d <= 0 {
				return &usageError{fmt.Errorf("--ttl %s: write a duration such as 12h or 365d", *ttl)}
			}
			values.Set("ttl", d.String())
		}
		in := c.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		var result cache.ImportResult
		if err := client.post("/import", values, in, &result); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%d answers imported\n", result.Imported)
		if result.TooLong > 0 {
			return fmt.Errorf("%d answers are too long to be remembered; raise CACHE_MAX_ENTRY_BYTES or CACHE_MAX_BYTES", result.TooLong)
		}
		return nil
	})
}

func cacheVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Read every answer and compare it with its checksum"}
	asJSON := outputFlag(c)
	return cacheVerb(c, nil, false, func(c *cobra.Command, _ *config.Config, client *cacheClient, _ []string) error {
		object, err := asJSON()
		if err != nil {
			return err
		}
		var v cache.Verified
		if err := client.post("/verify", nil, nil, &v); err != nil {
			return err
		}
		if object {
			err = writeJSON(c.OutOrStdout(), v)
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d answers are whole (%s), %d are damaged, %d are of another version of forward\n", v.Entries, sizeText(v.Bytes), v.Damaged, v.Foreign)
		}
		if err == nil && v.Damaged > 0 {
			return fmt.Errorf("%d answers are damaged; nobody is given them", v.Damaged)
		}
		return err
	})
}

// sizeText writes bytes as people read them.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
