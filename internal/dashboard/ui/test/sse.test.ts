import assert from "node:assert/strict";
import { test } from "node:test";
import { readEvents, SSEReader, type SSE } from "../src/pages/playground/sse.ts";

function read(pieces: string[]): SSE[] {
  const r = new SSEReader();
  return [...pieces.flatMap((p) => r.push(p)), ...r.end()];
}

const stream = '\ufeff: hello\nevent: a\ndata: {"x":\ndata:1}\nid: 7\n\ndata: b\r\n\r\ndata: c\r\rdata: last';

test("events are the same at every cut of the stream", () => {
  const whole = read([stream]);
  assert.deepEqual(
    whole.map((e) => [e.event, e.data, e.id]),
    [["a", '{"x":\n1}', "7"], ["", "b", "7"], ["", "c", "7"], ["", "last", "7"]],
  );
  for (let i = 0; i <= stream.length; i++) {
    assert.deepEqual(read([stream.slice(0, i), stream.slice(i)]), whole, `cut at ${i}`);
  }
  assert.deepEqual(read([...stream]), whole, "character by character");
});

test("CRLF is one line end, also where the stream is cut inside", () => {
  for (const pieces of [["data: a\r\ndata: b\r\n\r\n"], ["data: a\r", "\ndata: b\r", "\n\r", "\n"]]) {
    assert.deepEqual(read(pieces).map((e) => e.data), ["a\nb"]);
  }
});

test("comments and fields without data make no event", () => {
  assert.deepEqual(read([": keepalive\n\n: keepalive\n\nevent: x\n\nretry: 5\n\n"]), []);
});

test("a long event in many pieces takes linear time, and has a bound", () => {
  const r = new SSEReader();
  const before = process.cpuUsage();
  r.push("data: ");
  for (let i = 0; i < 5_000; i++) r.push("x".repeat(1_000));
  assert.equal(r.push("\n\n")[0]?.data.length, 5_000_000);
  assert.ok(process.cpuUsage(before).user < 2_000_000);
  const endless = new SSEReader();
  assert.throws(() => {
    for (let i = 0; i < 20; i++) endless.push("data: " + "x".repeat(1_000_000) + "\n");
  }, /too long/);
});

test("characters survive cuts between their bytes", async () => {
  const bytes = new TextEncoder().encode("data: 你好 😀\n\n");
  const body = new ReadableStream<Uint8Array>({
    start(c) {
      for (const b of bytes) c.enqueue(Uint8Array.of(b));
      c.close();
    },
  });
  const events: SSE[] = [];
  for await (const e of readEvents(body)) events.push(e);
  assert.deepEqual(events.map((e) => e.data), ["你好 😀"]);
});
