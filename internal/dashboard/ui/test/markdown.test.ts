import assert from "node:assert/strict";
import { test } from "node:test";
import { lexer } from "marked";
import { maxPiece, parse, parsePiece, pieces, safeLink } from "../src/pages/requests/markdown.ts";

const lex = (text: string) => lexer(text);

test("the usual forms become a tree", () => {
  const tree = parse(lex, "# T\n\na **b** *c* ~~d~~ `e`\n\n```js\nf()\n```\n\n- x\n- [x] y\n\n> q\n\n|h|\n|-|\n|1|\n\n---\n\n[l](https://a.example/x)");
  assert.deepEqual(tree.map((b) => b.type), ["heading", "paragraph", "code", "list", "quote", "table", "rule", "paragraph"]);
  assert.deepEqual(tree[1], {
    type: "paragraph",
    children: [
      { type: "text", text: "a " },
      { type: "strong", children: [{ type: "text", text: "b" }] },
      { type: "text", text: " " },
      { type: "em", children: [{ type: "text", text: "c" }] },
      { type: "text", text: " " },
      { type: "del", children: [{ type: "text", text: "d" }] },
      { type: "text", text: " " },
      { type: "code", text: "e" },
    ],
  });
  assert.deepEqual(tree[7], { type: "paragraph", children: [{ type: "link", href: "https://a.example/x", children: [{ type: "text", text: "l" }] }] });
});

test("HTML, images and links of other schemes stay text", () => {
  for (const hostile of [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a <b onclick=alert(1)>b</b>",
    "![x](https://evil.example/pixel.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](/_/api/keys)",
    "[x](#/keys)",
    "[x](//evil.example)",
    "[x](https://user:pass@evil.example)",
    "<javascript:alert(1)>",
  ]) {
    const shown = JSON.stringify(parse(lex, hostile));
    assert.ok(!shown.includes('"link"'), `${hostile}: ${shown}`);
  }
  assert.equal((parse(lex, "<script>alert(1)</script>")[0] as { text: string }).text, "<script>alert(1)</script>");
  const image = parse(lex, "![x](https://evil.example/pixel.png)")[0] as { children: { text: string }[] };
  assert.equal(image.children[0]!.text, "![x](https://evil.example/pixel.png)");
});

test("only complete http and https addresses are links", () => {
  assert.equal(safeLink("https://a.example/b?c=d"), "https://a.example/b?c=d");
  assert.equal(safeLink("http://a.example"), "http://a.example/");
  for (const s of ["javascript:1", " javascript:1", "ftp://a", "mailto:a@b.c", "a", "", "//a.example", "https://u@a.example"]) assert.equal(safeLink(s), "", s);
});

test("pieces are cut at blank lines outside of fences and add up to the text", () => {
  const fence = "```\n" + "code\n\n".repeat(2_000) + "```\n";
  const text = "para\n\n".repeat(3_000) + fence + "para\n\n".repeat(3_000);
  const cut = pieces(text);
  assert.equal(cut.join(""), text);
  assert.ok(cut.length > 3);
  for (const p of cut) assert.ok(!p.startsWith("\n") && ((p.match(/```/g) ?? []).length % 2 === 0), p.slice(0, 40));
  assert.equal(parse(lex, fence)[0]!.type, "code");
});

test("texts above the bound are plain", () => {
  const long = "**a** ".repeat(30_000);
  assert.deepEqual(parse(lex, long), [{ type: "plain", text: long }]);
});

// work measures a call in milliseconds of the processor, which a busy machine
// does not stretch. The compiler and the collector run in threads of their own
// and are in it, so the least of three is taken where the first is long.
function work(call: () => void): number {
  let least = Infinity;
  for (let i = 0; i < 3 && least >= 200; i++) {
    const before = process.cpuUsage();
    call();
    const used = process.cpuUsage(before);
    least = Math.min(least, (used.user + used.system) / 1000);
  }
  return least;
}

// Each of these made a Markdown reader stop a page before.
test("no text keeps the page for long", () => {
  const n = 40_000;
  const hostile: Record<string, string> = {
    quotes: ">".repeat(n),
    "spaced quotes": "> ".repeat(n),
    brackets: "[".repeat(n),
    links: "[a](".repeat(n / 4),
    emphasis: "*a _b ".repeat(n / 6),
    stars: "*".repeat(n),
    underscores: "a_".repeat(n),
    backticks: Array.from({ length: 200 }, (_, i) => "`".repeat(i)).join(" a "),
    lists: Array.from({ length: 300 }, (_, i) => " ".repeat(i * 2) + "- a").join("\n"),
    table: "|".repeat(n) + "\n" + "|-".repeat(n / 2),
    html: "<a".repeat(n / 2),
    comments: "<!--".repeat(n / 4),
    entities: "&amp".repeat(n / 4),
    references: "[a]: ".repeat(n / 5),
    spaces: "a" + " ".repeat(n) + "b",
    tabs: "\t".repeat(n),
    newlines: "\n".repeat(n),
    emails: "a@".repeat(n / 2),
    www: "www.".repeat(n / 4),
    tildes: "~~a".repeat(n / 3),
    mixed: "*[`<>_~".repeat(n / 7),
    "blank lines and quotes": (">".repeat(60) + "a\n\n").repeat(n / 63),
  };
  for (const [name, text] of Object.entries(hostile)) {
    for (const p of pieces(text)) {
      const took = work(() => parsePiece(lex, p));
      assert.ok(took < 200, `${name}: ${took} ms for ${p.length} characters`);
    }
    for (let i = 100; i <= maxPiece * 2; i *= 2) {
      const took = work(() => parsePiece(lex, text.slice(0, i)));
      assert.ok(took < 200, `${name}: ${took} ms for ${i} characters`);
    }
  }
});
