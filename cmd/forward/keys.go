package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/duration"
	"forward/internal/keys"
)

// keysCommand manages the forward keys in the database. A running gateway takes every change over within a second.
func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, change and take back forward keys",
		Long: "keys manages the forward keys in DATA_DIR, also while a gateway runs: it takes every change over within a second.\n" +
			"A key is named by its name or its id. Keys of FORWARD_KEY and forward.yaml are listed too, and changed only there.",
		Example: "  forward keys add alice --models 'gpt-*' --rpm 60 --budget 20usd/month --expires 90d\n  forward keys rotate alice --grace 24h",
		RunE: func(*cobra.Command, []string) error {
			return &usageError{errors.New("say what to do with the keys: add, list, show, set, rotate, disable, enable, revoke or whois")}
		},
	}
	c.AddCommand(keysAdd(), keysList(), keysShow(), keysSet(), keysRotate(), keysSwitch(true), keysSwitch(false), keysRevoke(), keysWhois())
	return c
}

// keyRoom is what a command works with.
type keyRoom struct {
	*cobra.Command
	cfg    *config.Config
	store  *keys.Store
	format string // table, json or csv
}

// keysVerb makes one command with one operand, or none. It opens the keys, and closes them behind do.
func keysVerb(c *cobra.Command, operand string, do func(*keyRoom, string) error) *cobra.Command {
	load := settingsFrom(c, func(string) bool { return true }) // a key can be made before a gateway may start
	for _, name := range []string{"host", "port", "workers"} { // mean nothing here
		c.Flags().Lookup(name).Hidden = true
	}
	format := c.Flags().StringP("output", "o", "table", "table, json or csv")
	c.Use = strings.TrimSpace(c.Use + " " + operand)
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != len(strings.Fields(operand)) {
			return &usageError{fmt.Errorf("write: forward keys %s", c.Use)}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if *format != "table" && *format != "json" && *format != "csv" {
			return &usageError{fmt.Errorf("unknown output %q: write table, json or csv", *format)}
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		db, err := database.Open(cfg.DataDir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		store, err := openKeys(c.Context(), cfg, db)
		if err != nil {
			return err
		}
		return do(&keyRoom{c, cfg, store, *format}, strings.Join(args, ""))
	}
	return c
}

// openKeys opens the managed keys with the secret of KEY_SECRET, or the one in DATA_DIR.
func openKeys(ctx context.Context, cfg *config.Config, db *sql.DB) (*keys.Store, error) {
	secret := cfg.KeySecret
	if secret.IsZero() {
		var err error
		if secret, err = keys.LoadSecret(cfg.DataDir); err != nil {
			return nil, err
		}
	}
	return keys.Open(ctx, db, secret, nil)
}

// hasManagedKeys reports whether there are keys in a DATA_DIR. It makes nothing.
func hasManagedKeys(dir string) bool {
	if !database.Exists(dir) {
		return false
	}
	db, err := database.Open(dir)
	if err != nil {
		return false // the gateway says so when it opens it
	}
	defer db.Close()
	found, err := keys.Any(context.Background(), db)
	return err == nil && found
}

// declaredKeys are those of the settings.
func declaredKeys(cfg *config.Config) (list []keys.Key) {
	for _, k := range cfg.ForwardKeys {
		list = append(list, keys.Key{Name: k.Name, Secret: k.Secret, Level: k.Level, Expires: k.Expires, Policy: k.Policy})
	}
	return list
}

// declared returns the error that refuses to change a key of the settings, or nil for any other.
func (r *keyRoom) declared(ref string) error {
	for _, k := range declaredKeys(r.cfg) {
		if ref == k.Name || ref == k.ID() {
			return fmt.Errorf("key %q is declared in FORWARD_KEY or forward.yaml: change it there", ref)
		}
	}
	return nil
}

// fieldFlags adds a flag for each setting of a key, and returns the function that reads those that were given.
func fieldFlags(c *cobra.Command) func() map[string]string {
	for _, f := range keys.Fields() {
		switch f.Name {
		case "models", "routes", "ips", "budget", "tags":
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

func (r *keyRoom) now() time.Time { return time.Now().In(r.cfg.Location) }

func keysAdd() *cobra.Command {
	c := &cobra.Command{Use: "add", Short: "Make a key and print it, once"}
	given := fieldFlags(c)
	c.Flags().Lookup("name").Hidden = true // it is the operand
	return keysVerb(c, "NAME", func(r *keyRoom, name string) error {
		texts := given()
		texts["name"] = name
		var s keys.Settings
		if err := s.Apply(texts, r.now()); err != nil {
			return &usageError{err}
		}
		if err := r.declared(name); err != nil {
			return err
		}
		m, secret, err := r.store.Add(r.Context(), s)
		if err != nil {
			return err
		}
		return r.hand(m, secret, "Key %s of %s is in force. It cannot be shown again.\n", m.ID, m.Name)
	})
}

func keysSet() *cobra.Command {
	c := &cobra.Command{Use: "set", Short: "Change the settings of a key that are given; an empty value takes one away"}
	given := fieldFlags(c)
	return keysVerb(c, "KEY", func(r *keyRoom, ref string) error {
		texts := given()
		if len(texts) == 0 {
			return &usageError{errors.New("say what to change, such as --rpm 60; forward keys set --help lists it all")}
		}
		return r.change(ref, "changed", func(m *keys.Managed) error {
			if err := m.Apply(texts, r.now()); err != nil {
				return &usageError{err}
			}
			return nil
		})
	})
}

func keysRotate() *cobra.Command {
	c := &cobra.Command{Use: "rotate", Short: "Give a key a new secret; the old one is good until the grace is over"}
	grace := c.Flags().String("grace", "24h", "how long the old one is good, such as 12h, 7d or 0")
	return keysVerb(c, "KEY", func(r *keyRoom, ref string) error {
		d, err := duration.Parse(*grace)
		if err != nil {
			return &usageError{fmt.Errorf("--grace: %w", err)}
		}
		if err := r.declared(ref); err != nil {
			return err
		}
		m, secret, err := r.store.Rotate(r.Context(), ref, d)
		if err != nil {
			return r.hint(err)
		}
		return r.hand(m, secret, "Key %s of %s has a new secret, which cannot be shown again. The old one is good until %s.\n", m.ID, m.Name, m.Grace.In(r.cfg.Location).Format(time.RFC3339))
	})
}

func keysSwitch(on bool) *cobra.Command {
	c, done := &cobra.Command{Use: "disable", Short: "Refuse a key until it is enabled again"}, "disabled"
	if on {
		c, done = &cobra.Command{Use: "enable", Short: "Let a disabled key in again"}, "enabled"
	}
	return keysVerb(c, "KEY", func(r *keyRoom, ref string) error {
		return r.change(ref, done, func(m *keys.Managed) error {
			m.Disabled = !on
			return nil
		})
	})
}

func keysRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke", Short: "Take a key back for good"}
	yes := c.Flags().Bool("yes", false, "do not ask")
	return keysVerb(c, "KEY", func(r *keyRoom, ref string) error {
		if err := r.declared(ref); err != nil {
			return err
		}
		m, err := r.store.Find(r.Context(), ref)
		if err != nil {
			return r.hint(err)
		}
		if !*yes {
			if ok, err := agrees(r.Command, fmt.Sprintf("Revoke key %s of %s for good?", m.ID, m.Name)); !ok || err != nil {
				return err
			}
		}
		return r.change(m.ID, "revoked", func(m *keys.Managed) error {
			m.Revoked = true
			return nil
		})
	})
}

// change edits a key and says on stderr what was done.
func (r *keyRoom) change(ref, done string, edit func(*keys.Managed) error) error {
	if err := r.declared(ref); err != nil {
		return err
	}
	m, err := r.store.Update(r.Context(), ref, edit)
	if err != nil {
		return r.hint(err)
	}
	fmt.Fprintf(r.ErrOrStderr(), "Key %s of %s is %s.\n", m.ID, m.Name, done)
	return nil
}

func (r *keyRoom) hint(err error) error {
	if errors.Is(err, keys.ErrNoSuchKey) {
		return fmt.Errorf("%w; forward keys list shows them all", err)
	}
	return err
}
