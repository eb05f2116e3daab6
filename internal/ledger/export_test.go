package ledger

// PlanOf shows how a question is asked.
func PlanOf(r *Reader, q Query) (query string, args []any, err error) {
	p, err := r.plan(q)
	return p.query, p.args, err
}
