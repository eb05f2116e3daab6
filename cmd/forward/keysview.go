package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/keys"
)

// keyView is a key as JSON shows it, with its secret when it was just made.
type keyView struct {
	Key string `json:"key,omitempty"`
	keys.View
}

func (c *keysCall) view(m *keys.Managed) keyView { return keyView{View: m.View(c.now())} }

// declaredViews are the keys of the settings.
func (c *keysCall) declaredViews() (list []keyView) {
	for _, v := range c.cfg.Access.Keys.Views(c.now()) {
		list = append(list, keyView{View: v})
	}
	return list
}

func keysList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the keys"}
	all := c.Flags().Bool("all", false, "revoked ones too")
	return keysVerb(c, "", func(c *keysCall, _ string) error {
		managed, err := c.store.List(c.Context())
		if err != nil {
			return err
		}
		views := c.declaredViews()
		for _, m := range managed {
			if !m.Revoked || *all {
				views = append(views, c.view(m))
			}
		}
		return c.print(views)
	})
}

func keysShow() *cobra.Command {
	return keysVerb(&cobra.Command{Use: "show", Short: "Show all that is known of a key"}, "KEY", func(c *keysCall, ref string) error {
		if v, ok := c.cfg.Access.Keys.Find(ref, c.now()); ok {
			return c.show(keyView{View: v})
		}
		m, err := c.store.Find(c.Context(), ref)
		if err != nil {
			return c.hint(err)
		}
		return c.show(c.view(m))
	})
}

func keysWhois() *cobra.Command {
	c := &cobra.Command{Use: "whois", Short: "Show whose key it is; - reads the key from stdin, so that no history keeps it"}
	return keysVerb(c, "SECRET|-", func(c *keysCall, presented string) error {
		if presented == "-" {
			text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 4096))
			if err != nil {
				return fmt.Errorf("reading the key: %w", err)
			}
			presented = strings.TrimSpace(string(text))
		}
		for i, k := range c.cfg.Access.Keys {
			if k.Secret.Reveal() == presented {
				return c.show(c.declaredViews()[i])
			}
		}
		m, replaced, err := c.store.Whois(c.Context(), presented)
		if err != nil {
			return c.hint(fmt.Errorf("%s: %w", keys.Mask(presented), err))
		}
		if replaced {
			fmt.Fprintf(c.ErrOrStderr(), "This secret was replaced since; forward keys rotate gave the key another.\n")
		}
		return c.show(c.view(m))
	})
}

// hand prints a key that was just made: alone on stdout, or in the form of -o.
// What it is goes to stderr.
func (c *keysCall) hand(m *keys.Managed, secret keys.Secret, format string, args ...any) error {
	v := c.view(m)
	v.Key = secret.Reveal()
	var err error
	if c.form == "table" {
		_, err = fmt.Fprintln(c.OutOrStdout(), v.Key)
	} else {
		err = c.show(v)
	}
	if err != nil {
		return fmt.Errorf("printing key %s: %w; it is made and was never shown: forward keys rotate %s --grace 0", m.ID, err, m.ID)
	}
	fmt.Fprintf(c.ErrOrStderr(), format, args...)
	return nil
}

func (c *keysCall) show(v keyView) error {
	if c.form == "json" {
		return writeJSON(c.OutOrStdout(), v)
	}
	if c.form == "csv" {
		return c.print([]keyView{v})
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	names, values := columns(), v.row()
	for i, name := range names {
		if values[i] != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, values[i])
		}
	}
	return t.Flush()
}

func (c *keysCall) print(views []keyView) error {
	switch c.form {
	case "json":
		return writeJSON(c.OutOrStdout(), append([]keyView{}, views...)) // [] and not null
	case "csv":
		w := csv.NewWriter(c.OutOrStdout())
		w.Write(columns())
		for _, v := range views {
			w.Write(v.row())
		}
		w.Flush()
		return w.Error()
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tNAME\tSTATE\tLEVEL\tMODELS\tRPM\tTPM\tBUDGET\tEXPIRES")
	for _, v := range views {
		p := v.Policy
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Name, v.State, v.Level, cmp.Or(strings.Join(p.Models, ","), "*"),
			cmp.Or(positive(p.RPM), "-"), cmp.Or(positive(p.TPM), "-"), cmp.Or(joined(p.Budgets), "-"), cmp.Or(stamp(v.Expires), "never"))
	}
	return t.Flush()
}

// columns are the names of what row returns.
func columns() []string {
	return strings.Split("key id name state origin level models alias routes ips expires rpm tpm parallel budget unknown_price unknown_operations overrun ephemeral objects cache log priority tags set_user grace created updated", " ")
}

func (v keyView) row() []string {
	p := v.Policy
	user, priority := "", ""
	if p.SetUser {
		user = "true"
	}
	if p.Priority != 0 {
		priority = strconv.Itoa(p.Priority)
	}
	return []string{v.Key, v.ID, v.Name, v.State, v.Origin, strconv.Itoa(v.Level), strings.Join(p.Models, ","), keys.AliasText(p.Aliases), strings.Join(p.Routes, ","),
		joined[netip.Prefix](p.IPs), stamp(v.Expires), positive(p.RPM), positive(p.TPM), positive(int64(p.Parallel)), joined(p.Budgets), p.UnknownPrice, p.UnknownOperations,
		p.Overrun, p.Ephemeral, p.Objects, p.CacheScope, p.Log, priority, strings.Join(p.Tags, ","), user, stamp(v.Grace), stamp(v.Created), stamp(v.Updated)}
}

func joined[T fmt.Stringer](items []T) string {
	var texts []string
	for _, item := range items {
		texts = append(texts, item.String())
	}
	return strings.Join(texts, ",")
}

// positive is a number, "" for 0.
func positive(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
