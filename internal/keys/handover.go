package keys

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"forward/internal/database"
)

const (
	// LinkLife is how long a hand-over link can be opened.
	LinkLife = 7 * 24 * time.Hour
	// DefaultGrace is how long a secret is good after another one replaced it,
	// unless a rotation names a time.
	DefaultGrace = 24 * time.Hour

	codeLength = 32                  // 190 bits
	linkMemory = 30 * 24 * time.Hour // for which a link that has ended is kept
)

// ErrLink is returned for a hand-over link that cannot be opened. It does not
// report which of the reasons it was.
var ErrLink = errors.New("this link was opened, was replaced by another one, or has expired")

// Link is a hand-over link, by which the holder of a key gets its secret. It
// can be opened once, and the secret is made when it is: so no chat has it, and
// the administrator never sees it. Code is a secret itself, and the store has
// its HMAC.
type Link struct {
	Code  Secret
	Until time.Time
}

// Path is where the dashboard opens the link, after the dashboard's own
// address. Browsers send nothing of a fragment, so the code is in no log.
func (l Link) Path() string { return "#/handover/" + l.Code.Reveal() }

// endLinks ends the links of a key.
const endLinks = `UPDATE keys_links SET used = ? WHERE key = ? AND used IS NULL`

// codeMAC is the HMAC of a link's code. No key can have the same one, since
// none has a space in it.
func (s *Store) codeMAC(code string) digest { return s.mac("link " + code) }

// Handover makes a link for a key and ends those before it. A key that has a
// secret keeps it until the link is opened, and DefaultGrace longer.
func (s *Store) Handover(ctx context.Context, ref string) (m *Managed, link Link, err error) {
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		m, err = find(ctx, tx, ref)
		if err != nil {
			return err
		}
		if m.Revoked {
			return ErrGone
		}
		link, err = s.addLink(ctx, tx, m.ID)
		return err
	})
	if err != nil {
		return nil, Link{}, fmt.Errorf("making a link for key %q: %w", ref, err)
	}
	return m, link, nil
}

func (s *Store) addLink(ctx context.Context, tx *sql.Tx, id string) (Link, error) {
	now := s.now()
	link := Link{Code: NewSecret(random(codeLength)), Until: now.Add(LinkLife).Truncate(time.Second)}
	_, err := tx.ExecContext(ctx, `DELETE FROM keys_links WHERE until < ?`, now.Add(-linkMemory).Unix())
	if err != nil {
		return Link{}, err
	}
	_, err = tx.ExecContext(ctx, endLinks, now.Unix(), id)
	if err != nil {
		return Link{}, err
	}
	mac := s.codeMAC(link.Code.Reveal())
	_, err = tx.ExecContext(ctx, `INSERT INTO keys_links (mac, key, until) VALUES (?, ?, ?)`, mac[:], id, link.Until.Unix())
	return link, err
}

// Open opens a hand-over link: it makes a secret for the key of the link and
// returns it. A link that cannot be opened is ErrLink, and so is that of a
// revoked key.
func (s *Store) Open(ctx context.Context, code string) (done Changed, secret Secret, err error) {
	mac := s.codeMAC(code)
	now := s.now()
	err = s.change(ctx, func(tx *sql.Tx) error {
		var id string
		err := tx.QueryRowContext(ctx, `UPDATE keys_links SET used = ?1 WHERE mac = ?2 AND used IS NULL AND until > ?1 RETURNING key`, now.Unix(), mac[:]).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrLink
		}
		if err != nil {
			return err
		}
		done, err = s.updateIn(ctx, tx, id, func(tx *sql.Tx, m *Managed) (err error) {
			secret, err = s.replaceSecret(ctx, tx, m, now.Add(DefaultGrace).Truncate(time.Second))
			return err
		})
		if errors.Is(err, ErrGone) {
			return ErrLink
		}
		return err
	})
	if err != nil {
		return Changed{}, Secret{}, err
	}
	return done, secret, nil
}
