// What a key did: its use, its last errors, and who changed it.
import { useEffect, useMemo } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { useApi } from "../../api/use";
import type { AuditEntry, Group, KeyDetail, RequestDetail, RequestPage, RequestRow, Usage } from "../../api/types";
import { href } from "../../router";
import { Chart } from "../../components/chart";
import { Loaded } from "../../components/states";
import { type Column, Table } from "../../components/table";
import { Badge, Count, Money, Name, Time } from "../../components/values";
import { differences, type Fields } from "./changes";
import { label } from "./editor";

/** The use of 30 days: a chart by day, and tables by model and user. */
export function KeyUse({ id }: { id: string }) {
  const since = format.addDays(format.today(), -29);
  const days = useApi<Usage>("/usage", { by: "day", key: id, since });
  const models = useApi<Usage>("/usage", { by: "model", key: id, since });
  const users = useApi<Usage>("/usage", { by: "user", key: id, since });
  const labels = useMemo(() => Array.from({ length: 30 }, (_, i) => format.addDays(since, i)), [since]);
  const values = useMemo(() => {
    const byDay = new Map((days.data?.groups ?? []).map((g) => [String(g.day), g.cost_nano_usd]));
    return [{ name: t.keys.page.cost, values: labels.map((d) => byDay.get(d) ?? 0) }];
  }, [days.data, labels]);
  const shown = useMemo(() => labels.map((day) => format.day(day)), [labels]);
  return (
    <>
      <section class="card">
        <header>
          <h2>{t.keys.page.usage}</h2>
          <a class="button small" href={href("/requests", { key: id, range: "month" })}>{t.keys.page.allRequests}</a>
        </header>
        <div class="body">
          <Loaded answer={days}>{() => <Chart label={t.keys.page.perDay} labels={shown} series={values} format={format.money} height={180} />}</Loaded>
        </div>
      </section>
      <div class="key-columns">
        <section class="card">
          <header><h2>{t.keys.page.modelsUsed}</h2></header>
          <div class="body"><Loaded answer={models}>{(u) => <Groups rows={u.groups} by="model" of={id} since={since} title={t.keys.page.modelsUsed} />}</Loaded></div>
        </section>
        <section class="card">
          <header><h2>{t.keys.page.users}</h2></header>
          <div class="body">
            <Loaded answer={users}>
              {(u) => u.groups.some((g) => g.user !== "")
                ? <Groups rows={u.groups} by="user" of={id} since={since} title={t.keys.page.users} />
                : <p class="muted">{t.keys.page.usersNone}</p>}
            </Loaded>
          </div>
        </section>
      </div>
    </>
  );
}

function Groups({ rows, by, of, since, title }: { rows: Group[]; by: "model" | "user"; of: string; since: string; title: string }) {
  const columns: Column<Group>[] = [
    { id: by, head: t.common.dimensions[by], value: (g) => String(g[by]), cell: (g) => <Name>{String(g[by]) || t.keys.page.unnamed}</Name> },
    { id: "requests", head: t.keys.page.requests, num: true, value: (g) => g.requests,
      cell: (g) => <a href={href("/requests", { key: of, [by]: String(g[by]), range: "custom", since, until: format.today() })}><Count n={g.requests} /></a> },
    { id: "errors", head: t.keys.page.errors, num: true, minor: true, value: (g) => g.errors, cell: (g) => <Count n={g.errors} /> },
    { id: "tokens", head: t.keys.page.tokens, num: true, minor: true, value: (g) => g.input_tokens + g.output_tokens, cell: (g) => <Count n={g.input_tokens + g.output_tokens} /> },
    { id: "cost", head: t.keys.page.cost, num: true, value: (g) => g.cost_nano_usd, cell: (g) => <Money nano={g.cost_nano_usd} /> },
  ];
  const sorted = useMemo(() => rows.slice().sort((a, b) => b.cost_nano_usd - a.cost_nano_usd).slice(0, 50), [rows]);
  return <Table columns={columns} rows={sorted} rowKey={(g) => String(g[by])} label={title} empty={<p class="muted">–</p>} />;
}

