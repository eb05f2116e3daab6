import assert from "node:assert/strict";
import { test } from "node:test";
import { append, emptyRows, maxRows, visible } from "../src/pages/requests/rows.ts";

const page = (from: number, to: number, next: string | null) => ({
  requests: Array.from({ length: to - from }, (_, i) => ({ id: "r" + (from + i) })),
  next_before: next,
  scanned_to: null,
});

test("pages follow each other, and a row at a border comes once", () => {
  let rows = append(emptyRows<{ id: string }>(), page(0, 100, "a"));
  rows = append(rows, page(98, 200, null));
  assert.equal(rows.rows.length, 200);
  assert.equal(new Set(rows.rows.map((r) => r.id)).size, 200);
  assert.equal(rows.next, null);
});

test("what the page keeps is bounded", () => {
  let rows = emptyRows<{ id: string }>();
  for (let i = 0; i < 60; i++) rows = append(rows, page(i * 1_000, (i + 1) * 1_000, "more"));
  assert.equal(rows.rows.length, maxRows);
  assert.equal(rows.next, null);
});

test("at most 120 rows are drawn, wherever the list stands", () => {
  for (const view of [0, 300, 900, 4_000, 1e6]) {
    for (const scrolled of [-50, 0, 31, 5_000, 320_000, 1e9]) {
      const s = visible(10_000, 32, scrolled, view);
      assert.ok(s.start >= 0 && s.end <= 10_000 && s.end >= s.start && s.end - s.start <= 120, JSON.stringify(s));
    }
  }
  assert.deepEqual(visible(0, 32, 0, 600), { start: 0, end: 0 });
  const middle = visible(10_000, 32, 3_200, 640);
  assert.ok(middle.start <= 100 && middle.end >= 120);
});
