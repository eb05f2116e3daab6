import assert from "node:assert/strict";
import { test } from "node:test";
import { amountOf, budgetsText, budgetText, limitOf, parseBudget, parseBudgets, sameBudget, share, steps } from "../src/pages/keys/budgets.ts";
import { changed, differences, merged } from "../src/pages/keys/changes.ts";
import { filtered, fullest, sorted, tagsOf } from "../src/pages/keys/filter.ts";
import { allows, items, matches, toggled } from "../src/pages/keys/patterns.ts";
import { problemsOf } from "../src/pages/keys/problems.ts";
import { blocks, ccSwitch, cherryStudio, fill, pieces } from "../src/pages/keys/snippets.ts";
import type { BudgetView, KeyDetail } from "../src/api/types.ts";

test("a pattern matches as the gateway's does", () => {
  const cases: [string, string, boolean][] = [
    ["gpt-*", "gpt-4o", true],
    ["gpt-*", "chatgpt-4o", false],
    ["*", "", true],
    ["a*", "a/b/c", true], // a star matches a slash
    ["?", "/", true],
    ["*-mini", "gpt-4o-mini", true],
    ["*a*b", "xaxaxb", true],
    ["[a-c]x", "bx", true],
    ["[^a-c]x", "bx", false],
    ["[]]", "]", false], // a class needs a character, so this one is text
    ["[]", "[]", true], // not well-formed: it stands for itself
    ["[a", "[a", true],
    ["\\*", "*", true],
    ["\\*", "x", false],
    ["\\", "\\", true],
    ["GPT", "gpt", false],
    ["模*", "模型", true],
    ["?", "😀", true],
    ["a", "", false],
    ["", "a", false],
    ["", "", true],
    ["*a*a*a*a*a*a*a*a*a*b", "a".repeat(200), false],
  ];
  for (const [pattern, name, want] of cases) assert.equal(matches(pattern, name), want, `${pattern} ~ ${name}`);
});

test("a list allows what no ! takes away, and everything without a pattern", () => {
  assert.equal(allows([], "gpt-4o"), true);
  assert.equal(allows(["gpt-*", "!gpt-4*"], "gpt-4o"), false);
  assert.equal(allows(["gpt-*", "!gpt-4*"], "gpt-5"), true);
  assert.equal(allows(["!gpt-4*"], "claude"), true);
  assert.equal(allows(["openai"], "other"), false);
  assert.equal(allows(["/v1"], "openai", "/v1"), true);
  assert.equal(allows(["openai", "!/v1"], "openai", "/v1"), false);
  assert.deepEqual(items(" a, ,b ,"), ["a", "b"]);
});

test("a click on a model adds it or takes it away", () => {
  assert.deepEqual(toggled([], "a"), ["a"]); // from all to this one
  assert.deepEqual(toggled(["a"], "b"), ["a", "b"]);
  assert.deepEqual(toggled(["a", "b"], "b"), ["a"]);
  assert.deepEqual(toggled(["gpt-*"], "gpt-4o"), ["gpt-*", "!gpt-4o"]);
  assert.deepEqual(toggled(["gpt-*", "!gpt-4o"], "gpt-4o"), ["gpt-*"]);
  assert.deepEqual(toggled(["a"], "a"), []);
  for (const list of [["a"], ["gpt-*"], ["gpt-*", "!gpt-4o"], ["!b"]]) {
    for (const name of ["a", "b", "gpt-4o"]) {
      const next = toggled(list, name);
      if (next.length > 0) assert.equal(allows(next, name), !allows(list, name), `${list} + ${name} = ${next}`);
    }
  }
});

test("a budget reads as the gateway writes it", () => {
  const cases: [string, string | null, number][] = [
    ["20usd/month", "20usd/month", 20e9],
    ["$5/day", "5usd/day", 5e9],
    ["0.5usd/week", "0.5usd/week", 5e8],
    ["500ktokens/day", "500ktokens/day", 500_000],
    ["2mtokens/total@Europe/Berlin", "2mtokens/total@Europe/Berlin", 2e6],
    ["1 token", "1tokens/total", 1],
    ["100usd", "100usd/total", 100e9],
    ["20eur/month", null, 0],
    ["20usd/year", null, 0],
    ["", null, 0],
  ];
  for (const [text, want, limit] of cases) {
    const b = parseBudget(text);
    assert.equal(b && budgetText(b), want, text);
    if (b) assert.equal(limitOf(b), limit, text);
  }
  assert.equal(budgetsText(parseBudgets("20usd/month, 1mtokens/day")), "20usd/month,1mtokens/day");
  assert.equal(budgetsText([{ amount: " ", unit: "usd", period: "day", zone: "" }]), "");
});

