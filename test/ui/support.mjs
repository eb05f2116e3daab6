// What the suites share: the scenes, a browser, and a page that reports every
// offence: a request to another origin, an error in the console, a violation of
// the Content-Security-Policy.
//
// The gateways run already; test/ui/pages_test.go starts them and names them in
// the environment.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after } from 'node:test';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const text = process.env.FORWARD_UI_SCENES;
if (!text) throw new Error('FORWARD_UI_SCENES is not set: run these tests by "go test -tags ui ./test/ui"');
export const scenes = JSON.parse(text);

const browser = await chromium.launch({
  executablePath: process.env.FORWARD_UI_BROWSER || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic', '--no-first-run'],
});
after(() => browser.close());

// A fresh browser profile at a gateway. It has no sign-in. `offences` collects
// what no page may do; `closed` checks that there were none.
export async function profile(scene, { lang = 'en', scheme = 'light', width = 1280, height = 900, url = scene.url } = {}) {
  const context = await browser.newContext({ locale: lang, colorScheme: scheme, viewport: { width, height }, baseURL: url });
  const offences = [];
  await context.route('**', (route) => {
    const target = new URL(route.request().url());
    if (target.origin === new URL(url).origin || target.protocol === 'data:' || target.protocol === 'blob:') return route.continue();
    offences.push(`a request to ${target}`);
    return route.abort();
  });
  context.on('console', (message) => {
    // The browser itself reports each answer of 400 and above; pages handle those.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) offences.push(`console: ${message.text()}`);
  });
  context.on('weberror', (error) => offences.push(`page: ${error.error().stack}`));
  context.setDefaultTimeout(10_000);
  return {
    context,
    offences,
    async page(hash = '') {
      const page = await context.newPage();
      await page.goto(`${url}/_/${hash}`);
      return page;
    },
    async closed() {
      await context.close();
      assert.deepEqual(offences, []);
    },
  };
}

// Signs a profile in through the page, as a person does, and returns that page.
export async function signIn(p, secret, hash = '') {
  const page = await p.page(hash);
  await page.locator('input[name=key]').fill(secret);
  await page.keyboard.press('Enter');
  await page.locator('.shell').waitFor();
  return page;
}

// A request to the API as a program sends it, with a bearer credential.
export async function api(scene, path, { secret = scene.admin, method = 'GET', body, headers = {} } = {}) {
  const answer = await fetch(`${scene.url}/_/api${path}`, {
    method,
    headers: { ...(secret ? { Authorization: `Bearer ${secret}` } : {}), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: answer.status, headers: answer.headers, text, json };
}

// A request of a program through the gateway.
export function chat(scene, key, body, { path = '/v1/chat/completions', script, signal } = {}) {
  return fetch(`${scene.url}${path}`, {
    method: 'POST',
    signal,
    headers: { Authorization: `Bearer ${scene.keys[key]}`, 'Content-Type': 'application/json', ...(script ? { 'X-Script': script } : {}) },
    body: JSON.stringify(body),
  });
}

// The output of a command of forward in the directory of a scene.
export async function command(scene, ...args) {
  const { stdout } = await promisify(execFile)(scene.binary, args, { cwd: scene.dir, env: { PATH: process.env.PATH, HOME: scene.dir } });
  return stdout;
}

const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

// The serious and critical violations that axe-core finds on a page.
// addScriptTag would need an exception from the policy, so the engine is put in
// by the debugger, which no policy binds.
export async function violations(page) {
  const { readFileSync } = await import('node:fs');
  await page.evaluate(readFileSync(axeSource, 'utf8'));
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.failureSummary.replaceAll('\n', ' ')).join(' | ')}`);
}

// Takes a picture of a page where FORWARD_UI_SCREENSHOTS asks for them.
export async function picture(page, name) {
  const dir = process.env.FORWARD_UI_SCREENSHOTS;
  if (!dir) return;
  mkdirSync(dir, { recursive: true });
  await page.screenshot({ path: `${dir}/${name}.png` });
}

// Waits until a condition holds.
export async function eventually(what, condition, within = 10_000) {
  const end = Date.now() + within;
  let last;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`${what}: not within ${within} ms${last ? ` (${last})` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The pages of each role. A page is a hash, and a name for its picture.
export const pages = {
  administrator: ['', 'live', 'requests', 'why', 'usage', 'keys', 'keys/new', 'upstreams', 'cache', 'playground', 'settings', 'audit'],
  holder: ['connect', '', 'live', 'requests', 'why', 'usage', 'playground'],
};
export const nameOf = (hash) => (hash === '' ? 'overview' : hash.replace(/[^a-z]+/gi, '-'));

// Opens a page of a signed-in profile and waits until it stands still: nothing
// is being loaded, and no placeholder is left.
export async function open(page, hash) {
  await page.evaluate((to) => (location.hash = `#/${to}`), hash);
  await settled(page);
}

export async function settled(page) {
  await page.locator('main').first().waitFor();
  await eventually(
    `${page.url()} stands still`,
    async () => {
      const busy = () => page.evaluate(() => document.querySelectorAll('[aria-busy="true"], .progress.on').length);
      if (await busy()) return false;
      await page.waitForTimeout(120);
      return !(await busy());
    },
    15_000,
  );
}
