// Package audit records what was done by whom, in a table that is only appended
// to.
//
// An entry names the action and what it was done to, with what changed before
// and after. It never holds a secret: the callers record what the API shows,
// which has none. Entries are read by the number of the last one seen, newest
// first, so that a page costs the same however many there are. They are removed
// at the age at which the ledger removes its rows.
package audit

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"forward/internal/database"
)

// Roles of actors beside those of sessions.
const (
	Administrator = "administrator"
	Holder        = "holder"
	Command       = "command" // the command line on the gateway's machine
)

// Entry is one action.
type Entry struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`   // administrator, the name of a key, or command line
	Role    string    `json:"role"`    // of the actor; "": not known
	Address string    `json:"address"` // from which it was done; "" for the command line
	Action  string    `json:"action"`  // such as key.create
	Object  string    `json:"object"`  // what it was done to: an id or a name
	Before  any       `json:"before"`  // nil where nothing is changed
	After   any       `json:"after"`
	Session string    `json:"session"` // its id; "" for a credential that came with the request
}

// Options set up a Log. The zero value is usable.
type Options struct {
	Retention time.Duration // the age at which entries are removed; default 90 days, below 0: never
	Now       func() time.Time
}

// Log is the record. Open makes one; it is safe for concurrent use, also by
// several processes. The database stays the caller's to close.
type Log struct {
	db *sql.DB
	o  Options

	mu    sync.Mutex // guards swept
	swept time.Time
}

// sweepInterval is how often an Append also removes what is too old.
const sweepInterval = time.Hour

// schema makes the table. Times are Unix microseconds; before and after are
// JSON.
var schema = database.Schema{Table: "dash_audit_schema", Steps: []string{`
CREATE TABLE dash_audit (
	id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, actor TEXT NOT NULL, role TEXT NOT NULL, address TEXT NOT NULL,
	action TEXT NOT NULL, object TEXT NOT NULL, before TEXT, after TEXT, session TEXT NOT NULL
);
CREATE INDEX dash_audit_time ON dash_audit (time);
CREATE INDEX dash_audit_object ON dash_audit (object, id);
`}}

// Open makes the table if it is missing.
func Open(ctx context.Context, db *sql.DB, o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Retention = cmp.Or(o.Retention, 90*24*time.Hour)
	if err := schema.Migrate(ctx, db); err != nil {
		return nil, fmt.Errorf("opening the audit: %w", err)
	}
	return &Log{db: db, o: o}, nil
}

// Append records actions, in one transaction. A zero Time is now.
func (l *Log) Append(ctx context.Context, entries ...Entry) error {
	stale := l.stale()
	err := database.Write(ctx, l.db, func(tx *sql.Tx) error {
		for _, e := range entries {
			err := l.insert(ctx, tx, e)
			if err != nil {
				return fmt.Errorf("recording %s: %w", e.Action, err)
			}
		}
		if stale.IsZero() {
			return nil
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM dash_audit WHERE time < ?`, stale.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

func (l *Log) insert(ctx context.Context, tx *sql.Tx, e Entry) error {
	if e.Time.IsZero() {
		e.Time = l.o.Now()
	}
	before, err := text(e.Before)
	if err != nil {
		return err
	}
	after, err := text(e.After)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO dash_audit (time, actor, role, address, action, object, before, after, session) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		e.Time.UnixMicro(), e.Actor, e.Role, e.Address, e.Action, e.Object, before, after, e.Session)
	return err
}

// stale returns the time before which entries are to be removed now, or the
// zero time.
func (l *Log) stale() time.Time {
	if l.o.Retention < 0 {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.o.Now()
	if now.Sub(l.swept) < sweepInterval {
		return time.Time{}
	}
	l.swept = now
	return now.Add(-l.o.Retention)
}

// text is a value as its column has it.
func text(v any) (sql.NullString, error) {
	if v == nil {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(v)
	return sql.NullString{String: string(b), Valid: true}, err
}

// Query selects entries. Zero fields select all.
type Query struct {
	Before int64  // only entries with a smaller number
	Limit  int    // at most; default 100
	Action string // exactly, or all of a kind: "key." selects key.create and others
	Actor  string
	Object string
}

// List returns the newest entries of a query, newest first, with times in the
// zone of loc.
func (l *Log) List(ctx context.Context, q Query, loc *time.Location) (list []Entry, err error) {
	statement, args := `SELECT id, time, actor, role, address, action, object, before, after, session FROM dash_audit WHERE 1`, []any{}
	add := func(condition string, values ...any) {
		statement += " AND " + condition
		args = append(args, values...)
	}
	if q.Before > 0 {
		add("id < ?", q.Before)
	}
	if n := len(q.Action); n > 0 && q.Action[n-1] == '.' {
		add("action >= ? AND action < ?", q.Action, q.Action[:n-1]+"/") // the byte after the dot
	} else if n > 0 {
		add("action = ?", q.Action)
	}
	if q.Actor != "" {
		add("actor = ?", q.Actor)
	}
	if q.Object != "" {
		add("object = ?", q.Object)
	}
	if l.o.Retention > 0 {
		add("+time >= ?", l.o.Now().Add(-l.o.Retention).UnixMicro())
	}
	// The plus before time keeps SQLite on the order of the numbers, which ends
	// at the limit.
	statement += ` ORDER BY id DESC LIMIT ?`
	rows, err := l.db.QueryContext(ctx, statement, append(args, cmp.Or(q.Limit, 100))...)
	if err != nil {
		return nil, fmt.Errorf("reading the audit: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e Entry
		var at int64
		var before, after sql.NullString
		if err := rows.Scan(&e.ID, &at, &e.Actor, &e.Role, &e.Address, &e.Action, &e.Object, &before, &after, &e.Session); err != nil {
			return nil, fmt.Errorf("reading the audit: %w", err)
		}
		e.Time = time.UnixMicro(at).In(loc)
		e.Before, e.After = value(before), value(after)
		list = append(list, e)
	}
	return list, rows.Err()
}

// value is a column as JSON has it.
func value(s sql.NullString) any {
	if !s.Valid {
		return nil
	}
	return json.RawMessage(s.String)
}
