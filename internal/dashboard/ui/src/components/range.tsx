// The time range of a page. It stands in the query of the place: range=7d, or
// range=custom with since and until as days.
import { useId } from "preact/hooks";
import { t } from "../i18n";
import * as format from "../format";
import { setQuery } from "../router";
import { Segments } from "./tabs";

export const ranges = ["1h", "today", "yesterday", "7d", "month", "custom"] as const;
export type RangeName = (typeof ranges)[number];

export interface Range {
  name: RangeName;
  /** For the API. until is after the last day; both are in the ledger's zone. */
  since: string;
  until: string | undefined;
  /** The days of a custom range, both inside it. */
  from: string;
  to: string;
}

/** rangeOf reads the range of a place. */
export function rangeOf(query: URLSearchParams, otherwise: RangeName = "7d"): Range {
  const today = format.today();
  const asked = query.get("range") as RangeName | null;
  const name = asked && ranges.includes(asked) ? asked : otherwise;
  switch (name) {
    case "1h":
      return { name, since: "1h", until: undefined, from: today, to: today };
    case "today":
      return { name, since: today, until: undefined, from: today, to: today };
    case "yesterday": {
      const day = format.addDays(today, -1);
      return { name, since: day, until: today, from: day, to: day };
    }
    case "7d":
      return { name, since: format.addDays(today, -6), until: undefined, from: format.addDays(today, -6), to: today };
    case "month":
      return { name, since: today.slice(0, 8) + "01", until: undefined, from: today.slice(0, 8) + "01", to: today };
    case "custom": {
      const from = dayIn(query.get("since")) ?? format.addDays(today, -29);
      const to = dayIn(query.get("until")) ?? today;
      return { name, since: from, until: format.addDays(to, 1), from, to };
    }
  }
}

function dayIn(text: string | null): string | null {
  return text && /^\d{4}-\d\d-\d\d$/.test(text) ? text : null;
}

/** The range for links to other pages. */
export function rangeQuery(range: Range): Record<string, string | undefined> {
  return range.name === "custom" ? { range: "custom", since: range.from, until: range.to } : { range: range.name };
}

/** How many days the range has, at most. */
export function daysOf(range: Range): number {
  return Math.round((Date.parse(range.to) - Date.parse(range.from)) / 86_400_000) + 1;
}

export function RangePicker({ range }: { range: Range }) {
  const id = useId();
  const choose = (name: RangeName) => setQuery(name === "custom" ? { range: name, since: range.from, until: range.to } : { range: name, since: null, until: null }, true);
  return (
    <div class="row range">
      <Segments label={t.common.range.label} value={range.name} options={ranges.map((value) => ({ value, text: t.common.range[value] }))} onChange={choose} />
      {range.name === "custom" && (
        <>
          <label class="hidden" for={id + "a"}>{t.common.range.from}</label>
          <input id={id + "a"} type="date" value={range.from} max={range.to} onChange={(e) => e.currentTarget.value && setQuery({ since: e.currentTarget.value })} />
          <span class="muted">–</span>
          <label class="hidden" for={id + "b"}>{t.common.range.to}</label>
          <input id={id + "b"} type="date" value={range.to} min={range.from} max={format.today()} onChange={(e) => e.currentTarget.value && setQuery({ until: e.currentTarget.value })} />
        </>
      )}
      <span class="muted small-text" title={t.common.zoneHint}>{format.zoneName()}</span>
    </div>
  );
}
