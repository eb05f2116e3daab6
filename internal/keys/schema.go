package keys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"

	"forward/internal/database"
)

// schema makes the tables of a Store.
//
// keys_keys has a row a key, and keeps it: a revoked key must stay known. Its
// version is the number of the key's last change, so that only what changed is
// read again. keys_secrets has a row for each secret a key ever had, as its
// HMAC; ends is when the grace of a replaced one is over, and tail has its last
// four characters, out of its checksum, by which people recognise it.
// keys_links has the hand-over links, keys_made the creations that may be
// repeated; both are kept for a while after they have ended. keys_state has one
// row: the number of the last change of all, by which a running gateway notices
// it, and an HMAC of a fixed text, by which a wrong secret is noticed. Times
// are Unix seconds.
var schema = database.Schema{Table: "keys_schema", First: 2, Steps: []string{`
CREATE TABLE keys_keys (
	id TEXT PRIMARY KEY, name TEXT NOT NULL, level INTEGER NOT NULL, disabled INTEGER NOT NULL, revoked INTEGER NOT NULL,
	expires INTEGER, policy TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL, version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX keys_names ON keys_keys (name) WHERE revoked = 0;
CREATE INDEX keys_versions ON keys_keys (version);
CREATE TABLE keys_secrets (mac BLOB PRIMARY KEY, key TEXT NOT NULL REFERENCES keys_keys (id), created INTEGER NOT NULL, ends INTEGER) WITHOUT ROWID;
CREATE INDEX keys_secrets_key ON keys_secrets (key);
CREATE TABLE keys_state (version INTEGER NOT NULL, proof BLOB NOT NULL);
`, `
ALTER TABLE keys_secrets ADD COLUMN tail TEXT NOT NULL DEFAULT '';
CREATE TABLE keys_links (mac BLOB PRIMARY KEY, key TEXT NOT NULL REFERENCES keys_keys (id), until INTEGER NOT NULL, used INTEGER) WITHOUT ROWID;
CREATE INDEX keys_links_key ON keys_links (key);
CREATE TABLE keys_made (token BLOB PRIMARY KEY, request BLOB NOT NULL, key TEXT NOT NULL REFERENCES keys_keys (id), made INTEGER NOT NULL) WITHOUT ROWID;
`}}

// ErrOtherSecret is returned by Open when the keys in the database were made
// with another secret.
var ErrOtherSecret = errors.New("the keys in the database were made with another secret: restore keys.secret in DATA_DIR, or set KEY_SECRET to what it was")

// prove compares the secret with the one that the keys were made with. While
// there is no key, the secret may change.
func prove(ctx context.Context, tx *sql.Tx, proof digest) error {
	var before []byte
	err := tx.QueryRowContext(ctx, `SELECT proof FROM keys_state`).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, `INSERT INTO keys_state VALUES (0, ?)`, proof[:])
		return err
	}
	if err != nil || subtle.ConstantTimeCompare(before, proof[:]) == 1 {
		return err
	}
	var used bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys_keys)`).Scan(&used); err != nil {
		return err
	}
	if used {
		return ErrOtherSecret
	}
	_, err = tx.ExecContext(ctx, `UPDATE keys_state SET proof = ?`, proof[:])
	return err
}
