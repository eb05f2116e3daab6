package ledger

import (
	"fmt"
	"strings"

	"forward/internal/database"
)

// schema makes the tables. Versions before 4 were never released.
//
// usage_calls has one row for each request until retention removes it, by its
// number (see number.go), and usage_kinds what many of them have in common (see
// kind.go); reported is what the provider itself charged, quantities are what
// it counts beside tokens, repriced is the price of a row that was priced
// again. The view usage_requests shows both together. usage_open has the calls
// under way with what was reserved for them.
//
// usage_hours, usage_days and usage_users are sums of the rows. Hours are those
// of UTC, days (20261121) those of the ledger's time zone. usage_spend has what
// each key spent in each quarter of an hour. In every time zone midnight is at
// the start of a quarter, so the sum since the start of a budget's period is
// exact, also after the period or the zone was changed.
//
// usage_latency has how long requests took, by hours.
//
// usage_batches has the batches that answers reported, and usage_settled the
// rows that settle them, which makes each count once. usage_deferred has the
// work that providers go on with after an answer; row is the id of the row that
// will settle it, and data the request's row as it was reserved.
//
// usage_tags has the tags that a budget names or once named, and
// usage_tag_spend what was spent with each of them, as usage_spend has it for
// keys.
var schema = database.Schema{Table: "usage_schema", First: 4, Steps: []string{`
CREATE TABLE usage_kinds (
	id INTEGER PRIMARY KEY, until INTEGER NOT NULL,
	key TEXT NOT NULL, key_name TEXT NOT NULL, tags TEXT NOT NULL, route TEXT NOT NULL, upstream TEXT NOT NULL, slot TEXT NOT NULL,
	operation TEXT NOT NULL, model TEXT NOT NULL, answered TEXT NOT NULL, status INTEGER NOT NULL, cause TEXT NOT NULL,
	finish TEXT NOT NULL, stream INTEGER NOT NULL, cache TEXT NOT NULL, attempts INTEGER NOT NULL, estimated INTEGER NOT NULL,
	price TEXT NOT NULL, tier TEXT NOT NULL
);
CREATE INDEX usage_kinds_until ON usage_kinds (until);
CREATE TABLE usage_calls (
	id TEXT PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT NULL, user TEXT NOT NULL,
	queue_us INTEGER NOT NULL DEFAULT 0, ask_us INTEGER NOT NULL DEFAULT 0, first_us INTEGER NOT NULL DEFAULT 0,
	total_us INTEGER NOT NULL, input INTEGER NOT NULL, cached_read INTEGER NOT NULL DEFAULT 0,
	cached_write INTEGER NOT NULL DEFAULT 0, cached_write_hour INTEGER NOT NULL DEFAULT 0, output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL DEFAULT 0, audio INTEGER NOT NULL DEFAULT 0, audio_output INTEGER NOT NULL DEFAULT 0,
	seconds REAL NOT NULL DEFAULT 0, raw TEXT NOT NULL, cost INTEGER, saved INTEGER NOT NULL DEFAULT 0,
	bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, trail TEXT NOT NULL, repriced TEXT
);
CREATE INDEX usage_calls_time ON usage_calls (time);
CREATE VIEW usage_requests AS SELECT
	c.rowid AS number, c.id, c.time, c.user, c.first_us, c.total_us, c.input, c.cached_read, c.output, c.raw, c.cost,
	c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour, c.reasoning, c.audio,
	c.audio_output, c.seconds, c.saved, k.key, k.key_name, k.tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered,
	k.status, k.cause, k.finish, k.stream, k.cache, k.attempts, k.estimated, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
CREATE TABLE usage_open (id TEXT PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE usage_hours (hour INTEGER NOT NULL, ` + cellColumns + `,
	PRIMARY KEY (hour, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_days (day INTEGER NOT NULL, ` + cellColumns + `,
	PRIMARY KEY (day, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_users (day INTEGER NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL, ` + sumColumns + `,
	PRIMARY KEY (day, key, user)) WITHOUT ROWID;
CREATE TABLE usage_spend (
	key TEXT NOT NULL, quarter INTEGER NOT NULL, cost INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (key, quarter)
) WITHOUT ROWID;
CREATE TABLE usage_keys (key TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE usage_warnings (
	time INTEGER NOT NULL, key TEXT NOT NULL, budget TEXT NOT NULL, percent INTEGER NOT NULL, spent INTEGER NOT NULL,
	amount INTEGER NOT NULL
);
CREATE TABLE usage_batches (
	host TEXT NOT NULL, id TEXT NOT NULL, results TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, key_name TEXT NOT NULL,
	user TEXT NOT NULL, tags TEXT NOT NULL, route TEXT NOT NULL, request TEXT NOT NULL, seen INTEGER NOT NULL,
	PRIMARY KEY (host, id)
) WITHOUT ROWID;
CREATE INDEX usage_batches_results ON usage_batches (host, results) WHERE results != '';
CREATE INDEX usage_batches_seen ON usage_batches (seen);
CREATE TABLE usage_settled (row TEXT PRIMARY KEY, batch TEXT NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX usage_settled_batch ON usage_settled (batch);
CREATE INDEX usage_settled_time ON usage_settled (time);
`, numberRows, `
CREATE TABLE usage_deferred (
	row TEXT PRIMARY KEY, host TEXT NOT NULL, id TEXT NOT NULL, request TEXT NOT NULL, key TEXT NOT NULL, cost INTEGER NOT NULL, tokens INTEGER NOT NULL,
	expires INTEGER NOT NULL, data TEXT NOT NULL
) WITHOUT ROWID;
`, tagRows, listRows, aliasRows, latencyRows, hoursOfKeys}}

