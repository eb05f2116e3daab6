import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curl, javascript, python, quote } from "../src/pages/requests/curl.ts";

const hostile = `it's "quoted" $HOME \`id\` $(id)\n\\ 你好`;

test("a shell reads back what was quoted", () => {
  assert.equal(execFileSync("sh", ["-c", `printf %s ${quote(hostile)}`], { encoding: "utf8" }), hostile);
});

test("curl has a placeholder, the body, and nothing that a shell runs", () => {
  const body = { model: "m", messages: [{ role: "user", content: hostile }] };
  const command = curl({ url: "https://gw.example/v1/chat/completions", dialect: "chat", body });
  const words = execFileSync("sh", ["-c", command.replace("curl ", "printf '%s\\0' ")], { encoding: "utf8", env: { FORWARD_KEY: "fk-test" } }).split("\0");
  assert.equal(words[0], "https://gw.example/v1/chat/completions");
  assert.ok(words.includes("Authorization: Bearer fk-test"));
  assert.deepEqual(JSON.parse(words[words.indexOf("--data-binary") + 1]!), body);
  assert.ok(!command.includes("fk-"));
  assert.ok(curl({ url: "u", dialect: "messages", body: null }).includes("x-api-key: $FORWARD_KEY"));
});

test("Python and JavaScript have the arguments", () => {
  const call = { url: "u", dialect: "chat" as const, body: { model: "m", stream: true, stop: null, messages: [{ role: "user", content: hostile }] } };
  const code = python(call, "https://gw.example/v1");
  assert.ok(code.includes("stream=True") && code.includes("stop=None") && code.includes('os.environ["FORWARD_KEY"]'));
  try {
    execFileSync("python3", ["-c", "import ast,sys; ast.parse(sys.stdin.read())"], { input: code });
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
  }
  assert.ok(javascript(call, "https://gw.example/v1").includes("process.env.FORWARD_KEY"));
});
