// The table of the page Usage: one dimension with all figures, or two dimensions
// with one figure.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import type { Group, Usage } from "../../api/types";
import { Bar } from "../../components/bar";
import type { Range } from "../../components/range";
import { sortIn, Table, type Column } from "../../components/table";
import { Count, Money, Name } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";
import { place } from "../../router";
import { inputOf, measured, nameOf, type Measure } from "../../series";
import { isTime, requestsOf, timeText, type Dimension } from "./dimensions";

interface Props {
  usage: Usage;
  rows: Dimension;
  cols: Dimension | null;
  measure: Measure;
  range: Range;
  filters: Record<string, string | undefined>;
}

export function Pivot(props: Props) {
  return props.cols ? <Two {...props} cols={props.cols} /> : <One {...props} />;
}

function Linked({ to, children }: { to: string | undefined; children: ComponentChildren }) {
  return to ? <a href={to}>{children}</a> : <>{children}</>;
}

function amount(measure: Measure, n: number) {
  return measure === "cost" || measure === "saved" ? <Money nano={n} /> : <Count n={n} />;
}

function label(group: Group, d: Dimension) {
  return timeText(d, String(group[d] ?? "")) ?? <Name>{nameOf(group, d)}</Name>;
}

function otherwise(rows: Dimension, id: string): string {
  return isTime(rows) ? rows : "-" + id;
}

function One({ usage, rows, measure, range, filters }: Props) {
  const { total } = usage;
  const whole = measured(total, measure);
  const figures: { id: string; head: string; of: (s: Group | Usage["total"]) => number; money?: boolean; minor?: boolean }[] = [
    { id: "requests", head: t.common.sums.requests, of: (s) => s.requests },
    { id: "errors", head: t.common.sums.errors, of: (s) => s.errors, minor: true },
    { id: "input", head: t.common.sums.input, of: inputOf },
    { id: "output", head: t.common.sums.output, of: (s) => s.output_tokens },
    { id: "saved", head: t.common.sums.saved, of: (s) => s.saved_nano_usd, money: true, minor: true },
    { id: "cost", head: t.common.sums.cost, of: (s) => s.cost_nano_usd, money: true },
  ];
  const show = (f: (typeof figures)[number], n: number) => (f.money ? <Money nano={n} /> : <Count n={n} />);
  const columns: Column<Group>[] = [
    { id: rows, head: t.common.dimensions[rows], value: (g) => (isTime(rows) ? String(g[rows]) : nameOf(g, rows)), cell: (g) => <Linked to={requestsOf(g, [rows], range, filters)}>{label(g, rows)}</Linked> },
    ...figures.map((f) => ({ id: f.id, head: f.head, num: true, minor: f.minor, value: (g: Group) => f.of(g) / (f.money ? 1e9 : 1), cell: (g: Group) => <Linked to={f.id === "requests" ? requestsOf(g, [rows], range, filters) : undefined}>{show(f, f.of(g))}</Linked> })),
    {
      id: "cached", head: t.usage.cachedShare, title: t.usage.cachedShareHint, num: true, minor: true,
      value: (g) => (inputOf(g) > 0 ? g.cached_read_tokens / inputOf(g) : 0), cell: (g) => (inputOf(g) > 0 ? format.percent(g.cached_read_tokens / inputOf(g), 0) : "–"),
    },
    {
      id: "share", head: t.usage.share, minor: true,
      value: (g) => measured(g, measure), cell: (g) => <div class="share"><Bar neutral part={measured(g, measure)} whole={whole} label={t.usage.share} /><span class="tabular small-text">{format.percent(whole > 0 ? measured(g, measure) / whole : 0)}</span></div>,
    },
  ];
  return (
    <Table label={t.usage.table} columns={columns} rows={usage.groups} rowKey={(g) => String(g[rows])} {...sortIn(place.value.query, otherwise(rows, figures.some((f) => f.id === measure) ? measure : "share"))}
      foot={
        <tr>
          <th scope="row">{t.common.total}</th>
          {figures.map((f) => <td key={f.id} class={`num${f.minor ? " minor" : ""}`}>{show(f, f.of(total))}</td>)}
          <td class="num minor">{inputOf(total) > 0 ? format.percent(total.cached_read_tokens / inputOf(total), 0) : "–"}</td>
          <td class="minor" />
        </tr>
      } />
  );
}

