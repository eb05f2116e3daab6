package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/audit"
	"forward/internal/database"
	"forward/internal/keys"
)

// keysCommand manages the forward keys in the database. A running gateway
// applies every change within a second.
func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, change and take back forward keys",
		Long: "keys manages the forward keys in DATA_DIR, also while a gateway runs: it takes every change over within a second.\n" +
			"A key is named by its name or its id. Keys of FORWARD_KEY and forward.yaml are listed too, and changed only there.",
		Example: "  forward keys add alice --models 'gpt-*' --rpm 60 --budget 20usd/month --expires 90d\n  forward keys rotate alice --grace 24h",
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("choose what to do with the keys: add, list, show, set, rotate, handover, disable, enable, revoke or whois")}
		},
	}
	c.AddCommand(keysAdd(), keysList(), keysShow(), keysSet(), keysRotate(), keysHandover(), keysSwitch(true), keysSwitch(false), keysRevoke(), keysWhois())
	return c
}

// keysCall is one call of a command on the keys.
type keysCall struct {
	*call
	keys.Editor
	audit *audit.Log
}

// keysVerb makes one command with one operand, or none. It opens the keys, and
// closes them after do.
func keysVerb(c *cobra.Command, operand string, do func(*keysCall, string) error) *cobra.Command {
	f := frame{operands: strings.Fields(operand), forms: []string{"table", "json", "csv"}, offline: true}
	f.managedKeys = func(string) bool { return true } // a key can be made before a gateway may start
	return f.command(c, func(c *call) (err error) {
		db, err := database.Open(c.cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		store, err := openKeys(c.Context(), c.cfg, db)
		if err != nil {
			return err
		}
		editor := keys.Editor{Store: store, Declared: c.cfg.Access.Keys, Zone: c.cfg.Location}
		log, err := audit.Open(c.Context(), db, audit.Options{Retention: -1}) // the gateway removes what is old
		if err != nil {
			return err
		}
		return asUsage(do(&keysCall{c, editor, log}, strings.Join(c.args, "")))
	})
}

// record writes what was done into the audit. It is done, so a failure is a
// warning.
func (c *keysCall) record(action, id string, before, after any) {
	e := audit.Entry{Actor: "command line", Role: audit.Command, Action: action, Object: id, Before: before, After: after}
	err := c.audit.Append(c.Context(), e)
	if err != nil {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", err)
	}
}

// recordChange records a change of a key.
func (c *keysCall) recordChange(action string, done keys.Changed) {
	c.record(action, done.After.ID, done.Before.Recorded(c.now()), done.After.Recorded(c.now()))
}

// asUsage makes wrong texts an error of the command line.
func asUsage(err error) error {
	if wrong, ok := errors.AsType[*keys.InputError](err); ok {
		return &usageError{wrong}
	}
	return err
}

// fieldFlags adds a flag for each setting of a key, and returns the function
// that reads those that were given.
func fieldFlags(c *cobra.Command) func() map[string]string {
	for _, f := range keys.Fields() {
		switch f.Name {
		case "models", "alias", "routes", "ips", "budget", "tags":
			c.Flags().StringArray(f.Name, nil, f.Usage)
		default:
			c.Flags().String(f.Name, "", f.Usage)
		}
	}
	return func() map[string]string {
		given := map[string]string{}
		for _, f := range keys.Fields() {
			if !c.Flags().Changed(f.Name) {
				continue
			}
			if items, err := c.Flags().GetStringArray(f.Name); err == nil {
				given[f.Name] = strings.Join(items, ",")
			} else {
				given[f.Name] = c.Flags().Lookup(f.Name).Value.String()
			}
		}
		return given
	}
}

func (c *keysCall) now() time.Time { return time.Now().In(c.cfg.Location) }

func keysAdd() *cobra.Command {
	c := &cobra.Command{Use: "add", Short: "Make a key and print it, once"}
	given := fieldFlags(c)
	c.Flags().Lookup("name").Hidden = true // it is the operand
	return keysVerb(c, "NAME", func(c *keysCall, name string) error {
		texts := given()
		texts["name"] = name
		made, err := c.Create(c.Context(), texts, keys.Creation{})
		if err != nil {
			return err
		}
		c.record("key.create", made.Key.ID, nil, made.Key.Recorded(c.now()))
		return c.hand(made.Key, made.Secret, "Key %s of %s is valid. It cannot be shown again.\n", made.Key.ID, made.Key.Name)
	})
}

func keysSet() *cobra.Command {
	c := &cobra.Command{Use: "set", Short: "Change the settings of a key that are given; an empty value takes one away"}
	given := fieldFlags(c)
	return keysVerb(c, "KEY", func(c *keysCall, ref string) error {
		texts := given()
		if len(texts) == 0 {
			return &usageError{errors.New("name what to change, such as --rpm 60; forward keys set --help lists it all")}
		}
		return c.change(ref, "changed", keys.Change{Texts: texts})
	})
}

func keysRotate() *cobra.Command {
	c := &cobra.Command{Use: "rotate", Short: "Give a key a new secret; the old one is good until the grace is over"}
	grace := c.Flags().String("grace", "24h", "how long the old one is good, such as 12h, 7d or 0")
	return keysVerb(c, "KEY", func(c *keysCall, ref string) error {
		done, secret, err := c.Rotate(c.Context(), ref, *grace)
		if err != nil {
			return c.hint(err)
		}
		c.recordChange("key.rotate", done)
		m := done.After
		if m.Grace.IsZero() {
			return c.hand(m, secret, "Key %s of %s has a secret, which cannot be shown again.\n", m.ID, m.Name)
		}
		return c.hand(m, secret, "Key %s of %s has a new secret, which cannot be shown again. The old one is good until %s.\n", m.ID, m.Name, m.Grace.In(c.cfg.Location).Format(time.RFC3339))
	})
}

// keysHandover prints a link, which the dashboard opens.
func keysHandover() *cobra.Command {
	c := &cobra.Command{Use: "handover", Short: "Print a link that gives the key a secret and shows it to its holder, once, within 7 days"}
	url := c.Flags().String("url", "", "address at which the holder reaches the gateway; by default that of the settings")
	return keysVerb(c, "KEY", func(c *keysCall, ref string) (err error) {
		address := *url
		if address == "" {
			address, err = listenAddress(&c.cfg.Listen)
			if err != nil {
				return &usageError{err}
			}
		}
		m, link, err := c.Handover(c.Context(), ref)
		if err != nil {
			return c.hint(err)
		}
		c.record("key.handover", m.ID, nil, map[string]time.Time{"until": link.Until})
		_, err = fmt.Fprintln(c.OutOrStdout(), strings.TrimRight(address, "/")+"/_/"+link.Path())
		if err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "The link is for key %s of %s, opens once, and ends at %s.\n", m.ID, m.Name, link.Until.In(c.cfg.Location).Format(time.RFC3339))
		return nil
	})
}

