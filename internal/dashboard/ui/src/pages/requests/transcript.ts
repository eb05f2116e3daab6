// What the sheet shows of a conversation. It decides what is open at first and
// how much of a text is drawn, so that 5 MB of an answer do not stop the page.

import type { Message, Part } from "../../api/types.ts";

// maxText is the length in characters above which a text is cut.
export const maxText = 150_000;

// openText is how much of a conversation is drawn before anything is clicked.
const openText = 60_000;

// maxMessages bounds the list; older messages are behind a button.
export const maxMessages = 200;

export interface Item {
  part: Part;
  open: boolean; // drawn at first; a folded part is drawn when it is opened
  size: number; // in characters
  hint: string; // the start of the text, for the summary of a folded part
}

export interface Entry {
  role: string;
  answer: boolean;
  items: Item[];
}

// partText is what a part shows as text.
export function partText(part: Part): string {
  switch (part.type) {
    case "text":
    case "reasoning":
    case "tool_result":
      return part.text;
    case "tool_call":
      return part.arguments;
    case "media":
      return "";
    case "other":
      return stringify(part.json);
  }
}

// transcript orders a conversation for the page. The answer and the last
// messages are the ones that are read, so the space for open text is given from
// the end. Tool calls, results and reasoning start folded.
export function transcript(messages: Message[]): Entry[] {
  let space = openText;
  const entries: Entry[] = [];
  for (const m of [...messages].reverse()) {
    const items = [...m.parts].reverse().map((part) => {
      const text = partText(part);
      const size = text.length;
      const foldable = part.type !== "text" && part.type !== "media";
      const open = !foldable && size <= Math.max(space, 2_000);
      if (open) space = Math.max(0, space - size);
      return { part, open, size, hint: firstLine(text) };
    });
    entries.push({ role: m.role, answer: m.answer, items: items.reverse() });
  }
  return entries.reverse();
}

// cut shortens a text to what is drawn, and never between the halves of a
// character.
export function cut(text: string, most = maxText): { text: string; left: number } {
  if (text.length <= most) return { text, left: 0 };
  const code = text.charCodeAt(most - 1);
  const end = code >= 0xd800 && code <= 0xdbff ? most - 1 : most;
  return { text: text.slice(0, end), left: text.length - end };
}

export function firstLine(text: string): string {
  const line = text.slice(0, 400).trim().split(/\s*\n/, 1)[0] ?? "";
  return line.length > 100 ? cut(line, 100).text + "…" : line;
}

// stringify writes JSON to be read: texts that are data in base64 are replaced
// by their size.
export function stringify(value: unknown): string {
  return JSON.stringify(value, (_, v) => (typeof v === "string" ? (mediaOf(v) ?? v) : v), 2) ?? "";
}

// mediaOf describes a text that is a file in base64, as a data URL or bare; null
// for any other text.
export function mediaOf(s: string): string | null {
  if (s.length < 512) return null;
  const head = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,/.exec(s.slice(0, 200));
  if (head) return `[${head[1] ?? "data"}, ${bytesOf(s.length - head[0].length)}]`;
  if (s.length > 4_096 && /^[A-Za-z0-9+/_-]{512}/.test(s) && /^[A-Za-z0-9+/_-]*={0,2}$/.test(s.slice(-512))) return `[base64, ${bytesOf(s.length)}]`;
  return null;
}

function bytesOf(base64: number): string {
  const n = Math.floor((base64 * 3) / 4);
  return n < 10_240 ? `${n} B` : n < 10_485_760 ? `${Math.round(n / 1024)} KiB` : `${Math.round(n / 1_048_576)} MiB`;
}
