package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
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
		managed, err := c.Store.List(c.Context())
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
		v, err := c.Find(c.Context(), ref)
		if err != nil {
			return c.hint(err)
		}
		return c.show(keyView{View: v})
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
		v, replaced, err := c.Whois(c.Context(), presented)
		if err != nil {
			return c.hint(fmt.Errorf("%s: %w", keys.Mask(presented), err))
		}
		if replaced {
			fmt.Fprintf(c.ErrOrStderr(), "This secret was replaced since; forward keys rotate gave the key another.\n")
		}
		return c.show(keyView{View: v})
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
		f := v.Fields
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Name, v.State, v.Level, cmp.Or(f["models"], "*"),
			cmp.Or(f["rpm"], "-"), cmp.Or(f["tpm"], "-"), cmp.Or(f["budget"], "-"), cmp.Or(f["expires"], "never"))
	}
	return t.Flush()
}

// columns are the names of what row returns.
func columns() []string {
	return strings.Split("key id name state origin level models alias routes ips expires rpm tpm parallel budget unknown_price unknown_operations overrun ephemeral objects credentials count_list cache log priority tags set_user grace created updated", " ")
}

func (v keyView) row() []string {
	row := []string{v.Key, v.ID, v.Name, v.State, v.Origin, strconv.Itoa(v.Level)}
	names := columns()
	for _, name := range names[len(row) : len(names)-3] {
		row = append(row, v.Fields[strings.ReplaceAll(name, "_", "-")])
	}
	return append(row, stamp(v.Grace), stamp(v.Created), stamp(v.Updated))
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