const (
	cellColumns = `key TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,
	status INTEGER NOT NULL, cache TEXT NOT NULL, ` + sumColumns
	sumColumns = `requests INTEGER NOT NULL, errors INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, cost INTEGER NOT NULL, estimated_cost INTEGER NOT NULL,
	saved INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL`
)

// numberRows is the step to version 5: rows are kept by their number and by no
// other index. Rows of one millisecond are numbered in the order of their ids,
// and those that settle batches from the middle of the millisecond on, so that
// all numbers differ.
var numberRows = `
DROP VIEW usage_requests;
ALTER TABLE usage_calls RENAME TO usage_calls_4;
CREATE TABLE usage_calls (
	number INTEGER PRIMARY KEY, id TEXT NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL, user TEXT NOT NULL, session TEXT,
	queue_us INTEGER NOT NULL, ask_us INTEGER NOT NULL, first_us INTEGER NOT NULL, total_us INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, cached_write_hour INTEGER NOT NULL,
	output INTEGER NOT NULL, reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, audio_output INTEGER NOT NULL,
	seconds REAL NOT NULL, quantities TEXT, raw TEXT NOT NULL, cost INTEGER, reported INTEGER, saved INTEGER NOT NULL,
	bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, trail TEXT NOT NULL, repriced TEXT
);
INSERT INTO usage_calls (number, ` + columnsOf4 + `)
	SELECT (` + hexSum("id", len(idPrefix)+1, 12) + ` << 21) | (row_number() OVER (ORDER BY id) & 0xfffff), ` + columnsOf4 + `
	FROM usage_calls_4 WHERE id GLOB 'req_0[0-3]` + strings.Repeat("[0-9a-f]", 30) + `';
INSERT INTO usage_calls (number, ` + columnsOf4 + `)
	SELECT (max(time / 1000, 0) << 21) | 0x100000 | (row_number() OVER (ORDER BY time) & 0xfffff), ` + columnsOf4 + `
	FROM usage_calls_4 WHERE id NOT GLOB 'req_0[0-3]` + strings.Repeat("[0-9a-f]", 30) + `';
DROP TABLE usage_calls_4;
ALTER TABLE usage_kinds ADD COLUMN unmetered INTEGER NOT NULL DEFAULT 0;
UPDATE usage_kinds SET unmetered = 1 WHERE price = 'the answer reported no usage' AND cache != 'hit';
ALTER TABLE usage_hours ADD COLUMN unmetered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN cached_write_hour INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN unmetered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN cached_write_hour INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_users ADD COLUMN unmetered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_users ADD COLUMN cached_write_hour INTEGER NOT NULL DEFAULT 0;
CREATE VIEW usage_requests AS SELECT
	c.number, c.id, c.time, c.user, COALESCE(c.session, '') AS session, c.first_us, c.total_us, c.input, c.cached_read, c.output,
	c.raw, c.cost, c.reported, c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour,
	c.reasoning, c.audio, c.audio_output, c.seconds, COALESCE(c.quantities, '') AS quantities, c.saved, k.key, k.key_name, k.tags,
	k.route, k.upstream, k.slot, k.operation, k.model, k.answered, k.status, k.cause, k.finish, k.stream, k.cache, k.attempts,
	k.estimated, k.unmetered, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
`

