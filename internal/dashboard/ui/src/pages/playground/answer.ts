// What the playground shows of an answer, built from the events of a stream or
// from a whole body, for three dialects.

import type { SSE } from "./sse.ts";

export type Dialect = "chat" | "messages" | "responses";

export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export interface Answer {
  text: string;
  reasoning: string;
  tools: ToolCall[];
  finish: string;
  model: string;
  error: string;
  input: number | null; // tokens as the provider reports them
  output: number | null;
  cached: number | null;
}

export function emptyAnswer(): Answer {
  return { text: "", reasoning: "", tools: [], finish: "", model: "", error: "", input: null, output: null, cached: null };
}

type Any = Record<string, any>;

const str = (v: unknown): string => (typeof v === "string" ? v : "");
const num = (v: unknown): number | null => (typeof v === "number" && Number.isFinite(v) ? v : null);
const obj = (v: unknown): Any => (v !== null && typeof v === "object" && !Array.isArray(v) ? (v as Any) : {});
const list = (v: unknown): Any[] => (Array.isArray(v) ? v.map(obj) : []);

// applyEvent adds one event to the answer. Events that the dialect does not
// know change nothing.
export function applyEvent(dialect: Dialect, a: Answer, e: SSE): void {
  if (e.data === "[DONE]") return;
  let data: Any;
  try {
    data = obj(JSON.parse(e.data));
  } catch {
    return;
  }
  if (readError(a, data)) return;
  switch (dialect) {
    case "chat":
      return chatEvent(a, data);
    case "messages":
      return messagesEvent(a, data);
    case "responses":
      return responsesEvent(a, data);
  }
}

// applyBody reads an answer that was not streamed.
export function applyBody(dialect: Dialect, a: Answer, body: unknown): void {
  const data = obj(body);
  if (readError(a, data)) return;
  switch (dialect) {
    case "chat": {
      const choice = obj(list(data.choices)[0]);
      chatDelta(a, obj(choice.message));
      a.finish = str(choice.finish_reason);
      a.model = str(data.model);
      return chatUsage(a, data.usage);
    }
    case "messages":
      list(data.content).forEach((block, i) => messagesBlock(a, i, block));
      a.finish = str(data.stop_reason);
      a.model = str(data.model);
      return messagesUsage(a, data.usage);
    case "responses":
      return responsesBody(a, data);
  }
}

// readError takes the error of any dialect: {"error": {"message"}}, a text in
// place of the object, or the event "error" of the Responses API.
function readError(a: Answer, data: Any): boolean {
  const e = data.error ?? (data.type === "error" ? data : undefined);
  if (e === undefined || e === null) return false;
  a.error = typeof e === "string" ? e : str(obj(e).message) || JSON.stringify(e);
  return true;
}

function chatEvent(a: Answer, data: Any) {
  if (str(data.model) !== "") a.model = data.model;
  const choice = list(data.choices)[0];
  if (choice) {
    chatDelta(a, obj(choice.delta));
    if (str(choice.finish_reason) !== "") a.finish = choice.finish_reason;
  }
  chatUsage(a, data.usage);
}

// chatDelta adds a delta or a whole message. DeepSeek and vLLM name reasoning
// reasoning_content, OpenRouter and Ollama reasoning.
function chatDelta(a: Answer, delta: Any) {
  a.text += str(delta.content) || str(delta.refusal);
  a.reasoning += str(delta.reasoning_content) || str(delta.reasoning);
  list(delta.tool_calls).forEach((call, i) => {
    const f = obj(call.function);
    addTool(a, num(call.index) ?? i, str(call.id), str(f.name), str(f.arguments));
  });
}

function chatUsage(a: Answer, usage: unknown) {
  if (usage === undefined || usage === null) return;
  const u = obj(usage);
  a.input = num(u.prompt_tokens) ?? a.input;
  a.output = num(u.completion_tokens) ?? a.output;
  a.cached = num(obj(u.prompt_tokens_details).cached_tokens) ?? a.cached;
}

