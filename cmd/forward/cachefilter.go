package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"forward/internal/cache"
	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/keys"
)

// filterFlags adds the flags that select entries, and returns the function that
// reads them.
func filterFlags(c *cobra.Command) func(*config.Config) (cache.Filter, error) {
	var f cache.Filter
	var key, older string
	flags := c.Flags()
	flags.StringVar(&f.Model, "model", "", "of this model, in which * stands for anything")
	flags.StringVar(&f.Route, "route", "", "of the route of this name, in which * stands for anything")
	flags.StringVar(&key, "key", "", "of this forward key, by its name or id; also shared, anyone and imported")
	flags.StringVar(&older, "older-than", "", "remembered longer ago than this, such as 12h or 30d")
	return func(cfg *config.Config) (cache.Filter, error) {
		for _, name := range []string{"model", "route", "key", "older-than"} {
			if flags.Changed(name) && flags.Lookup(name).Value.String() == "" { // a variable of a script that is not set
				return f, &usageError{fmt.Errorf("--%s is empty; leave it out to select all", name)}
			}
		}
		var err error
		f.Scope, err = scopeOf(c.Context(), cfg, key)
		if err != nil {
			return f, err
		}
		if older != "" {
			age, err := config.ParseDuration(older)
			if err != nil {
				return f, &usageError{fmt.Errorf("--older-than %s: %w", older, err)}
			}
			f.Before = time.Now().Add(-age)
		}
		return f, nil
	}
}

// scopeOf returns the scope under which the answers of a forward key are
// stored. The key is a declared one by its name or a managed one by its name;
// of several managed keys that had the name, the valid one. Other texts are
// taken for the id of a key, or for a scope as list shows it.
func scopeOf(ctx context.Context, cfg *config.Config, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	for _, k := range cfg.Access.Keys {
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

// managedKey finds a key in a DATA_DIR. It creates nothing.
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
