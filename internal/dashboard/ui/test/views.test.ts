import assert from "node:assert/strict";
import { test } from "node:test";
import { addView, readViews, readZoom, viewQuery } from "../src/pages/requests/views.ts";

test("views are bounded, replace their name, and survive broken storage", () => {
  for (const broken of [null, "", "{", "7", '"x"', "{}", '[1,null,{"name":1}]']) assert.deepEqual(readViews(broken), [], String(broken));
  let views = readViews('[{"name":"a","query":"key=1"}]');
  views = addView(views, { name: "b", query: "" });
  views = addView(views, { name: "a", query: "key=2" });
  assert.deepEqual(views, [{ name: "a", query: "key=2" }, { name: "b", query: "" }]);
  for (let i = 0; i < 99; i++) views = addView(views, { name: "v" + i, query: "" });
  assert.equal(views.length, 30);
  assert.equal(viewQuery(new URLSearchParams("key=a&open=req_1&search=true")), "key=a");
});

test("a zoom has two times in order", () => {
  assert.deepEqual(readZoom("2026-12-01T10:00:00Z_2026-12-01T11:00:00Z"), { since: "2026-12-01T10:00:00Z", until: "2026-12-01T11:00:00Z" });
  for (const broken of [null, "", "_", "a_b", "2026-12-01T11:00:00Z_2026-12-01T10:00:00Z"]) assert.equal(readZoom(broken), null);
});
