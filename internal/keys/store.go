package keys

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"forward/internal/bounded"
	"forward/internal/database"
)

// Errors of changes that a Store cannot make.
var (
	ErrNoSuchKey = errors.New("no such key")
	ErrNameTaken = errors.New("another key has this name")
	ErrGone      = errors.New("the key is revoked, which is for good; add a new one")
)

// Store keeps managed keys in the database: their settings, and the HMACs of
// their secrets. Every change is one transaction that is on disk when the
// method returns. Open makes one; it is safe for concurrent use, also by
// several processes. The database stays the caller's to close.
type Store struct {
	db  *sql.DB
	mac func(string) digest
	pep []byte
	now func() time.Time

	mu    sync.Mutex // guards fresh
	fresh bounded.Map[creation]
}

// Managed is a key as the store has it.
type Managed struct {
	ID string
	Settings
	Disabled, Revoked bool
	Created, Updated  time.Time
	Grace             time.Time // until when the secret before the last rotation is good; zero: there is none
	Version           int64     // of the last change; each makes it larger
	Pending           bool      // it has no secret yet: that is made when a hand-over link is opened
	Tail              string    // the last characters of its secret; "": not known
}

// Masked returns the secret of the key as logs show it, "" where none is known.
func (m *Managed) Masked() string {
	if m.Tail == "" {
		return ""
	}
	return keyPrefix + m.ID[:maskedHalf] + "…" + m.Tail
}

// State returns a word for the state of the key: active, disabled, expired or
// revoked.
func (m *Managed) State(now time.Time) string {
	switch {
	case m.Revoked:
		return "revoked"
	case m.Disabled:
		return "disabled"
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		return "expired"
	}
	return "active"
}

// Open makes the tables if they are missing. secret keys the HMACs; a secret
// other than the one that the keys were made with is ErrOtherSecret. A nil now
// is time.Now.
func Open(ctx context.Context, db *sql.DB, secret Secret, now func() time.Time) (*Store, error) {
	if len(secret.Reveal()) < minSecret {
		return nil, fmt.Errorf("the secret of the forward keys is shorter than %d bytes; write a longer KEY_SECRET", minSecret)
	}
	if now == nil {
		now = time.Now
	}
	pepper := []byte(secret.Reveal())
	s := &Store{db: db, mac: summer(pepper), pep: pepper, now: now}
	if err := schema.Migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("opening the forward keys: %w", err)
	}
	err := database.Write(ctx, db, func(tx *sql.Tx) error { return prove(ctx, tx, s.mac("forward keys")) })
	if err != nil {
		return nil, fmt.Errorf("opening the forward keys: %w", err)
	}
	return s, nil
}

// Ring returns a ring of the keys of the settings and those of the store.
func (s *Store) Ring(ctx context.Context, declared []Key) (*Ring, error) {
	r, err := newRing(declared, s.pep)
	if err != nil {
		return nil, err
	}
	_, err = s.load(ctx, r, all)
	return r, err
}

// Any reports whether a database holds a managed key, revoked ones included. It
// changes nothing; a database without the tables holds none.
func Any(ctx context.Context, db *sql.DB) (found bool, err error) {
	if err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'keys_keys')`).Scan(&found); err == nil && found {
		err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys_keys)`).Scan(&found)
	}
	return found, err
}

// Find returns the managed key of an id or a name out of a database. Unlike a
// Store, it makes no tables and needs no secret. Without a key of that id or
// name the error is ErrNoSuchKey.
func Find(ctx context.Context, db *sql.DB, ref string) (*Managed, error) {
	found, err := Any(ctx, db)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNoSuchKey
	}
	return find(ctx, db, ref)
}

// Add makes a key and returns its secret, which cannot be shown again.
func (s *Store) Add(ctx context.Context, settings Settings) (*Managed, Secret, error) {
	made, err := s.Create(ctx, Creation{Settings: settings})
	if err != nil {
		return nil, Secret{}, err
	}
	return made.Key, made.Secret, nil
}

