// The controls above the rows: filters to add, columns, views, export.
import { useEffect, useId, useState } from "preact/hooks";
import { apiURL } from "../../api/client";
import { filterNames, type FilterName } from "../../components/filters";
import { Icon } from "../../components/icon";
import { Check, Select } from "../../components/field";
import { t } from "../../i18n";
import { go, place, setQuery, type Query } from "../../router";
import { columns, shownColumns } from "./columns";
import { addView, readViews, viewQuery, type View } from "./views.ts";

const flags: readonly FilterName[] = ["unpriced", "unmetered"];

/** AddFilter adds one of the filters by its name and a text. */
export function AddFilter({ names = filterNames }: { names?: readonly FilterName[] }) {
  const [name, setName] = useState<FilterName>("model");
  const [value, setValue] = useState("");
  const [without, setWithout] = useState(false);
  const id = useId();
  const texts = t.requests;
  const flag = flags.includes(name);
  const excludes = !flag && !["min_ms", "min_cost", "id"].includes(name);
  const add = (e: Event) => {
    e.preventDefault();
    const text = flag ? "true" : value.trim();
    if (!text) return;
    // The address has money as the API has it, in nano-dollars.
    const kept = name === "min_cost" ? String(Math.round(Number(text) * 1e9) || "") : text;
    setQuery({ [name]: (without && excludes ? "!" : "") + kept }, true);
    setValue("");
    document.getElementById(id)?.hidePopover();
  };
  return (
    <>
      <button type="button" class="button small" popovertarget={id}><Icon name="plus" />{texts.addFilter}</button>
      <div id={id} popover="auto" class="menu">
        <form class="grid" onSubmit={add}>
          <Select label={texts.filterField} visible value={name} onChange={setName} options={names.map((n) => ({ value: n, text: t.common.filters[n] }))} />
          {!flag && (
            <input aria-label={texts.filterValue} placeholder={name === "min_cost" ? "0.05 USD" : name === "status" ? "4xx" : texts.filterValue} value={value}
              inputMode={name.startsWith("min_") ? "decimal" : undefined} autocomplete="off" spellcheck={false} onInput={(e) => setValue(e.currentTarget.value)} />
          )}
          {excludes && <Check checked={without} onChange={setWithout}>{texts.without}</Check>}
          <button class="button primary small">{texts.filterAdd}</button>
        </form>
      </div>
    </>
  );
}

/** Presets are the questions that a page of requests is opened for. */
export function Presets() {
  const query = place.value.query;
  const texts = t.requests.presets;
  const presets: { text: string; title?: string; set: Record<string, string> }[] = [
    { text: texts.failed, set: { status: "!2xx" } },
    { text: texts.limited, set: { status: "429" } },
    { text: texts.slow, title: t.requests.slowHint, set: { min_ms: "10000" } },
    { text: texts.hits, set: { cache: "hit" } },
    { text: texts.unpriced, set: { unpriced: "true" } },
  ];
  return (
    <>
      {presets.map((p) => {
        const [[name, value]] = Object.entries(p.set) as [[string, string]];
        const on = query.get(name) === value;
        return (
          <button key={p.text} type="button" class="button small quiet" title={p.title} aria-pressed={on} onClick={() => setQuery({ [name]: on ? null : value }, true)}>
            {p.text}
          </button>
        );
      })}
    </>
  );
}

export function ColumnMenu() {
  const id = useId();
  const shown = shownColumns(place.value.query.get("cols")).map((c) => c.id);
  const set = (column: (typeof shown)[number], on: boolean) => {
    const next = columns.map((c) => c.id).filter((c) => (c === column ? on : shown.includes(c)));
    if (next.length === 0) return;
    localStorage.setItem("forward.requests.columns", next.join(","));
    setQuery({ cols: next.join(",") });
  };
  return (
    <>
      <button type="button" class="button small" popovertarget={id}><Icon name="columns" />{t.requests.columns}</button>
      <div id={id} popover="auto" class="menu">
        <div class="grid">
          {columns.map((c) => <Check key={c.id} checked={shown.includes(c.id)} onChange={(on) => set(c.id, on)}>{t.requests.cols[c.id]}</Check>)}
        </div>
      </div>
    </>
  );
}

export function ViewMenu() {
  const id = useId();
  const [views, setViews] = useState<View[]>(() => readViews(localStorage.getItem("forward.requests.views")));
  const [name, setName] = useState("");
  const texts = t.requests;
  const keep = (next: View[]) => {
    setViews(next);
    localStorage.setItem("forward.requests.views", JSON.stringify(next));
  };
  const save = (e: Event) => {
    e.preventDefault();
    if (name.trim() === "") return;
    keep(addView(views, { name: name.trim().slice(0, 60), query: viewQuery(place.value.query) }));
    setName("");
  };
  return (
    <>
      <button type="button" class="button small" popovertarget={id}><Icon name="requests" />{texts.views}</button>
      <div id={id} popover="auto" class="menu">
        <div class="grid">
          {views.length === 0 && <p class="muted small-text">{texts.noViews}</p>}
          {views.map((v) => (
            <div key={v.name} class="row">
              <button type="button" class="button quiet small grow start" onClick={() => {
                go("/requests", Object.fromEntries(new URLSearchParams(v.query)));
                document.getElementById(id)?.hidePopover();
              }}><bdi dir="auto">{v.name}</bdi></button>
              <button type="button" class="button quiet small icon" aria-label={texts.removeView(v.name)} onClick={() => keep(views.filter((other) => other !== v))}><Icon name="trash" /></button>
            </div>
          ))}
          <form class="row" onSubmit={save}>
            <input class="grow" aria-label={texts.viewName} placeholder={texts.viewName} value={name} maxLength={60} onInput={(e) => setName(e.currentTarget.value)} />
            <button class="button small">{texts.saveView}</button>
          </form>
        </div>
      </div>
    </>
  );
}

export function ExportMenu({ query }: { query: Query }) {
  const id = useId();
  return (
    <>
      <button type="button" class="button small" popovertarget={id}><Icon name="download" />{t.requests.exports}</button>
      <div id={id} popover="auto" class="menu">
        <div class="grid">
          {(["csv", "jsonl"] as const).map((form) => (
            <a key={form} class="button quiet small start" download href={apiURL("/requests", { ...query, format: form })}>
              {form === "csv" ? t.requests.asCSV : t.requests.asJSONL}
            </a>
          ))}
        </div>
      </div>
    </>
  );
}

/** The field that opens a request by its id, which a client reads in the header
 *  of a refusal. */
export function WhyField() {
  const [id, setID] = useState("");
  const field = useId();
  const texts = t.requests;
  // The key / on a page without a search leads here with search=true.
  useEffect(() => {
    if (!place.value.query.has("search")) return;
    document.getElementById(field)?.focus();
    setQuery({ search: null });
  }, [place.value.query]);
  const open = (e: Event) => {
    e.preventDefault();
    const wanted = id.trim();
    if (wanted) setQuery({ open: wanted }, true);
  };
  return (
    <form class="row why" onSubmit={open}>
      <label for={field} class="small-text">{texts.why}</label>
      <input id={field} data-search value={id} placeholder={texts.whyPlaceholder} title={texts.whyHint} autocomplete="off" spellcheck={false} maxLength={200}
        onInput={(e) => setID(e.currentTarget.value)} />
      <button class="button small">{texts.whyGo}</button>
    </form>
  );
}
