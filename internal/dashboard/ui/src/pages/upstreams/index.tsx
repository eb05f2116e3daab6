// Upstreams by route, and the models behind them.
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { post } from "../../api/client";
import { useAction, useApi } from "../../api/use";
import type { Latency, Model, Upstream } from "../../api/types";
import { href, place, setQuery } from "../../router";
import { session } from "../../session";
import { Icon } from "../../components/icon";
import { Empty, Failure, Loaded, Notice } from "../../components/states";
import { Tabs } from "../../components/tabs";
import { Ago, Badge, Duration, Name, Time, type Tone } from "../../components/values";
import { ModelsTable } from "./models";
import "../../styles/parts.css";
import "./upstreams.css";

interface UpstreamList {
  upstreams: Upstream[];
}

export default function UpstreamsPage() {
  const tab = place.value.query.get("tab") === "models" ? "models" : "upstreams";
  return (
    <>
      <div class="page-head"><h1>{t.upstreams.title}</h1></div>
      <Tabs label={t.upstreams.title} value={tab} onChange={(v) => setQuery({ tab: v === "models" ? v : null }, true)}
        tabs={[{ value: "upstreams", text: t.upstreams.tabUpstreams }, { value: "models", text: t.upstreams.tabModels }]}>
        {tab === "models" ? <Models /> : <Routes />}
      </Tabs>
    </>
  );
}

function Models() {
  const models = useApi<{ models: Model[] }>("/models");
  return <section class="card"><Loaded answer={models}>{(m) => <ModelsTable models={m.models} all />}</Loaded></section>;
}

function Routes() {
  const answer = useApi<UpstreamList>("/upstreams", {}, 10_000);
  const latency = useApi<Latency>(session.value!.features.ledger ? "/latency" : null, { by: "route", since: "24h" });
  return (
    <Loaded answer={answer}>
      {({ upstreams }) => upstreams.length === 0 ? <Empty icon="upstreams" title={t.upstreams.none} /> : (
        <div class="upstream-list">
          {upstreams.map((u) => <Route key={u.route} of={u} latency={latency.data?.groups.find((g) => g.value === u.name) ?? null} reload={answer.reload} />)}
        </div>
      )}
    </Loaded>
  );
}

const breakerTone: Record<string, Tone> = { closed: "good", open: "bad", "half-open": "warn", "": "" };
const slotTone: Record<string, Tone> = { ready: "good", resting: "warn", rejected: "bad" };

interface Checked {
  results: { url: string; ok: boolean; ms: number; error: string }[];
}

function Route({ of: u, latency, reload }: { of: Upstream; latency: Latency["groups"][number] | null; reload: () => void }) {
  const at = "/upstreams/" + encodeURIComponent(u.name);
  const [checked, setChecked] = useState<Checked | null>(null);
  const check = useAction(() => post<Checked>(at + "/check", {}));
  const run = async () => {
    setChecked(null);
    const answer = await check.run();
    if (answer) setChecked(answer);
  };
  const waiting = check.failure?.status === 429;
  return (
    <section class="card upstream" data-route={u.route}>
      <header>
        <h2><Name mono>{u.route}</Name></h2>
        <Badge><Name>{u.name}</Name></Badge>
        {u.dialect && u.dialect !== u.name && <Badge>{u.dialect}</Badge>}
        <button type="button" class="button small" disabled={check.busy} title={t.upstreams.checkHelp} onClick={run}>{check.busy ? t.upstreams.checking : t.upstreams.check}</button>
      </header>
      <div class="body grid tight">
        {waiting ? <Notice tone="warn">{t.upstreams.checkWait}</Notice> : <Failure failure={check.failure} />}
        <Bases of={u} checked={checked} />
        <Slots of={u} at={at} reload={reload} />
        {u.queues.length > 0 && (
          <div>
            <h3>{t.upstreams.queues}</h3>
            <ul class="plain-list small-text">
              {u.queues.map((q) => <li key={q.model}><Name>{q.model}</Name>: {t.upstreams.waiting(q.waiting, format.duration(q.longest_ms))}</li>)}
            </ul>
          </div>
        )}
        {session.value!.features.ledger && <Day of={u} latency={latency} />}
      </div>
    </section>
  );
}

