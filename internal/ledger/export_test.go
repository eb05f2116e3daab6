package ledger

// PlanOf shows how a question is asked.
func PlanOf(r *Reader, q Query) (query string, args []any, err error) {
	p, err := r.plan(q)
	return p.query, p.args, err
}

// OldTables are the statements that made the tables of an earlier version.
func OldTables(version int) []string { return migrations[:version] }
