// Rows that come page by page, newest first, and the part of them that a
// scrolled list draws.

export interface Page<Row> {
  requests: Row[];
  next_before: string | null;
  scanned_to: string | null;
}

export interface Rows<Row> {
  rows: Row[];
  next: string | null; // before= of the next page; null at the end
  scanned: string | null;
  started: boolean;
}

// maxRows bounds what a page keeps. A longer list is an export.
export const maxRows = 50_000;

export function emptyRows<Row>(): Rows<Row> {
  return { rows: [], next: null, scanned: null, started: false };
}

// append adds a page. A row that is there already is left out: rows with the
// time of a page's border may come twice.
export function append<Row extends { id: string }>(list: Rows<Row>, page: Page<Row>): Rows<Row> {
  const border = new Set(list.rows.slice(-200).map((r) => r.id));
  const rows = list.rows.concat(page.requests.filter((r) => !border.has(r.id)));
  const full = rows.length >= maxRows;
  return { rows: full ? rows.slice(0, maxRows) : rows, next: full ? null : page.next_before, scanned: page.scanned_to, started: true };
}

export interface Slice {
  start: number;
  end: number; // exclusive
}

// visible returns the rows to draw: those in view and some beyond, at most 120.
export function visible(count: number, height: number, scrolled: number, view: number): Slice {
  const beyond = 10;
  const first = Math.floor(Math.max(0, scrolled) / height);
  const start = Math.max(0, Math.min(first - beyond, count - 1));
  const end = Math.min(count, start + Math.min(120, Math.ceil(view / height) + 2 * beyond));
  return { start, end: Math.max(end, start) };
}
