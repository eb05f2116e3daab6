import assert from "node:assert/strict";
import { test } from "node:test";
import { baseOf, bodyOf, emptyForm, extraOf, formOf, guessDialect, pathOf, type Form } from "../src/pages/playground/form.ts";

const form = (changes: Partial<Form>): Form => ({ ...emptyForm(), turns: [{ role: "user", text: "Hi" }], ...changes });

test("bodies of three dialects", () => {
  assert.deepEqual(bodyOf(form({ system: "S", temperature: "0", maxTokens: "5", caching: true }), "m"), {
    model: "m", messages: [{ role: "system", content: "S" }, { role: "user", content: "Hi" }], max_tokens: 5, stream_options: { include_usage: true }, temperature: 0, stream: true, caching: true,
  });
  assert.deepEqual(bodyOf(form({ dialect: "messages", system: "S", stream: false }), "m"), { model: "m", system: "S", messages: [{ role: "user", content: "Hi" }], max_tokens: 1024 });
  assert.deepEqual(bodyOf(form({ dialect: "responses", system: "S", maxTokens: "9", extra: '{"reasoning":{"effort":"low"},"stream":false}' }), "m"), {
    model: "m", instructions: "S", input: [{ role: "user", content: "Hi" }], max_output_tokens: 9, stream: false, reasoning: { effort: "low" },
  });
  assert.deepEqual(Object.keys(bodyOf(form({ temperature: "x", maxTokens: "-3", stream: false, extra: "[1]" }), "m")), ["model", "messages"]);
});

test("further members are an object of JSON", () => {
  assert.deepEqual(extraOf(" "), {});
  for (const bad of ["{", "[]", "1", "null", '"x"']) assert.equal(extraOf(bad), null, bad);
});

test("paths below a route's prefix", () => {
  assert.equal(pathOf("chat", "/"), "/v1/chat/completions");
  assert.equal(pathOf("messages", "/anthropic"), "/anthropic/v1/messages");
  assert.equal(pathOf("responses", "openai"), "/v1/responses");
  assert.equal(baseOf("chat", "/openai/v1/chat/completions"), "/openai/v1");
  assert.equal(baseOf("messages", "/anthropic/v1/messages"), "/anthropic");
  assert.equal(guessDialect(["/anthropic"], "x"), "messages");
  assert.equal(guessDialect(["/"], "claude-x"), "chat");
});

test("a request of texts comes back as it was", () => {
  const bodies = {
    chat: { model: "m", messages: [{ role: "system", content: "S" }, { role: "user", content: "a" }, { role: "assistant", content: "b" }, { role: "user", content: "c" }], temperature: 0.5, max_tokens: 7, top_p: 0.9 },
    messages: { model: "m", system: "S", messages: [{ role: "user", content: "a" }], max_tokens: 7, tools: [{ name: "f" }] },
    responses: { model: "m", instructions: "S", input: [{ role: "user", content: "a" }], stream: true },
  };
  for (const [dialect, body] of Object.entries(bodies)) assert.deepEqual(bodyOf(formOf(dialect as "chat", body), "m"), body, dialect);
  assert.deepEqual(formOf("responses", { input: "a" }).turns, [{ role: "user", text: "a" }]);
  assert.deepEqual(formOf("chat", { messages: [{ role: "user", content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] }] }).turns, [{ role: "user", text: "ab" }]);
});

test("a request with more than texts keeps its messages whole", () => {
  const messages = [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:x" } }] }];
  assert.deepEqual(bodyOf(formOf("chat", { model: "m", messages }), "m").messages, messages);
  const tools = [{ role: "user", content: "a" }, { role: "assistant", content: "", tool_calls: [{ id: "1" }] }];
  assert.deepEqual(bodyOf(formOf("chat", { model: "m", messages: tools }), "m").messages, tools);
  const cached = [{ type: "text", text: "S", cache_control: { type: "ephemeral" } }];
  assert.deepEqual(bodyOf(formOf("messages", { system: cached, messages: [] }), "m").system, cached);
});

test("hostile bodies make an empty form", () => {
  for (const body of [null, 7, "x", [], { messages: 7 }, { messages: [null] }, { input: {} }]) {
    for (const dialect of ["chat", "messages", "responses"] as const) assert.ok(formOf(dialect, body).turns.length >= 1);
  }
});
