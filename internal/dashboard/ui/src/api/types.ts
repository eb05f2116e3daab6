// The forms of the gateway's API below /_/api, as openapi.json describes them.
// Money is in whole nano-dollars, times are RFC 3339 in the ledger's zone.

export type Role = "administrator" | "holder";

export interface ApiError {
  error: { message: string; type: string; param: string | null; code: string };
}

// GET, POST /session
export interface Session {
  role: Role;
  name: string; // of the holder's key; "" for the administrator
  key: string; // id of the holder's key; ""
  until: string | null; // null: a bearer credential
  version: string; // of the gateway
  zone: string; // of all days and times
  secure: boolean; // HTTPS, or loopback
  features: {
    ledger: boolean;
    chat_log: boolean;
    content: boolean; // DASHBOARD_CONTENT and a chat log
    cache: boolean;
    playground: boolean;
    managed_keys: boolean;
    rotate_own: boolean;
  };
}
export interface OpenSession {
  id: string; // not the secret
  role: Role;
  name: string;
  key: string;
  created: string;
  seen: string;
  until: string;
  address: string;
  agent: string;
  current: boolean;
}
// GET /sessions -> {sessions: OpenSession[]}

export interface Sums {
  requests: number;
  errors: number;
  estimated: number;
  unpriced: number;
  unmetered: number;
  input_tokens: number;
  cached_read_tokens: number;
  cached_write_tokens: number;
  cached_write_hour_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  audio_tokens: number;
  cost_nano_usd: number;
  estimated_cost_nano_usd: number;
  saved_nano_usd: number;
  bytes_in: number;
  bytes_out: number;
  list_nano_usd: number;
  list_usd: number;
  cost_usd: number;
  saved_usd: number;
}
export type Group = Sums & Record<string, string | number>; // plus the values of `by`, and key_name

// GET /usage?by=&since=&until=&<filters>&top=N&compare=previous&format=csv
export interface Usage {
  by: string[];
  since: string | null;
  until: string | null;
  groups: Group[];
  total: Sums;
  previous?: Sums; // with compare=previous: the period of the same length before
  forecast?: { month: string; cost_nano_usd: number; so_far_nano_usd: number }; // with forecast=true
  count: number;
  next_offset: number | null;
}

// GET /latency?by=model|route|hour|none&since=&until=&key=&model=&route=
export interface Latency {
  by: string;
  groups: {
    value: string; // "" without by
    requests: number;
    first_ms: { p50: number; p95: number; p99: number } | null;
    total_ms: { p50: number; p95: number; p99: number } | null;
  }[];
}

// GET /requests?since=&until=&before=&limit=&key=&model=&route=&operation=&status=
//   (a number or 4xx)&cause=&user=&tag=&session=&cache=&finish=&upstream=&answered=
//   &min_ms=&min_cost=(nano)&id=(start of an id)&unpriced=true&unmetered=true
//   A filter whose value starts with ! excludes. format=csv|jsonl.
export interface RequestPage {
  requests: RequestRow[]; // newest first, without trail, usage and content
  next_before: string | null; // null: no older ones in the window; as before=
  scanned_to: string | null; // set where the scan was bounded before the window's end
}
// A row as `forward usage export` writes it. A holder's rows have no slot, and
// upstream is "".
export interface RequestRow {
  id: string;
  time: string;
  key: string;
  key_name: string;
  user: string;
  tags: string[] | null;
  session: string;
  route: string;
  upstream: string;
  slot: string;
  operation: string;
  model: string;
  alias?: string;
  answered: string;
  status: number;
  cause: string;
  finish_reason: string;
  service_tier: string;
  stream: boolean;
  cache: string;
  attempts: number;
  queue_ms: number;
  upstream_ms: number;
  first_token_ms: number;
  total_ms: number;
  input_tokens: number;
  cached_read_tokens: number;
  cached_write_tokens: number;
  cached_write_hour_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  audio_tokens: number;
  audio_output_tokens: number;
  estimated: boolean;
  unmetered: boolean;
  cost_nano_usd: number | null;
  cost_usd: number | null;
  reported_nano_usd: number | null;
  price: string;
  saved_nano_usd: number;
  list_nano_usd: number | null;
  bytes_in: number;
  bytes_out: number;
  usage?: unknown;
  trail?: Step[];
}
export interface Step {
  at: number; // nanoseconds since the request started
  name: string;
  text: string;
}
// GET /requests/histogram (same filters, buckets=N ≤ 200)
export interface Histogram {
  since: string;
  until: string;
  seconds: number; // width of a bucket
  buckets: { time: string; requests: number; errors: number; cost_nano_usd: number }[];
}
// GET /requests/{id}
export interface RequestDetail {
  request: RequestRow; // with usage and trail
  open: boolean; // still under way: tokens and cost are what is reserved
  cost_lines: { name: string; quantity: number; unit: string; rate_nano_usd_per_million: number | null; cost_nano_usd: number }[]; // empty where it is unknown
  content: "available" | "off" | "meta" | "no_chat_log" | "disabled" | "not_found" | "expired";
  // Of a refused request: which limit, whose, and when it goes again.
  refusal: null | {
    code: string;
    message: string; // as the client read it
    limit: string; // request_limit, rpm, tpm, queue, budget, parallel, ip, model, upstream …
    scope: string; // "key alice", "tag team=search", "route /openai", "model gpt-4o"
    detail: string; // "60 requests in 60 s"
    retry_at: string | null;
  };
}
// GET /requests/{id}/content
export interface RequestContent {
  request: unknown; // the body as the chat log has it (JSON), or null
  response: unknown;
  messages: Message[]; // both as a conversation
  policy: "full" | "redacted";
  truncated: boolean;
}
export interface Message {
  role: string; // system, user, assistant, tool
  answer: boolean; // of the answer, not of the question
  parts: Part[];
}
export type Part =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_call"; id: string; name: string; arguments: string }
  | { type: "tool_result"; id: string; text: string; failed: boolean }
  | { type: "media"; media_type: string; bytes: number }
  | { type: "other"; json: unknown };