// Update changes a key, found by its id or its name, by edit.
func (s *Store) Update(ctx context.Context, ref string, edit func(*Managed) error) (*Managed, error) {
	done, err := s.update(ctx, ref, func(_ *sql.Tx, m *Managed) error { return edit(m) })
	return done.After, err
}

// Rotate gives a key a new secret and returns it. The secret before it is good
// until the grace is over.
func (s *Store) Rotate(ctx context.Context, ref string, grace time.Duration) (*Managed, Secret, error) {
	done, secret, err := s.rotate(ctx, ref, grace)
	return done.After, secret, err
}

func (s *Store) rotate(ctx context.Context, ref string, grace time.Duration) (done Changed, secret Secret, err error) {
	ends := s.now().Add(grace).Truncate(time.Second)
	done, err = s.update(ctx, ref, func(tx *sql.Tx, m *Managed) error {
		_, err := tx.ExecContext(ctx, endLinks, s.now().Unix(), m.ID)
		if err != nil {
			return err
		}
		secret, err = s.replaceSecret(ctx, tx, m, ends)
		return err
	})
	if err != nil {
		return Changed{}, Secret{}, err
	}
	return done, secret, nil
}

// replaceSecret gives a key a new secret. The one before it is good until it
// ends.
func (s *Store) replaceSecret(ctx context.Context, tx *sql.Tx, m *Managed, ends time.Time) (Secret, error) {
	// A secret that was replaced before keeps its own end, if that is sooner.
	_, err := tx.ExecContext(ctx, `UPDATE keys_secrets SET ends = MIN(COALESCE(ends, ?1), ?1) WHERE key = ?2`, ends.Unix(), m.ID)
	if err != nil {
		return Secret{}, err
	}
	if !m.Pending {
		m.Grace = ends
	}
	secret := newSecretOf(m.ID)
	return secret, s.addSecret(ctx, tx, m, secret)
}

func (s *Store) update(ctx context.Context, ref string, edit func(*sql.Tx, *Managed) error) (done Changed, err error) {
	err = s.change(ctx, func(tx *sql.Tx) error {
		done, err = s.updateIn(ctx, tx, ref, edit)
		return err
	})
	if err != nil {
		return Changed{}, fmt.Errorf("changing key %q: %w", ref, err)
	}
	return done, nil
}

func (s *Store) updateIn(ctx context.Context, tx *sql.Tx, ref string, edit func(*sql.Tx, *Managed) error) (Changed, error) {
	m, err := find(ctx, tx, ref)
	if err != nil {
		return Changed{}, err
	}
	if m.Revoked {
		return Changed{}, ErrGone
	}
	before := *m // its lists are replaced and never changed
	err = edit(tx, m)
	if err != nil {
		return Changed{}, err
	}
	return Changed{&before, m}, put(ctx, tx, m, s.now())
}

// Find returns the key with this id or name. Where a name was given to several
// keys, it is the one that is not revoked.
func (s *Store) Find(ctx context.Context, ref string) (*Managed, error) { return find(ctx, s.db, ref) }

// Whois returns the key that a secret belongs to, and whether the secret was
// replaced since.
func (s *Store) Whois(ctx context.Context, presented string) (m *Managed, replaced bool, err error) {
	if _, err := parseManaged(presented); err != nil {
		return nil, false, err
	}
	mac := s.mac(presented)
	var id string
	err = s.db.QueryRowContext(ctx, `SELECT key, ends IS NOT NULL FROM keys_secrets WHERE mac = ?`, mac[:]).Scan(&id, &replaced)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, ErrNoSuchKey
	}
	if err != nil {
		return nil, false, err
	}
	m, err = s.Find(ctx, id)
	return m, replaced, err
}

