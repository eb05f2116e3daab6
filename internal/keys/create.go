package keys

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	repeatLife   = 24 * time.Hour   // for which a creation can be repeated without making a second key
	secretMemory = 10 * time.Minute // for which a repetition gets the secret again
	maxFresh     = 1000             // secrets that are remembered
)

// ErrRepeated is returned for a creation that has the token of another one.
var ErrRepeated = errors.New("the same token came with another key")

// Creation is a key to be made.
type Creation struct {
	Settings
	// Pending makes a hand-over link in place of a secret.
	Pending bool
	// Token, where it is not empty, names the creation, and Request is what was
	// asked for with it: a repetition of both makes no second key. It is
	// answered by what the first one made. For ten minutes that has the secret,
	// which is in memory only.
	Token, Request string
}

// Created is a key that was made, with its secret or its link. Both are zero in
// the answer to a repetition that came too late.
type Created struct {
	Key      *Managed
	Secret   Secret
	Link     Link
	Repeated bool // the key was made before
}

// creation is what a repetition gets again.
type creation struct {
	Created
	until time.Time
}

// Create makes a key.
func (s *Store) Create(ctx context.Context, c Creation) (made *Created, err error) {
	made = &Created{Key: s.named(c.Settings)}
	if !c.Pending {
		made.Secret = newSecretOf(made.Key.ID)
	}
	token := s.mac("token " + c.Token)
	err = s.change(ctx, func(tx *sql.Tx) error {
		if c.Token != "" {
			before, err := s.madeBefore(ctx, tx, token, c.Request)
			if err != nil {
				return err
			}
			if before != nil {
				made = before
				return nil
			}
		}
		err := s.add(ctx, tx, made.Key, made.Secret)
		if err != nil {
			return err
		}
		if c.Pending {
			made.Link, err = s.addLink(ctx, tx, made.Key.ID)
			if err != nil {
				return err
			}
		}
		if c.Token == "" {
			return nil
		}
		// Before the commit: a repetition that finds the row finds this too.
		s.remember(token, creation{*made, s.now().Add(secretMemory)})
		request := s.mac("request " + c.Request)
		_, err = tx.ExecContext(ctx, `INSERT INTO keys_made VALUES (?, ?, ?, ?)`, token[:], request[:], made.Key.ID, s.now().Unix())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adding key %q: %w", c.Name, err)
	}
	return made, nil
}

// named returns a key that is not in the store yet.
func (s *Store) named(settings Settings) *Managed {
	return &Managed{ID: newID(), Settings: settings, Created: s.now().Truncate(time.Second)}
}

// add writes a new key. Without a secret, it is pending.
func (s *Store) add(ctx context.Context, tx *sql.Tx, m *Managed, secret Secret) error {
	err := checkName(m.Name)
	if err != nil {
		return err
	}
	err = put(ctx, tx, m, m.Created)
	if err != nil {
		return err
	}
	if secret.IsZero() {
		m.Pending = true
		return nil
	}
	return s.addSecret(ctx, tx, m, secret)
}

// madeBefore returns what a creation of this token made, nil where there was
// none.
func (s *Store) madeBefore(ctx context.Context, tx *sql.Tx, token digest, request string) (*Created, error) {
	_, err := tx.ExecContext(ctx, `DELETE FROM keys_made WHERE made < ?`, s.now().Add(-repeatLife).Unix())
	if err != nil {
		return nil, err
	}
	var asked []byte
	var id string
	err = tx.QueryRowContext(ctx, `SELECT request, key FROM keys_made WHERE token = ?`, token[:]).Scan(&asked, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	same := s.mac("request " + request)
	if subtle.ConstantTimeCompare(asked, same[:]) != 1 {
		return nil, ErrRepeated
	}
	m, err := find(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.fresh.Entries[string(token[:])]
	if !ok || !s.now().Before(c.until) {
		return &Created{Key: m, Repeated: true}, nil
	}
	return &Created{Key: m, Secret: c.Secret, Link: c.Link, Repeated: true}, nil
}

func (s *Store) remember(token digest, c creation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.fresh.Sweep(time.Duration(now.UnixNano()), func(c creation) bool { return !now.Before(c.until) })
	s.fresh.Put(string(token[:]), c, maxFresh, func(c creation) float64 { return float64(c.until.Unix()) })
}
