import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../src/api/types.ts";
import { cut, firstLine, maxText, mediaOf, stringify, transcript } from "../src/pages/requests/transcript.ts";

test("text is open, tool calls, results and reasoning are folded", () => {
  const messages: Message[] = [
    { role: "system", answer: false, parts: [{ type: "text", text: "Be kind." }] },
    { role: "user", answer: false, parts: [{ type: "text", text: "Hi" }, { type: "media", media_type: "image/png", bytes: 5 }] },
    { role: "assistant", answer: false, parts: [{ type: "reasoning", text: "hm" }, { type: "tool_call", id: "1", name: "f", arguments: "{}" }] },
    { role: "tool", answer: false, parts: [{ type: "tool_result", id: "1", text: "42", failed: false }] },
    { role: "assistant", answer: true, parts: [{ type: "text", text: "42" }] },
  ];
  const got = transcript(messages).map((e) => [e.role, e.answer, ...e.items.map((i) => i.open)]);
  assert.deepEqual(got, [
    ["system", false, true],
    ["user", false, true, true],
    ["assistant", false, false, false],
    ["tool", false, false],
    ["assistant", true, true],
  ]);
});

test("a long conversation opens its end", () => {
  const messages: Message[] = Array.from({ length: 100 }, (_, i) => ({ role: "user", answer: false, parts: [{ type: "text" as const, text: String(i).padEnd(10_000, "x") }] }));
  const open = transcript(messages).map((e) => e.items[0]!.open);
  assert.equal(open.filter(Boolean).length, 6);
  assert.deepEqual(open.slice(-6), Array(6).fill(true));
});

test("five megabytes are cut, and no character is halved", () => {
  const c = cut("x".repeat(5_000_000));
  assert.equal(c.text.length, maxText);
  assert.equal(c.left, 5_000_000 - maxText);
  assert.deepEqual(cut("a😀b", 2), { text: "a", left: 3 });
  assert.deepEqual(cut("abc", 3), { text: "abc", left: 0 });
  assert.equal(firstLine("  one\n two"), "one");
  assert.ok(firstLine("x".repeat(1_000_000)).length < 110);
});

test("base64 is shown as type and size", () => {
  const png = "data:image/png;base64," + "A".repeat(40_000);
  assert.equal(mediaOf(png), "[image/png, 29 KiB]");
  assert.equal(mediaOf("B".repeat(8_000)), "[base64, 6000 B]");
  assert.equal(mediaOf("a sentence of text ".repeat(500)), null);
  assert.equal(mediaOf("short"), null);
  const json = stringify({ a: [{ image_url: { url: png } }], text: "<script>" });
  assert.ok(json.includes("[image/png, 29 KiB]") && !json.includes("AAAA") && json.includes("<script>"));
});
