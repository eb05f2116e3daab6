package main

import (
	"context"
	"database/sql"

	"forward/internal/config"
	"forward/internal/database"
	"forward/internal/keys"
)

// setRing makes the ring of forward keys: the declared ones of the settings
// and, where DATA_DIR can be written, the managed ones of `forward keys`, which
// it keeps up to date. Older settings have no place for state and start without
// managed keys; but a gateway does not start where a database is there and
// cannot be read, for it would refuse its keys.
func (a *app) setRing(c *change) (err error) {
	declared := c.cfg.Access.Keys.Numbered()
	if c.before != nil {
		c.Ring, err = c.before.Ring.With(declared)
		return err
	}
	db, err := database.Open(c.cfg.DataDir)
	if err != nil {
		if database.Exists(c.cfg.DataDir) {
			return err
		}
		a.log.Warn("nothing can be kept, so there are no keys by forward keys; set DATA_DIR to a place that can be written", "error", err)
		c.Ring, err = keys.NewRing(declared)
		return err
	}
	a.db = db
	a.closers = append(a.closers, db)
	a.keys, err = openKeys(context.Background(), c.cfg, db)
	if err != nil {
		return err
	}
	c.Ring, err = a.keys.Ring(context.Background(), declared)
	if err != nil {
		return err
	}
	watcher, err := a.keys.Watch(c.Ring, a.log)
	if err != nil {
		return err
	}
	a.closers = append(a.closers, watcher)
	return nil
}

// openKeys opens the managed keys.
func openKeys(ctx context.Context, cfg *config.Config, db *sql.DB) (*keys.Store, error) {
	secret, err := keySecret(cfg)
	if err != nil {
		return nil, err
	}
	return keys.Open(ctx, db, secret, nil)
}

// keySecret is the secret of KEY_SECRET, or the one in DATA_DIR.
func keySecret(cfg *config.Config) (keys.Secret, error) {
	if !cfg.Access.KeySecret.IsZero() {
		return cfg.Access.KeySecret, nil
	}
	return keys.LoadSecret(cfg.DataDir)
}

// hasManagedKeys reports whether there are keys in a DATA_DIR. It creates
// nothing.
func hasManagedKeys(dir string) bool {
	if !database.Exists(dir) {
		return false
	}
	db, err := database.Open(dir)
	if err != nil {
		return false // the gateway reports it when it opens the database
	}
	defer db.Close()
	found, err := keys.Any(context.Background(), db)
	return err == nil && found
}
