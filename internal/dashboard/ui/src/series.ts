// Sums of the ledger over time, as the series of a chart.
import type { Group, Sums } from "./api/types";
import type { Range } from "./components/range";
import { daysOf } from "./components/range";
import type { Series } from "./components/chart";
import * as format from "./format";
import { t } from "./i18n";

export type Measure = "cost" | "requests" | "tokens" | "errors" | "saved" | "input" | "output";
export const measures: Measure[] = ["cost", "requests", "tokens", "errors", "saved", "input", "output"];

/** The number of a measure in sums. */
export function measured(s: Sums, measure: Measure): number {
  switch (measure) {
    case "cost": return s.cost_nano_usd;
    case "requests": return s.requests;
    case "errors": return s.errors;
    case "saved": return s.saved_nano_usd;
    case "input": return inputOf(s);
    case "output": return s.output_tokens;
    case "tokens": return inputOf(s) + s.output_tokens;
  }
}

/** All input, with what the provider's cache read and wrote. */
export function inputOf(s: Sums): number {
  return s.input_tokens + s.cached_read_tokens + s.cached_write_tokens + s.cached_write_hour_tokens;
}

export function formatMeasure(measure: Measure): (n: number) => string {
  return measure === "cost" || measure === "saved" ? format.moneyCompact : format.compact;
}

/** Hours for up to two days, else days. */
export function stepOf(range: Range): "hour" | "day" {
  return range.name === "1h" || daysOf(range) <= 2 ? "hour" : "day";
}

/** The values of a time dimension in a range, without gaps. */
export function timesOf(range: Range, step: "hour" | "day", groups: Group[]): string[] {
  const seen = [...new Set(groups.map((g) => String(g[step])))].sort();
  if (step === "day") {
    const days: string[] = [];
    for (let day = range.from; day <= range.to && days.length < 400; day = format.addDays(day, 1)) days.push(day);
    return days;
  }
  if (seen.length === 0) return [];
  // The offset of the zone stands in each hour; a range within one offset has
  // all hours up to now, others those that are there.
  const zone = seen[0]!.slice(19);
  if (seen.some((s) => s.slice(19) !== zone)) return seen;
  const from = range.name === "1h" ? seen[0]! : `${range.from}T00:00:00${zone}`;
  const last = range.until ? Date.parse(`${range.until}T00:00:00${zone}`) - 1 : Date.now();
  const hours: string[] = [];
  const shift = zone === "Z" ? 0 : (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6))) * 60_000;
  for (let at = Date.parse(from); at <= last && hours.length < 400; at += 3_600_000) hours.push(new Date(at + shift).toISOString().slice(0, 19) + zone);
  return hours;
}

export function labelOf(time: string, step: "hour" | "day" | "month", days = 1): string {
  if (step === "month") return format.month(time + "-01");
  if (step === "day") return format.day(time);
  return days > 1 ? `${format.day(time)} ${format.hour(time)}` : format.hour(time);
}

/** The name of a group's value of a dimension. */
export function nameOf(group: Group, by: string): string {
  const value = String(group[by] ?? "");
  if (isOther(value)) return t.common.other;
  if (by === "key" && group.key_name) return String(group.key_name);
  return value || t.common.none;
}

/** The rest beyond the top values. */
export function isOther(value: string): boolean {
  return value === "(other)";
}

/** The largest values of a dimension over time, stacked: eight and the rest. */
export function stack(times: string[], step: string, by: string, groups: Group[], measure: Measure, most = 8): Series[] {
  const at = new Map(times.map((time, i) => [time, i]));
  const sums = new Map<string, { name: string; total: number; values: number[] }>();
  for (const g of groups) {
    const value = String(g[by] ?? "");
    const i = at.get(String(g[step]));
    if (i === undefined) continue;
    let s = sums.get(value);
    if (!s) sums.set(value, (s = { name: nameOf(g, by), total: 0, values: times.map(() => 0) }));
    const n = measured(g, measure);
    s.total += n;
    s.values[i] = (s.values[i] ?? 0) + n;
  }
  const all = [...sums].filter(([, s]) => s.total > 0).sort(([, a], [, b]) => b.total - a.total);
  const top = all.filter(([value]) => !isOther(value)).slice(0, most);
  const rest = all.filter(([value]) => isOther(value) || !top.some(([v]) => v === value));
  const series: Series[] = top.map(([, s]) => ({ name: s.name, values: s.values }));
  if (rest.length > 0) {
    series.push({ name: t.common.other, color: 9, values: times.map((_, i) => rest.reduce((sum, [, s]) => sum + (s.values[i] ?? 0), 0)) });
  }
  return series;
}