/** The last failed requests, with the sentence that their clients read. */
export function KeyErrors({ id }: { id: string }) {
  const answer = useApi<RequestPage>("/requests", { key: id, status: "!2xx", since: "7d", limit: 5 });
  return (
    <section class="card">
      <header>
        <h2>{t.keys.page.lastErrors}</h2>
        <a class="button small" href={href("/requests", { key: id, status: "!2xx", range: "7d" })}>{t.keys.page.allRequests}</a>
      </header>
      <div class="body">
        <Loaded answer={answer}>
          {(page) => page.requests.length === 0 ? <p class="muted">{t.keys.page.noErrors}</p> : (
            <ul class="plain-list errors-list">{page.requests.map((r) => <OneError key={r.id} of={r} />)}</ul>
          )}
        </Loaded>
      </div>
    </section>
  );
}

function OneError({ of: r }: { of: RequestRow }) {
  // The gateway has the sentence of a refusal in the request's own answer.
  const detail = useApi<RequestDetail>(r.status >= 400 && r.status < 500 ? "/requests/" + encodeURIComponent(r.id) : null);
  const refusal = detail.data?.refusal;
  return (
    <li>
      <div class="row">
        <a href={href("/requests", { open: r.id, range: "7d" })}><Time at={r.time} /></a>
        <Badge tone={r.status >= 500 ? "bad" : "warn"}>{r.status}</Badge>
        <span class="mono small-text">{r.cause}</span>
        <Name>{r.model}</Name>
      </div>
      {refusal && <p class="small-text"><bdi dir="auto" lang="en">{refusal.message}</bdi>{refusal.detail && <span class="muted"> · <bdi dir="auto">{refusal.scope}</bdi>, {refusal.detail}</span>}</p>}
    </li>
  );
}

/** The record of what was done to the key. */
export function KeyAudit({ of: k, turn }: { of: KeyDetail; turn: number }) {
  const answer = useApi<{ entries: AuditEntry[] }>("/audit", { object: k.id, limit: 20 });
  useEffect(() => {
    if (turn > 0) answer.reload();
  }, [turn, k.version]);
  return (
    <section class="card">
      <header><h2>{t.keys.page.audit}</h2></header>
      <div class="body">
        <Loaded answer={answer}>
          {({ entries }) => entries.length === 0 ? <p class="muted">{t.keys.page.auditNone}</p> : (
            <ul class="plain-list audit-list">{entries.map((e) => <OneChange key={e.id} of={e} />)}</ul>
          )}
        </Loaded>
      </div>
    </section>
  );
}

function OneChange({ of: e }: { of: AuditEntry }) {
  const list = differences(fieldsOf(e.before), fieldsOf(e.after), fieldsOf(e.after));
  return (
    <li>
      <div class="row">
        <Time at={e.time} />
        <b>{actionText(e.action)}</b>
        <span class="muted"><Name>{e.actor}</Name>{e.address && <> · <span class="mono">{e.address}</span></>}</span>
      </div>
      {e.before !== null && list.length > 0 && (
        <p class="small-text">{list.map((d, i) => <span key={d.name}>{i > 0 && " · "}{recordLabel(d.name)}: <del><bdi dir="auto">{recordText(d.name, d.opened)}</bdi></del> → <ins><bdi dir="auto">{recordText(d.name, d.theirs)}</bdi></ins></span>)}</p>
      )}
    </li>
  );
}

// actionText is the name of an action that the page of the audit has.
function actionText(action: string): string {
  return (t.audit as { actions?: Record<string, string> }).actions?.[action] ?? action;
}

// fieldsOf reads a record of the audit: the settings of the key, with its state
// and what is shown of its secret.
function fieldsOf(value: unknown): Fields {
  if (typeof value !== "object" || value === null) return {};
  const { fields: settings, state, masked, ...others } = value as Record<string, unknown>;
  const fields: Fields = {};
  const all = typeof settings === "object" && settings !== null ? { ...settings, state, masked } : { ...others, state, masked };
  for (const [name, v] of Object.entries(all)) {
    fields[name] = v === null || v === undefined ? "" : typeof v === "string" ? v : JSON.stringify(v);
  }
  return fields;
}

function recordLabel(name: string): string {
  return name === "state" ? t.keys.filterState : name === "masked" ? t.keys.key : label(name);
}

function recordText(name: string, text: string): string {
  return name === "state" ? t.keys.state[text] ?? text : text || "–";
}
