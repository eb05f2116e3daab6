import assert from "node:assert/strict";
import { test } from "node:test";
import { maxEvents, newRun, play, type Call } from "../src/pages/playground/run.ts";

const call: Call = { url: "http://gw.example/_/api/play/v1/chat/completions", dialect: "chat", body: { model: "m" }, key: "key_1" };
const answering = (body: BodyInit, headers: Record<string, string>, status = 200) => (async () => new Response(body, { status, headers })) as unknown as typeof fetch;
const event = (text: string) => `data: ${JSON.stringify({ choices: [{ delta: { content: text } }] })}\n\n`;

test("a stream fills the run, and the key goes in a header", async () => {
  let sent: RequestInit = {};
  const run = newRun();
  const ask = (async (_: string, init: RequestInit) => {
    sent = init;
    return new Response(event("a") + event("b") + "data: [DONE]\n\n", { headers: { "Content-Type": "text/event-stream", "X-Forward-Request-Id": "req_1" } });
  }) as unknown as typeof fetch;
  await play(call, run, () => {}, new AbortController().signal, ask);
  assert.equal((sent.headers as Record<string, string>)["X-Forward-Play-Key"], "key_1");
  assert.deepEqual([run.state, run.id, run.answer.text, run.eventCount], ["done", "req_1", "ab", 3]);
  assert.ok(run.firstMs !== null && run.totalMs !== null && run.firstMs <= run.totalMs);
});

test("an error of the gateway is shown with its status", async () => {
  const run = newRun();
  await play(call, run, () => {}, new AbortController().signal, answering('{"error":{"message":"too many"}}', { "Content-Type": "application/json" }, 429));
  assert.deepEqual([run.state, run.status, run.error], ["failed", 429, "too many"]);
  const html = newRun();
  await play(call, html, () => {}, new AbortController().signal, answering("<h1>bad</h1>", { "Content-Type": "text/html" }, 502));
  assert.deepEqual([html.state, html.error], ["failed", "<h1>bad</h1>"]);
});

test("a stop is a state, a lost connection a failure, and both keep what came", async () => {
  const stopped = newRun();
  const abort = new AbortController();
  const endless = new ReadableStream({ start: (c) => { c.enqueue(new TextEncoder().encode(event("a"))); abort.signal.addEventListener("abort", () => c.error(abort.signal.reason)); } });
  const playing = play(call, stopped, () => stopped.answer.text === "a" && abort.abort(), abort.signal, answering(endless, { "Content-Type": "text/event-stream" }));
  await playing;
  assert.deepEqual([stopped.state, stopped.answer.text, stopped.error], ["stopped", "a", ""]);
  const lost = newRun();
  const cut = new ReadableStream({ start: (c) => c.enqueue(new TextEncoder().encode(event("a"))), pull: (c) => c.error(new Error("connection lost")) });
  await play(call, lost, () => {}, new AbortController().signal, answering(cut, { "Content-Type": "text/event-stream" }));
  assert.deepEqual([lost.state, lost.error], ["failed", "connection lost"]);
});

test("the kept events are bounded", async () => {
  const run = newRun();
  await play(call, run, () => {}, new AbortController().signal, answering(event("x").repeat(3_000), { "Content-Type": "text/event-stream" }));
  assert.equal(run.eventCount, 3_000);
  assert.equal(run.events.length, maxEvents);
  assert.equal(run.answer.text.length, 3_000);
});
