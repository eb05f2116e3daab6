// Package usage knows what was used and what it cost: prices, the ledger, budgets.
//
// Every request that reaches the pipeline becomes exactly one row of the ledger, told apart by its id. Rows are written off the
// request's path, in batches, into SQLite; sums by hour and day are kept in the same transaction, so a report reads thousands of
// rows where there are millions. The database is the truth, also of what a budget has left: memory holds only the sum of the
// period that runs, and is filled from the database when a budget is first asked for.
//
// A call is reserved before it is made and settled when it ends. The reservation is in the database too, so that a process that
// was killed settles at its next start, as estimated, what it had begun.
//
// Money is counted in whole nano-dollars. Prices come from an embedded table with a date, and from forward.yaml; they are found by
// exact name only, and a model without a price is unpriced, which is not the same as free.
//
// The room opens no database and imports no driver: it gets a *sql.DB and keeps to tables whose names begin with usage_.
package usage
