// What usage is grouped by, and the requests behind a cell.
import type { Group } from "../../api/types";
import { filterNames, type FilterName } from "../../components/filters";
import { rangeQuery, type Range } from "../../components/range";
import * as format from "../../format";
import { href } from "../../router";
import { isOther } from "../../series";
import type { Texts } from "../../i18n";

export type Dimension = keyof Texts["common"]["dimensions"];

const all: Dimension[] = ["day", "hour", "month", "model", "key", "route", "operation", "user", "tag", "session", "status", "cache", "upstream", "answered", "cause", "finish"];

/** The dimensions of a viewer. A holder has one key, and sees no upstreams. */
export function dimensions(administrator: boolean): Dimension[] {
  return administrator ? all : all.filter((d) => d !== "key" && d !== "upstream");
}

export function isTime(d: Dimension): d is "hour" | "day" | "month" {
  return d === "hour" || d === "day" || d === "month";
}

/** The text of a time, or null for another dimension. */
export function timeText(d: Dimension, value: string): string | null {
  if (d === "hour") return `${format.day(value)} ${format.hour(value)}`;
  if (d === "day") return format.day(value);
  return d === "month" ? format.month(value + "-01") : null;
}

/** requestsOf is the place of the requests that a group counts, if it has one. */
export function requestsOf(group: Group, by: (Dimension | null)[], range: Range, filters: Record<string, string | undefined>): string | undefined {
  let query: Record<string, string | undefined> = { ...rangeQuery(range), ...filters };
  for (const d of by) {
    if (d === null) continue;
    const value = String(group[d] ?? "");
    if (isOther(value)) return undefined;
    if (isTime(d)) {
      const first = d === "month" ? value + "-01" : value.slice(0, 10);
      const last = d === "month" ? format.addDays(format.addDays(first, 31).slice(0, 8) + "01", -1) : first;
      query = { ...query, range: "custom", since: first, until: last };
    } else if (filterNames.includes(d as FilterName)) {
      if (value === "") return undefined;
      query[d] = value;
    } else return undefined;
  }
  return href("/requests", query);
}
