package ledger

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// Warnings returns the latest warnings about budgets, the last one first. They
// are kept as long as rows are. When the period ends is not in them.
func (r *Reader) Warnings(ctx context.Context, limit int) ([]Warning, error) {
	names, err := r.keyNames(ctx)
	if err != nil {
		return nil, err
	}
	list := []Warning{}
	query := `SELECT time, key, budget, percent, spent, amount FROM usage_warnings ORDER BY time DESC, rowid DESC LIMIT ?`
	err = r.query(ctx, query, []any{limit}, func(rows *sql.Rows) error {
		var w Warning
		var at int64
		var account, text string
		b := &w.Balance
		if err := rows.Scan(&at, &account, &text, &w.Percent, &b.Spent, &b.Budget.Amount); err != nil {
			return err
		}
		w.Time = time.UnixMicro(at).In(r.zone)
		if tag, ok := strings.CutPrefix(account, tagAccount); ok {
			b.Budget.Tag = tag
		} else {
			w.Key = account
			w.KeyName = names[account]
		}
		b.Budget.Unit, b.Budget.Period = parseBudget(text)
		list = append(list, w)
		return nil
	})
	return list, err
}

// tagAccount is before the tag in the key of a warning about its budget.
const tagAccount = "tag:"

// parseBudget reads the unit and the period of what Budget.String wrote.
func parseBudget(text string) (Unit, Period) {
	unit := Tokens
	if strings.HasPrefix(text, "$") {
		unit = USD
	}
	if _, period, ok := strings.Cut(text, "/"); ok {
		return unit, Period(period)
	}
	return unit, Total
}
