// Package session keeps who is signed in to the dashboard, and the one-time
// links by which an administrator signs in.
//
// A session is a random id of 256 bits that the browser keeps in a cookie which
// no script reads. The database has only its HMAC, so a copy of the database
// signs no caller in. A session is bound to the credential that opened it, by a
// proof that the user of this package makes and compares: a key that is
// replaced ends the sessions that it opened. Sessions survive a restart of the
// gateway. They end after 12 hours without a request, and after 7 days in any
// case.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"forward/internal/database"
)

// Roles of a session.
const (
	Administrator = "administrator"
	Holder        = "holder"
)

// Longest is how long a session lasts at most.
const Longest = 7 * 24 * time.Hour

const (
	idle = 12 * time.Hour
	// seenStep is how old the time of the last request may become before it is
	// written again, so that requests are not writes.
	seenStep = time.Minute
	// maxAgent bounds the name of a browser that is kept, in bytes.
	maxAgent = 200
)

// ErrNone is returned for a secret that no open session has.
var ErrNone = errors.New("there is no such session")

// Session is one sign-in.
type Session struct {
	ID      string // not the secret
	Role    string
	Key     string // id of the holder's key; "" for the administrator
	Proof   []byte // of the credential that opened it
	Created time.Time
	Seen    time.Time
	Address string // that it was opened from
	Agent   string // the browser, as it names itself
}

// Until is when the session ends unless a request comes before.
func (s *Session) Until() time.Time {
	until, last := s.Seen.Add(idle), s.Created.Add(Longest)
	if last.Before(until) {
		return last
	}
	return until
}

// Store keeps sessions and links. Open makes one; it is safe for concurrent
// use. The database stays the caller's to close.
type Store struct {
	db     *sql.DB
	secret []byte
	now    func() time.Time
}

// schema makes the tables. Times are Unix seconds. Rows that have ended are
// removed when another one is made.
var schema = database.Schema{Table: "dash_sessions_schema", Steps: []string{`
CREATE TABLE dash_sessions (
	mac BLOB PRIMARY KEY, id TEXT NOT NULL UNIQUE, role TEXT NOT NULL, key TEXT NOT NULL, proof BLOB NOT NULL,
	created INTEGER NOT NULL, seen INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE dash_links (mac BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
`}}

// Open makes the tables if they are missing. secret keys the HMACs; with
// another one all sessions and links are unknown. A nil now is time.Now.
func Open(ctx context.Context, db *sql.DB, secret []byte, now func() time.Time) (*Store, error) {
	if len(secret) == 0 {
		return nil, errors.New("opening the sessions: there is no secret")
	}
	if now == nil {
		now = time.Now
	}
	if err := schema.Migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("opening the sessions: %w", err)
	}
	return &Store{db: db, secret: secret, now: now}, nil
}

// mac is how a secret is kept. What it is for is part of it, so that a session
// is never taken for a link.
func (s *Store) mac(use, secret string) []byte {
	h := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(h, "%s\x00%s", use, secret)
	return h.Sum(nil)
}

// Instance names this gateway among others on the same host, for browsers keep
// cookies by host and not by port. It is 6 hexadecimal digits.
func (s *Store) Instance() string { return hex.EncodeToString(s.mac("instance", "")[:3]) }

// Proof binds a session to a credential that is no key of the ring.
func (s *Store) Proof(credential string) []byte { return s.mac("proof", credential) }

// random returns n random bytes as text.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}

// Start opens a session. It sets ID, Created and Seen of the one that it is
// given, and returns the secret of the cookie.
func (s *Store) Start(ctx context.Context, one *Session) (secret string, err error) {
	secret = random(32)
	now := s.now()
	one.ID, one.Created, one.Seen = "s-"+random(6), now, now
	one.Agent = strings.ToValidUTF8(one.Agent[:min(len(one.Agent), maxAgent)], "")
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM dash_sessions WHERE seen <= ? OR created <= ?`, now.Add(-idle).Unix(), now.Add(-Longest).Unix())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO dash_sessions (mac, id, role, key, proof, created, seen, address, agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			s.mac("session", secret), one.ID, one.Role, one.Key, one.Proof, now.Unix(), now.Unix(), one.Address, one.Agent)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("opening a session: %w", err)
	}
	return secret, nil
}

const columns = `id, role, key, proof, created, seen, address, agent`

// Find returns the open session with this secret, or ErrNone, and notes that it
// was seen.
func (s *Store) Find(ctx context.Context, secret string) (*Session, error) {
	one, err := s.Peek(ctx, secret)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if now.Sub(one.Seen) < seenStep {
		return one, nil
	}
	one.Seen = now
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE dash_sessions SET seen = ? WHERE mac = ?`, now.Unix(), s.mac("session", secret))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("noting that a session was seen: %w", err)
	}
	return one, nil
}

// Peek is Find without the note: it keeps no session from ending.
func (s *Store) Peek(ctx context.Context, secret string) (*Session, error) {
	if secret == "" {
		return nil, ErrNone
	}
	one, err := scan(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM dash_sessions WHERE mac = ?`, s.mac("session", secret)).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("reading a session: %w", err)
	}
	if !s.now().Before(one.Until()) {
		return nil, ErrNone
	}
	return one, nil
}

func scan(read func(...any) error) (*Session, error) {
	one := &Session{}
	var created, seen int64
	err := read(&one.ID, &one.Role, &one.Key, &one.Proof, &created, &seen, &one.Address, &one.Agent)
	one.Created, one.Seen = time.Unix(created, 0), time.Unix(seen, 0)
	return one, err
}

// List returns the open sessions, the last one seen first.
func (s *Store) List(ctx context.Context) (list []*Session, err error) {
	now := s.now()
	rows, err := s.db.QueryContext(ctx, `SELECT `+columns+` FROM dash_sessions WHERE seen > ? AND created > ? ORDER BY seen DESC, id`, now.Add(-idle).Unix(), now.Add(-Longest).Unix())
	if err != nil {
		return nil, fmt.Errorf("reading the sessions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading the sessions: %w", err)
		}
		list = append(list, one)
	}
	return list, rows.Err()
}

// End ends the session with this id. It is ErrNone where there is none.
func (s *Store) End(ctx context.Context, id string) error {
	n, err := s.remove(ctx, `id = ?`, id)
	if err == nil && n == 0 {
		return ErrNone
	}
	return err
}

// EndAll ends all sessions but the one with this id, and returns how many.
func (s *Store) EndAll(ctx context.Context, but string) (int64, error) {
	return s.remove(ctx, `id <> ?`, but)
}

func (s *Store) remove(ctx context.Context, condition string, arg any) (n int64, err error) {
	err = database.Write(ctx, s.db, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM dash_sessions WHERE `+condition, arg)
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return n, nil
}
