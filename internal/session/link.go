package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"forward/internal/database"
)

// Kinds of links.
const (
	SignIn   = "signin"   // opens an administrator's session
	Handover = "handover" // shows the secret of a key to its holder
)

// ErrUsed is returned for the code of a link that was used, has expired, or was
// never made: the caller can do the same about each, which is to ask for
// another one.
var ErrUsed = errors.New("the link was used before or has expired")

// Link makes a one-time link about an object. Links of the same kind about the
// same object are replaced by it, unless the object is "".
func (s *Store) Link(ctx context.Context, kind, object string, life time.Duration) (code string, until time.Time, err error) {
	code, until = random(32), s.now().Add(life)
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dash_links WHERE until <= ? OR (kind = ? AND object = ? AND object <> '')`, s.now().Unix(), kind, object)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dash_links (mac, kind, object, until) VALUES (?, ?, ?, ?)`, s.mac(kind, code), kind, object, until.Unix())
		return err
	})
	if err != nil {
		return "", until, fmt.Errorf("making a link: %w", err)
	}
	return code, until, nil
}

// Redeem uses a link and returns its object, or ErrUsed. Of several callers
// with one code, one succeeds.
func (s *Store) Redeem(ctx context.Context, kind, code string) (object string, err error) {
	var until int64
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `DELETE FROM dash_links WHERE mac = ? AND kind = ? RETURNING object, until`, s.mac(kind, code), kind).Scan(&object, &until)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && s.now().Unix() >= until {
		return "", ErrUsed
	}
	if err != nil {
		return "", fmt.Errorf("using a link: %w", err)
	}
	return object, nil
}

// Waiting reports whether a link of a kind about an object can still be used.
func (s *Store) Waiting(ctx context.Context, kind, object string) (found bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM dash_links WHERE kind = ? AND object = ? AND until > ?)`, kind, object, s.now().Unix()).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("reading the links: %w", err)
	}
	return found, nil
}

// Withdraw removes the links of a kind about an object.
func (s *Store) Withdraw(ctx context.Context, kind, object string) error {
	err := database.Write(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dash_links WHERE kind = ? AND object = ?`, kind, object)
		return err
	})
	if err != nil {
		return fmt.Errorf("withdrawing links: %w", err)
	}
	return nil
}
