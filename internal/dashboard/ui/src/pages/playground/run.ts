// One request of the playground, from its start to its end.

import { applyBody, applyEvent, emptyAnswer, type Answer, type Dialect } from "./answer.ts";
import { readEvents } from "./sse.ts";

export interface Run {
  state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  status: number; // 0 before the answer's head
  id: string; // of the request, as the gateway names it
  headers: [string, string][];
  answer: Answer;
  events: string[]; // the last ones, as they came
  eventCount: number;
  error: string;
  firstMs: number | null; // to the first text
  totalMs: number | null;
}

export const maxEvents = 500;
const maxEventText = 20_000;

export interface Call {
  url: string;
  dialect: Dialect;
  body: unknown;
  key: string; // whose limits and ledger it counts for; "": the caller's own
}

// play makes the request. Its run is changed while the answer comes; changed is
// called after each change. It never throws: a failure is a state.
export async function play(call: Call, run: Run, changed: () => void, signal: AbortSignal, ask: typeof fetch = fetch, now = () => performance.now()): Promise<void> {
  const start = now();
  const mark = () => {
    const a = run.answer;
    if (run.firstMs === null && (a.text !== "" || a.reasoning !== "" || a.tools.length > 0)) run.firstMs = now() - start;
  };
  const event = (text: string) => {
    run.eventCount++;
    run.events.push(text.length > maxEventText ? text.slice(0, maxEventText) + " …" : text);
    if (run.events.length > maxEvents) run.events.splice(0, run.events.length - maxEvents);
  };
  try {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (call.key !== "") headers["X-Forward-Play-Key"] = call.key;
    if (call.dialect === "messages") headers["anthropic-version"] = "2023-06-01";
    const response = await ask(call.url, { method: "POST", headers, body: JSON.stringify(call.body), signal, credentials: "same-origin", cache: "no-store" });
    run.status = response.status;
    run.id = response.headers.get("X-Forward-Request-Id") ?? "";
    run.headers = [...response.headers].sort(([a], [b]) => (a < b ? -1 : 1));
    run.state = "streaming";
    changed();
    if (/^text\/event-stream\b/i.test(response.headers.get("Content-Type") ?? "") && response.body) {
      for await (const e of readEvents(response.body)) {
        event((e.event ? `event: ${e.event}\n` : "") + `data: ${e.data}`);
        applyEvent(call.dialect, run.answer, e);
        mark();
        changed();
      }
    } else {
      const text = await response.text();
      event(text);
      readBody(call.dialect, run, text);
      mark();
    }
    if (run.answer.error !== "") run.error = run.answer.error;
    run.state = run.error !== "" || run.status >= 400 ? "failed" : "done";
  } catch (err) {
    run.state = signal.aborted ? "stopped" : "failed";
    if (!signal.aborted) run.error = (err as Error).message;
  }
  run.totalMs = now() - start;
  changed();
}

function readBody(dialect: Dialect, run: Run, text: string) {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    if (run.status >= 400) run.error = text.slice(0, 2_000);
    else run.answer.text = text;
    return;
  }
  applyBody(dialect, run.answer, body);
}

export function newRun(): Run {
  return { state: "waiting", status: 0, id: "", headers: [], answer: emptyAnswer(), events: [], eventCount: 0, error: "", firstMs: null, totalMs: null };
}
