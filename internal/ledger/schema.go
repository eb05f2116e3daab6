package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// sums are the columns that rollups add up; Sums has them as fields in the same order.
var sums = []string{"requests", "errors", "estimated", "unpriced", "input", "cached_read", "cached_write", "output", "reasoning", "audio",
	"cost", "estimated_cost", "saved", "bytes_in", "bytes_out"}

// migrations bring the tables from one version to the next. A version that was released is never edited.
//
// usage_calls has a row a request, until retention takes it, and usage_kinds what many of them have in common: most of a request's
// words are those of the one before; repriced is the price of a row that was priced again. usage_requests is the view in which they are
// together, and number says in what order rows came. usage_hours, usage_days and usage_users are their sums; hours are
// UTC's, days (20261121) those of the ledger's time zone. usage_spend has what each key spent in each quarter of an hour: every time
// zone's midnight is at the begin of one, so the sum since the begin of a budget's period is exact in any zone, also when somebody
// changes the period or the zone. usage_open has the calls that are under way, with what was reserved for them.
var migrations = []string{`
CREATE TABLE usage_requests (
	id TEXT PRIMARY KEY, time INTEGER NOT NULL, key TEXT NOT NULL, key_name TEXT NOT NULL, user TEXT NOT NULL, tags TEXT NOT NULL,
	route TEXT NOT NULL, upstream TEXT NOT NULL, slot TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL, answered TEXT NOT NULL,
	status INTEGER NOT NULL, cause TEXT NOT NULL, finish TEXT NOT NULL, stream INTEGER NOT NULL, cache TEXT NOT NULL, attempts INTEGER NOT NULL,
	queue_us INTEGER NOT NULL, ask_us INTEGER NOT NULL, first_us INTEGER NOT NULL, total_us INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, cached_write_hour INTEGER NOT NULL,
	output INTEGER NOT NULL, reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, audio_output INTEGER NOT NULL, seconds REAL NOT NULL,
	raw TEXT NOT NULL, estimated INTEGER NOT NULL, cost INTEGER, price TEXT NOT NULL, saved INTEGER NOT NULL,
	bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, trail TEXT NOT NULL
);
CREATE INDEX usage_requests_time ON usage_requests (time);
CREATE TABLE usage_open (id TEXT PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE usage_hours (hour INTEGER NOT NULL, ` + rollupColumns + `, PRIMARY KEY (hour, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_days (day INTEGER NOT NULL, ` + rollupColumns + `, PRIMARY KEY (day, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_users (day INTEGER NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL, ` + sumColumns + `, PRIMARY KEY (day, key, user)) WITHOUT ROWID;
CREATE TABLE usage_spend (key TEXT NOT NULL, quarter INTEGER NOT NULL, cost INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (key, quarter)) WITHOUT ROWID;
CREATE TABLE usage_keys (key TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE usage_warnings (time INTEGER NOT NULL, key TEXT NOT NULL, budget TEXT NOT NULL, percent INTEGER NOT NULL, spent INTEGER NOT NULL, amount INTEGER NOT NULL);
`, `
CREATE TABLE usage_batches (
	host TEXT NOT NULL, id TEXT NOT NULL, results TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, key_name TEXT NOT NULL, user TEXT NOT NULL,
	tags TEXT NOT NULL, route TEXT NOT NULL, request TEXT NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (host, id)
) WITHOUT ROWID;
CREATE INDEX usage_batches_results ON usage_batches (host, results) WHERE results != '';
CREATE INDEX usage_batches_seen ON usage_batches (seen);
CREATE TABLE usage_settled (row TEXT PRIMARY KEY, batch TEXT NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX usage_settled_batch ON usage_settled (batch);
CREATE INDEX usage_settled_time ON usage_settled (time);
`, `
ALTER TABLE usage_requests ADD COLUMN tier TEXT NOT NULL DEFAULT '';
`, `
ALTER TABLE usage_requests RENAME TO usage_requests_1;
CREATE TABLE usage_kinds (id INTEGER PRIMARY KEY, until INTEGER NOT NULL,
	key TEXT NOT NULL, key_name TEXT NOT NULL, tags TEXT NOT NULL, route TEXT NOT NULL, upstream TEXT NOT NULL, slot TEXT NOT NULL,
	operation TEXT NOT NULL, model TEXT NOT NULL, answered TEXT NOT NULL, status INTEGER NOT NULL, cause TEXT NOT NULL, finish TEXT NOT NULL,
	stream INTEGER NOT NULL, cache TEXT NOT NULL, attempts INTEGER NOT NULL, estimated INTEGER NOT NULL, price TEXT NOT NULL, tier TEXT NOT NULL
);
CREATE TABLE usage_calls (
	id TEXT PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL, user TEXT NOT NULL,
	queue_us INTEGER NOT NULL DEFAULT 0, ask_us INTEGER NOT NULL DEFAULT 0, first_us INTEGER NOT NULL DEFAULT 0, total_us INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL DEFAULT 0, cached_write INTEGER NOT NULL DEFAULT 0,
	cached_write_hour INTEGER NOT NULL DEFAULT 0, output INTEGER NOT NULL, reasoning INTEGER NOT NULL DEFAULT 0,
	audio INTEGER NOT NULL DEFAULT 0, audio_output INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
	raw TEXT NOT NULL, cost INTEGER, saved INTEGER NOT NULL DEFAULT 0, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, trail TEXT NOT NULL,
	repriced TEXT
);
INSERT INTO usage_kinds (until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier)
	SELECT MAX(time), key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier FROM usage_requests_1
	GROUP BY key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier;
INSERT INTO usage_calls (id, time, kind, user, first_us, total_us, input, cached_read, output, raw, cost, bytes_in, bytes_out, trail, queue_us, ask_us, cached_write, cached_write_hour, reasoning, audio, audio_output, seconds, saved)
	SELECT r.id, r.time, k.id, r.user, r.first_us, r.total_us, r.input, r.cached_read, r.output, r.raw, r.cost, r.bytes_in, r.bytes_out, r.trail, r.queue_us, r.ask_us, r.cached_write, r.cached_write_hour, r.reasoning, r.audio, r.audio_output, r.seconds, r.saved
	FROM usage_requests_1 r JOIN usage_kinds k
	USING (key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) ORDER BY r.rowid;
DROP TABLE usage_requests_1;
CREATE INDEX usage_calls_time ON usage_calls (time);
CREATE INDEX usage_kinds_until ON usage_kinds (until);
CREATE VIEW usage_requests AS SELECT c.rowid AS number, c.id, c.time, c.user, c.first_us, c.total_us, c.input, c.cached_read, c.output, c.raw, c.cost, c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour, c.reasoning, c.audio, c.audio_output, c.seconds, c.saved,
	k.key, k.key_name, k.tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered, k.status, k.cause, k.finish, k.stream, k.cache, k.attempts, k.estimated, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
`}