// tagRows is the step to version 7. A row has the tags of its kind, which are
// those of the key, unless the request brought more: clients choose these, and
// would make a kind for each request.
const tagRows = `
DROP VIEW usage_requests;
ALTER TABLE usage_calls ADD COLUMN tags TEXT;
CREATE VIEW usage_requests AS SELECT
	c.number, c.id, c.time, c.user, COALESCE(c.session, '') AS session, c.first_us, c.total_us, c.input, c.cached_read, c.output,
	c.raw, c.cost, c.reported, c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour,
	c.reasoning, c.audio, c.audio_output, c.seconds, COALESCE(c.quantities, '') AS quantities, c.saved, k.key, k.key_name,
	COALESCE(c.tags, k.tags) AS tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered, k.status, k.cause, k.finish,
	k.stream, k.cache, k.attempts, k.estimated, k.unmetered, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
CREATE TABLE usage_tags (tag TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE usage_tag_spend (
	tag TEXT NOT NULL, quarter INTEGER NOT NULL, cost INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (tag, quarter)
) WITHOUT ROWID;
`

// listRows is the step to version 8. list is NULL in rows that are billed.
const listRows = `
DROP VIEW usage_requests;
ALTER TABLE usage_calls ADD COLUMN list INTEGER;
ALTER TABLE usage_hours ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_users ADD COLUMN list INTEGER NOT NULL DEFAULT 0;
CREATE VIEW usage_requests AS SELECT
	c.number, c.id, c.time, c.user, COALESCE(c.session, '') AS session, c.first_us, c.total_us, c.input, c.cached_read, c.output,
	c.raw, c.cost, c.reported, c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour,
	c.reasoning, c.audio, c.audio_output, c.seconds, COALESCE(c.quantities, '') AS quantities, c.saved, c.list, k.key, k.key_name,
	COALESCE(c.tags, k.tags) AS tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered, k.status, k.cause, k.finish,
	k.stream, k.cache, k.attempts, k.estimated, k.unmetered, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
`

// aliasRows is the step to version 9. alias is NULL in rows whose client called
// the model by its name.
const aliasRows = `
DROP VIEW usage_requests;
ALTER TABLE usage_calls ADD COLUMN alias TEXT;
CREATE VIEW usage_requests AS SELECT
	c.number, c.id, c.time, c.user, COALESCE(c.session, '') AS session, c.first_us, c.total_us, c.input, c.cached_read, c.output,
	c.raw, c.cost, c.reported, c.bytes_in, c.bytes_out, c.trail, c.queue_us, c.ask_us, c.cached_write, c.cached_write_hour,
	c.reasoning, c.audio, c.audio_output, c.seconds, COALESCE(c.quantities, '') AS quantities, c.saved, c.list, COALESCE(c.alias, '') AS alias, k.key, k.key_name,
	COALESCE(c.tags, k.tags) AS tags, k.route, k.upstream, k.slot, k.operation, k.model, k.answered, k.status, k.cause, k.finish,
	k.stream, k.cache, k.attempts, k.estimated, k.unmetered, COALESCE(c.repriced, k.price) AS price, k.tier
	FROM usage_calls c LEFT JOIN usage_kinds k ON k.id = c.kind;
`

