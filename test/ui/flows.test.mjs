// Flows between people and pages: a hand-over, an edit at the same time, the
// playground.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, chat, eventually, open, picture, profile, scenes, settled, signIn } from './support.mjs';

const { team } = scenes;
const run = Date.now(); // names are new in each run of a scene

async function newKey(name, body = {}) {
  const made = await api(team, '/keys', { method: 'POST', body: { fields: { name, ...body.fields }, ...(body.secret ? { secret: body.secret } : {}) } });
  assert.equal(made.status, 201, made.text);
  return made.json;
}

test('D13 a hand-over link makes the secret once, for who opens it', async () => {
  const made = await newKey(`greta ${run}`, { secret: 'later' });
  assert.equal(made.secret, null);
  const teammate = await profile(team);
  const page = await teammate.page(made.handover.path);
  await page.getByRole('main').getByRole('button').first().click();
  const secret = (await page.locator('[data-secret]').innerText()).trim();
  assert.match(secret, /^fk-/);
  await picture(page, 'handover');
  scenes.team.keys.greta = secret;
  const answer = await chat(team, 'greta', { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] });
  assert.equal(answer.status, 200);
  await teammate.closed();
  const late = await profile(team);
  const again = await late.page(made.handover.path);
  await again.getByRole('main').getByRole('button').first().click();
  await again.getByText(/used|expired|no longer/i).first().waitFor();
  assert.equal(await again.locator('[data-secret]').count(), 0);
  await late.closed();
  const audit = await api(team, '/audit?limit=50');
  assert.ok(!audit.text.includes(secret));
});

test('D12 of two who edit a key the second sees what the first has changed', async () => {
  const { key } = await newKey(`hugo ${run}`, { fields: { rpm: '60' } });
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  await open(page, `keys/${key.id}`);
  await page.getByRole('button', { name: /^edit/i }).click();
  await page.getByLabel(/requests a minute/i).first().fill('30');
  const other = await api(team, `/keys/${key.id}`, { method: 'PATCH', headers: { 'If-Match': `"${key.version}"` }, body: { fields: { rpm: '90' } } });
  assert.equal(other.status, 200, other.text);
  await page.getByRole('button', { name: /save changes/i }).click();
  await eventually('both values are shown', async () => {
    const text = await page.locator('body').innerText();
    return /\b90\b/.test(text) && /\b30\b/.test(text);
  });
  assert.equal((await api(team, `/keys/${key.id}`)).json.policy.rpm, 90);
  await picture(page, 'conflict');
  await p.closed();
});

for (const [who, secret] of [['a holder', team.keys.alice], ['the administrator', team.admin]]) {
  test(`D21 the playground of ${who} is the pipeline`, async () => {
    const p = await profile(team);
    const page = await signIn(p, secret);
    await open(page, 'playground');
    const key = page.getByLabel('Key', { exact: true });
    if (await key.count()) {
      if ((await key.evaluate((e) => e.tagName)) === 'SELECT') await key.selectOption({ label: 'alice' });
      else await key.fill('alice');
    }
    await page.getByLabel('Model', { exact: true }).first().fill('gpt-4o-mini');
    const prompt = `playground ${who} ${run}`;
    await page.getByLabel(/^(message|user)/i).first().fill(prompt);
    const sent = page.waitForResponse((answer) => answer.url().includes('/_/api/play/'));
    await page.getByRole('button', { name: 'Send' }).click();
    const id = (await sent).headers()['x-forward-request-id'];
    await eventually('the answer is shown', async () => (await page.getByText(/tokens out/i).first().isVisible()) && !(await page.getByRole('button', { name: 'Stop' }).isVisible().catch(() => false)));
    const { request } = (await api(team, `/requests/${id}`)).json;
    assert.equal(request.key_name, 'alice');
    assert.equal(request.status, 200);
    assert.ok(request.cost_nano_usd > 0);
    await settled(page);
    await picture(page, `playground-${who.replace(' ', '-')}`);
    // The cookie is no credential of programs.
    const answer = await page.evaluate(async () => (await fetch('/v1/chat/completions', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"model":"gpt-4o-mini","messages":[]}' })).status);
    assert.equal(answer, 401);
    await p.closed();
  });
}

test('D20 content that a policy removed is named, and what an administrator reads is recorded', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  const rows = (await api(team, '/requests?since=7d&limit=500')).json.requests;
  for (const [name, canary] of [['carol', 'canary-prompt-of-carol'], ['dave', 'canary-prompt-of-dave']]) {
    const row = rows.find((r) => r.key_name === name);
    await open(page, `requests?open=${row.id}`);
    await page.getByRole('dialog').getByText(/log policy|log: (off|meta)|keeps (nothing|figures)/i).first().waitFor();
    assert.ok(!(await page.content()).includes(canary));
    assert.ok(!(await api(team, `/requests/${row.id}`)).text.includes(canary));
    assert.notEqual((await api(team, `/requests/${row.id}/content`)).status, 200);
  }
  const own = rows.find((r) => r.key_name === 'alice' && r.session.startsWith('session-'));
  await open(page, `requests?open=${own.id}`);
  await page.getByRole('button', { name: 'Show content' }).click();
  await page.getByRole('dialog').getByText(/answer briefly/i).first().waitFor();
  await picture(page, 'content');
  const { entries } = (await api(team, '/audit?limit=20')).json;
  assert.ok(entries.some((e) => e.action === 'content.read' && e.object === own.id), JSON.stringify(entries.slice(0, 3)));
  await p.closed();
});
