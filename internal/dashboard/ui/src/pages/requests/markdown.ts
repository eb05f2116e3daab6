// Markdown as a tree of plain objects, which a component turns into elements.
// No HTML exists on the way: raw HTML and images stay text, a link is one only
// with http or https.

import type { MarkedToken, Token } from "marked";

export type Inline =
  | { type: "text" | "code"; text: string }
  | { type: "strong" | "em" | "del"; children: Inline[] }
  | { type: "link"; href: string; children: Inline[] }
  | { type: "br" };

export type Block =
  | { type: "paragraph"; children: Inline[] }
  | { type: "heading"; depth: number; children: Inline[] }
  | { type: "code"; lang: string; text: string }
  | { type: "plain"; text: string }
  | { type: "quote"; children: Block[] }
  | { type: "list"; ordered: boolean; start: number; items: { checked: boolean | null; children: Block[] }[] }
  | { type: "table"; header: Inline[][]; rows: Inline[][][] }
  | { type: "rule" };

// maxMarkdown is the length in characters above which a text stays plain.
export const maxMarkdown = 150_000;

// maxPiece bounds what the lexer gets at once, for its time may grow faster than
// the text, and the page stands still meanwhile.
export const maxPiece = 8_000;

const maxDepth = 24; // of quotes, lists and emphasis in each other

export type Lexer = (text: string) => Token[];

// pieces cuts a text at blank lines outside of code fences, so that each piece
// can be read on its own. A piece without a blank line may be longer.
export function pieces(text: string): string[] {
  const out: string[] = [];
  let start = 0;
  let cut = 0; // the last place to cut after start
  let fence = "";
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf("\n", at);
    end = end < 0 ? text.length : end + 1;
    const line = text.slice(at, Math.min(end, at + 200));
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark && fence === "") fence = mark;
    else if (mark && mark[0] === fence[0] && mark.length >= fence.length && /^ {0,3}[`~]+\s*$/.test(line)) fence = "";
    if (fence === "" && line.trim() === "" && end - at < 200) cut = end;
    if (end - start > maxPiece && cut > start) {
      out.push(text.slice(start, cut));
      start = cut;
    }
    at = end;
  }
  if (start < text.length) out.push(text.slice(start));
  return out;
}

// parsePiece reads one piece. What the lexer cannot read in bounds stays plain.
export function parsePiece(lex: Lexer, text: string): Block[] {
  if (text.length > 2 * maxPiece) {
    const fenced = wholeFence(text);
    return [fenced ?? { type: "plain", text }];
  }
  try {
    return blocks(lex(text), 0);
  } catch {
    return [{ type: "plain", text }];
  }
}

// parse reads a whole text at once; the page reads piece by piece.
export function parse(lex: Lexer, text: string): Block[] {
  if (text.length > maxMarkdown) return [{ type: "plain", text }];
  return pieces(text).flatMap((p) => parsePiece(lex, p));
}

// wholeFence is a piece that consists of one code block: a long listing.
function wholeFence(text: string): Block | null {
  const m = /^\s{0,3}(`{3,}|~{3,})([^\n]{0,100})\n/.exec(text);
  if (!m) return null;
  const close = text.lastIndexOf("\n" + m[1]);
  if (close < m[0].length - 1 || text.slice(close + 1 + m[1]!.length).trim() !== "") return null;
  return { type: "code", lang: m[2]!.trim(), text: text.slice(m[0].length, close) };
}

function blocks(tokens: Token[], depth: number): Block[] {
  const out: Block[] = [];
  for (const token of tokens as MarkedToken[]) {
    if (depth > maxDepth) {
      out.push({ type: "plain", text: token.raw });
      continue;
    }
    switch (token.type) {
      case "space":
      case "def":
        break;
      case "heading":
        out.push({ type: "heading", depth: token.depth, children: inlines(token.tokens, depth + 1) });
        break;
      case "paragraph":
        out.push({ type: "paragraph", children: inlines(token.tokens, depth + 1) });
        break;
      case "text":
        out.push({ type: "paragraph", children: token.tokens ? inlines(token.tokens, depth + 1) : [{ type: "text", text: unescape(token.text) }] });
        break;
      case "code":
        out.push({ type: "code", lang: token.lang ?? "", text: token.text });
        break;
      case "blockquote":
        out.push({ type: "quote", children: blocks(token.tokens, depth + 1) });
        break;
      case "list":
        out.push({
          type: "list",
          ordered: token.ordered,
          start: typeof token.start === "number" ? token.start : 1,
          items: token.items.map((item) => ({ checked: item.task ? !!item.checked : null, children: blocks(item.tokens, depth + 1) })),
        });
        break;
      case "table":
        out.push({
          type: "table",
          header: token.header.map((cell) => inlines(cell.tokens, depth + 1)),
          rows: token.rows.map((row) => row.map((cell) => inlines(cell.tokens, depth + 1))),
        });
        break;
      case "hr":
        out.push({ type: "rule" });
        break;
      default:
        out.push({ type: "plain", text: (token as Token).raw }); // HTML among them
    }
  }
  return out;
}

function inlines(tokens: Token[], depth: number): Inline[] {
  const out: Inline[] = [];
  const text = (s: string) => {
    const last = out[out.length - 1];
    if (last && last.type === "text") last.text += s;
    else out.push({ type: "text", text: s });
  };
  for (const token of tokens as MarkedToken[]) {
    if (depth > maxDepth) {
      text(token.raw);
      continue;
    }
    switch (token.type) {
      case "strong":
      case "em":
      case "del":
        out.push({ type: token.type, children: inlines(token.tokens, depth + 1) });
        break;
      case "codespan":
        out.push({ type: "code", text: token.text });
        break;
      case "br":
        out.push({ type: "br" });
        break;
      case "link": {
        const href = safeLink(token.href);
        if (href === "") text(token.raw);
        else out.push({ type: "link", href, children: inlines(token.tokens, depth + 1) });
        break;
      }
      case "text":
        if (token.tokens) out.push(...inlines(token.tokens, depth + 1));
        else text(unescape(token.text));
        break;
      case "escape":
        text(unescape(token.text));
        break;
      default:
        text((token as Token).raw); // images and HTML among them
    }
  }
  return out;
}

// safeLink returns the address of a link that may be one, otherwise "".
export function safeLink(href: string): string {
  try {
    const url = new URL(href);
    const plain = (url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.password === "";
    return plain ? url.href : "";
  } catch {
    return ""; // a relative address would lead into the dashboard
  }
}

// unescape undoes the character references that a lexer may leave in text.
function unescape(s: string): string {
  return s.includes("&") ? s.replace(/&(lt|gt|quot|#39|amp);/g, (_, name: string) => ({ lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" })[name]!) : s;
}