test("an amount that cannot be counted is no limit", () => {
  for (const amount of ["", "0", "-1", "1e3", "x", "5k", "1.2.3"]) {
    assert.ok(Number.isNaN(limitOf({ amount, unit: "usd", period: "day", zone: "" })), amount);
  }
  assert.equal(limitOf({ amount: "1.5M", unit: "tokens", period: "day", zone: "" }), 1_500_000);
  for (const [n, unit, text] of [[20e9, "usd", "20"], [5e8, "usd", "0.5"], [1, "usd", "0.000000001"], [100e9, "usd", "100"], [2e6, "tokens", "2m"], [1500, "tokens", "1500"], [3000, "tokens", "3k"]] as const) {
    assert.equal(amountOf(n, unit), text);
    assert.equal(limitOf({ amount: text, unit, period: "day", zone: "" }), n);
  }
  assert.ok(sameBudget(parseBudget("1usd/day")!, parseBudget("2usd/day")!));
  assert.ok(!sameBudget(parseBudget("1usd/day")!, parseBudget("1usd/day@Asia/Shanghai")!));
  assert.equal(share(5, 10), 0.5);
  assert.equal(share(20, 10), 1);
  assert.equal(share(0, 0), 0);
});

test("the steps of a slider hold the limit and every spend", () => {
  const list = steps([3e9, 12e9, 0], 20e9, "usd");
  assert.ok(list.includes(20e9));
  assert.ok(list[0]! <= 3e9 && list.at(-1)! >= 39e9);
  assert.ok(list.length > 20 && list.length < 250, String(list.length));
  assert.deepEqual(list, [...new Set(list)].sort((a, b) => a - b));
  assert.ok(list.every((n) => n % 1e7 === 0), "cents");
  assert.ok(steps([], 0, "tokens").length > 1);
});

test("only what differs is sent, and null takes a setting away", () => {
  assert.deepEqual(changed({ rpm: "60", log: "off" }, { rpm: " 60 ", log: "", tags: "x" }), { log: null, tags: "x" });
  assert.deepEqual(changed({ name: "a" }, { name: "a" }), {});
});

test("a conflict shows both sides, and mine goes over theirs alone", () => {
  const opened = { name: "alice", rpm: "60", budget: "20usd/month" };
  const theirs = { name: "alice", rpm: "100", budget: "50usd/month", tags: "x" };
  const mine = { name: "alice", rpm: "60", budget: "30usd/month" };
  const list = differences(opened, theirs, mine);
  assert.deepEqual(list.map((d) => [d.name, d.both]), [["rpm", false], ["budget", true], ["tags", false]]);
  assert.deepEqual(merged(opened, theirs, mine), { name: "alice", rpm: "100", budget: "30usd/month", tags: "x" });
  assert.equal(merged({ log: "off" }, { log: "off" }, { log: "" }).log, "");
});

test("a refused form names its settings", () => {
  const p = problemsOf('rpm: "x" is not a whole number\nunknown-price: "y" is not known\nA sentence: with a colon', (n) => n === "rpm" || n === "unknown-price");
  assert.deepEqual(Object.keys(p.fields), ["rpm", "unknown-price"]);
  assert.deepEqual(p.other, ["A sentence: with a colon"]);
  const known = (n: string) => n === "rpm" || n === "ips";
  assert.deepEqual(problemsOf('changing key "a": ips: "x: rpm: y" is no address\nrpm: "z" is not a number', known).fields, { ips: '"x: rpm: y" is no address', rpm: '"z" is not a number' });
  assert.deepEqual(problemsOf('changing key "rpm: a": it is revoked', known), { fields: {}, other: ['changing key "rpm: a": it is revoked'] });
});

