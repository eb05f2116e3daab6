// Signing in and out, and what a session may not do.
import assert from 'node:assert/strict';
import test from 'node:test';
import { api, command, open, profile, scenes, signIn } from './support.mjs';

const { team, empty } = scenes;

test('D05 administrator and holder sign in; no key is left where a script reads', async () => {
  for (const [secret, first] of [[team.admin, /overview/i], [team.keys.alice, /connect/i]]) {
    const p = await profile(team);
    const page = await signIn(p, secret);
    await page.getByRole('heading', { level: 1, name: first }).waitFor();
    const stored = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href, history.state]));
    assert.ok(!stored.includes(secret), stored);
    const [cookie, ...others] = await p.context.cookies();
    assert.equal(others.length, 0);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/_/']);
    assert.ok(cookie.name.startsWith('forward-') && !cookie.value.includes(secret));
    // Signing out ends the session at the gateway, not only in this browser.
    const send = () => fetch(`${team.url}/_/api/session`, { headers: { Cookie: `${cookie.name}=${cookie.value}` } });
    assert.equal((await send()).status, 200);
    await page.getByRole('button', { name: /sign out/i }).click();
    await page.locator('input[name=key]').waitFor();
    assert.equal((await send()).status, 401);
    await p.closed();
  }
});

test('D05 a wrong key is refused with a sentence', async () => {
  const p = await profile(team);
  const page = await p.page();
  await page.locator('input[name=key]').fill('fk-not-a-key-0123456789');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').waitFor();
  await p.closed();
});

test('D06 a revoked key ends its page', async () => {
  const made = await api(team, '/keys', { method: 'POST', body: { fields: { name: 'leaver' } } });
  assert.equal(made.status, 201, made.text);
  const p = await profile(team);
  const page = await signIn(p, made.json.secret, '#/usage');
  const revoked = await api(team, `/keys/${made.json.key.id}`, { method: 'DELETE' });
  assert.equal(revoked.status, 204, revoked.text);
  await open(page, 'requests').catch(() => {});
  await page.locator('input[name=key]').waitFor();
  assert.ok(await page.getByRole('alert').innerText());
  await p.closed();
});

test('the link of forward dashboard signs in once', async () => {
  const link = (await command(empty, 'dashboard')).match(/http\S+/)[0];
  const p = await profile(empty);
  const page = await p.context.newPage();
  await page.goto(link);
  await page.locator('.shell').waitFor();
  assert.ok(!page.url().includes(link.split('/').pop()), 'the code stays in the address');
  await p.closed();
  const second = await profile(empty);
  const again = await second.context.newPage();
  await again.goto(link);
  await again.getByRole('alert').waitFor();
  await second.closed();
});

test('the address of the gateway leads a browser to the dashboard, and a program nowhere', async () => {
  const p = await profile(team);
  const page = await p.context.newPage();
  await page.goto(team.url);
  await page.locator('input[name=key]').waitFor();
  assert.match(page.url(), /\/_\/(#.*)?$/);
  const program = await fetch(team.url, { redirect: 'manual' });
  assert.notEqual(program.status, 302);
  assert.notEqual(program.status, 303);
  await p.closed();
});

test('D08 another site changes nothing and reads nothing', async () => {
  const p = await profile(team);
  const page = await signIn(p, team.admin);
  const other = await p.context.newPage();
  await p.context.unroute('**');
  await p.context.route('http://other.invalid/**', (route) => route.fulfill({ contentType: 'text/html', body: '<form method=post enctype=text/plain></form>' }));
  await other.goto('http://other.invalid/');
  const before = (await api(team, '/keys?limit=1000')).json.count;
  const outcomes = await other.evaluate(async (base) => {
    const out = [];
    for (const init of [
      { credentials: 'include' },
      { credentials: 'include', method: 'POST', body: '{"fields":{"name":"planted"}}', headers: { 'Content-Type': 'text/plain' } },
      { credentials: 'include', method: 'POST', body: '{"fields":{"name":"planted"}}', headers: { 'Content-Type': 'application/json' } },
      { credentials: 'include', mode: 'no-cors', method: 'POST', body: '{"fields":{"name":"planted"}}' },
    ]) {
      try {
        const answer = await fetch(`${base}/_/api/keys`, init);
        out.push(`${answer.type} ${(await answer.text()).length}`);
      } catch (error) {
        out.push('refused');
      }
    }
    return out;
  }, team.url);
  assert.deepEqual(outcomes, ['refused', 'refused', 'refused', 'refused']);
  await Promise.all([
    other.waitForNavigation().catch(() => {}),
    other.evaluate((base) => {
      const form = document.querySelector('form');
      form.action = `${base}/_/api/keys`;
      const field = document.createElement('input');
      field.name = '{"fields":{"name":"planted"},"x":"';
      field.value = '"}';
      form.append(field);
      form.submit();
    }, team.url),
  ]);
  assert.equal((await api(team, '/keys?limit=1000')).json.count, before);
  await page.close();
  await p.context.close();
});

test('D09 a page that passes through the gateway cannot read the dashboard', async () => {
  const { hostile } = scenes;
  const p = await profile(hostile);
  await signIn(p, hostile.admin);
  const reading = '<!doctype html><title>page</title><script>fetch("/_/api/session").then(r => document.title = "read " + r.status, () => document.title = "refused")</script>';
  const answers = {
    'text/html': reading,
    'image/svg+xml': '<svg xmlns="http://www.w3.org/2000/svg"><script>fetch("/_/api/session").then(r => { document.documentElement.setAttribute("data-read", r.status) })</script></svg>',
  };
  for (const [type, body] of Object.entries(answers)) {
    const target = `${hostile.url}/pages/page?type=${encodeURIComponent(type)}&body=${encodeURIComponent(body)}`;
    const page = await p.context.newPage();
    await page.goto(target);
    await page.waitForTimeout(500);
    assert.ok(!(await page.title()).startsWith('read'), `${type} has read the session`);
    assert.equal(await page.evaluate(() => document.documentElement.getAttribute('data-read')).catch(() => null), null);
    assert.equal(await page.evaluate(() => self.origin), 'null', `${type} has the gateway's origin`);
    await page.close();
    // A program gets the bytes as they are, and no header of ours.
    const program = await fetch(target);
    assert.equal(await program.text(), body);
    assert.equal(program.headers.get('content-security-policy'), null);
  }
  await p.context.close();
});

test('D24 ?lang asks for a language, and a chosen one is kept', async () => {
  const p = await profile(team, { lang: 'de-DE' });
  const page = await p.context.newPage();
  await page.goto(`${team.url}/_/?lang=zh-CN`);
  await page.locator('html[lang=zh-CN] input[name=key]').waitFor();
  await page.goto(`${team.url}/_/`);
  await page.locator('html[lang=en] input[name=key]').waitFor();
  await page.getByRole('button', { name: /简体中文/ }).click();
  await page.locator('html[lang=zh-CN] input[name=key]').waitFor();
  await page.reload();
  await page.locator('html[lang=zh-CN] input[name=key]').waitFor();
  await p.closed();
});
