// The overview: what was spent, on what, and whether anything needs a look.
import { useMemo } from "preact/hooks";
import { useApi } from "../../api/use";
import type { Latency, Usage } from "../../api/types";
import { Chart } from "../../components/chart";
import { Select } from "../../components/field";
import { RangePicker, rangeOf, rangeQuery, daysOf, type Range } from "../../components/range";
import { Empty, Failure, LedgerOff, Skeleton } from "../../components/states";
import { Segments } from "../../components/tabs";
import { t } from "../../i18n";
import { href, place, setQuery } from "../../router";
import { formatMeasure, labelOf, stack, stepOf, timesOf, type Measure } from "../../series";
import { isAdministrator, me } from "../../session";
import { Figures } from "./figures";
import { Budgets, Notices, TopKeys, TopModels, Upstreams } from "./parts";
import "./overview.css";

export default function Overview() {
  if (!me().features.ledger) return <LedgerOff page={t.overview.title} />;
  return <Page range={rangeOf(place.value.query)} />;
}

function Page({ range }: { range: Range }) {
  const step = stepOf(range);
  const period = { since: range.since, until: range.until };
  const usage = useApi<Usage>("/usage", { ...period, by: step, compare: "previous", limit: 1000 }, 60_000);
  const latency = useApi<Latency>("/latency", { ...period, by: "none" }, 60_000);
  const trend = useApi<Latency>("/latency", { ...period, by: "hour" });
  const administrator = isAdministrator();
  const total = usage.data?.total;
  return (
    <>
      <header class="page-head">
        <h1>{t.overview.title}</h1>
        <RangePicker range={range} />
      </header>
      <Failure failure={usage.failure} retry={usage.reload} />
      {total && <Notices total={total} range={range} />}
      {!usage.data ? !usage.failure && <Skeleton lines={8} /> : total!.requests === 0 && usage.data.previous?.requests === 0 ? (
        <section class="card">
          <Empty icon="usage" title={t.overview.empty}>
            <p>{t.overview.emptyHint}</p>
            <p><a class="button" href={href(administrator ? "/keys" : "/connect")}>{t.overview.emptyConnect}</a></p>
          </Empty>
        </section>
      ) : (
        <Figures range={range} step={step} usage={usage.data} latency={latency.data} trend={trend.data} />
      )}
      {total && total.requests > 0 && <Spend range={range} />}
      <div class="halves">
        {administrator ? <TopKeys range={range} /> : <Budgets />}
        {administrator ? <Upstreams /> : <TopModels range={range} />}
      </div>
    </>
  );
}

const choices = ["model", "key", "route", "tag"] as const;

function Spend({ range }: { range: Range }) {
  const query = place.value.query;
  const by = choices.find((c) => c === query.get("by") && (c !== "key" || isAdministrator())) ?? "model";
  const measure: Measure = (["cost", "requests", "tokens"] as const).find((m) => m === query.get("show")) ?? "cost";
  const step = stepOf(range);
  const usage = useApi<Usage>("/usage", { since: range.since, until: range.until, by: `${step},${by}`, limit: 1000 });
  const groups = usage.data && usage.data.by[1] === by ? usage.data.groups : null;
  const drawn = useMemo(() => {
    if (!groups) return null;
    const times = timesOf(range, step, groups);
    return { times, labels: times.map((time) => labelOf(time, step, daysOf(range))), series: stack(times, step, by, groups, measure) };
  }, [groups, measure, by, step, range.since, range.until]);
  const title = t.overview.chart[measure as "cost" | "requests" | "tokens"];
  const pick = (i: number) => {
    const day = drawn!.times[i]!.slice(0, 10);
    location.hash = href("/requests", { range: "custom", since: day, until: day });
  };
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        <Segments label={t.overview.measure} value={measure as string} onChange={(m) => setQuery({ show: m === "cost" ? null : m })}
          options={[{ value: "cost", text: t.common.sums.cost }, { value: "requests", text: t.common.sums.requests }, { value: "tokens", text: t.common.sums.tokens }]} />
        <Select label={t.overview.by} value={by} onChange={(b) => setQuery({ by: b === "model" ? null : b })}
          options={choices.filter((c) => c !== "key" || isAdministrator()).map((value) => ({ value, text: t.common.dimensions[value] }))} />
        <a class="button small" href={href("/usage", { ...rangeQuery(range), rows: by })}>{t.shell.usage}</a>
      </header>
      <div class="body">
        <Failure failure={usage.failure} retry={usage.reload} />
        {drawn ? <Chart label={title} labels={drawn.labels} series={drawn.series} format={formatMeasure(measure)} onPick={pick} /> : !usage.failure && <Skeleton />}
      </div>
    </section>
  );
}
