// The parts below the figures: notices, top keys, upstreams, a holder's budgets.
import { useEffect, useState } from "preact/hooks";
import { get } from "../../api/client";
import { useApi } from "../../api/use";
import type { BudgetView, Group, KeyDetail, Me, Sums, Upstream, Usage, Warning } from "../../api/types";
import { Budget } from "../../components/bar";
import { BudgetButton } from "../../components/budget-button";
import { rangeQuery, type Range } from "../../components/range";
import { Empty, Loaded, Notice } from "../../components/states";
import { CSV, Table, type Column } from "../../components/table";
import { Badge, Count, Money, Name } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { href } from "../../router";
import { isOther, measured, nameOf } from "../../series";
import { isAdministrator } from "../../session";

export function Notices({ total, range }: { total: Sums; range: Range }) {
  const warnings = useApi<{ warnings: Warning[] }>(isAdministrator() ? "/warnings" : null);
  const see = (query: Record<string, string | boolean>) => <a class="button small" href={href("/requests", { ...rangeQuery(range), ...query })}>{t.overview.see}</a>;
  const list = current(warnings.data?.warnings ?? []);
  if (total.unpriced + total.unmetered + list.length === 0) return null;
  return (
    <div class="notices">
      {list.slice(0, 2).map((w) => (
        <Notice key={w.key + w.budget} tone={w.percent >= 100 ? "bad" : "warn"} action={<a class="button small" href={href("/keys/" + encodeURIComponent(w.key))}>{t.overview.editBudget}</a>}>
          {t.overview.warning(w.tag || w.key_name, w.percent, w.budget)}
        </Notice>
      ))}
      {list.length > 2 && <Notice tone="warn">{t.overview.moreWarnings(list.length - 2)}</Notice>}
      {total.unpriced > 0 && <Notice tone="warn" action={see({ unpriced: true })}>{t.overview.unpriced(format.integer(total.unpriced))}</Notice>}
      {total.unmetered > 0 && <Notice tone="warn" action={see({ unmetered: true })}>{t.overview.unmetered(format.integer(total.unmetered))}</Notice>}
    </div>
  );
}

// current keeps the highest warning of each budget whose period still runs.
function current(warnings: Warning[]): Warning[] {
  const highest = new Map<string, Warning>();
  for (const w of warnings) {
    if (w.reset && Date.parse(w.reset) < Date.now()) continue;
    const id = `${w.tag ?? w.key} ${w.budget}`;
    const known = highest.get(id);
    if (!known || w.percent > known.percent) highest.set(id, w);
  }
  return [...highest.values()].sort((a, b) => b.percent - a.percent);
}

function columns(by: "key" | "model", range: Range): Column<Group>[] {
  const requests = (g: Group) => (isOther(String(g[by])) ? undefined : href("/requests", { ...rangeQuery(range), [by]: String(g[by]) }));
  return [
    { id: by, head: t.common.dimensions[by], value: (g) => nameOf(g, by), cell: (g) => (by === "key" && g.key && !isOther(String(g.key)) ? <a href={href("/keys/" + encodeURIComponent(String(g.key)))}><Name>{nameOf(g, by)}</Name></a> : <Name>{nameOf(g, by)}</Name>) },
    { id: "cost", head: t.common.sums.cost, num: true, value: (g) => g.cost_nano_usd / 1e9, cell: (g) => <Money nano={g.cost_nano_usd} /> },
    { id: "requests", head: t.common.sums.requests, num: true, minor: by === "key", value: (g) => g.requests, cell: (g) => <a href={requests(g)}><Count n={g.requests} /></a> },
    { id: "tokens", head: t.common.sums.tokens, num: true, minor: true, value: (g) => measured(g, "tokens"), cell: (g) => <Count n={measured(g, "tokens")} /> },
  ];
}

function top(usage: Usage): Group[] {
  return usage.groups.slice().sort((a, b) => b.cost_nano_usd - a.cost_nano_usd || b.requests - a.requests).slice(0, 8);
}

