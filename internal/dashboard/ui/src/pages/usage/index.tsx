// Usage: a pivot of any two dimensions, with a chart over time.
import { useMemo, useState } from "preact/hooks";
import type { Usage } from "../../api/types";
import { useApi } from "../../api/use";
import { Chart } from "../../components/chart";
import { Select } from "../../components/field";
import { Filters, filtersOf, usageFilters } from "../../components/filters";
import { Icon } from "../../components/icon";
import { daysOf, RangePicker, rangeOf, type Range } from "../../components/range";
import { Empty, Failure, LedgerOff, Skeleton } from "../../components/states";
import { CSV } from "../../components/table";
import { Segments } from "../../components/tabs";
import * as format from "../../format";
import { t } from "../../i18n";
import { place, setQuery } from "../../router";
import { formatMeasure, inputOf, labelOf, measured, measures, stack, stepOf, timesOf, type Measure } from "../../series";
import { isAdministrator, me } from "../../session";
import { AddFilter } from "../requests/toolbar";
import { dimensions, isTime, type Dimension } from "./dimensions";
import { Pivot } from "./pivot";
import { Reprice } from "./reprice";
import "./usage.css";

/** The most rows and columns that a page asks for. */
const most = 1000;

export default function UsagePage() {
  return me().features.ledger ? <Page /> : <LedgerOff page={t.usage.title} />;
}

function Page() {
  const { query } = place.value;
  const range = rangeOf(query, "month");
  const [repricing, setRepricing] = useState(false);
  const may = dimensions(isAdministrator());
  const rows = may.find((d) => d === query.get("rows")) ?? "model";
  const cols = may.find((d) => d === query.get("cols") && d !== rows) ?? null;
  const measure: Measure = measures.find((m) => m === query.get("show")) ?? "cost";
  const filters = filtersOf(query, usageFilters);
  const asked = { ...filters, since: range.since, until: range.until };
  const by = cols ? `${rows},${cols}` : rows;
  const usage = useApi<Usage>("/usage", { ...asked, by, limit: most, forecast: true });
  const data = usage.data && usage.data.by.join() === by ? usage.data : null;
  const others = (not: Dimension | null) => may.filter((d) => d !== not);
  return (
    <>
      <header class="page-head">
        <h1>{t.usage.title}</h1>
        {isAdministrator() && <button type="button" class="button" onClick={() => setRepricing(true)}>{t.usage.reprice}</button>}
        <RangePicker range={range} />
      </header>
      <div class="pivot">
        <Select label={t.usage.rows} visible value={rows} options={may.map(option)} onChange={(d) => setQuery({ rows: d, cols: d === cols ? null : cols, sort: null })} />
        <button type="button" class="button small icon quiet" disabled={!cols} aria-label={t.usage.swap} title={t.usage.swap} onClick={() => setQuery({ rows: cols, cols: rows, sort: null })}><Icon name="refresh" /></button>
        <Select label={t.usage.columns} visible value={cols ?? ""} options={[{ value: "", text: t.usage.noColumns }, ...others(rows).map(option)]} onChange={(d) => setQuery({ cols: d, sort: null })} />
        <Select label={t.usage.measure} visible value={measure as string} options={measures.map((m) => ({ value: m as string, text: t.usage.measures[m] }))} onChange={(m) => setQuery({ show: m === "cost" ? null : m })} />
      </div>
      <Filters names={usageFilters} text={(name, value) => (name === "key" ? keyName(data, value) : undefined)}>
        <AddFilter names={usageFilters.filter((f) => isAdministrator() || !["key", "upstream"].includes(f))} />
      </Filters>
      <Failure failure={usage.failure} retry={usage.reload} />
      {data ? <Tiles usage={data} /> : !usage.failure && <Skeleton lines={2} />}
      {data && data.total.requests === 0 && <section class="card"><Empty icon="usage" title={t.usage.empty}>{t.usage.emptyHint}</Empty></section>}
      {data && data.total.requests > 0 && (
        <>
          <Over range={range} rows={rows} cols={cols} measure={measure} asked={asked} usage={data} />
          <section class="card usage-table">
            <header>
              <h2>{t.usage.over(t.usage.measures[measure], t.common.dimensions[rows]) + (cols ? " × " + t.common.dimensions[cols] : "")}</h2>
              <CSV path="/usage" query={{ ...asked, by }} />
            </header>
            <Pivot usage={data} rows={rows} cols={cols} measure={measure} range={range} filters={filters} />
            {data.next_offset !== null && <p class="muted small-text body">{t.usage.truncated(data.groups.length, data.count)}</p>}
          </section>
        </>
      )}
      {repricing && <Reprice range={range} model={filters.model} onClose={() => setRepricing(false)} />}
    </>
  );
}

