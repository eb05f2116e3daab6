// The list of all keys.
import { useEffect, useMemo, useState } from "preact/hooks";
import { t } from "../../i18n";
import * as format from "../../format";
import { href, go, place, setQuery } from "../../router";
import { session } from "../../session";
import type { KeyDetail } from "../../api/types";
import { Bar } from "../../components/bar";
import { Select } from "../../components/field";
import { Icon } from "../../components/icon";
import { Empty, Failure, Notice, Skeleton } from "../../components/states";
import { interactive, VirtualRows } from "../../components/table";
import { Ago, LastHour, Money, Name } from "../../components/values";
import { BudgetButton } from "../../components/budget-button";
import { Bulk } from "./bulk";
import { useKeys } from "./data";
import { StateBadge } from "./state";
import { filtered, fullest, type KeySort, sorted, tagsOf } from "./filter";
import "../../styles/parts.css";
import "./keys.css";

const rowHeight = 56;

const columns: { id: KeySort | ""; text: () => string; num?: boolean; class: string }[] = [
  { id: "name", text: () => t.keys.name, class: "k-name" },
  { id: "state", text: () => t.keys.filterState, class: "k-state" },
  { id: "", text: () => t.keys.models, class: "k-models" },
  { id: "", text: () => t.keys.rates, num: true, class: "k-rates" },
  { id: "budget", text: () => t.keys.budget, class: "k-budget" },
  { id: "today", text: () => t.keys.today, num: true, class: "k-today" },
  { id: "month", text: () => t.keys.month, num: true, class: "k-month" },
  { id: "used", text: () => t.keys.lastUsed, class: "k-used" },
  { id: "expires", text: () => t.keys.expires, class: "k-expires" },
  { id: "", text: () => t.keys.tags, class: "k-tags" },
];

export default function KeysPage() {
  const { keys, failure, reload } = useKeys();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const query = place.value.query;
  const filter = { text: query.get("q") ?? "", state: query.get("state") ?? "current", tag: query.get("tag") ?? "", origin: query.get("origin") ?? "" };
  const order = query.get("sort") ?? "name";
  const down = order.startsWith("-");
  const by = order.replace(/^-/, "") as KeySort;
  const tags = useMemo(() => tagsOf(keys ?? []), [keys]);
  const shown = useMemo(
    () => sorted(filtered(keys ?? [], filter), by, down),
    [keys, filter.text, filter.state, filter.tag, filter.origin, by, down],
  );
  const sort = (id: KeySort, num?: boolean) => setQuery({ sort: num ? (order === "-" + id ? id : "-" + id) : order === id ? "-" + id : id });
  const features = session.value!.features;
  const some = (keys?.length ?? 0) > 0;
  useShortcut("n", features.managed_keys);
  return (
    <>
      <div class="page-head">
        <h1>{t.keys.title}</h1>
        {some && <span class="sub">{t.keys.count(shown.length, keys!.length)}</span>}
        {features.managed_keys && <a class="button primary" href={href("/keys/new")} aria-keyshortcuts="n" title={t.keys.newKeyHint}><Icon name="plus" />{t.keys.newKey}</a>}
      </div>
      {!features.managed_keys && <Notice>{t.keys.managedOff}</Notice>}
      {!features.ledger && <Notice>{t.keys.ledgerOff}</Notice>}
      <Failure failure={failure} retry={reload} />
      {some && <KeyFilters tags={tags} filter={filter} />}
      {keys === null && !failure && <Skeleton lines={8} />}
      {keys !== null && !some && (
        <Empty icon="keys" title={t.keys.empty}>
          {features.managed_keys && <a class="button primary" href={href("/keys/new")}>{t.keys.newKey}</a>}
        </Empty>
      )}
      {some && shown.length === 0 && (
        <Empty icon="filter" title={t.keys.noneFound}>
          <button type="button" class="button" onClick={() => setQuery({ q: null, state: "all", tag: null, origin: null })}>{t.keys.clearFilter}</button>
        </Empty>
      )}
      {shown.length > 0 && (
        <div class="card keys-table" role="table" aria-label={t.keys.title} aria-rowcount={shown.length + 1}>
          <div class="keys-row keys-head" role="row">
            <span role="columnheader" class="k-select">
              <input type="checkbox" aria-label={t.keys.selectAll} checked={shown.every((k) => chosen.has(k.id))}
                onChange={(e) => setChosen(new Set(e.currentTarget.checked ? shown.map((k) => k.id) : []))} />
            </span>
            {columns.map((c) => (
              <span key={c.class} role="columnheader" class={c.class + (c.num ? " num" : "")} aria-sort={c.id === by ? (down ? "descending" : "ascending") : undefined}>
                {c.id === "" ? c.text() : (
                  <button type="button" onClick={() => sort(c.id as KeySort, c.num)}>{c.text()}{c.id === by && <Icon name={down ? "down" : "up"} />}</button>
                )}
              </span>
            ))}
          </div>
          <VirtualRows rows={shown} height={rowHeight} rowKey={(k) => k.id} label={t.keys.title}>
            {(k) => <Row of={k} chosen={chosen.has(k.id)} reload={reload}
              choose={(on) => setChosen((old) => changed(old, k.id, on))} />}
          </VirtualRows>
        </div>
      )}
      {chosen.size > 0 && keys !== null && <Bulk keys={keys.filter((k) => chosen.has(k.id))} clear={() => setChosen(new Set())} reload={reload} />}
    </>
  );
}

