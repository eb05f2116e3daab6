// placeholder is what a recipe has in place of a key.
const placeholder = /fk-(?:YOUR-KEY|…|\.\.\.)/g;

// fill puts a key into the text of a recipe. Without one the placeholder stays.
export function fill(text: string, secret: string | null): string {
  return secret === null ? text : text.replace(placeholder, () => secret);
}

export type Block = { type: "text"; text: string } | { type: "code"; language: string; text: string };

// blocks cuts the text of a recipe into paragraphs and fenced code. A text
// without a fence is code as a whole where plain is set.
export function blocks(text: string, plain = false): Block[] {
  if (plain && !/^```/m.test(text)) return [{ type: "code", language: "", text: text.trim() }];
  const list: Block[] = [];
  let lines: string[] = [];
  let language: string | null = null;
  const flush = () => {
    const body = lines.join("\n");
    lines = [];
    if (language !== null) list.push({ type: "code", language, text: body });
    else if (body.trim() !== "") list.push({ type: "text", text: body.trim() });
  };
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      flush();
      language = language === null ? line.slice(3).trim() : null;
      continue;
    }
    lines.push(line);
  }
  flush();
  return list;
}

export type Piece = { code: boolean; text: string; link?: string };

// pieces cuts a paragraph into text and `code`; an address in angle brackets is
// a link if it is http or https.
export function pieces(text: string): Piece[] {
  const list: Piece[] = [];
  let at = 0;
  for (const found of text.matchAll(/`([^`]+)`|<(https?:\/\/[^\s<>]+)>/g)) {
    if (found.index > at) list.push({ code: false, text: text.slice(at, found.index) });
    if (found[1] !== undefined) list.push({ code: true, text: found[1] });
    else list.push({ code: false, text: found[2] as string, link: found[2] as string });
    at = found.index + found[0].length;
  }
  if (at < text.length) list.push({ code: false, text: text.slice(at) });
  return list;
}

// cherryStudio returns the address by which Cherry Studio adds a provider. The
// program takes quotes and brackets out of the data before it reads it, so
// nothing of a key's name is in it, and it reads - and _ as / and +, so the
// base64 is the plain one.
export function cherryStudio(base: string, secret: string): string {
  const data = { id: "forward", baseUrl: base, apiKey: secret, name: "forward", type: "openai" };
  return "cherrystudio://providers/api-keys?v=1&data=" + encodeURIComponent(btoa(JSON.stringify(data)));
}

export type SwitchApp = "claude" | "codex" | "gemini";

const paths: Record<SwitchApp, string> = { claude: "/anthropic", codex: "/v1", gemini: "/gemini" };

// ccSwitch returns the address by which CC Switch imports a provider for one of
// the coding agents.
export function ccSwitch(app: SwitchApp, base: string, secret: string): string {
  const values = new URLSearchParams({
    resource: "provider",
    app,
    name: "forward",
    homepage: base,
    endpoint: base + paths[app],
    apiKey: secret,
  });
  return "ccswitch://v1/import?" + values.toString();
}
