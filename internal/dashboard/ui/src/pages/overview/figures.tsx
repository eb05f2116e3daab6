// The six figures: what they are now, the change to the period before, and how
// they went.
import type { ComponentChildren } from "preact";
import type { Latency, Sums, Usage } from "../../api/types";
import { Spark } from "../../components/bar";
import { Icon } from "../../components/icon";
import { rangeQuery, type Range } from "../../components/range";
import * as format from "../../format";
import { t } from "../../i18n";
import { href, type Query } from "../../router";
import { inputOf, measured, timesOf } from "../../series";

interface Props {
  range: Range;
  step: "hour" | "day";
  usage: Usage;
  latency: Latency | null;
  trend: Latency | null;
}

export function Figures({ range, step, usage, latency, trend }: Props) {
  const { total, previous, groups } = usage;
  const times = timesOf(range, step, groups);
  const at = new Map(groups.map((g) => [String(g[step]), g]));
  const line = (value: (s: Sums) => number) => times.map((time) => (at.has(time) ? value(at.get(time)!) : 0));
  const first = latency?.groups[0]?.first_ms ?? null;
  const input = inputOf(total);
  const requests = (query: Query = {}) => href("/requests", { ...rangeQuery(range), ...query });
  const text = t.overview;
  return (
    <div class="headlines">
      <Figure label={text.spend} value={format.moneyShort(total.cost_nano_usd)} now={total.cost_nano_usd} before={previous?.cost_nano_usd} show={format.money}
        note={total.requests > 0 && text.perRequest(format.money(total.cost_nano_usd / total.requests))} values={line((s) => s.cost_nano_usd)} href={href("/usage", rangeQuery(range))} />
      <Figure label={text.requests} value={format.compact(total.requests)} now={total.requests} before={previous?.requests} show={format.compact}
        note={total.estimated > 0 && text.estimated(format.percent(total.estimated / total.requests))} values={line((s) => s.requests)} href={requests()} />
      <Figure label={text.tokens} value={format.compact(measured(total, "tokens"))} now={measured(total, "tokens")} before={previous && measured(previous, "tokens")} show={format.compact}
        note={text.tokensOf(format.compact(input), format.compact(total.output_tokens))} title={input > 0 ? text.cached(format.percent(total.cached_read_tokens / input)) : undefined}
        values={line((s) => measured(s, "tokens"))} href={href("/usage", { ...rangeQuery(range), show: "tokens" })} />
      <Figure label={text.saved} value={format.moneyShort(total.saved_nano_usd)} now={total.saved_nano_usd} before={previous?.saved_nano_usd} show={format.money} rise="good" tone="good"
        note={text.savedBy}
        values={line((s) => s.saved_nano_usd)} href={requests({ cache: "hit" })} />
      <Figure label={text.errors} value={format.compact(total.errors)} now={total.errors} before={previous?.errors} show={format.compact} rise="bad" tone={total.errors ? "bad" : ""}
        note={total.requests > 0 && text.errorShare(format.percent(total.errors / total.requests))} values={line((s) => s.errors)} href={requests({ status: "!2xx" })} />
      <Figure label={text.firstToken} value={first ? format.duration(first.p50) : "–"} note={first ? text.p95(format.duration(first.p95)) : text.noLatency}
        values={trend?.by === "hour" ? trend.groups.filter((g) => g.first_ms).map((g) => g.first_ms!.p50) : []} href={href("/upstreams")} />
    </div>
  );
}

function Figure({ label, value, now, before, show, note, title, values, href, rise = "", tone = "" }: {
  label: string;
  value: string;
  now?: number;
  before?: number; // of the period before
  show?: (n: number) => string;
  note?: ComponentChildren;
  title?: string;
  values: number[];
  href: string;
  rise?: "" | "good" | "bad"; // what a rise is
  tone?: "" | "good" | "bad"; // of the line
}) {
  return (
    <a class="headline card" href={href} title={title}>
      <span class="label">
        {label}
        {now !== undefined && before !== undefined && <Change now={now} before={before} show={show!} rise={rise} />}
      </span>
      <span class="value">{value}</span>
      <span class="note">{note || null}</span>
      <Spark values={values} label={t.overview.trend(label)} tone={tone} />
    </a>
  );
}

function Change({ now, before, show, rise }: { now: number; before: number; show: (n: number) => string; rise: "" | "good" | "bad" }) {
  if (now === before) return null;
  const title = `${t.overview.change}: ${t.overview.before(show(before))}`;
  if (before === 0) return <span class="change" title={title}>{t.overview.isNew}</span>;
  const share = (now - before) / before;
  const fall = rise === "bad" ? "good" : rise === "good" ? "bad" : "";
  return (
    <span class={`change ${share > 0 ? rise : fall}`} title={title}>
      <Icon name={share > 0 ? "up" : "down"} />
      {Math.abs(share) > 9.99 ? "×" + format.integer(now / before) : format.percent(Math.abs(share), 0)}
    </span>
  );
}