interface Line {
  key: string;
  first: Group;
  cells: Map<string, Group>;
  sum: number;
}

/** The most columns of values: the rest is in the sum of the row. */
const widest = 12;

function Two({ usage, rows, cols, measure, range, filters }: Props & { cols: Dimension }) {
  const { lines, heads, rest } = useMemo(() => {
    const lines = new Map<string, Line>();
    const heads = new Map<string, { group: Group; sum: number }>();
    for (const g of usage.groups) {
      const row = String(g[rows]);
      const col = String(g[cols]);
      let line = lines.get(row);
      if (!line) lines.set(row, (line = { key: row, first: g, cells: new Map(), sum: 0 }));
      line.cells.set(col, g);
      line.sum += measured(g, measure);
      const head = heads.get(col) ?? { group: g, sum: 0 };
      head.sum += measured(g, measure);
      heads.set(col, head);
    }
    const all = [...heads].filter(([, h]) => isTime(cols) || h.sum > 0).sort(([a, x], [b, y]) => (isTime(cols) ? b.localeCompare(a) : y.sum - x.sum));
    const shown = isTime(cols) ? all.slice(0, 31).reverse() : all.slice(0, widest);
    return { lines: [...lines.values()], heads: shown, rest: all.length > shown.length };
  }, [usage, rows, cols, measure]);
  const factor = measure === "cost" || measure === "saved" ? 1e9 : 1;
  const shownSum = (line: Line) => heads.reduce((n, [col]) => n + (line.cells.has(col) ? measured(line.cells.get(col)!, measure) : 0), 0);
  const columns: Column<Line>[] = [
    { id: rows, head: t.common.dimensions[rows], value: (l) => (isTime(rows) ? l.key : nameOf(l.first, rows)), cell: (l) => <Linked to={requestsOf(l.first, [rows], range, filters)}>{label(l.first, rows)}</Linked> },
    ...heads.map(([col, head], i) => ({
      id: "c" + i, head: label(head.group, cols), num: true,
      value: (l: Line) => (l.cells.has(col) ? measured(l.cells.get(col)!, measure) / factor : 0),
      cell: (l: Line) => {
        const g = l.cells.get(col);
        return g && measured(g, measure) !== 0 ? <Linked to={requestsOf(g, [rows, cols], range, filters)}>{amount(measure, measured(g, measure))}</Linked> : <span class="muted">–</span>;
      },
    })),
    ...(rest ? [{ id: "other", head: t.common.other, num: true, value: (l: Line) => (l.sum - shownSum(l)) / factor, cell: (l: Line) => amount(measure, l.sum - shownSum(l)) }] : []),
    { id: "sum", head: t.common.total, num: true, value: (l) => l.sum / factor, cell: (l) => <b>{amount(measure, l.sum)}</b> },
  ];
  const shownAll = heads.reduce((n, [, h]) => n + h.sum, 0);
  return (
    <Table label={t.usage.table} columns={columns} rows={lines} rowKey={(l) => l.key} {...sortIn(place.value.query, otherwise(rows, "sum"))}
      foot={
        <tr>
          <th scope="row">{t.common.total}</th>
          {heads.map(([col, h]) => <td key={col} class="num">{amount(measure, h.sum)}</td>)}
          {rest && <td class="num">{amount(measure, lines.reduce((n, l) => n + l.sum, 0) - shownAll)}</td>}
          <td class="num">{amount(measure, usage.next_offset === null ? lines.reduce((n, l) => n + l.sum, 0) : measured(usage.total, measure))}</td>
        </tr>
      } />
  );
}
