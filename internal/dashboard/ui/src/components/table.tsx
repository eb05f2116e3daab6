// Tables. Table is for up to a few hundred rows; VirtualRows keeps the rows of
// a long list out of the document.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { t } from "../i18n";
import { apiURL } from "../api/client";
import { setQuery, type Query } from "../router";
import { Icon } from "./icon";

export interface Column<R> {
  id: string;
  head: ComponentChildren;
  /** What the cell shows. */
  cell: (row: R) => ComponentChildren;
  /** What the column sorts by and what the CSV has. Without it, neither. */
  value?: (row: R) => string | number | null;
  num?: boolean; // aligned to the end
  title?: string; // of the head
  /** Left out on a phone. */
  minor?: boolean;
}

/** A sort order in the query of the place: "-cost" is cost, highest first. */
export type Order = string;

interface TableProps<R> {
  columns: Column<R>[];
  rows: R[];
  rowKey: (row: R) => string;
  label: string; // what the table is about, for screen readers
  order?: Order; // as the caller keeps it; without, the table does
  onOrder?: (order: Order) => void;
  /** A row opens something: Enter, a click, and j and k move over the rows. */
  onOpen?: (row: R) => void;
  current?: string; // the key of the open row
  foot?: ComponentChildren; // <tr> elements of totals
  empty?: ComponentChildren;
  rowClass?: (row: R) => string | undefined;
}

export function Table<R>(props: TableProps<R>) {
  const { columns, rowKey, label, onOpen, current } = props;
  const [own, setOwn] = useState<Order>("");
  const order = props.order ?? own;
  const setOrder = props.onOrder ?? setOwn;
  const rows = useMemo(() => sorted(props.rows, columns, order), [props.rows, columns, order]);
  if (rows.length === 0 && props.empty) return <>{props.empty}</>;
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label={label}>
      <table class="table">
        <thead>
          <tr>
            {columns.map((c) => (
              <th key={c.id} scope="col" title={c.title} class={classes(c)} aria-sort={sortOf(c, order)}>
                {c.value ? (
                  <button type="button" onClick={() => setOrder(nextOrder(c, order))}>
                    {c.head}
                    {sortOf(c, order) && <Icon name={order.startsWith("-") ? "down" : "up"} />}
                  </button>
                ) : c.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody onKeyDown={onOpen && moveRows}>
          {rows.map((row) => {
            const key = rowKey(row);
            return (
              <tr key={key} class={[props.rowClass?.(row), onOpen && "opens"].filter(Boolean).join(" ") || undefined} aria-current={current === key ? "true" : undefined}
                data-row={onOpen ? key : undefined} tabIndex={onOpen ? 0 : undefined}
                onClick={onOpen && ((e) => interactive(e.target) || onOpen(row))}
                onKeyDown={onOpen && ((e) => e.key === "Enter" && e.target === e.currentTarget && onOpen(row))}>
                {columns.map((c) => <td key={c.id} class={classes(c)}>{c.cell(row)}</td>)}
              </tr>
            );
          })}
        </tbody>
        {props.foot && <tfoot>{props.foot}</tfoot>}
      </table>
    </div>
  );
}

function classes<R>(c: Column<R>): string | undefined {
  return [c.num && "num", c.minor && "minor"].filter(Boolean).join(" ") || undefined;
}

/** Whether a click was meant for something inside the row. */
export function interactive(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("a, button, input, select, label, summary, textarea") !== null;
}

function moveRows(e: KeyboardEvent) {
  const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
  if (!step || !(e.target as Element).matches("[data-row]")) return;
  e.preventDefault();
  focusRow(step);
}

/** focusRow moves the focus over the rows of the page; j and k do that. It
 *  reports whether there was a row. */
export function focusRow(step: 1 | -1): boolean {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
  if (rows.length === 0) return false;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step))]!.focus();
  return true;
}

