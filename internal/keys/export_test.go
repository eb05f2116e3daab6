package keys

import (
	"context"
	"database/sql"
)

// DB is the store's database.
func (s *Store) DB() *sql.DB { return s.db }

// Load reads all keys of the store into the ring.
func (s *Store) Load(ctx context.Context, r *Ring) (version int64, err error) {
	return s.load(ctx, r, all)
}
