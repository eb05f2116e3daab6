package keys

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// pollInterval is how often a Watcher looks: a change must count within a
// second, also on a busy machine.
const pollInterval = 200 * time.Millisecond

// all is the version after which every key has changed.
const all = -1

// load reads the keys that changed after a version into the ring, and returns
// the version of what it read. The other keys of the ring stay as they are.
func (s *Store) load(ctx context.Context, r *Ring, since int64) (version int64, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // the version and the keys of one moment
	if err != nil {
		return 0, fmt.Errorf("reading the forward keys: %w", err)
	}
	defer tx.Rollback()
	changed, entries, err := s.entries(ctx, tx, since)
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

// entries returns the keys that changed after a version, by id, and all their
// secrets.
func (s *Store) entries(ctx context.Context, tx *sql.Tx, since int64) (byID map[string]Key, list []*entry, err error) {
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
		if m.Pending {
			list = append(list, s.withoutSecret(byID[m.ID]))
		}
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

// withoutSecret is the entry of a pending key. No request can present what it
// is found by, which has a space in it. The ring has an entry all the same: a
// gateway whose only key is pending must ask for one.
func (s *Store) withoutSecret(k Key) *entry {
	return &entry{Key: k, mac: s.mac("pending " + k.PublicID), ends: time.Unix(1, 0)}
}

// Watcher carries changes of a store into a ring. Close ends it.
type Watcher struct {
	store *Store
	ring  *Ring
	conn  *sql.Conn
	log   *slog.Logger
	stop  context.CancelFunc
	done  sync.WaitGroup

	seen    int64 // data_version of the connection when the ring was brought up to date
	version int64 // what the ring holds
}

// Watch carries every change of the store, made by any process, into the ring
// within a second. It holds a connection of its own and asks SQLite whether
// another connection has written
// (https://sqlite.org/pragma.html#pragma_data_version); only then it reads, and
// only the keys that changed. While the database cannot be read, the keys stay
// as they were, and the log has one line about it.
func (s *Store) Watch(r *Ring, log *slog.Logger) (*Watcher, error) {
	ctx, stop := context.WithCancel(context.Background()) // until Close
	conn, err := s.db.Conn(ctx)
	if err != nil {
		stop()
		return nil, fmt.Errorf("watching the forward keys: %w", err)
	}
	w := &Watcher{store: s, ring: r, conn: conn, log: log, stop: stop, seen: -1, version: all}
	w.done.Go(func() { w.run(ctx) })
	return w, nil
}

func (w *Watcher) run(ctx context.Context) {
	defer w.conn.Close()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	failed := false
	for {
		err := w.poll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failed:
			w.log.Error("changes of forward keys are not seen", "error", err)
		case err == nil && failed:
			w.log.Info("changes of forward keys are seen again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// poll reads the keys if they changed.
func (w *Watcher) poll(ctx context.Context) error {
	var written, current int64
	if err := w.conn.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&written); err != nil || written == w.seen {
		return err
	}
	if err := w.conn.QueryRowContext(ctx, `SELECT version FROM keys_state`).Scan(&current); err != nil {
		return err
	}
	if current != w.version {
		since := w.version
		if current < since { // an older database was brought back
			since = all
		}
		loaded, err := w.store.load(ctx, w.ring, since)
		if err != nil {
			return err
		}
		w.version = loaded
	}
	w.seen = written // last, so that what failed is tried again
	return nil
}

// Close ends the watch and waits for it.
func (w *Watcher) Close() error {
	w.stop()
	w.done.Wait()
	return nil
}