// GET /running -> {running: Running[], count, queues: QueueState[]}; at most 1,000, the oldest first
export interface Running {
  id: string;
  started: string;
  key: string;
  key_name: string;
  user: string;
  route: string;
  operation: string;
  model: string;
  stream: boolean;
  phase: "start" | "queue" | "upstream" | "waiting" | "streaming";
  phase_since: string;
  tokens: number; // of the answer so far, counted roughly from its bytes
  bytes: number;
}
export interface QueueState {
  model: string;
  route: string;
  waiting: number;
  longest_ms: number;
}
// DELETE /running/{id} -> 204
// GET /live: server-sent events
//   event: open   data: Running
//   event: phase  data: {id, phase, phase_since, tokens, bytes}
//   event: done   data: RequestRow (no trail)
//   event: queue  data: {queues: QueueState[]} (each second while it changes)
//   event: dropped data: {count}: events were lost (0: not known how many). Forget what is
//     running; all that is follows as open. Also sent after a lost connection whose events are gone.
//   `id:` is a number; a comment each 15 s.

// GET /keys -> {keys: KeyView[], count, next_offset}
export interface KeyView {
  id: string;
  name: string;
  state: "active" | "disabled" | "expired" | "revoked";
  origin: "managed" | "settings";
  level: number;
  expires: string | null;
  grace: string | null;
  created: string | null;
  updated: string | null;
  masked: string; // fk-…1234, or "" where nothing of the secret is known
  version: number; // for If-Match; 0 for keys of the settings
  last_used: string | null; // the hour
  pending: boolean; // its secret waits for a hand-over link to be opened
  policy: Policy;
  fields: Record<string, string>; // the texts that POST and PATCH take, those of `forward keys add`
}
// GET /keys?details=true has budgets and used in each key.
export interface KeyDetail extends KeyView {
  budgets: BudgetView[];
  used: { day: Sums; month: Sums };
}
export interface Policy {
  models?: string[];
  routes?: string[];
  ips?: string[];
  rpm?: number;
  tpm?: number;
  parallel?: number;
  budgets?: string[];
  log?: string;
  tags?: string[];
  priority?: number;
  [name: string]: unknown;
}
export interface BudgetView {
  tag: string;
  budget: string; // 20usd/month
  unit: "usd" | "tokens";
  limit: number;
  spent: number;
  held: number;
  left: number;
  reset: string | null;
}
// GET /keys/fields -> {fields: {name, usage}[]}: every setting of a key
// POST /keys  {fields: {name, models, budget, …}, secret?: "now" | "later"}
//   -> 201 NewKey, Location; Idempotency-Key
export interface NewKey {
  key: KeyDetail;
  secret: string | null; // once
  handover: Handover | null; // with secret: "later"
}
export interface Handover {
  path: string; // "#/handover/<code>": to be appended to the dashboard's address
  until: string;
}
// PATCH /keys/{key}  If-Match: "<version>"  {fields?: {…, null removes}, disabled?: boolean} -> KeyDetail, ETag; 412
// POST /keys/{key}/rotate {grace?: "24h"} -> NewKey   (a holder: own key, KEY_ROTATE_OWN)
// POST /keys/{key}/handover {} -> Handover
// POST /handover {code} -> {secret, name, id}; 410
// DELETE /keys/{key} -> 204
// POST /keys/whois {secret} -> {key: KeyView, replaced: boolean}
// POST /keys/bulk {ids: [], disabled?: true, expires?: text} -> {changed: n, failed: {id, message}[]}
// GET /keys/{key}/budget-history?limit=20usd/month&since=90d
//   When would this limit have stopped the key?
export interface BudgetHistory {
  budget: string;
  unit: "usd" | "tokens";
  periods: { start: string; end: string; spent: number; limit: number; stopped: string | null }[]; // stopped: the quarter of an hour
}
// GET /me -> as today, plus:
export interface Me {
  id: string;
  name: string;
  level: number;
  expires: string | null;
  limits: { models: string[]; routes: string[]; rpm: number; tpm: number; parallel: number };
  budgets: BudgetView[];
  used: { day: Sums; month: Sums };
  base_url: string; // at which the caller reached the gateway
  may_rotate: boolean;
}

