import assert from "node:assert/strict";
import { test } from "node:test";
import { timeline } from "../src/pages/requests/timeline.ts";

const row = (queue_ms: number, upstream_ms: number, first_token_ms: number, total_ms: number) => ({ queue_ms, upstream_ms, first_token_ms, total_ms });
const spans = (t: ReturnType<typeof timeline>) => t.spans.map((s) => [s.phase, s.start, s.end]);

test("a stream has a queue, a wait and a stream", () => {
  assert.deepEqual(spans(timeline(row(100, 0, 400, 1_000))), [["queue", 0, 100], ["first", 100, 400], ["stream", 400, 1_000]]);
});

test("the time of the upstream's head is a phase of its own", () => {
  assert.deepEqual(spans(timeline(row(0, 250, 400, 1_000))), [["upstream", 0, 250], ["first", 250, 400], ["stream", 400, 1_000]]);
});

test("an answer without a first token, a refusal, and a row without times", () => {
  assert.deepEqual(spans(timeline(row(0, 0, 0, 30))), [["whole", 0, 30]]);
  assert.deepEqual(spans(timeline(row(30, 0, 0, 30))), [["queue", 0, 30]]);
  assert.deepEqual(timeline(row(0, 0, 0, 0)), { total: 0, spans: [], marks: [] });
});

test("times that contradict each other neither overlap nor leave the whole", () => {
  for (const r of [row(500, 900, 400, 100), row(-1, -5, 20, 10), row(NaN, 3, NaN, 10), row(10, 1e9, 20, 30), row(10, 1e9, 0, 30)]) {
    const t = timeline(r);
    let at = 0;
    for (const s of t.spans) {
      assert.equal(s.start, at);
      assert.ok(s.end > s.start);
      at = s.end;
    }
    assert.equal(at, t.total);
  }
});

test("steps with a time are marks", () => {
  const t = timeline({ ...row(0, 0, 0, 10), trail: [{ at: 0, name: "queue", text: "" }, { at: 4e6, name: "attempt", text: "429" }, { at: 9e9, name: "late", text: "" }] });
  assert.deepEqual(t.marks.map((m) => [m.name, m.at]), [["attempt", 4], ["late", 10]]);
});
