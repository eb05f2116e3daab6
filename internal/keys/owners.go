package keys

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"forward/internal/bounded"
	"forward/internal/database"
)

// Owners remembers which forward key made what a provider keeps or hands out:
// objects, such as files and responses, and ephemeral credentials. All keys
// share the provider's account, so only the gateway can keep apart what they
// make. Names and credentials are kept as digests. Owners is safe for
// concurrent use; a nil one knows nothing. NewOwners makes one.
type Owners struct {
	db  *sql.DB
	now func() time.Time

	mu      sync.Mutex // guards secrets
	secrets bounded.Map[ephemeral]
}

// ephemeral is a credential that a provider handed out for a key.
type ephemeral struct {
	key  string
	ends time.Time
}

const (
	maxEphemeral   = 100_000              // credentials that are known at the same time
	longestSecret  = 24 * time.Hour       // for which a credential is known; providers give them minutes, and hours on request
	unusedObject   = 400 * 24 * time.Hour // for which an object is known that no request names
	exactToSeconds = 24 * 60 * 60         // to which the time of the last use is exact
)

// ownersSchema makes the tables of Owners. Times are Unix seconds.
var ownersSchema = database.Schema{Table: "owners_schema", Steps: []string{`
CREATE TABLE owners_objects (object BLOB PRIMARY KEY, key TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX owners_used ON owners_objects (used);
CREATE TABLE owners_secrets (secret BLOB PRIMARY KEY, key TEXT NOT NULL, ends INTEGER NOT NULL) WITHOUT ROWID, STRICT;
`}}

// NewOwners keeps its tables in db. A nil now is time.Now.
func NewOwners(db *sql.DB, now func() time.Time) (*Owners, error) {
	if now == nil {
		now = time.Now
	}
	o := &Owners{db: db, now: now}
	err := ownersSchema.Migrate(context.Background(), db)
	if err == nil {
		_, err = db.Exec(`DELETE FROM owners_objects WHERE used < ?`, now().Add(-unusedObject).Unix())
	}
	if err == nil {
		_, err = db.Exec(`DELETE FROM owners_secrets WHERE ends <= ?`, now().Unix())
	}
	if err == nil {
		err = o.loadSecrets()
	}
	if err != nil {
		return nil, fmt.Errorf("opening what forward keys have made: %w", err)
	}
	return o, nil
}

func (o *Owners) loadSecrets() error {
	rows, err := o.db.Query(`SELECT secret, key, ends FROM owners_secrets ORDER BY ends DESC LIMIT ?`, maxEphemeral)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name []byte
		var key string
		var ends int64
		err := rows.Scan(&name, &key, &ends)
		if err != nil {
			return err
		}
		o.put(string(name), ephemeral{key, time.Unix(ends, 0)})
	}
	return rows.Err()
}

// nameOf is the digest under which a thing of a route is kept.
func nameOf(route, thing string) []byte {
	sum := sha256.Sum256([]byte(route + "\x00" + thing))
	return sum[:16]
}

// Note notes that a key made objects of a route. The first key stays their
// owner: later answers only report them again. When it returns, a restart does
// not forget them.
func (o *Owners) Note(ctx context.Context, route string, objects []string, key string) error {
	if o == nil || len(objects) == 0 {
		return nil
	}
	return database.Write(ctx, o.db, func(tx *sql.Tx) error {
		for _, object := range objects {
			_, err := tx.ExecContext(ctx, `INSERT INTO owners_objects VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, nameOf(route, object), key, o.now().Unix())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Of returns the id of the key that made an object of a route, "" when it is
// not known.
func (o *Owners) Of(ctx context.Context, route, object string) (key string, err error) {
	if o == nil {
		return "", nil
	}
	var used int64
	name := nameOf(route, object)
	err = o.db.QueryRowContext(ctx, `SELECT key, used FROM owners_objects WHERE object = ?`, name).Scan(&key, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if now := o.now().Unix(); err == nil && now-used > exactToSeconds {
		_, err = o.db.ExecContext(ctx, `UPDATE owners_objects SET used = ? WHERE object = ?`, now, name)
	}
	return key, err
}

// NoteSecret notes that a route handed an ephemeral credential out for a key,
// which is "" where callers need none. It is known until ends, and for a day at
// most.
func (o *Owners) NoteSecret(ctx context.Context, route string, secret Secret, key string, ends time.Time) error {
	if o == nil || secret.IsZero() {
		return nil
	}
	latest := o.now().Add(longestSecret)
	if ends.IsZero() || ends.After(latest) {
		ends = latest
	}
	name := nameOf(route, secret.Reveal())
	_, err := o.db.ExecContext(ctx, `INSERT OR REPLACE INTO owners_secrets VALUES (?, ?, ?)`, name, key, ends.Unix())
	o.put(string(name), ephemeral{key, ends})
	return err
}

// put makes a credential known. Where there are too many, one that ends soon is
// forgotten.
func (o *Owners) put(name string, e ephemeral) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	o.secrets.Sweep(time.Duration(now.UnixNano()), func(e ephemeral) bool { return !now.Before(e.ends) })
	o.secrets.Put(name, e, maxEphemeral, func(e ephemeral) float64 { return float64(e.ends.Unix()) })
}

// OfSecret returns the id of the key for which a route handed an ephemeral
// credential out, and whether it did.
func (o *Owners) OfSecret(route, presented string) (key string, ok bool) {
	if o == nil || presented == "" {
		return "", false
	}
	name := nameOf(route, presented)
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.secrets.Entries[string(name)]
	return e.key, ok && o.now().Before(e.ends)
}
