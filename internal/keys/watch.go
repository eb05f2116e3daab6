package keys

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// pollInterval is how often a Watch looks: a change must be in force within a
// second, also on a busy machine.
const pollInterval = 200 * time.Millisecond

// Load puts the keys of the store in force in the ring and returns the version
// of what it read.
func (s *Store) Load(ctx context.Context, r *Ring) (version int64, err error) {
	return s.load(ctx, r, all)
}

// all is the version since which every key changed.
const all = -1

// load puts the keys in force that changed since a version; the others stay as
// they are in the ring.
func (s *Store) load(ctx context.Context, r *Ring, since int64) (version int64, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // the version and the keys of one moment
	if err != nil {
		return 0, fmt.Errorf("reading the forward keys: %w", err)
	}
	defer tx.Rollback()
	changed, entries, err := entries(ctx, tx, since)
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT version FROM keys_state`).Scan(&version)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the forward keys: %w", err)
	}
	if since == all {
		r.replace(entries)
	} else {
		r.change(changed, entries)
	}
	return version, nil
}

// entries returns the keys that changed since a version, by id, and all secrets
// of theirs.
func entries(ctx context.Context, tx *sql.Tx, since int64) (byID map[string]Key, list []*entry, err error) {
	rows, err := tx.QueryContext(ctx, selectKeys+` WHERE version > ?`, since)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	byID = map[string]Key{}
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return nil, nil, err
		}
		byID[m.ID] = Key{Name: m.Name, PublicID: m.ID, Level: m.Level, Disabled: m.Disabled, Revoked: m.Revoked, Expires: m.Expires, Policy: m.Policy}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	secrets, err := tx.QueryContext(ctx, `SELECT mac, key, ends FROM keys_secrets WHERE key IN (SELECT id FROM keys_keys WHERE version > ?)`, since)
	if err != nil {
		return nil, nil, err
	}
	defer secrets.Close()
	for secrets.Next() {
		var mac []byte
		var id string
		var ends sql.NullInt64
		if err := secrets.Scan(&mac, &id, &ends); err != nil {
			return nil, nil, err
		}
		e := &entry{Key: byID[id]}
		copy(e.mac[:], mac)
		if ends.Valid {
			e.ends = time.Unix(ends.Int64, 0)
		}
		list = append(list, e)
	}
	return byID, list, secrets.Err()
}

// Watcher carries changes of a store into a ring. Close ends it.
type Watcher struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// Watch carries every change of the store, whichever process makes it, into the
// ring within a second. It holds a connection of its own and asks SQLite
// whether anybody else has written
// (https://sqlite.org/pragma.html#pragma_data_version); only then it reads, and
// only the keys that changed. While the database cannot be read, the keys stay
// as they were and the log says so.
func (s *Store) Watch(r *Ring, log *slog.Logger) (*Watcher, error) {
	ctx, stop := context.WithCancel(context.Background())
	conn, err := s.db.Conn(ctx)
	if err != nil {
		stop()
		return nil, fmt.Errorf("watching the forward keys: %w", err)
	}
	w := &Watcher{stop: stop}
	w.done.Go(func() {
		defer conn.Close()
		ticker := time.NewTicker(pollInterval)
		defer ticker.Stop()
		var seen, version int64 = -1, all
		var failed bool
		for {
			err := s.poll(ctx, conn, r, &seen, &version)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && !failed:
				log.Error("changes of forward keys are not seen", "error", err)
			case err == nil && failed:
				log.Info("changes of forward keys are seen again")
			}
			failed = err != nil
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	return w, nil
}

// poll reads the keys if they changed. seen is what the connection knows of
// others' writing, version what the ring holds.
func (s *Store) poll(ctx context.Context, conn *sql.Conn, r *Ring, seen, version *int64) error {
	var written, now int64
	if err := conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&written); err != nil || written == *seen {
		return err
	}
	if err := conn.QueryRowContext(ctx, `SELECT version FROM keys_state`).Scan(&now); err != nil {
		return err
	}
	if now != *version {
		since := *version
		if now < since { // somebody has brought back an older database
			since = all
		}
		loaded, err := s.load(ctx, r, since)
		if err != nil {
			return err
		}
		*version = loaded
	}
	*seen = written // last, so that what failed is tried again
	return nil
}

// Close ends the watch and waits for it.
func (w *Watcher) Close() error {
	w.stop()
	w.done.Wait()
	return nil
}
