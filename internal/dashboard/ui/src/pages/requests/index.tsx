// The page Requests: a histogram, rows by keyset, and a sheet for one request.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Histogram as HistogramData, RequestRow } from "../../api/types";
import { useApi } from "../../api/use";
import { Filters, filtersOf } from "../../components/filters";
import { Icon } from "../../components/icon";
import { RangePicker, rangeOf } from "../../components/range";
import { Empty, Failure, LedgerOff, Skeleton } from "../../components/states";
import { interactive, VirtualRows } from "../../components/table";
import { Duration, Name, Time } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { go, href, place, setQuery } from "../../router";
import { me } from "../../session";
import { Cost, shownColumns, Status } from "./columns";
import { Histogram } from "./histogram";
import { RequestSheet } from "./sheet";
import { AddFilter, ColumnMenu, ExportMenu, Presets, ViewMenu, WhyField } from "./toolbar";
import { useRows, type RowList } from "./userows.ts";
import { readZoom } from "./views.ts";
import "./requests.css";

export default function Requests() {
  return me().features.ledger ? <Page /> : <LedgerOff page={t.requests.title} />;
}

function Page() {
  const { query } = place.value;
  const range = rangeOf(query);
  const zoom = readZoom(query.get("zoom"));
  const asked = { ...filtersOf(query), since: zoom?.since ?? range.since, until: zoom?.until ?? range.until };
  const list = useRows(asked);
  const histogram = useApi<HistogramData>("/requests/histogram", { ...asked, buckets: 120 });
  const open = query.get("open");
  const names = useRef(new Map<string, string>()); // of keys, as the rows have them
  for (const r of list.rows.slice(-200)) if (r.key_name) names.current.set(r.key, r.key_name);

  const reload = () => {
    list.reload();
    histogram.reload();
  };
  const step = useCallback((by: 1 | -1) => {
    const at = list.rows.findIndex((r) => r.id === open);
    const next = list.rows[at + by];
    if (at >= 0 && next) setQuery({ open: next.id });
    if (at + by > list.rows.length - 20) list.more();
  }, [list.rows, open, list.more]);
  const at = open === null ? -1 : list.rows.findIndex((r) => r.id === open);

  return (
    <>
      <header class="page-head">
        <h1>{t.requests.title}</h1>
        <WhyField />
      </header>
      <div class="row">
        <RangePicker range={range} />
        {zoom && (
          <span class="chip">
            {format.dateTime(zoom.since)} – {format.dateTime(zoom.until)}
            <button type="button" aria-label={t.common.removeFilter(t.requests.cols.time)} onClick={() => setQuery({ zoom: null }, true)}><Icon name="close" /></button>
          </span>
        )}
        <span class="grow" />
        <ViewMenu />
        <ColumnMenu />
        <ExportMenu query={asked} />
        <button type="button" class="button small icon" aria-label={t.requests.refresh} title={t.requests.refresh} onClick={reload}><Icon name="refresh" /></button>
      </div>
      <Filters text={(name, value) => (name === "key" ? names.current.get(value) : name === "min_cost" ? format.money(Number(value)) : undefined)}>
        <AddFilter />
        <Presets />
      </Filters>
      {histogram.data && histogram.data.buckets.length > 0 && (
        <div class="card"><Histogram data={histogram.data} onPick={(since, until) => setQuery({ zoom: `${since}_${until}` }, true)} /></div>
      )}
      <Failure failure={list.failure ?? histogram.failure} retry={reload} />
      <Rows list={list} open={open} />
      {open !== null && (
        <RequestSheet id={open} row={list.rows[at]} onClose={() => setQuery({ open: null })}
          onNewer={at > 0 ? () => step(-1) : undefined} onOlder={at >= 0 && at < list.rows.length - 1 ? () => step(1) : undefined} />
      )}
    </>
  );
}

const gap = 12; // between columns, as in requests.css