// List returns all keys by name, the revoked ones last.
func (s *Store) List(ctx context.Context) (list []*Managed, err error) {
	rows, err := s.db.QueryContext(ctx, selectKeys+` ORDER BY revoked, name, created`)
	if err != nil {
		return nil, fmt.Errorf("listing the forward keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("listing the forward keys: %w", err)
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// change runs f in a transaction, and raises the number by which running
// gateways notice a change.
func (s *Store) change(ctx context.Context, f func(*sql.Tx) error) error {
	return database.Write(ctx, s.db, func(tx *sql.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE keys_state SET version = version + 1`)
		return err
	})
}

func (s *Store) addSecret(ctx context.Context, tx *sql.Tx, m *Managed, secret Secret) error {
	text := secret.Reveal()
	mac := s.mac(text)
	m.Tail = text[len(text)-maskedHalf:]
	m.Pending = false
	_, err := tx.ExecContext(ctx, `INSERT INTO keys_secrets (mac, key, created, tail) VALUES (?, ?, ?, ?)`, mac[:], m.ID, s.now().Unix(), m.Tail)
	return err
}

// selectKeys reads keys as scan expects them.
const selectKeys = `SELECT id, name, level, disabled, revoked, expires, policy, created, updated, version,
	(SELECT MAX(ends) FROM keys_secrets WHERE key = id), NOT EXISTS (SELECT 1 FROM keys_secrets WHERE key = id),
	(SELECT MAX(tail) FROM keys_secrets WHERE key = id AND ends IS NULL) FROM keys_keys`

func scan(row interface{ Scan(...any) error }) (*Managed, error) {
	var m Managed
	var expires, grace sql.NullInt64
	var created, updated int64
	var policy string
	var tail sql.NullString
	if err := row.Scan(&m.ID, &m.Name, &m.Level, &m.Disabled, &m.Revoked, &expires, &policy, &created, &updated, &m.Version, &grace, &m.Pending, &tail); err != nil {
		return nil, err
	}
	m.Tail = tail.String
	m.Created, m.Updated = time.Unix(created, 0), time.Unix(updated, 0)
	if expires.Valid {
		m.Expires = time.Unix(expires.Int64, 0)
	}
	if grace.Valid {
		m.Grace = time.Unix(grace.Int64, 0)
	}
	if err := json.Unmarshal([]byte(policy), &m.Policy); err != nil {
		return nil, fmt.Errorf("reading the policy of key %s: %w", m.ID, err)
	}
	return &m, nil
}

func find(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, ref string) (*Managed, error) {
	m, err := scan(db.QueryRowContext(ctx, selectKeys+` WHERE id = ?1 OR name = ?1 ORDER BY id <> ?1, revoked, created DESC LIMIT 1`, ref))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNoSuchKey
	}
	return m, err
}

// put writes a key that is new or was changed. Expiry is kept in whole seconds.
func put(ctx context.Context, tx *sql.Tx, m *Managed, now time.Time) error {
	policy, err := m.Policy.encode()
	if err != nil {
		return err
	}
	var taken bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys_keys WHERE name = ? AND revoked = 0 AND id <> ?)`, m.Name, m.ID).Scan(&taken); err != nil {
		return err
	}
	if taken && !m.Revoked {
		return ErrNameTaken
	}
	expires := sql.NullInt64{Int64: m.Expires.Unix(), Valid: !m.Expires.IsZero()}
	m.Updated = now.Truncate(time.Second)
	return tx.QueryRowContext(ctx, `INSERT INTO keys_keys (id, name, level, disabled, revoked, expires, policy, created, updated, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT version + 1 FROM keys_state)) ON CONFLICT (id) DO UPDATE SET name = excluded.name,
		level = excluded.level, disabled = excluded.disabled, revoked = excluded.revoked, expires = excluded.expires,
		policy = excluded.policy, updated = excluded.updated, version = excluded.version
		RETURNING version`, m.ID, m.Name, m.Level, m.Disabled, m.Revoked, expires, policy, m.Created.Unix(), m.Updated.Unix()).Scan(&m.Version)
}