export function TopKeys({ range }: { range: Range }) {
  const usage = useApi<Usage>("/usage", { since: range.since, until: range.until, by: "key", limit: 1000 });
  const groups = usage.data ? top(usage.data) : [];
  const [saved, setSaved] = useState(0); // how often a budget was changed here
  const budgets = useBudgets(groups.map((g) => String(g.key)), saved);
  const list: Column<Group>[] = [
    ...columns("key", range),
    {
      id: "budget", head: t.common.budget,
      cell: (g) => {
        const known = budgets.get(String(g.key));
        if (!known) return null;
        const tight = tightest(known.budgets);
        const shown = tight ? <Budget budget={tight} compact /> : <span class="muted">{t.overview.noBudget}</span>;
        return known.origin === "managed" ? <BudgetButton id={known.id} name={known.name} onSaved={() => setSaved((n) => n + 1)} quiet>{shown}</BudgetButton> : shown;
      },
    },
  ];
  return (
    <section class="card overview-keys">
      <header>
        <h2>{t.overview.topKeys}</h2>
        {groups.length > 0 && <CSV path="/usage" query={{ since: range.since, until: range.until, by: "key" }} />}
        <a class="button small" href={href("/keys")}>{t.overview.allKeys}</a>
      </header>
      <Loaded answer={usage}>{() => <Table label={t.overview.topKeys} columns={list} rows={groups} rowKey={(g) => String(g.key)} empty={<Empty icon="keys" title={t.overview.empty} />} />}</Loaded>
    </section>
  );
}

// The keys of a few rows, with their budgets. A key that is gone has none.
function useBudgets(ids: string[], saved: number): Map<string, KeyDetail> {
  const [budgets, setBudgets] = useState(new Map<string, KeyDetail>());
  const text = ids.join(" ");
  useEffect(() => {
    const abort = new AbortController();
    const wanted = ids.filter((id) => id && !isOther(id));
    Promise.all(wanted.map((id) => get<KeyDetail>("/keys/" + encodeURIComponent(id), {}, { signal: abort.signal }).then((k) => [id, k] as const, () => null)))
      .then((list) => abort.signal.aborted || setBudgets(new Map(list.filter((pair) => pair !== null))));
    return () => abort.abort();
  }, [text, saved]);
  return budgets;
}

function tightest(budgets: BudgetView[]): BudgetView | undefined {
  return budgets.slice().sort((a, b) => b.spent / b.limit - a.spent / a.limit)[0];
}

export function TopModels({ range }: { range: Range }) {
  const usage = useApi<Usage>("/usage", { since: range.since, until: range.until, by: "model", limit: 1000 });
  return (
    <section class="card">
      <header>
        <h2>{t.overview.topModels}</h2>
        <CSV path="/usage" query={{ since: range.since, until: range.until, by: "model" }} />
      </header>
      <Loaded answer={usage}>
        {(data) => <Table label={t.overview.topModels} columns={columns("model", range)} rows={top(data)} rowKey={(g) => String(g.model)} empty={<Empty icon="usage" title={t.overview.empty} />} />}
      </Loaded>
    </section>
  );
}

export function Budgets() {
  const answer = useApi<Me>("/me");
  return (
    <section class="card">
      <header><h2>{t.overview.budgets}</h2></header>
      <div class="body grid">
        <Loaded answer={answer}>{(mine) => (mine.budgets.length === 0 ? <p class="muted">{t.overview.noBudgets}</p> : mine.budgets.map((b) => <Budget key={b.tag + b.budget} budget={b} />))}</Loaded>
      </div>
    </section>
  );
}

export function Upstreams() {
  const answer = useApi<{ upstreams: Upstream[] }>("/upstreams", {}, 30_000);
  return (
    <section class="card">
      <header>
        <h2>{t.overview.upstreams}</h2>
        <a class="button small" href={href("/upstreams")}>{t.overview.allUpstreams}</a>
      </header>
      <Loaded answer={answer}>
        {(data) => (
          <ul class="upstream-strip">
            {data.upstreams.map((u) => (
              <li key={u.route + u.name}>
                <a class="name" href={href("/requests", { route: u.name, range: "today" })}><Name>{u.name}</Name></a>
                <span class="grow muted small-text num">{t.overview.day24(format.compact(u.requests), format.compact(u.error_count))}</span>
                <States upstream={u} />
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </section>
  );
}

function States({ upstream: u }: { upstream: Upstream }) {
  const text = t.overview.state;
  const resting = u.api_keys.filter((k) => k.state === "resting").length;
  const rejected = u.api_keys.filter((k) => k.state === "rejected").length;
  const waiting = u.queues.reduce((n, q) => n + q.waiting, 0);
  const open = u.bases.some((b) => b.state === "open");
  const half = u.bases.some((b) => b.state === "half-open");
  return (
    <>
      {open && <Badge tone="bad" dot>{text.open}</Badge>}
      {half && <Badge tone="warn" dot>{text.half}</Badge>}
      {rejected > 0 && <Badge tone="bad" dot>{text.rejected(rejected)}</Badge>}
      {resting > 0 && <Badge tone="warn" dot>{text.resting(resting)}</Badge>}
      {waiting > 0 && <Badge tone="accent" dot>{text.waiting(waiting, format.duration(Math.max(...u.queues.map((q) => q.longest_ms))))}</Badge>}
      {!open && !half && !rejected && !resting && !waiting && <Badge tone="good" dot>{text.ok}</Badge>}
    </>
  );
}
