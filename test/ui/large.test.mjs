// Pages over a large ledger and many keys.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, eventually, nameOf, open, pages, picture, profile, scenes, signIn } from './support.mjs';

const { large } = scenes;

test('every page over a large ledger', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin);
  for (const hash of pages.administrator) {
    await open(page, hash);
    assert.equal(await page.getByRole('alert').count(), 0, `#/${hash}: ${await page.getByRole('alert').allInnerTexts()}`);
    assert.ok((await page.evaluate(() => document.querySelectorAll('*').length)) < 12_000, `#/${hash} has too many elements`);
    await picture(page, `large-${nameOf(hash)}`);
  }
  await p.closed();
});

test('D16 Requests makes 3 calls, keeps 200 rows, and a hidden tab makes none', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin, '#/keys');
  let calls = [];
  page.on('request', (request) => request.url().includes('/_/api/') && calls.push(new URL(request.url()).pathname));
  await open(page, 'requests?range=7d');
  assert.ok(calls.length <= 3, calls.join(' '));
  const rows = page.locator('[data-row]');
  await rows.first().waitFor();
  let most = 0;
  for (let i = 0; i < 120; i++) {
    await page.mouse.move(640, 600);
    await page.mouse.wheel(0, 4000);
    if (i % 6 === 0) await page.waitForTimeout(60);
    most = Math.max(most, await rows.count());
  }
  assert.ok(most <= 200, `${most} rows are in the document`);
  const reached = await page.evaluate(() => Math.max(...[...document.querySelectorAll('[aria-rowindex]')].map((e) => Number(e.getAttribute('aria-rowindex')))));
  assert.ok(reached > 1000, `only ${reached} rows were reached`);
  // A tab that another one covers is hidden.
  await open(page, 'live');
  await open(page, '');
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { get: () => 'hidden', configurable: true });
    Object.defineProperty(document, 'hidden', { get: () => true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  calls = [];
  await page.waitForTimeout(6000);
  assert.deepEqual(calls, []);
  await p.closed();
});

test('2,000 keys are listed, and one is found', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin, '#/keys');
  await page.getByText('2001 keys', { exact: false }).or(page.getByText('2,001', { exact: false })).first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('member 1234');
  await eventually('one key is left', async () => (await page.locator('[data-row]').count()) === 1);
  await picture(page, 'large-keys-found');
  await p.closed();
});

test('D14 the page shows what the ledger has', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin);
  const { total } = (await api(large, '/usage?since=2020-01-01&until=2035-01-01')).json;
  await open(page, 'usage?range=custom&since=2020-01-01&until=2034-12-31');
  const shown = await page.getByRole('main').innerText();
  assert.ok(total.requests > 10_000);
  for (const text of [`${total.requests.toLocaleString('en')} requests`, new Intl.NumberFormat('en', { style: 'currency', currency: 'USD' }).format(total.cost_nano_usd / 1e9)]) {
    assert.ok(shown.includes(text), `${text} is not on the page:\n${shown.slice(0, 400)}`);
  }
  await p.closed();
});