function Rows({ list, open }: { list: RowList; open: string | null }) {
  const shown = shownColumns(place.value.query.get("cols"));
  const narrow = useNarrow();
  const box = useRef<HTMLDivElement>(null);
  const needed = shown.reduce((n, c) => n + c.width + gap, 2 * gap);
  const scrolls = useNarrower(box, needed);
  if (!list.started) return list.failure ? null : <Skeleton lines={12} />;
  if (list.rows.length === 0) return <Nothing list={list} />;
  const template = shown.map((c) => (c.grow ? `minmax(${c.width}px, ${c.grow}fr)` : `${c.width}px`)).join(" ");
  const style = { "--columns": template, "--needed": `${needed}px` };
  return (
    <>
      <div ref={box} class={`card rows${narrow ? " narrow" : scrolls ? " scrolls" : ""}`} style={style} role="table" aria-label={t.requests.rowsOf} aria-rowcount={list.next === null ? list.rows.length + 1 : -1}>
        {!narrow && (
          <div role="rowgroup" class="rows-head">
            <div role="row" class="cells">
              {shown.map((c) => <span key={c.id} role="columnheader" class={c.num ? "num" : undefined}>{t.requests.cols[c.id]}</span>)}
            </div>
          </div>
        )}
        <VirtualRows rows={list.rows} height={narrow ? 62 : 36} rowKey={(r) => r.id} label={t.requests.rowsOf} onEnd={list.failure ? undefined : list.more}>
          {(r, i) => (
            <div role="row" aria-rowindex={i + 2} class={narrow ? "cells-narrow" : "cells"} data-row={r.id} tabIndex={0} aria-current={r.id === open ? "true" : undefined} aria-label={t.requests.openRequest(r.id)}
              onClick={(e) => interactive(e.target) || setQuery({ open: r.id }, true)} onKeyDown={(e) => e.key === "Enter" && e.target === e.currentTarget && setQuery({ open: r.id }, true)}>
              {narrow ? <NarrowRow row={r} /> : shown.map((c) => <span key={c.id} role="cell" class={c.num ? "num" : undefined}>{c.cell(r)}</span>)}
            </div>
          )}
        </VirtualRows>
      </div>
      <Foot list={list} />
    </>
  );
}

function NarrowRow({ row: r }: { row: RequestRow }) {
  return (
    <>
      <span role="cell"><Name>{r.model || r.operation}</Name></span>
      <span role="cell" class="num"><Status row={{ ...r, cause: "" }} /></span>
      <span role="cell" class="muted small-text"><Time at={r.time} /> · <Name>{r.key_name || r.key}</Name></span>
      <span role="cell" class="num small-text"><Cost row={r} /> · <Duration ms={r.total_ms} /></span>
    </>
  );
}

function Foot({ list }: { list: RowList }) {
  const texts = t.requests;
  let text = "";
  if (list.loading) text = texts.loadingMore;
  else if (list.next === null) text = list.rows.length >= 50_000 ? texts.tooMany : texts.end(format.integer(list.rows.length));
  return (
    <p class="row muted small-text" aria-live="polite">
      {text}
      {list.scanned && <>{texts.scanned(format.dateTime(list.scanned))} {list.next !== null && !list.loading && <button type="button" class="button small" onClick={list.more}>{texts.searchOn}</button>}</>}
    </p>
  );
}

function Nothing({ list }: { list: RowList }) {
  const texts = t.requests;
  const filtered = Object.keys(filtersOf(place.value.query)).length > 0;
  return (
    <div class="card">
      <Empty icon="requests" title={filtered ? texts.noneFiltered : texts.none}>
        <p>{filtered ? texts.noneFilteredHint : texts.noneHint}</p>
        {list.scanned && <p>{texts.scanned(format.dateTime(list.scanned))}</p>}
        {list.next !== null && <button type="button" class="button" onClick={list.more}>{texts.searchOn}</button>}
        {!filtered && <a class="button" href={href("/connect")}>{texts.connect}</a>}
      </Empty>
    </div>
  );
}

/** Leads #/requests/<id> to the list with the sheet of that request. */
export function OpenRequest({ id }: { id: string }) {
  useEffect(() => go("/requests", { open: id }), [id]);
  return null;
}

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(() => matchMedia("(max-width: 720px)").matches);
  useEffect(() => {
    const list = matchMedia("(max-width: 720px)");
    const update = () => setNarrow(list.matches);
    list.addEventListener("change", update);
    return () => list.removeEventListener("change", update);
  }, []);
  return narrow;
}

// useNarrower reports whether an element has less than a width. Only then does
// it scroll by itself, which ends the head's staying at the top of the page.
function useNarrower(ref: { current: HTMLElement | null }, width: number): boolean {
  const [narrower, setNarrower] = useState(false);
  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    const observer = new ResizeObserver(() => setNarrower(el.clientWidth < width));
    observer.observe(el);
    return () => observer.disconnect();
  });
  return narrower;
}