const option = (d: Dimension) => ({ value: d as string, text: t.common.dimensions[d] });

function keyName(usage: Usage | null, key: string): string | undefined {
  const group = usage?.groups.find((g) => g.key === key);
  return group?.key_name ? String(group.key_name) : undefined;
}

function Tiles({ usage }: { usage: Usage }) {
  const { total, forecast } = usage;
  const share = (n: number) => (total.requests > 0 ? format.percent(n / total.requests) : "");
  const input = inputOf(total);
  const tiles: { label: string; value: string; note?: string; title?: string }[] = [
    { label: t.usage.total, value: format.money(total.cost_nano_usd), note: t.usage.requests(format.integer(total.requests)) },
    { label: t.common.sums.tokens, value: format.compact(input + total.output_tokens), note: input > 0 ? `${t.usage.cachedShare} ${format.percent(total.cached_read_tokens / input)}` : undefined },
    { label: t.usage.estimated, value: format.compact(total.estimated), note: share(total.estimated), title: t.usage.estimatedHint },
    { label: t.usage.unpriced, value: format.compact(total.unpriced), note: total.unpriced > 0 ? t.usage.unpricedHint : share(total.unpriced), title: t.usage.unpricedHint },
    { label: t.common.sums.saved, value: format.money(total.saved_nano_usd) },
  ];
  if (total.list_nano_usd > 0) tiles.push({ label: t.usage.list, value: format.money(total.list_nano_usd), title: t.usage.listHint });
  if (forecast) tiles.splice(1, 0, { label: t.usage.forecast(format.monthName(forecast.month + "-01")), value: format.money(forecast.cost_nano_usd), note: t.usage.soFar(format.money(forecast.so_far_nano_usd)) });
  return (
    <div class="usage-tiles">
      {tiles.map((tile) => (
        <div key={tile.label} class="tile card" title={tile.title}>
          <span class="label">{tile.label}</span>
          <span class="value">{tile.value}</span>
          <span class="note">{tile.note ?? " "}</span>
        </div>
      ))}
    </div>
  );
}

/** The chart over time: of the table's own answer where one of its dimensions is
 *  a time, else of a question of its own. */
function Over({ range, rows, cols, measure, asked, usage }: { range: Range; rows: Dimension; cols: Dimension | null; measure: Measure; asked: Record<string, string | undefined>; usage: Usage }) {
  const wanted = place.value.query.get("step");
  const step = wanted === "hour" || wanted === "day" ? wanted : stepOf(range);
  const dimension = isTime(rows) ? (cols && !isTime(cols) ? cols : null) : rows;
  const own = useApi<Usage>("/usage", { ...asked, by: dimension ? `${step},${dimension}` : step, limit: most });
  const hidden = place.value.query.get("chart") === "off";
  const groups = own.data && own.data.by[0] === step && (own.data.by[1] ?? null) === dimension ? own.data.groups : null;
  const drawn = useMemo(() => {
    if (!groups) return null;
    const times = timesOf(range, step, groups);
    const labels = times.map((time) => labelOf(time, step, daysOf(range)));
    if (dimension) return { labels, series: stack(times, step, dimension, groups, measure) };
    const at = new Map(groups.map((g) => [String(g[step]), g]));
    return { labels, series: [{ name: t.usage.measures[measure], values: times.map((time) => (at.has(time) ? measured(at.get(time)!, measure) : 0)) }] };
  }, [groups, measure, dimension, step, range.since, range.until, usage.by.join()]);
  const title = t.usage.over(t.usage.measures[measure], dimension ? t.common.dimensions[dimension] : t.common.dimensions[step]);
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        {!hidden && (
          <Segments label={t.usage.step.label} value={wanted === "hour" || wanted === "day" ? wanted : "auto"} onChange={(s) => setQuery({ step: s === "auto" ? null : s })}
            options={[{ value: "auto", text: t.usage.step.auto }, { value: "hour", text: t.usage.step.hour }, { value: "day", text: t.usage.step.day }]} />
        )}
        <button type="button" class="button small quiet" aria-expanded={!hidden} onClick={() => setQuery({ chart: hidden ? null : "off" })}><Icon name={hidden ? "right" : "down"} />{t.usage.chart}</button>
      </header>
      {!hidden && (
        <div class="body">
          <Failure failure={own.failure} retry={own.reload} />
          {drawn ? <Chart label={title} labels={drawn.labels} series={drawn.series} format={formatMeasure(measure)} /> : !own.failure && <Skeleton />}
        </div>
      )}
    </section>
  );
}
