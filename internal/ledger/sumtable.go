package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// sumTable is a table of sums.
type sumTable struct {
	name  string
	cell  []string // the columns that identify a cell
	named int      // of these, the one whose names clients choose
}

var (
	hourTable = sumTable{"usage_hours", hourCell, 3}
	dayTable  = sumTable{"usage_days", dayCell, 3}
	userTable = sumTable{"usage_users", userCell, 2}
)

// change adds to the sums of a cell. A model or user beyond the bound of a day
// is in the cell of the others there, which then changes. Where neither cell
// exists, as after a change of the time zone of days, it makes one, so that the
// sums over all days stay true.
func (t sumTable) change(ctx context.Context, tx *sql.Tx, cell []any, s *Sums) error {
	adds := make([]string, len(sumNames))
	for i, name := range sumNames {
		adds[i] = name + " = " + name + " + ?"
	}
	statement := `UPDATE ` + t.name + ` SET ` + list(adds) + ` WHERE ` + strings.Join(t.cell, " = ? AND ") + " = ?"
	other := slices.Clone(cell)
	other[t.named] = others
	for _, at := range [][]any{cell, other} {
		result, err := tx.ExecContext(ctx, statement, append(s.values(), at...)...)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		n, err := result.RowsAffected()
		if err != nil || n > 0 {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, addUp(t.name, t.cell, sumNames), append(cell, s.values()...)...); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}
