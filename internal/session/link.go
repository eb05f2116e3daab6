package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"forward/internal/database"
)

// ErrUsed is returned for the code of a link that was used, has expired, or was
// never made: the caller can do the same about each, which is to ask for
// another one.
var ErrUsed = errors.New("the link was used before or has expired")

// Link makes a one-time link by which an administrator signs in. The machine
// that the gateway runs on makes it: a caller that can read DATA_DIR needs no
// other credential.
func (s *Store) Link(ctx context.Context, life time.Duration) (code string, err error) {
	code = random(32)
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dash_links WHERE until <= ?`, s.now().Unix())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dash_links (mac, until) VALUES (?, ?)`, s.mac("link", code), s.now().Add(life).Unix())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("making a link: %w", err)
	}
	return code, nil
}

// Redeem uses a link, or returns ErrUsed. Of several callers with one code, one
// succeeds.
func (s *Store) Redeem(ctx context.Context, code string) error {
	var until int64
	err := database.Write(ctx, s.db, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `DELETE FROM dash_links WHERE mac = ? RETURNING until`, s.mac("link", code)).Scan(&until)
	})
	if errors.Is(err, sql.ErrNoRows) || (err == nil && s.now().Unix() >= until) {
		return ErrUsed
	}
	if err != nil {
		return fmt.Errorf("using a link: %w", err)
	}
	return nil
}
