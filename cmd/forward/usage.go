package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/ledger"
)

// usageFlags select what `forward usage` reports.
type usageFlags struct {
	by, since, until        string
	key, model, route, user string
	tag, session            string
	unmetered               bool
	top                     int
}

// shownSessions is how many sessions a table has without --top.
const shownSessions = 1000

// usageCommand shows what was used and what it cost, out of the ledger. It
// works beside a running gateway.
func usageCommand() *cobra.Command {
	var f usageFlags
	c := &cobra.Command{
		Use:   "usage",
		Short: "Show what was used and what it cost",
		Long: "usage adds up the ledger's requests, also while the gateway runs.\n\n" +
			"--by takes a comma list of: " + dimensions() + ".\nThose up to month, and user with key and days, come out of sums; all others look at single requests, as far back\nas LEDGER_RETENTION goes, which takes some seconds for each million. A request counts in the group of each of its tags, and once in the total. By day and month, times are taken to whole days.",
		Example: "  forward usage --by key,model,day --since 30d\n  forward usage --by user --key alice --since 2026-11-01 -o csv",
	}
	flags := c.Flags()
	flags.StringVar(&f.by, "by", "key,model", "what to group by")
	flags.StringVar(&f.since, "since", "30d", "start: an age (12h, 30d, 8w), a day (2026-11-01), a time (RFC 3339) or all")
	flags.StringVar(&f.until, "until", "", "end, in the same forms (default now)")
	flags.StringVar(&f.key, "key", "", "only this key, by name or id")
	flags.StringVar(&f.model, "model", "", "only this model")
	flags.StringVar(&f.route, "route", "", "only this route")
	flags.StringVar(&f.user, "user", "", "only this user")
	flags.StringVar(&f.tag, "tag", "", "only requests with this tag")
	flags.StringVar(&f.session, "session", "", "only this session")
	flags.BoolVar(&f.unmetered, "unmetered", false, "only requests that were sent and whose usage is not known")
	flags.IntVar(&f.top, "top", 0, "only that many groups, the dearest, and the sum of the others (0: 1,000 in a table of sessions, 100,000 elsewhere)")
	frame{forms: []string{"table", "csv", "json"}}.command(c, func(c *call) error {
		q, err := f.query(time.Now().In(c.cfg.Location))
		if err != nil {
			return &usageError{err}
		}
		return withReader(c.cfg, func(r *ledger.Reader) error {
			if c.form == "table" && f.top == 0 && slices.Contains(q.By, ledger.BySession) {
				q.Top = shownSessions
			}
			groups, err := r.Report(c.Context(), q)
			if err != nil {
				return err
			}
			total, err := r.Total(c.Context(), q, groups)
			if err != nil {
				return err
			}
			switch c.form {
			case "csv":
				return ledger.WriteCSV(c.OutOrStdout(), q, groups)
			case "json":
				return ledger.WriteJSON(c.OutOrStdout(), q, groups, total)
			}
			usageTable(c.OutOrStdout(), q, groups, total)
			return nil
		})
	})
	c.AddCommand(pricesCommand(), repriceCommand())
	noArguments(c)
	return c
}

func dimensions() string {
	var names []string
	for _, d := range ledger.Dimensions() {
		names = append(names, string(d))
	}
	return strings.Join(names, ", ")
}

// query turns the flags into a question.
func (f *usageFlags) query(now time.Time) (q ledger.Query, err error) {
	for name := range strings.SplitSeq(f.by, ",") {
		name = strings.TrimSpace(name)
		if name != "" {
			q.By = append(q.By, ledger.Dimension(name))
		}
	}
	q.Since, q.Until, err = between(f.since, f.until, now)
	if err != nil {
		return q, err
	}
	q.Filter = map[ledger.Dimension]string{}
	q.Unmetered = f.unmetered
	if f.top < 0 {
		return q, fmt.Errorf("--top is %d: write how many groups to show, or 0", f.top)
	}
	q.Top = f.top
	for d, value := range map[ledger.Dimension]string{
		ledger.ByKey: f.key, ledger.ByModel: f.model, ledger.ByRoute: f.route, ledger.ByUser: f.user,
		ledger.ByTag: f.tag, ledger.BySession: f.session,
	} {
		if value != "" {
			q.Filter[d] = value
		}
	}
	return q, q.Check()
}

// between reads the bounds of a time.
func between(since, until string, now time.Time) (from, to time.Time, err error) {
	from, err = moment(since, now)
	if err != nil {
		return from, to, fmt.Errorf("--since %w", err)
	}
	to, err = moment(until, now)
	if err != nil {
		return from, to, fmt.Errorf("--until %w", err)
	}
	return from, to, nil
}

