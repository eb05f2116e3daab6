import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestRow, Running } from "../src/api/types.ts";
import { apply, emptyFeed, snapshot, speed, type LiveEvent } from "../src/pages/live/feed.ts";
import { share, type Browser, type LinkState } from "../src/pages/live/share.ts";

const running = (id: string): Running => ({
  id, started: "2026-12-01T10:00:00Z", key: "k", key_name: "alice", user: "", route: "/v1", operation: "chat", model: "m",
  stream: true, phase: "start", phase_since: "2026-12-01T10:00:00Z", tokens: 0, bytes: 0,
});

test("events keep the list of running requests current", () => {
  const f = emptyFeed();
  apply(f, { event: "open", data: running("a") });
  apply(f, { event: "open", data: running("b") });
  apply(f, { event: "phase", data: { id: "a", phase: "streaming", phase_since: "2026-12-01T10:00:01Z", tokens: 30, bytes: 90 } });
  apply(f, { event: "phase", data: { id: "unknown", phase: "queue", phase_since: "", tokens: 0, bytes: 0 } });
  assert.deepEqual([...f.running.keys()], ["a", "b"]);
  const a = f.running.get("a")!;
  assert.equal(speed(a, Date.parse("2026-12-01T10:00:03Z")), 15);
  assert.equal(speed(a, Date.parse("2026-12-01T10:00:01.2Z")), null);
  apply(f, { event: "done", data: { id: "a" } as RequestRow });
  assert.deepEqual([...f.running.keys()], ["b"]);
  assert.equal(f.done[0]!.id, "a");
});

test("a snapshot has no ended request", () => {
  const f = emptyFeed();
  apply(f, { event: "done", data: { id: "a" } as RequestRow });
  snapshot(f, { running: [running("a"), running("b")], queues: [] });
  assert.deepEqual([...f.running.keys()], ["b"]);
});

test("after dropped events only what follows is under way", () => {
  const f = emptyFeed();
  apply(f, { event: "open", data: running("a") });
  apply(f, { event: "done", data: { id: "b" } as RequestRow });
  apply(f, { event: "dropped", data: { count: 12 } });
  apply(f, { event: "open", data: running("c") });
  assert.deepEqual([...f.running.keys()], ["c"]);
  assert.equal(f.dropped, 12);
  assert.equal(f.done.length, 1);
});

test("memory is flat at any number of events", () => {
  const f = emptyFeed();
  for (let i = 0; i < 20_000; i++) {
    apply(f, { event: "open", data: running("r" + i) });
    if (i % 2) apply(f, { event: "done", data: { id: "r" + i } as RequestRow });
  }
  assert.equal(f.done.length, 200);
  assert.ok(f.running.size <= 2_000);
});

// fakeBrowser has the locks, channels and streams of one browser.
function fakeBrowser() {
  const channels = new Set<any>();
  const sources: any[] = [];
  let holder: Promise<unknown> = Promise.resolve();
  const browser: Browser = {
    locks: {
      request: ((_: string, o: { signal: AbortSignal }, work: () => Promise<void>) => {
        holder = holder.then(() => (o.signal.aborted ? undefined : work()));
        return holder;
      }) as never,
    },
    channel: () => {
      const c: any = {
        onmessage: null,
        postMessage: (data: unknown) => {
          for (const other of channels) if (other !== c) other.onmessage?.({ data });
        },
        close: () => channels.delete(c),
      };
      channels.add(c);
      return c;
    },
    source: () => {
      const s: any = { readyState: 1, listeners: {}, closed: false, addEventListener: (n: string, f: unknown) => (s.listeners[n] = f), close: () => (s.closed = true) };
      sources.push(s);
      return s;
    },
  };
  return { browser, sources };
}

const settled = () => new Promise((r) => setTimeout(r, 150));

test("eight tabs have one stream, and the next tab takes over", async () => {
  const { browser, sources } = fakeBrowser();
  const got: LiveEvent[][] = Array.from({ length: 8 }, () => []);
  const states: LinkState[] = [];
  const stops = got.map((events, i) => share("live", { event: (e) => events.push(e), state: (s) => (states[i] = s) }, browser));
  await settled();
  assert.equal(sources.length, 1);
  sources[0].onopen();
  sources[0].listeners.dropped({ data: '{"count":1}' });
  sources[0].listeners.open({ data: "not JSON" });
  await settled();
  assert.deepEqual(got.map((e) => e.length), Array(8).fill(1));
  assert.deepEqual(states, ["open", ...Array(7).fill("shared")]);
  stops[0]!();
  await settled();
  assert.equal(sources[0].closed, true);
  assert.equal(sources.length, 2);
  for (const stop of stops) stop();
  await settled();
  assert.equal(sources.filter((s) => !s.closed).length, 0);
});

test("without locks each tab has its own stream", () => {
  const { browser, sources } = fakeBrowser();
  delete browser.locks;
  const stops = [0, 1].map(() => share("live", { event: () => {}, state: () => {} }, browser));
  assert.equal(sources.length, 2);
  for (const stop of stops) stop();
  assert.ok(sources.every((s) => s.closed));
});
