package database

import (
	"context"
	"database/sql"
	"fmt"
)

// Schema describes the tables of one package. They have a version of their own,
// which is a row in a table of its own.
type Schema struct {
	// Table is where the version is kept.
	Table string
	// First is the version that the first step makes out of nothing; 0 means 1.
	// Versions before it were never released, and are refused.
	First int
	// Steps bring the tables from one version to the next, in SQL. A step that
	// was released is never edited.
	Steps []string
	// Finish, where it is not nil, runs after the steps in their transaction,
	// for what SQL cannot do.
	Finish func(*sql.Tx) error
}

// Version returns the version that the steps lead to.
func (s Schema) Version() int { return max(s.First, 1) + len(s.Steps) - 1 }

// Migrate makes the tables or brings them up to date, in one transaction. It
// refuses tables of a newer version: they may mean something else.
func (s Schema) Migrate(ctx context.Context, db *sql.DB) error {
	return Write(ctx, db, func(tx *sql.Tx) error {
		var version int
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+s.Table+` (version INTEGER NOT NULL)`); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM `+s.Table).Scan(&version); err != nil {
			return err
		}
		first := max(s.First, 1)
		switch {
		case version > s.Version():
			return fmt.Errorf("the tables are of version %d, this program knows %d: use a newer forward", version, s.Version())
		case version > 0 && version < first:
			return fmt.Errorf("the tables are of version %d, which was never released: start with a new DATA_DIR", version)
		}
		for i, step := range s.Steps {
			if first+i <= version {
				continue
			}
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("bringing the tables to version %d: %w", first+i, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO `+s.Table+` VALUES (?)`, first+i); err != nil {
				return fmt.Errorf("bringing the tables to version %d: %w", first+i, err)
			}
		}
		if s.Finish != nil {
			return s.Finish(tx)
		}
		return nil
	})
}