// moment reads a time: an age, a day or a time of RFC 3339. Ages in days and
// weeks start at midnight, so that a report has whole days; "" and all are
// open.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" || s == "all" {
		return time.Time{}, nil
	}
	if number, unit := s[:len(s)-1], s[len(s)-1]; unit == 'd' || unit == 'w' {
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n <= 36500 {
			if unit == 'w' {
				n *= 7
			}
			start, _, err := ledger.Daily.Window(now.AddDate(0, 0, -n), now.Location())
			return start, err
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		start, _, err := ledger.Daily.Window(time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, now.Location()), now.Location())
		return start, err
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 12h, 30d, 8w, 2026-11-01 or 2026-11-01T12:00:00Z", s)
}

// withReader opens the ledger to read in it. It makes no database where there
// is none.
func withReader(cfg *config.Config, read func(*ledger.Reader) error) error {
	return withLedger(cfg, func(db *sql.DB) error { return read(ledger.NewReader(db, cfg.Location)) })
}

// withLedger opens the database that a ledger is in. It makes none where there
// is none.
func withLedger(cfg *config.Config, do func(*sql.DB) error) error {
	if !database.Exists(cfg.DataDir) {
		return fmt.Errorf("%w (DATA_DIR is %s)", ledger.ErrNoLedger, cfg.DataDir)
	}
	db, err := database.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// usageTable writes a report as a table. Columns that are zero everywhere are
// left out.
func usageTable(w io.Writer, q ledger.Query, groups []ledger.Group, total ledger.Sums) {
	if len(groups) == 0 {
		fmt.Fprintln(w, "nothing was used in this time")
		return
	}
	columns := sumColumns(total)
	t := table{right: make([]bool, len(q.By))}
	foot := make([]string, len(q.By))
	for _, d := range q.By {
		t.head = append(t.head, string(d))
	}
	for _, c := range columns {
		t.head = append(t.head, c.name)
		t.right = append(t.right, true)
		foot = append(foot, c.show(&total))
	}
	for i := range groups {
		t.rows = append(t.rows, usageRow(q, &groups[i], columns))
	}
	if len(q.By) > 0 {
		t.foot = foot
	}
	t.write(w)
	if slices.Contains(q.By, ledger.ByTag) && ledger.SumUp(groups).Requests > total.Requests {
		fmt.Fprintln(w, "A request counts in the group of each of its tags, and once in the total.")
	}
	if total.Unpriced > 0 {
		fmt.Fprintf(w, "%d requests used models without a price or reported no usage, which are not in the cost: see `forward usage prices MODEL`.\n", total.Unpriced)
	}
	if total.List > 0 {
		fmt.Fprintln(w, "list is the list price of requests that callers' own credentials paid: it is not billed, and not in the cost.")
	}
	if total.Unmetered > 0 {
		fmt.Fprintf(w, "%d requests were sent whose usage is not known; see `forward usage --unmetered --by key,model,operation`.\n", total.Unmetered)
	}
	if total.Estimated > 0 {
		fmt.Fprintf(w, "%d requests ended without the provider's count; %s of the cost is estimated.\n", total.Estimated, total.EstimatedCost)
	}
}

func usageRow(q ledger.Query, g *ledger.Group, columns []sumColumn) (row []string) {
	for i, d := range q.By {
		value := g.Values[i]
		if d == ledger.ByKey && g.KeyName != "" {
			value = g.KeyName
		}
		row = append(row, visible(value))
	}
	for _, c := range columns {
		row = append(row, c.show(&g.Sums))
	}
	return row
}

type sumColumn struct {
	name string
	show func(*ledger.Sums) string
}

func sumColumns(total ledger.Sums) []sumColumn {
	count := func(name string, n func(*ledger.Sums) int64) sumColumn {
		return sumColumn{name, func(s *ledger.Sums) string { return strconv.FormatInt(n(s), 10) }}
	}
	columns := []sumColumn{count("requests", func(s *ledger.Sums) int64 { return s.Requests })}
	for _, c := range []sumColumn{
		count("errors", func(s *ledger.Sums) int64 { return s.Errors }),
		count("unpriced", func(s *ledger.Sums) int64 { return s.Unpriced }),
		count("unmetered", func(s *ledger.Sums) int64 { return s.Unmetered }),
	} {
		if c.show(&total) != "0" {
			columns = append(columns, c)
		}
	}
	columns = append(columns,
		count("input", func(s *ledger.Sums) int64 { return s.Input }),
		count("cached", func(s *ledger.Sums) int64 { return s.CachedRead }),
		count("output", func(s *ledger.Sums) int64 { return s.Output }),
		sumColumn{"cost", func(s *ledger.Sums) string { return s.Cost.String() }})
	if total.List > 0 {
		columns = append(columns, sumColumn{"list", func(s *ledger.Sums) string { return s.List.String() }})
	}
	if total.Saved > 0 {
		columns = append(columns, sumColumn{"saved", func(s *ledger.Sums) string { return s.Saved.String() }})
	}
	return columns
}
