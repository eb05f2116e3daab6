// The form of the playground and the body of the request that it makes.

import type { Dialect } from "./answer.ts";

export interface Turn {
  role: "user" | "assistant";
  text: string;
}

export interface Form {
  dialect: Dialect;
  path: string; // of the gateway; "": the usual one of the dialect
  system: string;
  turns: Turn[];
  temperature: string;
  maxTokens: string;
  stream: boolean;
  caching: boolean;
  extra: string; // members of the body, as JSON
}

export function emptyForm(): Form {
  return { dialect: "chat", path: "", system: "", turns: [{ role: "user", text: "" }], temperature: "", maxTokens: "", stream: true, caching: false, extra: "" };
}

const ends: Record<Dialect, string> = { chat: "/v1/chat/completions", messages: "/v1/messages", responses: "/v1/responses" };

// pathOf is the usual path of a dialect below a route's prefix.
export function pathOf(dialect: Dialect, prefix: string): string {
  return (prefix.startsWith("/") ? prefix.replace(/\/+$/, "") : "") + ends[dialect];
}

// baseOf is what an SDK takes as its base URL: OpenAI's ends in /v1.
export function baseOf(dialect: Dialect, path: string): string {
  return dialect === "messages" ? path.replace(/\/v1\/messages$/, "") : path.replace(/\/(chat\/completions|responses)$/, "");
}

// guessDialect takes the dialect from the routes and the name of a model.
export function guessDialect(routes: string[], model: string): Dialect {
  return routes.some((r) => /anthropic|claude/i.test(r)) || (routes.length === 0 && /^claude/i.test(model)) ? "messages" : "chat";
}

// extraOf reads the further members; null is a text that is no JSON object.
export function extraOf(text: string): Record<string, unknown> | null {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

// bodyOf writes the body for a model. Empty fields are left out, so that the
// provider's defaults apply.
export function bodyOf(form: Form, model: string): Record<string, unknown> {
  const body: Record<string, unknown> = { model };
  const turns = form.turns.filter((t) => t.text !== "").map((t) => ({ role: t.role, content: t.text }));
  const system = form.system.trim() === "" ? null : form.system;
  const most = positive(form.maxTokens);
  switch (form.dialect) {
    case "chat":
      body.messages = system === null ? turns : [{ role: "system", content: system }, ...turns];
      if (most !== null) body.max_tokens = most;
      if (form.stream) body.stream_options = { include_usage: true };
      break;
    case "messages":
      if (system !== null) body.system = system;
      body.messages = turns;
      body.max_tokens = most ?? 1024; // the protocol demands it
      break;
    case "responses":
      if (system !== null) body.instructions = system;
      body.input = turns;
      if (most !== null) body.max_output_tokens = most;
  }
  const temperature = form.temperature.trim() === "" ? NaN : Number(form.temperature);
  if (Number.isFinite(temperature)) body.temperature = temperature;
  if (form.stream) body.stream = true;
  if (form.caching) body.caching = true;
  return { ...body, ...extraOf(form.extra) };
}

function positive(text: string): number | null {
  const n = Number(text);
  return Number.isInteger(n) && n > 0 ? n : null;
}

type Any = Record<string, any>;

// formOf reads the body of a request that was made. Its texts become turns; any
// other member stays as it is among the further ones. A conversation with parts
// other than text stays whole there.
export function formOf(dialect: Dialect, body: unknown): Form {
  const form = { ...emptyForm(), dialect };
  const { model: _, stream, caching, temperature, max_tokens, max_output_tokens, system, instructions, messages, input, stream_options: __, ...rest } = object(body);
  form.stream = stream === true;
  form.caching = caching === true;
  if (typeof temperature === "number") form.temperature = String(temperature);
  const most = max_tokens ?? max_output_tokens;
  if (typeof most === "number") form.maxTokens = String(most);
  const instruction = dialect === "messages" ? system : instructions;
  const words = textOf(instruction);
  if (words !== null) form.system = words;
  else if (instruction !== undefined) rest[dialect === "messages" ? "system" : "instructions"] = instruction;
  const list = dialect === "responses" ? (typeof input === "string" ? [{ role: "user", content: input }] : input) : messages;
  const turns = turnsOf(list, form);
  if (turns) form.turns = turns.length > 0 ? turns : form.turns;
  else if (list !== undefined) rest[dialect === "responses" ? "input" : "messages"] = list;
  if (Object.keys(rest).length > 0) form.extra = JSON.stringify(rest, null, 2);
  return form;
}

function turnsOf(list: unknown, form: Form): Turn[] | null {
  if (!Array.isArray(list)) return null;
  const turns: Turn[] = [];
  let system = form.system;
  for (const [i, m] of list.map(object).entries()) {
    const text = textOf(m.content);
    if (text === null || m.tool_calls || m.tool_call_id) return null;
    if (m.role === "user" || m.role === "assistant") turns.push({ role: m.role, text });
    else if ((m.role === "system" || m.role === "developer") && i === 0 && system === "") system = text;
    else return null;
  }
  form.system = system;
  return turns;
}

// textOf is a text or a list of texts as one; null is anything else.
function textOf(content: unknown): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  const texts = content.map((p) => (["text", "input_text", "output_text"].includes(object(p).type) && Object.keys(p).every((k) => k === "type" || k === "text" || k === "annotations") ? p.text : null));
  return texts.every((t) => typeof t === "string") ? texts.join("") : null;
}

function object(v: unknown): Any {
  return v !== null && typeof v === "object" && !Array.isArray(v) ? (v as Any) : {};
}