const (
	rollupColumns = `key TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL, status INTEGER NOT NULL, cache TEXT NOT NULL, ` + sumColumns
	sumColumns    = `requests INTEGER NOT NULL, errors INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL, input INTEGER NOT NULL,
	cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, audio INTEGER NOT NULL,
	cost INTEGER NOT NULL, estimated_cost INTEGER NOT NULL, saved INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL`
)

// migrate makes the tables, or brings them up to date, in one transaction.
func migrate(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	defer tx.Rollback()
	var version int
	if _, err = tx.Exec(`CREATE TABLE IF NOT EXISTS usage_schema (version INTEGER NOT NULL)`); err == nil {
		err = tx.QueryRow(`SELECT COALESCE(MAX(version), 0) FROM usage_schema`).Scan(&version)
	}
	if err != nil {
		return fmt.Errorf("opening the ledger: %w", err)
	}
	if version > len(migrations) {
		return fmt.Errorf("the ledger's tables are of version %d, this program knows %d: use a newer forward", version, len(migrations))
	}
	for i, step := range migrations[version:] {
		if _, err := tx.Exec(step); err != nil {
			return fmt.Errorf("bringing the ledger to version %d: %w", version+i+1, err)
		}
		if _, err := tx.Exec(`INSERT INTO usage_schema VALUES (?)`, version+i+1); err != nil {
			return fmt.Errorf("bringing the ledger to version %d: %w", version+i+1, err)
		}
	}
	return tx.Commit()
}

// The statements of the writer. They are compiled once, because to compile those of a small batch costs as much as to run them.
var (
	insertCall    = insert("usage_calls", callColumns, "NOTHING") // adds a request, unless it is there
	insertPlain   = insert("usage_calls", callColumns[:plainColumns], "NOTHING")
	insertKind    = insert("usage_kinds", append([]string{"until"}, kindColumns...), "NOTHING")
	insertOpen    = insert("usage_open", []string{"id", "row"}, "NOTHING")
	deleteOpen    = `DELETE FROM usage_open WHERE id = ?`
	insertWarning = insert("usage_warnings", []string{"time", "key", "budget", "percent", "spent", "amount"}, "NOTHING")
	insertSettled = insert("usage_settled", []string{"row", "batch", "time"}, "NOTHING")
	addHours      = addUp("usage_hours", []string{"hour", "key", "route", "model", "operation", "status", "cache"}, sums)
	addDays       = addUp("usage_days", []string{"day", "key", "route", "model", "operation", "status", "cache"}, sums)
	addUsers      = addUp("usage_users", []string{"day", "key", "user"}, sums)
	addSpend      = addUp("usage_spend", []string{"key", "quarter"}, []string{"cost", "tokens"})
)

// prepare compiles the statements of the writer, before any transaction of its own: there may be only one connection.
func (l *Ledger) prepare(ctx context.Context) error {
	for _, statement := range []string{insertCall, insertPlain, insertKind, insertOpen, deleteOpen, insertWarning, insertSettled, addHours, addDays, addUsers, addSpend} {
		prepared, err := l.db.PrepareContext(ctx, statement)
		if err != nil {
			return fmt.Errorf("opening the ledger: %w", err)
		}
		l.prepared[statement] = prepared
	}
	return nil
}

// insert is the statement that adds a row to a table, or does what conflict says.
func insert(table string, columns []string, conflict string) string {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + marks + ") ON CONFLICT DO " + conflict
}

// addUp is the statement that adds sums to a rollup's cell, or makes the cell.
func addUp(table string, cell []string, sums []string) string {
	adds := make([]string, len(sums))
	for i, s := range sums {
		adds[i] = s + " = " + s + " + excluded." + s
	}
	columns := append(append([]string(nil), cell...), sums...)
	return strings.Replace(insert(table, columns, "UPDATE SET "+strings.Join(adds, ", ")), "ON CONFLICT", "ON CONFLICT ("+strings.Join(cell, ", ")+")", 1)
}
