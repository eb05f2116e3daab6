-- A ledger as version 4 of its tables wrote it.
CREATE TABLE usage_schema (version INTEGER NOT NULL);
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
CREATE TABLE usage_hours (hour INTEGER NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,
	status INTEGER NOT NULL, cache TEXT NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, cost INTEGER NOT NULL, estimated_cost INTEGER NOT NULL,
	saved INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
	PRIMARY KEY (hour, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_days (day INTEGER NOT NULL, key TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,
	status INTEGER NOT NULL, cache TEXT NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, cost INTEGER NOT NULL, estimated_cost INTEGER NOT NULL,
	saved INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
	PRIMARY KEY (day, key, route, model, operation, status, cache)) WITHOUT ROWID;
CREATE TABLE usage_users (day INTEGER NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL, estimated INTEGER NOT NULL, unpriced INTEGER NOT NULL,
	input INTEGER NOT NULL, cached_read INTEGER NOT NULL, cached_write INTEGER NOT NULL, output INTEGER NOT NULL,
	reasoning INTEGER NOT NULL, audio INTEGER NOT NULL, cost INTEGER NOT NULL, estimated_cost INTEGER NOT NULL,
	saved INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
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
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfa4600abcdef00000000000000', 1795262400000000, 1, 'u1', 5000, 1000000, 300000, 1200000, 2006, 1920, 3, 2, 300, 4, 5, 1, 0.5, '{"prompt_tokens":2006}', 5615000, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfa4600abcdef10000000000000', 1795262400000000, 1, 'u1', 5000, 1000000, 300000, 1200000, 2006, 1920, 3, 2, 300, 4, 5, 1, 0.5, '{"prompt_tokens":2006}', 5615000, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfa4600abcdef20000000000000', 1795262400000000, 1, 'u1', 5000, 1000000, 300000, 1200000, 2006, 1920, 3, 2, 300, 4, 5, 1, 0.5, '{"prompt_tokens":2006}', 5615000, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfb306001000000000000000000', 1795262460003000, 2, 'u1', 5000, 1000000, 300000, 1200000, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, '', NULL, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfb344802000000000000000000', 1795262461000000, 3, 'u1', 5000, 1000000, 300000, 1200000, 2006, 1920, 3, 2, 300, 4, 5, 1, 0.5, '{"prompt_tokens":2006}', NULL, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('req_01a1fdfb383003000000000000000000', 1795262462000000, 4, 'u2', 5000, 1000000, 300000, 1200000, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, '', NULL, 0, 900, 1200, '[{"at":1000000,"name":"cache","text":"miss: not stored"}]', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('api.openai.com/batch_1/gpt-4o', 1795262400000000, 5, '', 0, 0, 0, 0, 100, 0, 0, 0, 50, 0, 0, 0, 0.0, '{"batch":[]}', 1000, 0, 0, 0, '', NULL);
INSERT INTO usage_calls (id, time, kind, user, queue_us, ask_us, first_us, total_us, input, cached_read, cached_write, cached_write_hour, output, reasoning, audio, audio_output, seconds, raw, cost, saved, bytes_in, bytes_out, trail, repriced) VALUES ('api.openai.com/batch_1/gpt-4o-mini', 1795262400000000, 6, '', 0, 0, 0, 0, 100, 0, 0, 0, 50, 0, 0, 0, 0.0, '{"batch":[]}', 1000, 0, 0, 0, '', NULL);
INSERT INTO usage_days (day, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'openai', 'gpt-4o', 'batch', 200, 'bypass', 1, 0, 0, 0, 100, 0, 0, 50, 0, 0, 1000, 0, 0, 0, 0);
INSERT INTO usage_days (day, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'openai', 'gpt-4o', 'chat', 200, 'miss', 4, 0, 0, 0, 6018, 5760, 9, 900, 12, 15, 16845000, 0, 0, 3600, 4800);
INSERT INTO usage_days (day, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'openai', 'gpt-4o', 'speech', 200, 'miss', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 900, 1200);
INSERT INTO usage_days (day, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'openai', 'gpt-4o-mini', 'batch', 200, 'bypass', 1, 0, 0, 0, 100, 0, 0, 50, 0, 0, 1000, 0, 0, 0, 0);
INSERT INTO usage_days (day, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'openai', 'unknown', 'chat', 200, 'miss', 1, 0, 0, 1, 2006, 1920, 3, 300, 4, 5, 0, 0, 0, 900, 1200);
INSERT INTO usage_hours (hour, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (1795262400, 'k1', 'openai', 'gpt-4o', 'batch', 200, 'bypass', 1, 0, 0, 0, 100, 0, 0, 50, 0, 0, 1000, 0, 0, 0, 0);
INSERT INTO usage_hours (hour, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (1795262400, 'k1', 'openai', 'gpt-4o', 'chat', 200, 'miss', 4, 0, 0, 0, 6018, 5760, 9, 900, 12, 15, 16845000, 0, 0, 3600, 4800);
INSERT INTO usage_hours (hour, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (1795262400, 'k1', 'openai', 'gpt-4o', 'speech', 200, 'miss', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 900, 1200);
INSERT INTO usage_hours (hour, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (1795262400, 'k1', 'openai', 'gpt-4o-mini', 'batch', 200, 'bypass', 1, 0, 0, 0, 100, 0, 0, 50, 0, 0, 1000, 0, 0, 0, 0);
INSERT INTO usage_hours (hour, key, route, model, operation, status, cache, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (1795262400, 'k1', 'openai', 'unknown', 'chat', 200, 'miss', 1, 0, 0, 1, 2006, 1920, 3, 300, 4, 5, 0, 0, 0, 900, 1200);
INSERT INTO usage_keys (key, name) VALUES ('k1', 'alice');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (1, 1795348800000000, 'k1', 'alice', '["web","beta"]', 'openai', 'openai', '2', 'chat', 'gpt-4o', 'gpt-4o-2024-08-06', 200, '', 'stop', 1, 'miss', 2, 0, 'openai/gpt-4o of 2026-11-10', '');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (2, 1795348860003000, 'k1', 'alice', '["web","beta"]', 'openai', 'openai', '2', 'chat', 'gpt-4o', 'gpt-4o-2024-08-06', 200, '', 'stop', 1, 'miss', 2, 0, 'the answer reported no usage', '');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (3, 1795348861000000, 'k1', 'alice', '["web","beta"]', 'openai', 'openai', '2', 'chat', 'unknown', 'gpt-4o-2024-08-06', 200, '', 'stop', 1, 'miss', 2, 0, 'no price', '');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (4, 1795348862000000, 'k1', 'alice', '["web","beta"]', 'openai', 'openai', '2', 'speech', 'gpt-4o', 'gpt-4o-2024-08-06', 200, '', 'stop', 1, 'miss', 2, 0, 'the answer reported no usage', '');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (5, 1795348800000000, 'k1', 'alice', '', 'openai', 'openai', '', 'batch', 'gpt-4o', 'gpt-4o', 200, '', '', 0, 'bypass', 0, 0, 'openai/gpt-4o, in a batch', '');
INSERT INTO usage_kinds (id, until, key, key_name, tags, route, upstream, slot, operation, model, answered, status, cause, finish, stream, cache, attempts, estimated, price, tier) VALUES (6, 1795348800000000, 'k1', 'alice', '', 'openai', 'openai', '', 'batch', 'gpt-4o-mini', 'gpt-4o-mini', 200, '', '', 0, 'bypass', 0, 0, 'openai/gpt-4o, in a batch', '');
INSERT INTO usage_open (id, row) VALUES ('req_01a1fdfb3c1804000000000000000000', '{"ID":"req_01a1fdfb3c1804000000000000000000","Time":"2026-11-21T12:01:03Z","Booked":"0001-01-01T00:00:00Z","Key":"k1","KeyName":"alice","User":"","Tags":null,"Route":"","Upstream":"","Slot":"","Operation":"","Model":"gpt-4o","Answered":"","Stream":false,"Cache":"","Attempts":0,"Status":0,"Cause":"","Finish":"","Settles":"","Queue":0,"Ask":0,"First":0,"Total":0,"BytesIn":0,"BytesOut":0,"Usage":{"Input":100,"Output":400,"Total":0,"CachedRead":0,"CachedWrite":0,"CachedWriteHour":0,"Reasoning":0,"Audio":0,"AudioOutput":0,"Seconds":0,"Raw":null},"Tier":"","Estimated":false,"Unmetered":false,"Session":"","Priced":true,"Cost":4250000,"Price":"","Saved":0,"Trail":null}');
INSERT INTO usage_schema (version) VALUES (4);
INSERT INTO usage_settled (row, batch, time) VALUES ('api.openai.com/batch_1/gpt-4o', 'batch_1', 1795262400000000);
INSERT INTO usage_settled (row, batch, time) VALUES ('api.openai.com/batch_1/gpt-4o-mini', 'batch_1', 1795262400000000);
INSERT INTO usage_spend (key, quarter, cost, tokens) VALUES ('k1', 1994736, 16847000, 9524);
INSERT INTO usage_users (day, key, user, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', '', 2, 0, 0, 0, 200, 0, 0, 100, 0, 0, 2000, 0, 0, 0, 0);
INSERT INTO usage_users (day, key, user, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'u1', 5, 0, 0, 1, 8024, 7680, 12, 1200, 16, 20, 16845000, 0, 0, 4500, 6000);
INSERT INTO usage_users (day, key, user, requests, errors, estimated, unpriced, input, cached_read, cached_write, output, reasoning, audio, cost, estimated_cost, saved, bytes_in, bytes_out) VALUES (20261121, 'k1', 'u2', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 900, 1200);
