// Five tasks of a team lead, by mouse within a number of clicks, and by keyboard
// alone.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, chat, eventually, open, picture, profile, scenes, settled, signIn } from './support.mjs';

const { team, large } = scenes;
const run = Date.now(); // names are new in each run of a scene

// A mouse that counts its clicks.
function mouse(page) {
  const m = { clicks: 0, click: (locator, options) => (m.clicks++, locator.click(options)) };
  return m;
}

// Presses Tab until the focus is on an element whose accessible text matches,
// then Enter. A page that traps the focus fails here.
async function press(page, wanted, key = 'Enter') {
  await tabTo(page, wanted);
  await page.keyboard.press(key);
}

async function tabTo(page, wanted) {
  for (let i = 0; i < 250; i++) {
    await page.keyboard.press('Tab');
    const text = await page.evaluate(() => {
      const e = document.activeElement;
      const label = e.labels && e.labels.length ? e.labels[0].innerText : '';
      return e.getAttribute('aria-label') || label || e.innerText || e.getAttribute('name') || '';
    });
    if (wanted.test(text)) return;
  }
  throw new Error(`no element that says ${wanted} was reached by Tab`);
}

test('a key with 20 $ a month is handed to a teammate, by mouse', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  const m = mouse(page);
  await m.click(page.getByRole('navigation').getByRole('link', { name: 'Keys' }));
  await m.click(page.getByRole('link', { name: 'New key' }).or(page.getByRole('button', { name: 'New key' })).first());
  await page.getByLabel(/^name/i).first().fill(`erin ${run}`);
  await m.click(page.getByRole('button', { name: /add a budget/i }));
  await page.getByLabel(/^amount/i).first().fill('20');
  await m.click(page.getByRole('button', { name: /hand-over link/i }));
  await page.getByText(/#\/handover\//).or(page.locator('input[value*="#/handover/"]')).first().waitFor();
  assert.ok(m.clicks <= 5, `${m.clicks} clicks`);
  const key = (await api(team, `/keys/${encodeURIComponent(`erin ${run}`)}`)).json;
  assert.equal(key.budgets[0].budget, '20usd/month');
  await picture(page, 'task-key-mouse');
  await p.closed();
});

test('a key with 20 $ a month is handed to a teammate, by keyboard', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('g');
  await page.keyboard.press('k');
  await page.getByRole('heading', { level: 1, name: 'Keys' }).waitFor();
  await press(page, /^New key$/);
  await page.getByRole('heading', { level: 1, name: 'New key' }).waitFor();
  await tabTo(page, /^name/i);
  await page.keyboard.type(`frank ${run}`);
  await press(page, /add a budget/i);
  await tabTo(page, /^amount/i);
  await page.keyboard.type('20');
  await press(page, /create and show/i);
  await page.locator('[data-secret]').waitFor();
  const key = (await api(team, `/keys/${encodeURIComponent(`frank ${run}`)}`)).json;
  assert.equal(key.budgets[0].budget, '20usd/month');
  await p.closed();
});

test('why a request was slow', async () => {
  const slow = await chat(team, 'alice', { model: 'gpt-4o', messages: [{ role: 'user', content: 'slow please' }] }, { script: 'delay-1500-ms' });
  await slow.text();
  const id = slow.headers.get('x-forward-request-id');
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  const m = mouse(page);
  await m.click(page.getByRole('navigation').getByRole('link', { name: 'Requests' }));
  await m.click(page.locator(`[data-row="${id}"]`).first());
  const sheet = page.getByRole('dialog');
  await sheet.getByText(/upstream/i).first().waitFor();
  assert.match(await sheet.innerText(), /1[.,][4-9]\d*\s*s/);
  assert.ok(m.clicks <= 2, `${m.clicks} clicks`);
  await picture(page, 'task-slow');
  await page.keyboard.press('Escape');
  // By keyboard: g r, j to the first row, Enter.
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await settled(page);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await p.closed();
});

test('what a key spent yesterday on which model, by mouse', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin);
  const m = mouse(page);
  await m.click(page.getByRole('navigation').getByRole('link', { name: 'Usage' }));
  await m.click(page.getByText('Yesterday', { exact: true }));
  await page.getByLabel('Rows', { exact: true }).selectOption('key');
  await page.getByLabel('Columns', { exact: true }).selectOption('model');
  await settled(page);
  await spentYesterday(page);
  assert.ok(m.clicks <= 2, `${m.clicks} clicks`);
  await picture(page, 'task-usage');
  await p.closed();
});

test('what a key spent yesterday on which model, by keyboard', async () => {
  const p = await profile(large);
  const page = await signIn(p, large.admin);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('g');
  await page.keyboard.press('u');
  await page.getByRole('heading', { level: 1, name: 'Usage' }).waitFor();
  await press(page, /^yesterday$/i);
  await tabTo(page, /^rows/i);
  await page.keyboard.type('Key');
  await tabTo(page, /^columns/i);
  await page.keyboard.type('Model');
  await settled(page);
  await spentYesterday(page);
  await p.closed();
});

// The page shows what the API has of one key and one model.
async function spentYesterday(page) {
  assert.match(page.url(), /range=yesterday/);
  const day = (n) => new Intl.DateTimeFormat('en-CA', { timeZone: 'Asia/Shanghai' }).format(Date.now() - n * 86_400_000);
  const { groups } = (await api(large, `/usage?by=key,model&since=${day(1)}&until=${day(0)}&limit=1000`)).json;
  const { key_name: name } = groups[0];
  const cost = groups.filter((g) => g.key_name === name).reduce((sum, g) => sum + g.cost_nano_usd, 0) / 1e9;
  const row = page.getByRole('row').filter({ hasText: name }).first();
  await row.waitFor();
  const shown = [...(await row.innerText()).matchAll(/\$([\d.,]+)/g)].map((found) => Number(found[1].replaceAll(',', '')));
  assert.ok(shown.some((n) => Math.abs(n - cost) < 0.01), `${cost} is not among ${shown}`);
}

test('a running stream is stopped, by keyboard', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin, '#/live');
  const answer = await chat(team, 'alice', { model: 'gpt-4o', stream: true, messages: [{ role: 'user', content: 'run' }] }, { script: 'slow-stream-200-ms' });
  await page.locator(`[data-row="${answer.headers.get('x-forward-request-id')}"]`).first().waitFor();
  await press(page, /^stop/i);
  await page.getByRole('dialog').waitFor();
  await press(page, /^stop/i);
  assert.match(await answer.text().catch((error) => `"error" ${error}`), /"error"/);
  await p.closed();
});

test('why somebody got 429', async () => {
  for (let i = 0; i < 3; i++) {
    var refused = await chat(team, 'bob', { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'again' }] });
    await refused.text();
  }
  assert.equal(refused.status, 429);
  const id = refused.headers.get('x-forward-request-id');
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  const m = mouse(page);
  await m.click(page.getByRole('navigation').getByRole('link', { name: /why/i }));
  await page.getByRole('main').getByRole('textbox').first().fill(id);
  await page.keyboard.press('Enter');
  const main = page.getByRole('main');
  await eventually('the sentence stands', async () => /bob/.test(await main.innerText()) && /2 requests|2 rpm|a minute/i.test(await main.innerText()));
  assert.ok(m.clicks <= 1, `${m.clicks} clicks`);
  await picture(page, 'task-why');
  await p.closed();
});
