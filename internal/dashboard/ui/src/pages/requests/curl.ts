// A request as code, to be copied. The credential is always a placeholder.

export interface Call {
  url: string;
  dialect: "chat" | "messages" | "responses" | "";
  body: unknown;
}

const placeholder = "$FORWARD_KEY";

// quote makes one word for a shell of POSIX.
export function quote(s: string): string {
  return "'" + s.replaceAll("'", `'\\''`) + "'";
}

// curl writes a call as a command. An Anthropic client sends its version and
// its key in headers of its own.
export function curl(call: Call): string {
  const lines = [`curl ${quote(call.url)}`, `  -H ${quote("Content-Type: application/json")}`];
  if (call.dialect === "messages") {
    lines.push(`  -H "x-api-key: ${placeholder}"`, `  -H ${quote("anthropic-version: 2023-06-01")}`);
  } else {
    lines.push(`  -H "Authorization: Bearer ${placeholder}"`);
  }
  if (call.body !== null && call.body !== undefined) lines.push(`  --data-binary ${quote(JSON.stringify(call.body, null, 2))}`);
  return lines.join(" \\\n");
}

// python writes a call for the provider's SDK, whose base URL is the gateway's.
export function python(call: Call, base: string): string {
  const args = entries(call.body).map(([name, value]) => `    ${name}=${pythonValue(value, 1)},`).join("\n");
  const env = `os.environ["FORWARD_KEY"]`;
  if (call.dialect === "messages") {
    return `import os\nfrom anthropic import Anthropic\n\nclient = Anthropic(base_url=${JSON.stringify(base)}, api_key=${env})\nanswer = client.messages.create(\n${args}\n)\nprint(answer)\n`;
  }
  const method = call.dialect === "responses" ? "responses.create" : "chat.completions.create";
  return `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(base)}, api_key=${env})\nanswer = client.${method}(\n${args}\n)\nprint(answer)\n`;
}

export function javascript(call: Call, base: string): string {
  const body = JSON.stringify(call.body, null, 2) ?? "{}";
  if (call.dialect === "messages") {
    return `import Anthropic from "@anthropic-ai/sdk";\n\nconst client = new Anthropic({ baseURL: ${JSON.stringify(base)}, apiKey: process.env.FORWARD_KEY });\nconst answer = await client.messages.create(${body});\nconsole.log(answer);\n`;
  }
  const method = call.dialect === "responses" ? "responses.create" : "chat.completions.create";
  return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: process.env.FORWARD_KEY });\nconst answer = await client.${method}(${body});\nconsole.log(answer);\n`;
}

function entries(body: unknown): [string, unknown][] {
  return body !== null && typeof body === "object" ? Object.entries(body).filter(([name]) => /^[a-z_]\w*$/i.test(name)) : [];
}

// pythonValue writes JSON as Python: only the three words differ.
function pythonValue(v: unknown, depth: number): string {
  const pad = "    ".repeat(depth + 1);
  const close = "    ".repeat(depth);
  if (v === null || v === undefined) return "None";
  if (v === true) return "True";
  if (v === false) return "False";
  if (Array.isArray(v)) return v.length === 0 ? "[]" : `[\n${v.map((x) => pad + pythonValue(x, depth + 1)).join(",\n")},\n${close}]`;
  if (typeof v === "object") {
    const members = Object.entries(v as object);
    return members.length === 0 ? "{}" : `{\n${members.map(([name, x]) => `${pad}${JSON.stringify(name)}: ${pythonValue(x, depth + 1)}`).join(",\n")},\n${close}}`;
  }
  return JSON.stringify(v);
}