func keysSwitch(on bool) *cobra.Command {
	c, done := &cobra.Command{Use: "disable", Short: "Refuse a key until it is enabled again"}, "disabled"
	if on {
		c, done = &cobra.Command{Use: "enable", Short: "Let a disabled key in again"}, "enabled"
	}
	return keysVerb(c, "KEY", func(c *keysCall, ref string) error {
		disabled := !on
		return c.change(ref, done, keys.Change{Disabled: &disabled})
	})
}

func keysRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke", Short: "Take a key back for good"}
	yes := c.Flags().Bool("yes", false, "do not ask")
	return keysVerb(c, "KEY", func(c *keysCall, ref string) error {
		if err := c.cfg.Access.Keys.MayChange(ref); err != nil {
			return err
		}
		m, err := c.Store.Find(c.Context(), ref)
		if err != nil {
			return c.hint(err)
		}
		if !*yes {
			if ok, err := agrees(c.Command, fmt.Sprintf("Revoke key %s of %s for good?", m.ID, m.Name)); !ok || err != nil {
				return err
			}
		}
		done, err := c.Revoke(c.Context(), m.ID)
		return c.report("key.revoke", "revoked", done, err)
	})
}

// change changes a key and reports it on stderr.
func (c *keysCall) change(ref, word string, change keys.Change) error {
	done, err := c.Change(c.Context(), ref, change)
	return c.report("key.update", word, done, err)
}

func (c *keysCall) report(action, word string, done keys.Changed, err error) error {
	if err != nil {
		return c.hint(err)
	}
	c.recordChange(action, done)
	fmt.Fprintf(c.ErrOrStderr(), "Key %s of %s is %s.\n", done.After.ID, done.After.Name, word)
	return nil
}

func (c *keysCall) hint(err error) error {
	if errors.Is(err, keys.ErrNoSuchKey) {
		return fmt.Errorf("%w; forward keys list shows them all", err)
	}
	return err
}
