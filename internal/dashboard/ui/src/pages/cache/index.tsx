// The cache: what it saves, what is in it, and how it is emptied.
import { useEffect, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { ApiFailure, del, get } from "../../api/client";
import { useAction, useApi } from "../../api/use";
import type { CacheEntry, CacheStats } from "../../api/types";
import { place, type Query, setQuery } from "../../router";
import { session } from "../../session";
import { Bar } from "../../components/bar";
import { Confirm, Sheet } from "../../components/dialog";
import { Empty, Failure, Loaded, Notice } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { Ago, Badge, Code, Count, Money, Name, Time } from "../../components/values";
import "../../styles/parts.css";
import "./cache.css";

interface EntryPage {
  entries: CacheEntry[];
  next: string | null;
}

export default function CachePage() {
  const on = session.value!.features.cache;
  const stats = useApi<CacheStats>(on ? "/cache" : null);
  const [removed, setRemoved] = useState(0); // reads the list again
  const again = () => {
    stats.reload();
    setRemoved((n) => n + 1);
  };
  return (
    <>
      <div class="page-head"><h1>{t.cache.title}</h1></div>
      {!on ? <Empty icon="cache" title={t.cache.off} /> : (
        <>
          <Loaded answer={stats}>{(s) => <Figures of={s} />}</Loaded>
          <Entries key={removed} stats={stats.data} onRemoved={again} />
        </>
      )}
    </>
  );
}

function Figures({ of: s }: { of: CacheStats }) {
  // Of 30 days where the ledger knows them, and since the start otherwise.
  const days = s.by_route.length > 0;
  const hits = days ? sum(s.by_route.map((r) => r.hits)) : s.hits;
  const asked = days ? sum(s.by_route.map((r) => r.requests)) : s.hits + s.misses;
  return (
    <>
      {s.disabled && <Notice tone="warn">{t.cache.disabled} <bdi dir="auto" lang="en">{s.disabled}</bdi></Notice>}
      <div class="cache-figures">
        <div class="card cache-figure">
          <span class="muted">{days ? t.cache.hitRate : t.cache.hitRateStart}</span>
          <b>{asked > 0 ? format.percent(hits / asked) : "–"}</b>
          <span class="muted small-text">{format.compact(hits)} / {format.compact(asked)} {t.cache.hitRateHelp}</span>
        </div>
        <div class="card cache-figure">
          <span class="muted">{t.cache.saved}</span>
          <b><Money nano={s.saved_nano_usd} /></b>
        </div>
        <div class="card cache-figure">
          <span class="muted">{t.cache.size}</span>
          <b>{s.bytes < 0 ? "–" : format.bytes(s.bytes)}</b>
          {s.max_bytes > 0 && s.bytes >= 0 ? (
            <><Bar part={s.bytes} whole={s.max_bytes} label={t.cache.of(format.bytes(s.bytes), format.bytes(s.max_bytes))} /><span class="muted small-text">{t.cache.of(format.bytes(s.bytes), format.bytes(s.max_bytes))}</span></>
          ) : <span class="muted small-text">{s.max_bytes > 0 ? format.bytes(s.max_bytes) : t.cache.noBound}</span>}
        </div>
        <div class="card cache-figure">
          <span class="muted">{t.cache.entries}</span>
          <b>{s.entries < 0 ? "–" : format.integer(s.entries)}</b>
          <span class="muted small-text">{t.cache.backend}: {s.backend}</span>
        </div>
      </div>
      <div class="cache-columns">
        <Rates title={t.cache.byRoute} head={t.cache.route} rows={s.by_route.map((r) => ({ name: r.route, ...r }))} />
        <Rates title={t.cache.byModel} head={t.cache.model} rows={s.by_model.map((r) => ({ name: r.model, ...r }))} />
      </div>
    </>
  );
}

const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);

interface Rate {
  name: string;
  requests: number;
  hits: number;
  saved_nano_usd: number;
}

function Rates({ title, head, rows }: { title: string; head: string; rows: Rate[] }) {
  const columns: Column<Rate>[] = [
    { id: "name", head, value: (r) => r.name, cell: (r) => <Name>{r.name}</Name> },
    { id: "requests", head: t.cache.requests, num: true, value: (r) => r.requests, cell: (r) => <Count n={r.requests} /> },
    { id: "hits", head: t.cache.hits, num: true, value: (r) => r.hits, cell: (r) => <Count n={r.hits} /> },
    { id: "rate", head: t.cache.rate, num: true, value: (r) => (r.requests ? r.hits / r.requests : 0), cell: (r) => format.percent(r.requests ? r.hits / r.requests : 0) },
    { id: "saved", head: t.cache.saved, num: true, minor: true, value: (r) => r.saved_nano_usd, cell: (r) => <Money nano={r.saved_nano_usd} /> },
  ];
  return (
    <section class="card">
      <header><h2>{title}</h2></header>
      <Table columns={columns} rows={rows} rowKey={(r) => r.name} label={title} empty={<p class="muted body">–</p>} />
    </section>
  );
}

