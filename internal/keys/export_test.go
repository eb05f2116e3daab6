package keys

import "database/sql"

// DB is the store's database.
func (s *Store) DB() *sql.DB { return s.db }