// GET /models -> {models: Model[]}
export interface Model {
  id: string;
  routes: string[];
  price: { input: number | null; output: number | null; cached: number | null; source: string; date: string } | null; // nano-dollars a million tokens
  context: number | null;
  max_output: number | null;
  aliases: string[];
  fallbacks: string[]; // administrator only
  rpm: number; // of the queue; 0: none
  tpm: number;
  last_used: string | null;
}
// GET /upstreams -> {upstreams: Upstream[], errors since 24 h}
export interface Upstream {
  route: string; // its prefix
  name: string;
  dialect: string;
  access: "keys" | "open" | "client";
  bases: { url: string; state: "closed" | "open" | "half-open" | ""; since: string | null }[]; // without credentials
  api_keys: { number: number /* from 0, as slot of a request */; state: "ready" | "resting" | "rejected"; until: string | null; reason: "" | "rate_limit" | "no_credit" | "refused" }[];
  queues: QueueState[];
  errors: { cause: string; status: number; requests: number }[]; // status: of an answer without a cause
  requests: number; // of the last 24 h
  error_count: number;
}
// POST /upstreams/{route}/check {} -> {results: {url, ok, ms, error}[]}; {route} is the name, 429 within 10 s
// POST /upstreams/{route}/keys/{n}/wake {} -> 204

// GET /cache
export interface CacheStats {
  backend: string;
  entries: number; // -1: not known
  bytes: number; // -1: not known
  max_bytes: number;
  hits: number; // since the start
  misses: number;
  disabled: string; // why nothing is written; "": it is
  saved_nano_usd: number; // last 30 d
  by_route: { route: string; requests: number; hits: number; saved_nano_usd: number }[];
  by_model: { model: string; requests: number; hits: number; saved_nano_usd: number }[];
}
// GET /cache/entries?route=&model=&scope=&before=&after=<next>&limit= -> {entries: CacheEntry[], next: string | null}
export interface CacheEntry {
  key: string;
  route: string;
  model: string;
  scope: string;
  stored: string;
  expires: string | null;
  bytes: number;
  status: number;
  stream: boolean;
}
// GET /cache/entries/{key} -> {entry: CacheEntry, content: "available" | "redacted" | "meta" | "off" | "disabled", request: unknown, response: unknown, truncated}
// DELETE /cache/entries/{key} -> 204
// DELETE /cache/entries?route=…|all=true&dry_run=true -> {entries, bytes}

// GET /settings -> {settings: Setting[]}
export interface Setting {
  name: string;
  value: string; // secrets masked
  source: "default" | "forward.yaml" | ".env" | "environment" | "flag";
  where: string; // file:line, or empty
  restart: boolean; // a change needs a restart
  fixed: boolean; // it is set above all files, so that no file changes it
  pending: boolean; // it is written otherwise by now, and waits for a restart
}
// GET /settings/export -> text/yaml, masked secrets left out with a comment
// POST /settings/check {yaml} -> {ok, problems: {line: number | null, setting, message}[], changes: {name, before, after, restart}[], warnings: string[]}
// POST /reload {} -> {changed: string[], restart: string[], warnings: string[]}
// GET /prices/{model}?provider= -> {model, prices: {price, why}[]}; 404 no_price
// POST /usage/reprice {since, until?, model?, dry_run?: true} -> {dry_run, rows, priced, before_nano_usd, after_nano_usd, unpriced_before, unpriced_after, models: {upstream, model, requests, changed, before_nano_usd, after_nano_usd, …}[]}
// GET /warnings -> {warnings: Warning[]}
export interface Warning {
  time: string;
  key: string;
  key_name: string;
  tag?: string;
  percent: number;
  budget: string;
  unit: string;
  spent: number;
  limit: number;
  reset?: string;
}
// POST /alerts/test {} -> {sent, status, error}
// GET /audit?before=&limit=&action=&actor= -> {entries: AuditEntry[], next_before: number | null}; format=csv
export interface AuditEntry {
  id: number;
  time: string;
  actor: string; // administrator, a key's name, "command line"
  role: Role | "command" | "";
  address: string;
  action: string; // key.create, key.update, key.rotate, key.revoke, key.handover, session.start, session.refused, session.end, content.read, cache.purge, settings.reload, request.stop, play …
  object: string;
  before: unknown; // null where nothing is changed
  after: unknown;
  session: string;
}
// GET /recipes -> {recipes: {id, name, kind, text}[]}: the recipes of docs/clients.md with this gateway's address and the text fk-… in place of a key
// POST /play/<path of the gateway>  X-Forward-Play-Key: <key id> (administrator): the real pipeline