const filters = ["route", "model", "scope", "before"] as const;

function Entries({ stats, onRemoved }: { stats: CacheStats | null; onRemoved: () => void }) {
  const query = place.value.query;
  const filter: Query = Object.fromEntries(filters.map((name) => [name, query.get(name) || undefined]));
  const first = useApi<EntryPage>("/cache/entries", { ...filter, limit: 100 });
  const [more, setMore] = useState<{ of: string; entries: CacheEntry[]; next: string | null }>({ of: "", entries: [], next: null });
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [purging, setPurging] = useState(false);
  const open = query.get("entry");
  const of = JSON.stringify(filter);
  const older = more.of === of ? more : { of, entries: [], next: first.data?.next ?? null };
  const rows = [...(first.data?.entries ?? []), ...older.entries];
  const load = async () => {
    try {
      const page = await get<EntryPage>("/cache/entries", { ...filter, after: older.next, limit: 100 });
      setMore({ of, entries: [...older.entries, ...page.entries], next: page.next });
    } catch (err) {
      if (!(err instanceof ApiFailure)) throw err;
      setFailure(err);
    }
  };
  return (
    <section class="card">
      <header>
        <h2>{t.cache.list}</h2>
        <button type="button" class="button danger small" onClick={() => setPurging(true)}>{t.cache.purge}</button>
      </header>
      <EntryFilters stats={stats} />
      <Failure failure={failure} />
      <Loaded answer={first}>
        {() => (
          <>
            <Table columns={entryColumns()} rows={rows} rowKey={(e) => e.key} label={t.cache.list} current={open ?? undefined}
              onOpen={(e) => setQuery({ entry: e.key }, true)} empty={<p class="muted body">{t.cache.none}</p>} />
            {older.next && <div class="row more"><button type="button" class="button small" onClick={load}>{t.cache.more}</button></div>}
          </>
        )}
      </Loaded>
      {open && <EntrySheet id={open} onClose={() => setQuery({ entry: null })} onRemoved={() => { setQuery({ entry: null }); onRemoved(); }} />}
      {purging && <Purge filter={filter} onClose={() => setPurging(false)} onDone={() => { setPurging(false); onRemoved(); }} />}
    </section>
  );
}

function EntryFilters({ stats }: { stats: CacheStats | null }) {
  const query = place.value.query;
  const value = (name: string) => query.get(name) ?? "";
  const names = (list: string[], now: string) => [...new Set([...list, ...(now ? [now] : [])])];
  const choice = (name: "route" | "model", all: string, list: string[]) => (
    <select aria-label={name === "route" ? t.cache.route : t.cache.model} value={value(name)} onChange={(e) => setQuery({ [name]: e.currentTarget.value })}>
      <option value="">{all}</option>
      {names(list, value(name)).map((n) => <option key={n} value={n}>{n}</option>)}
    </select>
  );
  return (
    <div class="row cache-filters">
      {choice("route", t.cache.anyRoute, (stats?.by_route ?? []).map((r) => r.route))}
      {choice("model", t.cache.anyModel, (stats?.by_model ?? []).map((r) => r.model))}
      <input aria-label={t.cache.scope} placeholder={t.cache.scope} value={value("scope")} onChange={(e) => setQuery({ scope: e.currentTarget.value.trim() })} />
      <label class="row small-text muted">{t.cache.older}
        <input type="date" value={value("before").slice(0, 10)} onChange={(e) => setQuery({ before: e.currentTarget.value })} />
      </label>
    </div>
  );
}

function entryColumns(): Column<CacheEntry>[] {
  return [
    { id: "key", head: t.cache.key, cell: (e) => <span class="mono">{e.key.slice(0, 12)}</span> },
    { id: "route", head: t.cache.route, cell: (e) => <Name mono>{e.route}</Name>, minor: true },
    { id: "model", head: t.cache.model, cell: (e) => <Name>{e.model}</Name> },
    { id: "scope", head: t.cache.scope, cell: (e) => <Name>{e.scope}</Name>, minor: true },
    { id: "stored", head: t.cache.stored, cell: (e) => <Time at={e.stored} /> },
    { id: "expires", head: t.cache.expires, cell: (e) => (e.expires ? <Ago at={e.expires} /> : "–"), minor: true },
    { id: "bytes", head: t.cache.bytes, num: true, cell: (e) => format.bytes(e.bytes) },
    { id: "status", head: t.cache.status, cell: (e) => <>{e.status} {e.stream && <Badge>{t.cache.stream}</Badge>}</>, minor: true },
  ];
}

