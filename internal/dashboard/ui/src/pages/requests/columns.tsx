// The columns of the page Requests.
import type { ComponentChildren } from "preact";
import type { RequestRow } from "../../api/types";
import { Filterable } from "../../components/filters";
import { Badge, Duration, Money, Name, Time, type Tone } from "../../components/values";
import * as format from "../../format";
import { t } from "../../i18n";

export type ColumnId = "time" | "key" | "model" | "status" | "tokens" | "cost" | "first" | "total" | "cache" | "attempts" | "user" | "tags" | "session" | "route" | "operation" | "finish" | "id";

interface Column {
  id: ColumnId;
  width: number; // at least, in pixels
  grow: number;
  num?: boolean;
  cell: (row: RequestRow) => ComponentChildren;
}

export const columns: Column[] = [
  { id: "time", width: 124, grow: 0, cell: (r) => <Time at={r.time} /> },
  { id: "key", width: 100, grow: 1, cell: (r) => <Filterable name="key" value={r.key}><Name>{r.key_name || r.key}</Name></Filterable> },
  { id: "model", width: 136, grow: 2, cell: (r) => <Model row={r} /> },
  { id: "status", width: 116, grow: 1, cell: (r) => <Status row={r} /> },
  { id: "tokens", width: 104, grow: 0, num: true, cell: (r) => <TokenPair row={r} /> },
  { id: "cost", width: 84, grow: 0, num: true, cell: (r) => <Cost row={r} /> },
  { id: "first", width: 80, grow: 0, num: true, cell: (r) => <Duration ms={r.first_token_ms || null} /> },
  { id: "total", width: 64, grow: 0, num: true, cell: (r) => <Duration ms={r.total_ms} /> },
  { id: "cache", width: 60, grow: 0, cell: (r) => <Filterable name="cache" value={r.cache} /> },
  { id: "attempts", width: 76, grow: 0, num: true, cell: (r) => <span class={r.attempts > 1 ? "warn" : "muted"}>{r.attempts}</span> },
  { id: "user", width: 96, grow: 1, cell: (r) => <Filterable name="user" value={r.user} /> },
  { id: "tags", width: 100, grow: 1, cell: (r) => <Tags row={r} /> },
  { id: "session", width: 110, grow: 1, cell: (r) => <Filterable name="session" value={r.session} /> },
  { id: "route", width: 90, grow: 0, cell: (r) => <Filterable name="route" value={r.route} /> },
  { id: "operation", width: 96, grow: 0, cell: (r) => <Filterable name="operation" value={r.operation} /> },
  { id: "finish", width: 96, grow: 0, cell: (r) => <Filterable name="finish" value={r.finish_reason} /> },
  { id: "id", width: 200, grow: 1, cell: (r) => <Name mono>{r.id}</Name> },
];

const usual: ColumnId[] = ["time", "key", "model", "status", "tokens", "cost", "first", "total", "cache"];
const usualWide: ColumnId[] = [...usual, "attempts", "user", "tags"];

// shownColumns reads the list of the address, else the last choice.
export function shownColumns(text: string | null): Column[] {
  const wanted = (text ?? localStorage.getItem("forward.requests.columns") ?? "").split(",");
  const shown = columns.filter((c) => wanted.includes(c.id));
  const otherwise = innerWidth >= 1700 ? usualWide : usual;
  return shown.length > 0 ? shown : columns.filter((c) => otherwise.includes(c.id));
}

export function Model({ row: r }: { row: RequestRow }) {
  const other = r.answered !== "" && r.answered !== r.model;
  return (
    <>
      <Filterable name="model" value={r.model} />
      {other && <span class="muted answered"> → <Filterable name="answered" value={r.answered} /></span>}
    </>
  );
}

export function statusTone(status: number): Tone {
  if (status >= 500) return "bad";
  if (status >= 400) return "warn";
  return status >= 200 ? "good" : "";
}

export function Status({ row: r }: { row: RequestRow }) {
  return (
    <>
      <Filterable name="status" value={r.status ? String(r.status) : ""}><Badge tone={statusTone(r.status)}>{r.status}</Badge></Filterable>
      {r.cause && <> <span class="muted"><Filterable name="cause" value={r.cause} /></span></>}
    </>
  );
}

function TokenPair({ row: r }: { row: RequestRow }) {
  if (r.input_tokens + r.output_tokens === 0) return <span class="muted">–</span>;
  const exact = `${format.integer(r.input_tokens)} / ${format.integer(r.output_tokens)}`;
  return (
    <span class="tabular" title={r.estimated ? `${exact} (${t.requests.sheet.estimated})` : exact}>
      {r.estimated && "~ "}{format.compact(r.input_tokens)} <span class="muted">/</span> {format.compact(r.output_tokens)}
    </span>
  );
}

export function Cost({ row: r }: { row: RequestRow }) {
  if (r.list_nano_usd !== null && r.list_nano_usd !== undefined) {
    const listed = t.requests.sheet.listed(format.money(r.list_nano_usd));
    return <span class="muted" title={listed}>({format.money(r.list_nano_usd)})</span>;
  }
  return <Money nano={r.cost_nano_usd} most={7} />;
}

function Tags({ row: r }: { row: RequestRow }) {
  const tags = r.tags ?? [];
  if (tags.length === 0) return <span class="muted">–</span>;
  return <>{tags.map((tag) => <Filterable key={tag} name="tag" value={tag}><Badge><Name>{tag}</Name></Badge></Filterable>)}</>;
}
