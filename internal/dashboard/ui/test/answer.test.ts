import assert from "node:assert/strict";
import { test } from "node:test";
import { applyBody, applyEvent, emptyAnswer, type Dialect } from "../src/pages/playground/answer.ts";

function stream(dialect: Dialect, events: (object | string)[]) {
  const a = emptyAnswer();
  for (const e of events) applyEvent(dialect, a, { event: "", id: "", data: typeof e === "string" ? e : JSON.stringify(e) });
  return a;
}

test("chat completions: text, reasoning, tool calls, usage", () => {
  const a = stream("chat", [
    { model: "m", choices: [{ delta: { role: "assistant", content: "" } }] },
    { choices: [{ delta: { reasoning_content: "hm" } }] },
    { choices: [{ delta: { content: "Hel" } }] },
    { choices: [{ delta: { content: "lo", tool_calls: [{ index: 0, id: "c1", function: { name: "f", arguments: '{"a"' } }] } }] },
    { choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }, finish_reason: "tool_calls" }] },
    { choices: [], usage: { prompt_tokens: 9, completion_tokens: 4, prompt_tokens_details: { cached_tokens: 3 } } },
    "[DONE]",
  ]);
  assert.deepEqual(a, { text: "Hello", reasoning: "hm", tools: [{ id: "c1", name: "f", arguments: '{"a":1}' }], finish: "tool_calls", model: "m", error: "", input: 9, output: 4, cached: 3 });
});

test("messages: blocks, thinking, tools, usage with cached tokens", () => {
  const a = stream("messages", [
    { type: "message_start", message: { model: "claude", usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "" } },
    { type: "content_block_delta", index: 0, delta: { type: "thinking_delta", thinking: "hm" } },
    { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
    { type: "content_block_delta", index: 1, delta: { type: "text_delta", text: "Hi" } },
    { type: "content_block_start", index: 2, content_block: { type: "tool_use", id: "t", name: "f", input: {} } },
    { type: "content_block_delta", index: 2, delta: { type: "input_json_delta", partial_json: '{"a":1}' } },
    { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 8 } },
    { type: "message_stop" },
  ]);
  assert.deepEqual(a, { text: "Hi", reasoning: "hm", tools: [{ id: "t", name: "f", arguments: '{"a":1}' }], finish: "tool_use", model: "claude", error: "", input: 15, output: 8, cached: 5 });
});

test("responses: text, reasoning, function calls, usage", () => {
  const a = stream("responses", [
    { type: "response.created", response: { model: "m" } },
    { type: "response.reasoning_summary_text.delta", delta: "hm" },
    { type: "response.output_text.delta", delta: "Hi" },
    { type: "response.output_item.added", output_index: 2, item: { type: "function_call", call_id: "c", name: "f", arguments: "" } },
    { type: "response.function_call_arguments.delta", output_index: 2, delta: "{}" },
    { type: "response.completed", response: { status: "completed", usage: { input_tokens: 3, output_tokens: 2, input_tokens_details: { cached_tokens: 1 } } } },
  ]);
  assert.deepEqual(a, { text: "Hi", reasoning: "hm", tools: [{ id: "c", name: "f", arguments: "{}" }], finish: "completed", model: "m", error: "", input: 3, output: 2, cached: 1 });
});

test("errors in a stream are shown, in each form", () => {
  assert.equal(stream("chat", [{ error: { message: "no", code: "x" } }]).error, "no");
  assert.equal(stream("chat", [{ error: "plain" }]).error, "plain");
  assert.equal(stream("messages", [{ type: "error", error: { type: "overloaded_error", message: "busy" } }]).error, "busy");
  assert.equal(stream("responses", [{ type: "error", message: "broken" }]).error, "broken");
  assert.equal(stream("responses", [{ type: "response.failed", response: { status: "failed", error: { message: "bad" } } }]).error, "bad");
});

test("whole bodies", () => {
  const chat = emptyAnswer();
  applyBody("chat", chat, { model: "m", choices: [{ message: { content: "Hi" }, finish_reason: "stop" }], usage: { prompt_tokens: 1, completion_tokens: 2 } });
  assert.deepEqual([chat.text, chat.finish, chat.input, chat.output], ["Hi", "stop", 1, 2]);
  const messages = emptyAnswer();
  applyBody("messages", messages, { content: [{ type: "text", text: "Hi" }, { type: "tool_use", id: "t", name: "f", input: { a: 1 } }], stop_reason: "end_turn" });
  assert.deepEqual([messages.text, messages.tools[0]?.arguments], ["Hi", '{"a":1}']);
  const responses = emptyAnswer();
  applyBody("responses", responses, { status: "completed", output: [{ type: "message", content: [{ type: "output_text", text: "Hi" }] }] });
  assert.equal(responses.text, "Hi");
});

test("events of hostile forms change nothing and throw nothing", () => {
  for (const dialect of ["chat", "messages", "responses"] as const) {
    const a = stream(dialect, ["{", "null", "[]", "7", { choices: "x" }, { choices: [null] }, { choices: [{ delta: { content: { a: 1 }, tool_calls: 7 } }] }, { type: "content_block_delta", delta: null }, { type: "response.completed", response: null }]);
    assert.equal(a.text, "");
    assert.equal(a.error, "");
  }
});
