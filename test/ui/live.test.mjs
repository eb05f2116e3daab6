// What is under way: the page Live, and stopping a request.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, chat, eventually, open, picture, profile, scenes, signIn } from './support.mjs';

const { team } = scenes;
const slow = (stream = true) => ({ model: 'gpt-4o-mini', stream, messages: [{ role: 'user', content: `slowly ${Math.random()}` }] });

test('D19 a running stream is seen and stopped', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin, '#/live');
  const answer = await chat(team, 'alice', slow(), { script: 'slow-stream-200-ms' });
  const id = answer.headers.get('x-forward-request-id');
  const row = page.locator(`.running [data-row="${id}"]`);
  await row.waitFor();
  await picture(page, 'live-running');
  await row.getByRole('button', { name: /stop/i }).click();
  await page.getByRole('dialog').getByRole('button', { name: /stop/i }).click();
  const text = await answer.text().catch((error) => `${error}`);
  assert.doesNotMatch(text, /\[DONE\]/);
  assert.match(text, /"error"/);
  await row.waitFor({ state: 'detached' });
  const detail = (await api(team, `/requests/${id}`)).json;
  assert.ok(detail.request.output_tokens > 0, JSON.stringify(detail.request));
  const { entries } = (await api(team, '/audit?limit=20')).json;
  assert.ok(entries.some((e) => e.action === 'request.stop' && e.object === id), JSON.stringify(entries));
  await p.closed();
});

test('D17 eight tabs are live over HTTP/1.1', async () => {
  const p = await profile(team);
  let streams = 0;
  p.context.on('request', (request) => request.url().endsWith('/_/api/live') && streams++);
  await signIn(p, team.admin, '#/live');
  const tabs = [];
  for (let i = 0; i < 8; i++) tabs.push(await p.page('#/live'));
  await eventually('a tab has the stream', () => streams > 0);
  assert.equal(streams, 1, 'streams of one browser');
  for (const tab of tabs) {
    await tab.bringToFront();
    await tab.locator('.shell').waitFor();
    await open(tab, 'usage');
  }
  await p.closed();
});

test('a holder sees its own requests only', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.keys.alice, '#/live');
  const stop = new AbortController();
  const other = await chat(team, 'dave', slow(), { script: 'slow-stream-100-ms', signal: stop.signal });
  const own = await chat(team, 'alice', slow(), { script: 'slow-stream-100-ms', signal: stop.signal });
  await page.locator(`[data-row="${own.headers.get('x-forward-request-id')}"]`).first().waitFor();
  assert.equal(await page.locator(`[data-row="${other.headers.get('x-forward-request-id')}"]`).count(), 0);
  const foreign = await api(team, `/running/${other.headers.get('x-forward-request-id')}`, { secret: team.keys.alice, method: 'DELETE' });
  assert.equal(foreign.status, 404);
  stop.abort();
  await p.closed();
});