function Bases({ of: u, checked }: { of: Upstream; checked: Checked | null }) {
  return (
    <div>
      <h3>{t.upstreams.base}</h3>
      <ul class="bases">
        {u.bases.map((b) => {
          const result = checked?.results.find((r) => r.url === b.url);
          return (
            <li key={b.url}>
              <Badge tone={breakerTone[b.state] ?? ""} dot>{t.upstreams.breaker[b.state] ?? b.state}</Badge>
              <span class="mono small-text" title={t.upstreams.breakerHelp[b.state]}><bdi dir="auto">{b.url}</bdi></span>
              {b.since && <span class="muted small-text"><Ago at={b.since} /></span>}
              {result && (
                <span class={`small-text ${result.ok ? "good" : "bad"}`} role="status">
                  <Icon name={result.ok ? "check" : "warning"} /> {result.ok ? t.upstreams.checkOk(Math.round(result.ms)) : <bdi dir="auto" lang="en">{result.error}</bdi>}
                </span>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function Slots({ of: u, at, reload }: { of: Upstream; at: string; reload: () => void }) {
  const wake = useAction(async (n: number) => {
    await post(`${at}/keys/${n}/wake`, {});
    return true;
  });
  return (
    <div>
      <h3>{t.upstreams.apiKeys}</h3>
      {u.api_keys.length === 0 ? <p class="muted small-text">{u.access === "keys" ? t.upstreams.noKeys : t.upstreams.access[u.access] ?? u.access}</p> : (
        <ul class="slots">
          {u.api_keys.map((k) => (
            <li key={k.number} data-slot={k.number}>
              <Badge tone={slotTone[k.state] ?? ""} dot>{t.upstreams.apiKey(k.number)}: {t.upstreams.slot[k.state] ?? k.state}</Badge>
              {k.until && <span class="muted small-text"><Time at={k.until} /></span>}
              {k.reason && <span class="muted small-text"><bdi dir="auto" lang="en">{k.reason}</bdi></span>}
              {k.state !== "ready" && (
                <button type="button" class="button small" disabled={wake.busy} title={t.upstreams.wakeAll} onClick={async () => { if (await wake.run(k.number)) reload(); }}>{t.upstreams.wake}</button>
              )}
            </li>
          ))}
        </ul>
      )}
      <Failure failure={wake.failure} />
    </div>
  );
}

function Day({ of: u, latency }: { of: Upstream; latency: Latency["groups"][number] | null }) {
  const link = (more: Record<string, string> = {}) => href("/requests", { route: u.name, range: "today", ...more });
  const rows = [[t.upstreams.firstToken, latency?.first_ms ?? null], [t.upstreams.total, latency?.total_ms ?? null]] as const;
  return (
    <div>
      <h3>{t.upstreams.day}</h3>
      <p class="row small-text">
        <a href={link()}>{t.upstreams.requests(format.integer(u.requests))}</a>
        {u.error_count > 0 ? <a class="bad" href={link({ status: "!2xx" })}>{t.upstreams.errors(format.integer(u.error_count))}</a> : <span class="muted">{t.upstreams.noErrors}</span>}
        {u.errors.map((e) => <a key={e.cause + e.status} href={link(e.cause ? { cause: e.cause } : { status: String(e.status) })}><Badge tone="warn">{e.cause || e.status}: {format.integer(e.requests)}</Badge></a>)}
      </p>
      {rows.some(([, p]) => p !== null) ? (
        <table class="table percentiles">
          <thead><tr><th scope="col"><span class="hidden">{t.upstreams.day}</span></th><th scope="col" class="num">{t.upstreams.p50}</th><th scope="col" class="num">{t.upstreams.p95}</th><th scope="col" class="num">{t.upstreams.p99}</th></tr></thead>
          <tbody>
            {rows.map(([name, p]) => (
              <tr key={name}><th scope="row">{name}</th>{(["p50", "p95", "p99"] as const).map((q) => <td key={q} class="num"><Duration ms={p?.[q]} /></td>)}</tr>
            ))}
          </tbody>
        </table>
      ) : <p class="muted small-text">{t.upstreams.noLatency}</p>}
    </div>
  );
}