interface Shown {
  entry: CacheEntry;
  request: unknown;
  response: unknown;
  truncated: boolean;
}

function EntrySheet({ id, onClose, onRemoved }: { id: string; onClose: () => void; onRemoved: () => void }) {
  const answer = useApi<Shown>("/cache/entries/" + encodeURIComponent(id));
  const remove = useAction(async () => {
    await del("/cache/entries/" + encodeURIComponent(id));
    return true;
  });
  const run = async () => {
    if (await remove.run()) onRemoved();
  };
  return (
    <Sheet title={t.cache.key} onClose={onClose}>
      <Failure failure={remove.failure} />
      {answer.failure?.status === 404 ? <Notice tone="warn">{t.cache.gone}</Notice> : (
        <Loaded answer={answer}>
          {(s) => (
            <div class="grid tight">
              <dl class="pairs wide">
                <dt>{t.cache.key}</dt><dd class="mono">{s.entry.key}</dd>
                <dt>{t.cache.route}</dt><dd><Name mono>{s.entry.route}</Name></dd>
                <dt>{t.cache.model}</dt><dd><Name>{s.entry.model}</Name></dd>
                <dt>{t.cache.scope}</dt><dd><Name>{s.entry.scope}</Name></dd>
                <dt>{t.cache.stored}</dt><dd><Time at={s.entry.stored} /></dd>
                <dt>{t.cache.expires}</dt><dd>{s.entry.expires ? <Time at={s.entry.expires} /> : "–"}</dd>
                <dt>{t.cache.bytes}</dt><dd>{format.bytes(s.entry.bytes)}</dd>
              </dl>
              <div><button type="button" class="button danger small" disabled={remove.busy} onClick={run}>{t.cache.remove}</button></div>
              {s.truncated && <Notice>{t.cache.truncated}</Notice>}
              <h3>{t.cache.request}</h3>
              <Code text={pretty(s.request)} label={t.cache.request} />
              <h3>{t.cache.response}</h3>
              <Code text={pretty(s.response)} label={t.cache.response} />
            </div>
          )}
        </Loaded>
      )}
    </Sheet>
  );
}

const most = 150_000; // characters that a page shows of a text

function pretty(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "";
  return text.length > most ? text.slice(0, most) + "\n…" : text;
}

// Purge counts first: the number stands on the button that removes.
function Purge({ filter, onClose, onDone }: { filter: Query; onClose: () => void; onDone: () => void }) {
  const all = Object.values(filter).every((v) => !v);
  const query: Query = all ? { all: true } : filter;
  const [count, setCount] = useState<{ entries: number; bytes: number } | null>(null);
  const dry = useAction(() => del<{ entries: number; bytes: number }>("/cache/entries", { ...query, dry_run: true }));
  const purge = useAction(() => del<{ entries: number; bytes: number }>("/cache/entries", query));
  useEffect(() => void dry.run().then((n) => n && setCount(n)), []);
  const nothing = count !== null && count.entries === 0;
  const run = async () => {
    if (nothing) return onClose();
    if (await purge.run()) onDone();
  };
  const n = format.integer(count?.entries ?? 0);
  return (
    <Confirm title={t.cache.purgeTitle} action={nothing ? t.common.close : count ? t.cache.purgeDo(n) : t.cache.counting} danger={!nothing} busy={count === null || purge.busy}
      failure={dry.failure ?? purge.failure} onConfirm={run} onClose={onClose}>
      <p>{t.cache.purgeHelp}</p>
      {all ? <Notice tone="warn">{t.cache.purgeAll}</Notice> : (
        <p class="row">{filters.filter((name) => filter[name]).map((name) => <Badge key={name}>{name === "before" ? t.cache.older : t.cache[name]}: <bdi dir="auto">{String(filter[name])}</bdi></Badge>)}</p>
      )}
      <p aria-live="polite"><b>{count === null ? t.cache.counting : nothing ? t.cache.purgeNothing : t.cache.purgeCount(n, format.bytes(count.bytes))}</b></p>
    </Confirm>
  );
}