// useShortcut opens the form of a new key at a key that is pressed outside a
// field and a dialog.
function useShortcut(name: string, on: boolean) {
  useEffect(() => {
    if (!on) return;
    const open = (e: KeyboardEvent) => {
      if (e.key !== name || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return;
      if ((e.target as Element).closest("input, textarea, select") || document.querySelector("dialog[open]")) return;
      e.preventDefault();
      go("/keys/new");
    };
    addEventListener("keydown", open);
    return () => removeEventListener("keydown", open);
  }, [on]);
}

function changed(set: ReadonlySet<string>, id: string, on: boolean): ReadonlySet<string> {
  const next = new Set(set);
  if (on) next.add(id);
  else next.delete(id);
  return next;
}

function KeyFilters({ tags, filter }: { tags: string[]; filter: { text: string; state: string; tag: string; origin: string } }) {
  const states = ["current", "active", "disabled", "expired", "revoked"];
  return (
    <div class="row keys-filters">
      <input type="search" data-search class="grow" aria-label={t.keys.search} placeholder={t.keys.search} value={filter.text}
        onInput={(e) => setQuery({ q: e.currentTarget.value })} />
      <Select label={t.keys.filterState} value={filter.state}
        options={[...states.map((s) => ({ value: s, text: s === "current" ? t.keys.current : t.keys.state[s] ?? s })), { value: "all", text: t.keys.any }]}
        onChange={(state) => setQuery({ state: state === "current" ? null : state })} />
      {tags.length > 0 && (
        <Select label={t.keys.filterTag} value={filter.tag} options={[{ value: "", text: t.keys.anyTag }, ...tags.map((tag) => ({ value: tag, text: tag }))]}
          onChange={(tag) => setQuery({ tag })} />
      )}
      <Select label={t.keys.filterOrigin} value={filter.origin}
        options={[{ value: "", text: t.keys.anyOrigin }, ...["managed", "settings"].map((o) => ({ value: o, text: t.keys.origin[o] ?? o }))]}
        onChange={(origin) => setQuery({ origin })} />
    </div>
  );
}

function Row({ of: k, chosen, choose, reload }: { of: KeyDetail; chosen: boolean; choose: (on: boolean) => void; reload: () => void }) {
  const at = "/keys/" + encodeURIComponent(k.id);
  const models = k.policy.models ?? [];
  const tags = k.policy.tags ?? [];
  const b = fullest(k);
  const soon = k.expires !== null && k.state === "active" && Date.parse(k.expires) - Date.now() < 7 * 86_400_000;
  return (
    <div class={`keys-row${k.state === "active" ? "" : " off"}`} role="row" data-row={k.id} tabIndex={0} aria-selected={chosen}
      onClick={(e) => interactive(e.target) || go(at)} onKeyDown={(e) => e.key === "Enter" && e.target === e.currentTarget && go(at)}>
      <span role="cell" class="k-select"><input type="checkbox" aria-label={t.keys.selectOne(k.name)} checked={chosen} onChange={(e) => choose(e.currentTarget.checked)} /></span>
      <span role="cell" class="k-name">
        <a href={href(at)} class="cut" title={k.name}><Name>{k.name}</Name></a>
        <span class="muted small-text cut">
          <span class="mono">{k.masked || k.id}</span>
          {k.origin === "settings" && <span title={t.keys.fromSettingsHelp}> · {t.keys.fromSettings}</span>}
          {k.pending && <span class="warn" title={t.keys.pendingHelp}> · {t.keys.pending}</span>}
        </span>
      </span>
      <span role="cell" class="k-state"><StateBadge state={k.state} /></span>
      <span role="cell" class="k-models cut" title={models.join(", ")}>
        {models.length === 0 ? <span class="muted">{k.level > 0 ? t.keys.allOfLevel(k.level) : t.keys.allModels}</span> : <Name>{models.join(", ")}</Name>}
      </span>
      <span role="cell" class="k-rates num muted">{k.policy.rpm ? format.compact(k.policy.rpm) : "–"} / {k.policy.tpm ? format.compact(k.policy.tpm) : "–"}</span>
      <span role="cell" class="k-budget">
        {b === null ? (
          k.origin === "managed" ? <BudgetButton id={k.id} name={k.name} onSaved={reload} quiet>{t.keys.noBudget}</BudgetButton> : <span class="muted">{t.keys.noBudget}</span>
        ) : (
          <BudgetButton id={k.id} name={k.name} onSaved={reload} quiet>
            <span class="budget-cell">
              <span class="small-text tabular cut">{b.unit === "usd" ? format.moneyShort(b.spent) : format.budgetAmount(b.spent, b.unit)} / {format.budgetAmount(b.limit, b.unit)}{b.reset && <span class="muted"> · {format.day(b.reset)}</span>}{k.budgets.length > 1 && <span class="muted"> {t.keys.more(k.budgets.length - 1)}</span>}</span>
              <Bar part={b.spent} held={b.held} whole={b.limit} label={t.keys.bar(format.budgetAmount(b.spent, b.unit), format.budgetAmount(b.limit, b.unit))} />
            </span>
          </BudgetButton>
        )}
      </span>
      <span role="cell" class="k-today num"><Spent of={k} range="today" nano={k.used?.day.cost_nano_usd ?? 0} /></span>
      <span role="cell" class="k-month num"><Spent of={k} range="month" nano={k.used?.month.cost_nano_usd ?? 0} /></span>
      <span role="cell" class="k-used muted"><LastHour at={k.last_used} /></span>
      <span role="cell" class={`k-expires ${soon ? "warn" : "muted"}`}>{k.expires ? <Ago at={k.expires} /> : t.keys.never}</span>
      <span role="cell" class="k-tags cut" title={tags.join(", ")}>
        {tags.slice(0, 1).map((tag) => <button key={tag} type="button" class="pick small" onClick={() => setQuery({ tag }, true)}><bdi dir="auto">{tag}</bdi></button>)}
        {tags.length > 1 && <span class="muted small-text">{t.keys.more(tags.length - 1)}</span>}
      </span>
    </div>
  );
}

function Spent({ of: k, range, nano }: { of: KeyDetail; range: string; nano: number }) {
  if (!session.value!.features.ledger) return <span class="muted">–</span>;
  return <a href={href("/requests", { key: k.id, range })}><Money nano={nano} short /></a>;
}
