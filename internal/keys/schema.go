package keys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
)

// migrations bring the tables from one version to the next. A version that was released is never edited.
//
// keys_keys has a row a key, for ever: a revoked key must stay known. keys_secrets has a row for each secret a key ever had, as its
// HMAC; ends is when the grace of a replaced one is over. keys_state has one row: a number that every change raises, by which a
// running gateway notices it, and an HMAC of a fixed text, by which a wrong secret is noticed. keys_keys has the number of the last change
// of a key, so that only what changed is read again. Times are Unix seconds.
var migrations = []string{`
CREATE TABLE keys_keys (
	id TEXT PRIMARY KEY, name TEXT NOT NULL, level INTEGER NOT NULL, disabled INTEGER NOT NULL, revoked INTEGER NOT NULL,
	expires INTEGER, policy TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX keys_names ON keys_keys (name) WHERE revoked = 0;
CREATE TABLE keys_secrets (mac BLOB PRIMARY KEY, key TEXT NOT NULL REFERENCES keys_keys (id), created INTEGER NOT NULL, ends INTEGER) WITHOUT ROWID;
CREATE INDEX keys_secrets_key ON keys_secrets (key);
CREATE TABLE keys_state (version INTEGER NOT NULL, proof BLOB NOT NULL);
`, `
ALTER TABLE keys_keys ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
CREATE INDEX keys_versions ON keys_keys (version);
`}

// ErrOtherSecret says that the keys in the database were made with another secret.
var ErrOtherSecret = errors.New("the keys in the database were made with another secret: restore keys.secret in DATA_DIR, or set KEY_SECRET to what it was")

// migrate makes the tables, or brings them up to date, in one transaction, and checks the secret.
func migrate(ctx context.Context, db *sql.DB, proof digest) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if _, err = tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS keys_schema (version INTEGER NOT NULL)`); err == nil {
		err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM keys_schema`).Scan(&version)
	}
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("the tables are of version %d, this program knows %d: use a newer forward", version, len(migrations))
	}
	for i, step := range migrations[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("bringing them to version %d: %w", version+i+1, err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO keys_schema VALUES (?)`, version+i+1); err != nil {
			return err
		}
	}
	if err := prove(ctx, tx, proof); err != nil {
		return err
	}
	return tx.Commit()
}

// prove compares the secret with the one the keys were made with. While there is no key, the secret may change.
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