function key(name: string, part: Partial<KeyDetail> = {}): KeyDetail {
  return { id: name + "-id", name, state: "active", origin: "managed", policy: {}, budgets: [], masked: "", expires: null, last_used: null, used: { day: { cost_nano_usd: 0 }, month: { cost_nano_usd: 0 } }, ...part } as KeyDetail;
}
const budget = (spent: number, limit: number, held = 0) => ({ spent, limit, held }) as BudgetView;

test("the list is filtered by text, state, tag and source", () => {
  const keys = [
    key("alice", { policy: { tags: ["team=search"], models: ["gpt-*"] } }),
    key("bob", { state: "revoked" }),
    key("ci", { origin: "settings", state: "disabled" }),
  ];
  const names = (f: Partial<Parameters<typeof filtered>[1]>) => filtered(keys, { text: "", state: "current", tag: "", origin: "", ...f }).map((k) => k.name);
  assert.deepEqual(names({}), ["alice", "ci"]);
  assert.deepEqual(names({ state: "all" }), ["alice", "bob", "ci"]);
  assert.deepEqual(names({ state: "disabled" }), ["ci"]);
  assert.deepEqual(names({ text: "SEARCH gpt" }), ["alice"]);
  assert.deepEqual(names({ tag: "team=search" }), ["alice"]);
  assert.deepEqual(names({ origin: "settings" }), ["ci"]);
  assert.deepEqual(tagsOf(keys), ["team=search"]);
});

test("the list is sorted, with keys without a value last", () => {
  const keys = [
    key("b", { budgets: [budget(1, 10), budget(9, 10)], expires: "2027-01-01T00:00:00Z" }),
    key("a", { budgets: [budget(5, 10)] }),
    key("c", { expires: "2026-12-24T00:00:00Z" }),
  ];
  const order = (by: Parameters<typeof sorted>[1], down: boolean) => sorted(keys, by, down).map((k) => k.name).join("");
  assert.equal(order("name", false), "abc");
  assert.equal(order("name", true), "cba");
  assert.equal(order("budget", true), "bac");
  assert.equal(order("budget", false), "abc");
  assert.equal(order("expires", false), "cba");
  assert.equal(order("expires", true), "bca");
  assert.equal(fullest(keys[0]!)!.spent, 9);
  assert.equal(fullest(keys[2]!), null);
  assert.equal(fullest(key("x", { budgets: [budget(1, 10), budget(0, 10, 5)] }))!.held, 5);
});

test("a recipe gets the key, and without one keeps its placeholder", () => {
  assert.equal(fill("export K=fk-YOUR-KEY # fk-…", "fk-$&1"), "export K=fk-$&1 # fk-$&1");
  assert.equal(fill("K=fk-…", null), "K=fk-…");
  assert.deepEqual(blocks("In `x`:\n\n```sh\na\nb\n```\n\n- note\n"), [
    { type: "text", text: "In `x`:" },
    { type: "code", language: "sh", text: "a\nb" },
    { type: "text", text: "- note" },
  ]);
  assert.deepEqual(blocks("```\nopen"), [{ type: "code", language: "", text: "open" }]);
  assert.deepEqual(pieces("a `b` <https://c.d/> <javascript:e>"), [
    { code: false, text: "a " },
    { code: true, text: "b" },
    { code: false, text: " " },
    { code: false, text: "https://c.d/", link: "https://c.d/" },
    { code: false, text: " <javascript:e>" },
  ]);
});

test("Cherry Studio and CC Switch read their addresses", () => {
  const cherry = new URL(cherryStudio("http://gw:8000", "fk-SECRET"));
  assert.equal(cherry.protocol, "cherrystudio:");
  assert.equal(cherry.searchParams.get("v"), "1");
  assert.deepEqual(JSON.parse(atob(cherry.searchParams.get("data")!)), { id: "forward", baseUrl: "http://gw:8000", apiKey: "fk-SECRET", name: "forward", type: "openai" });
  const cc = new URL(ccSwitch("claude", "http://gw:8000/x y", "fk-SECRET"));
  assert.equal(cc.href.startsWith("ccswitch://v1/import?"), true);
  assert.equal(cc.searchParams.get("endpoint"), "http://gw:8000/x y/anthropic");
  assert.equal(cc.searchParams.get("apiKey"), "fk-SECRET");
  assert.equal(new URL(ccSwitch("codex", "http://gw", "k")).searchParams.get("endpoint"), "http://gw/v1");
});