function sortOf<R>(c: Column<R>, order: Order): "ascending" | "descending" | undefined {
  if (order === c.id) return "ascending";
  return order === "-" + c.id ? "descending" : undefined;
}

function nextOrder<R>(c: Column<R>, order: Order): Order {
  if (c.num) return order === "-" + c.id ? c.id : "-" + c.id;
  return order === c.id ? "-" + c.id : c.id;
}

function sorted<R>(rows: R[], columns: Column<R>[], order: Order): R[] {
  const value = columns.find((c) => c.id === order.replace(/^-/, ""))?.value;
  if (!value) return rows;
  const sign = order.startsWith("-") ? -1 : 1;
  return rows.slice().sort((a, b) => sign * compare(value(a), value(b)));
}

function compare(a: string | number | null, b: string | number | null): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

/** A button that downloads the rows as CSV. With path, the gateway writes all
 *  rows of the query; otherwise the browser writes the rows that are here. */
export function CSV<R>(props: { path: string; query: Query } | { columns: Column<R>[]; rows: R[]; name: string }) {
  const text = <><Icon name="download" />CSV</>;
  if ("path" in props) {
    return <a class="button small" href={apiURL(props.path, { ...props.query, format: "csv" })} download title={t.common.csvHint}>{text}</a>;
  }
  return <button type="button" class="button small" title={t.common.csvHint} onClick={() => save(props.name + ".csv", csv(props.columns, props.rows))}>{text}</button>;
}

function csv<R>(columns: Column<R>[], rows: R[]): string {
  const known = columns.filter((c) => c.value);
  const lines = [known.map((c) => c.id), ...rows.map((row) => known.map((c) => c.value!(row)))];
  return lines.map((line) => line.map(csvCell).join(",") + "\r\n").join("");
}

// A text that a spreadsheet would take for a formula gets a quote in front.
function csvCell(value: string | number | null): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** save offers a text as a file. */
export function save(name: string, text: string, type = "text/csv;charset=utf-8") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Rows of one height, of which those in sight are in the document. The list
 *  scrolls with the page. onEnd is called when the end comes near, for the next
 *  page of a keyset. */
export function VirtualRows<R>({ rows, height, rowKey, children, label, onEnd, class: name }: {
  rows: R[];
  height: number; // of a row, in pixels
  rowKey: (row: R) => string;
  children: (row: R, index: number) => ComponentChildren; // inside a role=row
  label: string;
  onEnd?: () => void;
  class?: string;
}) {
  const ref = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<[number, number]>([0, 60]);
  useEffect(() => {
    let frame = 0;
    const update = () => {
      frame = 0;
      const box = ref.current?.getBoundingClientRect();
      if (!box) return;
      const from = Math.max(0, Math.floor(-box.top / height) - 15);
      const to = Math.ceil((innerHeight - box.top) / height) + 15;
      setRange((r) => (r[0] === from && r[1] === to ? r : [from, to]));
      if (onEnd && to >= rows.length) onEnd();
    };
    const soon = () => (frame ||= requestAnimationFrame(update));
    update();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, [rows.length, height, onEnd]);
  const [from, to] = range;
  return (
    <div ref={ref} class={`virtual ${name ?? ""}`} role="rowgroup" aria-label={label} style={{ height: `${rows.length * height}px` }}>
      {rows.slice(from, to).map((row, i) => (
        <div key={rowKey(row)} class="virtual-row" style={{ transform: `translateY(${(from + i) * height}px)`, height: `${height}px` }}>
          {children(row, from + i)}
        </div>
      ))}
    </div>
  );
}

/** The order of a table in the query of the place, as ?sort=. */
export function sortIn(query: URLSearchParams, otherwise: Order): { order: Order; onOrder: (order: Order) => void } {
  return { order: query.get("sort") ?? otherwise, onOrder: (order) => setQuery({ sort: order === otherwise ? null : order }) };
}