// hoursOfKeys is the step to version 11, by which the last use of a key is
// found at once. Only the first request of a cell in an hour writes to the
// index.
const hoursOfKeys = `
CREATE INDEX IF NOT EXISTS usage_hours_key ON usage_hours (key, hour);
`

// columnsOf4 are the columns that a row of version 4 had.
const columnsOf4 = `id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write,
	cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced`

// hexSum returns the expression for the number that hexadecimal digits of a
// column stand for. SQLite has no function for it, and reads << and | from left
// to right.
func hexSum(column string, first, digits int) string {
	terms := make([]string, digits)
	for i := range terms {
		terms[i] = fmt.Sprintf("(instr('123456789abcdef', substr(%s, %d, 1)) << %d)", column, first+i, 4*(digits-1-i))
	}
	return "(" + strings.Join(terms, " | ") + ")"
}

// The columns that identify a cell of sums.
var (
	hourCell = []string{"hour", "key", "route", "model", "operation", "status", "cache"}
	dayCell  = []string{"day", "key", "route", "model", "operation", "status", "cache"}
	userCell = []string{"day", "key", "user"}
)

// The statements of the writer. An insert leaves a row that is there as it is.
var (
	insertCall     = insert("usage_calls", callColumns)
	insertKind     = insert("usage_kinds", append([]string{"until"}, kindColumns...))
	insertOpen     = insert("usage_open", []string{"id", "row"})
	numberTaken    = `SELECT id FROM usage_calls WHERE number = ?`
	deleteOpen     = `DELETE FROM usage_open WHERE id = ?`
	insertWarning  = insert("usage_warnings", []string{"time", "key", "budget", "percent", "spent", "amount"})
	insertSettled  = insert("usage_settled", []string{"row", "batch", "time"})
	insertDeferred = insert("usage_deferred", []string{"row", "host", "id", "request", "key", "cost", "tokens", "expires", "data"})
	deleteDeferred = `DELETE FROM usage_deferred WHERE row = ?`
	setKeyName     = `INSERT INTO usage_keys (key, name) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET name = excluded.name`
	addHours       = addUp("usage_hours", hourCell, sumNames)
	addDays        = addUp("usage_days", dayCell, sumNames)
	addUsers       = addUp("usage_users", userCell, sumNames)
	addSpend       = addUp("usage_spend", []string{"key", "quarter"}, []string{"cost", "tokens"})
	addTagSpend    = addUp("usage_tag_spend", []string{"tag", "quarter"}, []string{"cost", "tokens"})
)

// statements are those that the writer prepares: to compile the statements of a
// small batch costs as much as to run them.
var statements = []string{
	insertCall, insertKind, insertOpen, deleteOpen, insertWarning, insertSettled, deleteDeferred, setKeyName, addHours, addDays, addUsers, addSpend, addTagSpend,
	selectLatency, putLatency,
}

// insert returns the statement that adds a row to a table.
func insert(table string, columns []string) string {
	return into(table, columns) + " ON CONFLICT DO NOTHING"
}

// addUp returns the statement that adds sums to a cell, or makes the cell.
func addUp(table string, cell, sums []string) string {
	adds := make([]string, len(sums))
	for i, s := range sums {
		adds[i] = s + " = " + s + " + excluded." + s
	}
	columns := append(append([]string(nil), cell...), sums...)
	return into(table, columns) + " ON CONFLICT (" + list(cell) + ") DO UPDATE SET " + list(adds)
}

func into(table string, columns []string) string {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")
	return "INSERT INTO " + table + " (" + list(columns) + ") VALUES (" + marks + ")"
}

func list(words []string) string { return strings.Join(words, ", ") }