function messagesEvent(a: Answer, data: Any) {
  switch (data.type) {
    case "message_start": {
      const message = obj(data.message);
      a.model = str(message.model);
      return messagesUsage(a, message.usage);
    }
    case "content_block_start":
      return messagesBlock(a, num(data.index) ?? 0, obj(data.content_block));
    case "content_block_delta": {
      const d = obj(data.delta);
      a.text += str(d.text);
      a.reasoning += str(d.thinking);
      if (str(d.partial_json) !== "") addTool(a, num(data.index) ?? 0, "", "", d.partial_json);
      return;
    }
    case "message_delta":
      if (str(obj(data.delta).stop_reason) !== "") a.finish = data.delta.stop_reason;
      return messagesUsage(a, data.usage);
  }
}

function messagesBlock(a: Answer, index: number, block: Any) {
  switch (block.type) {
    case "text":
      a.text += str(block.text);
      break;
    case "thinking":
      a.reasoning += str(block.thinking);
      break;
    case "tool_use": {
      const empty = Object.keys(obj(block.input)).length === 0; // a stream fills it in deltas
      addTool(a, index, str(block.id), str(block.name), empty ? "" : JSON.stringify(block.input));
    }
  }
}

// messagesUsage reads Anthropic's usage, whose input_tokens leave out what its
// cache held.
function messagesUsage(a: Answer, usage: unknown) {
  if (usage === undefined || usage === null) return;
  const u = obj(usage);
  const input = num(u.input_tokens);
  const read = num(u.cache_read_input_tokens);
  if (input !== null) a.input = input + (read ?? 0) + (num(u.cache_creation_input_tokens) ?? 0);
  a.output = num(u.output_tokens) ?? a.output;
  a.cached = read ?? a.cached;
}

function responsesEvent(a: Answer, data: Any) {
  switch (data.type) {
    case "response.output_text.delta":
    case "response.refusal.delta":
      a.text += str(data.delta);
      return;
    case "response.reasoning_summary_text.delta":
    case "response.reasoning_text.delta":
      a.reasoning += str(data.delta);
      return;
    case "response.output_item.added": {
      const item = obj(data.item);
      if (item.type === "function_call") addTool(a, num(data.output_index) ?? 0, str(item.call_id), str(item.name), str(item.arguments));
      return;
    }
    case "response.function_call_arguments.delta":
      return addTool(a, num(data.output_index) ?? 0, "", "", str(data.delta));
    case "response.created":
      a.model = str(obj(data.response).model);
      return;
    case "response.completed":
    case "response.incomplete":
    case "response.failed": {
      const r = obj(data.response);
      a.finish = str(obj(r.incomplete_details).reason) || str(r.status);
      if (r.error) readError(a, r);
      return responsesUsage(a, r.usage);
    }
  }
}

function responsesBody(a: Answer, data: Any) {
  list(data.output).forEach((item, i) => {
    for (const part of list(item.content)) {
      if (item.type === "reasoning") a.reasoning += str(part.text);
      else a.text += str(part.text) || str(part.refusal);
    }
    for (const part of list(item.summary)) a.reasoning += str(part.text);
    if (item.type === "function_call") addTool(a, i, str(item.call_id), str(item.name), str(item.arguments));
  });
  a.finish = str(obj(data.incomplete_details).reason) || str(data.status);
  a.model = str(data.model);
  responsesUsage(a, data.usage);
}

function responsesUsage(a: Answer, usage: unknown) {
  if (usage === undefined || usage === null) return;
  const u = obj(usage);
  a.input = num(u.input_tokens) ?? a.input;
  a.output = num(u.output_tokens) ?? a.output;
  a.cached = num(obj(u.input_tokens_details).cached_tokens) ?? a.cached;
}

// addTool adds to the call with an index, which need not follow each other: an
// Anthropic text block has one too. More than 128 calls are not shown.
const indexes = new WeakMap<Answer, Map<number, ToolCall>>();

function addTool(a: Answer, index: number, id: string, name: string, args: string) {
  let byIndex = indexes.get(a);
  if (!byIndex) indexes.set(a, (byIndex = new Map()));
  let call = byIndex.get(index);
  if (!call) {
    if (a.tools.length >= 128) return;
    call = { id: "", name: "", arguments: "" };
    byIndex.set(index, call);
    a.tools.push(call);
  }
  call.id = call.id || id;
  call.name = call.name || name;
  call.arguments += args;
}
