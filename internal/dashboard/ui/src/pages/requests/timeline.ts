// The timeline of a request: where its time went, from the times of its row and
// the steps of its trail.

import type { RequestRow } from "../../api/types.ts";

export type Phase = "queue" | "upstream" | "first" | "stream" | "whole";

export interface Span {
  phase: Phase;
  start: number; // milliseconds since the request started
  end: number;
}

export interface Mark {
  at: number; // milliseconds
  name: string;
  text: string;
}

export interface Timeline {
  total: number; // milliseconds; 0 where the row has no times
  spans: Span[]; // one after the other, without gaps
  marks: Mark[]; // steps of the trail whose time is known
}

type Times = Pick<RequestRow, "queue_ms" | "upstream_ms" | "first_token_ms" | "total_ms" | "trail">;

// timeline cuts the time of a request into phases. first_token_ms counts from
// the start of the request, upstream_ms from the end of the queue; either may
// be 0 where it is unknown.
export function timeline(row: Times): Timeline {
  const known = (ms: number) => (Number.isFinite(ms) && ms > 0 ? ms : 0);
  const total = Math.max(known(row.total_ms), known(row.first_token_ms), known(row.queue_ms));
  const marks = (row.trail ?? [])
    .filter((s) => s.at > 0)
    .map((s) => ({ at: Math.min(s.at / 1e6, total), name: s.name, text: s.text }));
  if (total === 0) return { total, spans: [], marks };
  const spans: Span[] = [];
  let at = 0;
  const until = (phase: Phase, end: number) => {
    end = Math.min(end, total);
    if (end <= at) return;
    spans.push({ phase, start: at, end });
    at = end;
  };
  const queue = known(row.queue_ms);
  const first = known(row.first_token_ms);
  until("queue", queue);
  if (known(row.upstream_ms) > 0 && (first === 0 || queue + row.upstream_ms <= first)) until("upstream", queue + row.upstream_ms);
  until("first", first);
  until(first > 0 ? "stream" : "whole", total);
  return { total, spans, marks };
}
