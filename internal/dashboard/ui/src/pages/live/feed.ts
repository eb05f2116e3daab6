// What the page Live shows, kept current by the events of the gateway.

import type { QueueState, RequestRow, Running } from "../../api/types.ts";

export interface Feed {
  running: Map<string, Running>;
  queues: QueueState[];
  done: RequestRow[]; // newest first
  dropped: number; // events that the gateway left out for this viewer
}

export type LiveEvent =
  | { event: "open"; data: Running }
  | { event: "phase"; data: Pick<Running, "id" | "phase" | "phase_since" | "tokens" | "bytes"> }
  | { event: "done"; data: RequestRow }
  | { event: "queue"; data: { queues: QueueState[] } }
  | { event: "dropped"; data: { count: number } };

export const eventNames: LiveEvent["event"][] = ["open", "phase", "done", "queue", "dropped"];

const maxDone = 200;
const maxRunning = 2_000;

export function emptyFeed(): Feed {
  return { running: new Map(), queues: [], done: [], dropped: 0 };
}

// snapshot takes the state of GET /running, from which the feed starts.
export function snapshot(feed: Feed, state: { running: Running[]; queues: QueueState[] }) {
  const ended = new Set(feed.done.map((r) => r.id));
  feed.running = new Map(state.running.filter((r) => !ended.has(r.id)).map((r) => [r.id, r]));
  feed.queues = state.queues;
}

// apply changes the feed by one event. After dropped events, all requests under
// way follow as "open".
export function apply(feed: Feed, e: LiveEvent) {
  switch (e.event) {
    case "open":
      if (feed.running.size < maxRunning) feed.running.set(e.data.id, e.data);
      break;
    case "phase": {
      const known = feed.running.get(e.data.id);
      if (known) feed.running.set(e.data.id, { ...known, ...e.data });
      break;
    }
    case "done":
      feed.running.delete(e.data.id);
      feed.done.unshift(e.data);
      if (feed.done.length > maxDone) feed.done.length = maxDone;
      break;
    case "queue":
      feed.queues = e.data.queues;
      break;
    case "dropped":
      feed.dropped += e.data.count;
      feed.running = new Map();
      break;
  }
}

// speed is the tokens a second of a running answer, null before it streams or
// in its first half second.
export function speed(r: Running, now: number): number | null {
  if (r.phase !== "streaming" || r.tokens === 0) return null;
  const seconds = (now - Date.parse(r.phase_since)) / 1000;
  return seconds >= 0.5 ? r.tokens / seconds : null;
}
