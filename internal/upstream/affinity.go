package upstream

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"forward/internal/database"
)

// Place is an API key at a base URL, as a digest that can be stored.
type Place string

// Places returns how many pairs of API key and base URL the route's requests
// are spread over.
func (r *Route) Places() int { return max(r.Keys.Len(), 1) * len(r.order()) }

// Affinity remembers which API key at which base URL made an object that the
// provider keeps, such as a file, a batch or a response: with several keys on a
// route, only that one can find it again. It is kept in the database, so that
// it outlives a restart, and is safe for concurrent use. The names of objects
// are kept as digests: clients choose some of them.
type Affinity struct {
	db  *sql.DB
	now func() time.Time
}

// unused is how long an object is remembered that no request asks for.
// Providers keep files until they are deleted, so this is long; responses are
// kept for 30 days, cached contents for hours.
const unused = 400 * 24 * time.Hour

// schema makes the table of an Affinity. The first gateways made it without a
// version.
var schema = database.Schema{Table: "affinity_schema", Steps: []string{`
CREATE TABLE IF NOT EXISTS affinity_objects (
	route TEXT NOT NULL, object TEXT NOT NULL, place TEXT NOT NULL, used INTEGER NOT NULL, -- unix seconds, exact to a day
	PRIMARY KEY (route, object)) WITHOUT ROWID, STRICT;
CREATE INDEX IF NOT EXISTS affinity_used ON affinity_objects (used);
`}}

// NewAffinity keeps its table in db. A nil now is time.Now.
func NewAffinity(db *sql.DB, now func() time.Time) (*Affinity, error) {
	if now == nil {
		now = time.Now
	}
	a := &Affinity{db, now}
	if err := schema.Migrate(context.Background(), db); err != nil {
		return nil, fmt.Errorf("preparing the table of provider objects: %w", err)
	}
	if _, err := db.Exec(`DELETE FROM affinity_objects WHERE used < ?`, now().Add(-unused).Unix()); err != nil {
		return nil, fmt.Errorf("forgetting old provider objects: %w", err)
	}
	return a, nil
}

// Stick is where a request should go because of those before it.
type Stick struct {
	Only Place  // the only API key and base URL to use, if the route still has them; see Affinity
	Near uint64 // names a conversation, which prefers the same API key while that is usable; 0: the keys take turns
}

// stick leaves only the API key and the base URL that Stick.Only names, if they
// are still there for this caller.
func (t *trip) stick() {
	ks := t.keys
	if len(ks) == 0 {
		ks = []*PoolKey{nil}
	}
	for _, at := range t.targets {
		for _, k := range ks {
			if at.place(k) == t.Stick.Only {
				t.targets = []*target{at}
				if k != nil {
					t.keys = []*PoolKey{k}
				}
				return
			}
		}
	}
}

// digest is the name under which an object is kept.
func digest(object string) string {
	sum := sha256.Sum256([]byte(object))
	return hex.EncodeToString(sum[:16])
}

// Remember notes where objects of a route were made. It returns when that would
// survive the end of the process.
func (a *Affinity) Remember(ctx context.Context, route string, objects []string, p Place) error {
	for _, object := range objects {
		_, err := a.db.ExecContext(ctx, `INSERT INTO affinity_objects VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET place = excluded.place, used = excluded.used WHERE place != excluded.place`, route, digest(object), p, a.now().Unix())
		if err != nil {
			return err
		}
	}
	return nil
}

// Find returns where the first of the objects that is known was made, or "".
func (a *Affinity) Find(ctx context.Context, route string, objects []string) (Place, error) {
	for _, object := range objects {
		var p Place
		var used int64
		err := a.db.QueryRowContext(ctx, `SELECT place, used FROM affinity_objects WHERE route = ? AND object = ?`, route, digest(object)).Scan(&p, &used)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if now := a.now().Unix(); err == nil && now-used > 24*60*60 {
			_, err = a.db.ExecContext(ctx, `UPDATE affinity_objects SET used = ? WHERE route = ? AND object = ?`, now, route, digest(object))
		}
		return p, err
	}
	return "", nil
}
